"""How far a mean can be trusted.

Consecutive frames resemble each other, so runs of frames are drawn, not frames: the moving-block
bootstrap (Künsch 1989, doi:10.1214/aos/1176347265) in its *circular* form, in which the series is
closed to a ring (Politis & Romano 1992, *A circular block-resampling procedure for stationary
data*, in LePage & Billard, *Exploring the Limits of Bootstrap*). On an open series the first and
the last frames lie in fewer blocks than the others, and an interval can leave out its own mean; on
a ring every frame is drawn equally often, and the drawn means average to the mean.

Source of the rest: Efron & Tibshirani 1993, *An Introduction to the Bootstrap*.
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
        block: Length of the runs that are drawn together (circular moving blocks), at most half
            of N. 1 for independent values such as clips; for consecutive frames about the cube root
            of N or more, since intervals that take frames as independent come out far too narrow.
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
    _check_block(block, data.size)
    if data.size == 1:
        return Interval(float(data[0]), -np.inf, np.inf)
    mean = float(data.mean())
    drawn = _resampled_means(data[None] - mean, block, resamples, seed)[0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(mean, mean + float(low), mean + float(high))


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
    if size < 2 or not np.isfinite(squares).all():
        raise UsageError("A paired difference needs two series of at least two finite numbers.")
    _check_block(block, size)
    mean = squares.mean(axis=1, keepdims=True)
    drawn = mean + _resampled_means(squares - mean, block, resamples, seed)
    roots = np.sqrt(np.maximum(drawn, 0.0))
    tail = (1 - confidence) / 2
    low, high = np.quantile(roots[1] - roots[0], (tail, 1 - tail))
    whole = np.sqrt(mean[:, 0])
    return Interval(float(whole[1] - whole[0]), float(low), float(high))


def _check_block(block: int, size: int) -> None:
    # Blocks of nearly the whole ring all hold the same values: an interval without any width.
    longest = max(1, size // 2)
    if not 1 <= block <= longest:
        raise UsageError(
            f"The block length is {block}: give 1 to {longest}, half of the values' number."
        )


def _resampled_means(
    values: NDArray[np.float64], block: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of circular block resamples of K series drawn alike: (K, N) → (K, resamples)."""
    size = values.shape[1]
    count = -(-size // block)
    # The last block is cut, so that a resample is as long as the series.
    lengths = np.full(count, block)
    lengths[-1] = size - block * (count - 1)
    starts = np.random.default_rng(seed).integers(0, size, size=(resamples, count))
    # Block sums are looked up in a cumulative sum: no (resamples × N) table of indices.
    ring = np.concatenate((values, values[:, : block - 1]), axis=1)
    sums = np.concatenate((np.zeros((len(values), 1)), np.cumsum(ring, axis=1)), axis=1)
    drawn = (sums[:, starts + lengths] - sums[:, starts]).sum(axis=2)
    return np.asarray(drawn / size, dtype=np.float64)
