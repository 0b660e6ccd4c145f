"""Embeddings of scalars: the sinusoids themselves, and what is learnt on top of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vidcascade.nn.embeddings import ScalarEmbedding, sinusoids

VALUES = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=6)
WIDTHS = st.integers(1, 40).map(lambda half: 2 * half)


def seeded(width: int, scale: float, zero_init: bool = False) -> ScalarEmbedding:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ScalarEmbedding(width, scale, zero_init)


def far_from_zero(tensor: Tensor) -> bool:
    return bool(tensor.abs().max() > 0.01)


@settings(deadline=None)
@given(VALUES, WIDTHS, st.sampled_from([100.0, 10_000.0]))
def test_cosines_then_sines_at_rates_that_fall_geometrically(
    values: list[float], width: int, longest: float
) -> None:
    found = sinusoids(torch.tensor(values), width, longest)
    assert found.shape == (len(values), width)
    assert found.dtype == torch.float32
    rates = longest ** -(np.arange(width // 2) / (width // 2))
    angles = np.array(values)[:, None] * rates
    # float32 angles up to 1000 are known to about 1e-4.
    wanted = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=5e-4)


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-50, 50))
def test_likeness_depends_on_the_distance_alone(first: float, second: float, shift: float) -> None:
    values = torch.tensor([first, second, first + shift, second + shift])
    a, b, moved_a, moved_b = sinusoids(values, 32)
    torch.testing.assert_close(a @ b, moved_a @ moved_b, atol=2e-3, rtol=0)
    torch.testing.assert_close(a @ a, torch.tensor(16.0))


def test_the_first_rate_is_one_and_zero_is_where_it_starts() -> None:
    found = sinusoids(torch.tensor([0.0, math.pi / 2, math.pi]), 8)
    assert found[0].tolist() == [1.0] * 4 + [0.0] * 4
    torch.testing.assert_close(found[1:, 0], torch.tensor([0.0, -1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1:, 4], torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.float16, torch.bfloat16])
def test_whatever_values_come_in_features_are_float32(dtype: torch.dtype) -> None:
    values = torch.tensor([0, 3, 64])
    assert torch.equal(sinusoids(values.to(dtype), 16), sinusoids(values.float(), 16))


def test_no_values_have_no_features() -> None:
    assert sinusoids(torch.zeros(0), 6).shape == (0, 6)


@pytest.mark.parametrize("width", [1, 24])
def test_an_embedding_is_two_layers_on_the_scaled_value(width: int) -> None:
    embed = seeded(width, 1000.0)
    values = torch.tensor([0.0, 0.25, 1.0])
    features = sinusoids(1000 * values, 128)
    hidden = features @ embed.first.weight.T + embed.first.bias
    hidden = hidden * torch.sigmoid(hidden)
    wanted = hidden @ embed.second.weight.T + embed.second.bias
    found = embed(values)
    assert found.shape == (3, width)
    torch.testing.assert_close(found, wanted)


def test_the_scale_says_what_can_be_told_apart() -> None:
    near = torch.tensor([0.500, 0.502])
    coarse, fine = (seeded(64, scale) for scale in (1.0, 1000.0))
    apart = [float((e(near)[0] - e(near)[1]).detach().abs().max()) for e in (coarse, fine)]
    assert apart[0] < 0.01 < 0.1 < apart[1]


def test_zero_init_says_nothing_at_first_and_learns_all_the_same() -> None:
    embed = seeded(8, 10.0, zero_init=True)
    values = torch.tensor([0.0, 0.5, 1.0])
    assert torch.equal(embed(values), torch.zeros(3, 8))
    assert far_from_zero(seeded(8, 10.0)(values))
    embed(values).sum().backward()
    assert embed.second.weight.grad is not None
    assert far_from_zero(embed.second.weight.grad)
    with torch.no_grad():
        embed.second.weight -= 0.1 * embed.second.weight.grad
    assert far_from_zero(embed(values))


def test_a_narrow_embedding_computes_narrowly_on_exact_sinusoids() -> None:
    wide, narrow = seeded(16, 1000.0), seeded(16, 1000.0).to(torch.bfloat16)
    values = torch.tensor([0.001, 0.999])
    found = narrow(values)
    assert found.dtype == torch.bfloat16
    # Angles of some hundreds in bfloat16 would be wrong by whole turns.
    torch.testing.assert_close(found.float(), wide(values), atol=0.03, rtol=0)
