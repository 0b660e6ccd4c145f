"""Kernel distances between sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcascade.errors import UsageError
from vidcascade.metrics.likeness import kernel_distance, kernel_distance_interval


def draw(seed: int, count: int, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return shift + spread * np.random.default_rng(seed).normal(size=(count, 8))


def slow(a: np.ndarray, b: np.ndarray) -> float:
    """The definition, pair by pair."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    within = [np.mean([k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
              for s in (a, b)]  # fmt: skip
    return float(sum(within) - 2 * np.mean([k(x, y) for x in a for y in b]))


def test_it_is_the_unbiased_estimate_of_the_definition() -> None:
    a, b = draw(0, 7), draw(1, 5, 0.5)
    assert kernel_distance(a, b) == pytest.approx(slow(a, b), rel=1e-9)


def test_one_distribution_is_at_no_distance_and_others_are_further_the_more_they_differ() -> None:
    same = [kernel_distance(draw(2 * k, 40), draw(2 * k + 1, 40)) for k in range(200)]
    error = np.std(same) / len(same) ** 0.5
    assert abs(np.mean(same)) < 4 * error  # without bias, and below 0 about as often
    assert 40 < sum(value < 0 for value in same) < 160
    at = [kernel_distance(draw(0, 200), draw(1, 200, shift)) for shift in (0.0, 0.3, 0.6, 1.2)]
    assert at == sorted(at)
    assert kernel_distance(draw(0, 400), draw(1, 400, spread=1.5)) > 0.1


@given(st.integers(0, 1000), st.integers(4, 12), st.integers(4, 12))
def test_neither_the_order_of_sets_nor_of_samples_counts(seed: int, n: int, m: int) -> None:
    a, b = draw(seed, n), draw(seed + 1, m, 0.3)
    d = kernel_distance(a, b)
    assert kernel_distance(b, a) == pytest.approx(d)
    assert kernel_distance(a[::-1], b) == pytest.approx(d)


def test_intervals_hold_the_true_distance_as_often_as_they_say() -> None:
    truth = kernel_distance(draw(100, 4000), draw(101, 4000, 0.5))
    held = 0
    for k in range(100):
        a, b = draw(2 * k, 60), draw(2 * k + 1, 60, 0.5)
        mean, low, high = kernel_distance_interval(a, b)
        assert low <= mean <= high
        assert mean == kernel_distance(a, b)
        held += low <= truth <= high
    assert held >= 85


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3))),
        (np.zeros((5, 3)), np.zeros((5, 4))),
        (np.full((5, 3), np.nan), np.zeros((5, 3))),
        (np.zeros(5), np.zeros(5)),
    ],
)
def test_what_cannot_be_compared_is_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(UsageError, match="A kernel distance compares"):
        kernel_distance(a, b)
    with pytest.raises(UsageError, match="A kernel distance compares"):
        kernel_distance_interval(a, b)


def test_intervals_need_enough() -> None:
    for a, options in ((draw(0, 3), {}), (draw(0, 9), {"confidence": 1.0})):
        with pytest.raises(UsageError, match="An interval needs"):
            kernel_distance_interval(a, draw(1, 9), **options)  # type: ignore[arg-type]
