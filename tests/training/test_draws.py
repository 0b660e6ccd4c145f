"""An example's random numbers belong to it, whatever it is drawn together with."""

from __future__ import annotations

import pytest
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


def test_a_batch_has_a_number_in_common_whoever_works_on_it() -> None:
    whole = Draws.of(1, range(8, 12))
    parts = [Draws.of(1, range(first, first + 2), first=8) for first in (8, 10)]
    assert {part.common for part in parts} == {whole.common, whole.part([3]).common}
    assert len({Draws.of(1, range(first, first + 4)).common for first in range(0, 400, 4)}) == 100
    assert torch.equal(torch.cat([part.uniform() for part in parts]), whole.uniform())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_noise_on_a_gpu_belongs_to_its_example_too() -> None:
    together, last = Draws.of(3, range(4), "cuda"), Draws.of(3, [3], "cuda")
    noise = together.normal(8, 9)
    assert noise.device.type == "cuda"
    assert torch.equal(noise[-1:], last.normal(8, 9))
    assert not torch.equal(noise[0], noise[1])
    # Single numbers, which the host reads, stay there.
    assert together.uniform().device.type == "cpu"
    assert together.part([0]).device == together.device
