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


def pair(seed: int, count: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Sets whose samples have something in common, one by one."""
    common = np.random.default_rng((seed, 1)).normal(size=(count, 8))
    return 0.7 * common + draw(2 * seed, count), 0.7 * common + draw(2 * seed + 1, count, shift)


def test_paired_sets_are_no_nearer_than_they_are() -> None:
    pairs = [pair(k, 30, 0.0) for k in range(200)]
    found = np.array([kernel_distance(a, b, paired=True) for a, b in pairs])
    error = found.std() / len(found) ** 0.5
    assert abs(found.mean()) < 4 * error
    careless = np.array([kernel_distance(a, b) for a, b in pairs])
    assert careless.mean() < -10 * error
    a, b = pairs[0]
    others = [(i, j) for i in range(30) for j in range(30) if i != j]
    k = (a @ b.T / 8 + 1) ** 3
    expected = slow(a, b) + 2 * k.mean() - 2 * np.mean([k[i, j] for i, j in others])
    assert found[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_intervals_hold_the_true_distance_as_often_as_they_say(paired: bool) -> None:
    def sets(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if paired:
            return pair(seed, count, 0.5)
        return draw(2 * seed, count), draw(2 * seed + 1, count, 0.5)

    truth = kernel_distance(*sets(1000, 4000), paired=paired)
    held, widths, found = 0, [], []
    for k in range(100):
        mean, low, high = kernel_distance_interval(*sets(k, 60), paired=paired)
        assert low <= mean <= high
        held += low <= truth <= high
        widths.append(high - low)
        found.append(mean)
    assert found[-1] == kernel_distance(*sets(99, 60), paired=paired)
    assert held >= 85
    # As wide as the estimate scatters, or a little more, and no wider.
    assert np.mean(widths) < 1.6 * 2 * 1.96 * np.std(found)


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


def test_pairs_need_a_partner_each() -> None:
    with pytest.raises(UsageError, match="as many where they are paired"):
        kernel_distance(draw(0, 5), draw(1, 6), paired=True)


def test_intervals_need_enough() -> None:
    for a, options in ((draw(0, 3), {}), (draw(0, 9), {"confidence": 1.0})):
        with pytest.raises(UsageError, match="An interval needs"):
            kernel_distance_interval(a, draw(1, 9), **options)  # type: ignore[arg-type]
