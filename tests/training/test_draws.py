"""An example's random numbers belong to it, whatever it is drawn together with."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade.training.draws import Draws


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), first=st.integers(0, 2**40), count=st.integers(2, 5))
def test_company_does_not_matter(seed: int, first: int, count: int) -> None:
    numbers = range(first, first + count)
    together, last = Draws.of(seed, numbers), Draws.of(seed, [numbers[-1]])
    for _ in range(2):
        assert torch.equal(together.normal(2, 3)[-1:], last.normal(2, 3))
        assert torch.equal(together.uniform()[-1:], last.uniform())


def test_neighbours_and_seeds_differ() -> None:
    values = {float(Draws.of(s, [n]).uniform()) for s in range(20) for n in range(20)}
    assert len(values) == 400


def test_a_part_goes_on_with_its_own_streams() -> None:
    whole, other = Draws.of(1, range(3)), Draws.of(1, range(3))
    whole.part([1]).normal(4)
    other.normal(4)
    assert torch.equal(whole.part([1]).uniform(), other.uniform()[1:2])
