"""How far a mean can be trusted.

Source: Efron & Tibshirani 1993, *An Introduction to the Bootstrap*; Künsch 1989 for blocks,
doi:10.1214/aos/1176347265.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["Interval", "bootstrap_mean", "bootstrap_rms", "paired_rms_difference"]


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval, in the values' unit."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.floating],
    confidence: float = 0.95,
    block: int = 1,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean; the same seed gives the same interval.

    Args:
        values: (N,) finite numbers, N ≥ 1; with N = 1 the interval is infinitely wide.
        confidence: Share of intervals that hold the true mean, between 0 and 1.
        block: Length of the runs that are drawn together (moving blocks). 1 for independent
            values such as clips; for consecutive frames about the cube root of N or more, since
            intervals that take frames as independent come out far too narrow.
        resamples: How many means to draw.
        seed: Of the draws.

    Raises:
        UsageError: If the values are empty, not finite or not one-dimensional, or an option is
            out of range.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not data.size or not np.isfinite(data).all():
        raise UsageError("A mean's interval needs a list of finite numbers: leave out empty ones.")
    if not 0 < confidence < 1 or resamples < 1:
        raise UsageError("Give a confidence between 0 and 1 and at least one resample.")
    if not 1 <= block <= data.size:
        raise UsageError(f"The block length is {block}: give 1 to {data.size}, the values' number.")
    if data.size == 1:
        return Interval(float(data[0]), -np.inf, np.inf)
    generator = np.random.default_rng(seed)
    count = -(-data.size // block)
    # Block sums are looked up in a cumulative sum: no (resamples × N) table of indices.
    starts = generator.integers(0, data.size - block + 1, size=(resamples, count))
    sums = np.concatenate(([0.0], np.cumsum(data)))
    means = (sums[starts + block] - sums[starts]).sum(axis=1) / (count * block)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(float(data.mean()), float(low), float(high))


def bootstrap_rms(
    values: Sequence[float] | NDArray[np.floating],
    confidence: float = 0.95,
    block: int = 1,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The same for a root mean square; ``mean`` is that. Arguments as :func:`bootstrap_mean`."""
    squares = np.square(np.asarray(values, dtype=np.float64))
    found = bootstrap_mean(squares, confidence, block, resamples, seed)
    # The root is monotonic, so it maps percentiles to percentiles.
    return Interval(*(float(np.sqrt(max(end, 0.0))) for end in found))


def paired_rms_difference(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    confidence: float = 0.95,
    block: int = 1,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the second series' root mean square minus the first's, frames paired.

    The same blocks of both are drawn together, so what the two have in common (a busy passage,
    say) does not widen the interval. Arguments as :func:`bootstrap_mean`, both (N,) with N ≥ 2.
    """
    squares = np.square(np.stack((first, second)).astype(np.float64))
    size = squares.shape[1]
    if size < 2 or not np.isfinite(squares).all() or not 1 <= block <= size:
        raise UsageError("A paired difference needs two series of at least two finite numbers.")
    count = -(-size // block)
    starts = np.random.default_rng(seed).integers(0, size - block + 1, size=(resamples, count))
    sums = np.concatenate((np.zeros((2, 1)), np.cumsum(squares, axis=1)), axis=1)
    means = (sums[:, starts + block] - sums[:, starts]).sum(axis=2) / (count * block)
    roots = np.sqrt(np.maximum(means, 0.0))
    tail = (1 - confidence) / 2
    low, high = np.quantile(roots[1] - roots[0], (tail, 1 - tail))
    whole = np.sqrt(squares.mean(axis=1))
    return Interval(float(whole[1] - whole[0]), float(low), float(high))
