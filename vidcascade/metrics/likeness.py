"""How like two sets of pictures are, where no picture of one belongs to one of the other.

The kernel distance of Bińkowski et al. 2018 (KID, arXiv:1801.01401): the unbiased squared maximum
mean discrepancy (Gretton et al. 2012) between features, with a cubic polynomial kernel. Unlike
Fréchet distances (Heusel et al. 2017) it needs no thousands of pictures to be free of bias. What
the features are is the caller's: numbers can be compared only where they are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.metrics.statistics import Interval

__all__ = ["kernel_distance", "kernel_distance_interval"]

Features = NDArray[np.float64]


def kernel_distance(a: Features, b: Features, paired: bool = False) -> float:
    """Squared maximum mean discrepancy of two sets of independent samples.

    Args:
        a: (N, D) finite features, N ≥ 2.
        b: (M, D), M ≥ 2.
        paired: sample n of one set has something in common with sample n of the other (it answers
            the same prompt), and M = N; such pairs are left out, or they would make the sets seem
            nearer than they are.

    Returns:
        0 in expectation where both come from one distribution (so it may be a little below), and
        more the less alike they are.

    Raises:
        UsageError: too few samples, other shapes, or numbers that are not finite.
    """
    _check(a, b, paired)
    return _distance(_kernel(a, a), _kernel(b, b), _kernel(a, b), paired)


def kernel_distance_interval(
    a: Features,
    b: Features,
    paired: bool = False,
    confidence: float = 0.95,
    resamples: int = 400,
    seed: int = 0,
) -> Interval:
    """:func:`kernel_distance` with an interval by subsampling; the same seed gives the same one.

    Halves are drawn without replacement (a bootstrap's repeated samples would be nearest to
    themselves); they vary about the whole sets' distance as that does about the true one (Politis
    & Romano 1994), or more where the sets are hardly apart: there the interval is too wide.

    Args:
        a, b, paired: as for :func:`kernel_distance`, at least 4 samples each; of paired sets the
            same halves are drawn.
        confidence: between 0 and 1.
        resamples: how many halves to draw.
        seed: of the draws.

    Raises:
        UsageError: as :func:`kernel_distance`, or an option out of range.
    """
    _check(a, b, paired)
    if min(len(a), len(b)) < 4 or not 0 < confidence < 1 or resamples < 1:
        raise UsageError(
            "An interval needs 4 samples of each set, a confidence between 0 and 1 and a resample."
        )
    aa, bb, ab = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    whole = _distance(aa, bb, ab, paired)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        i = rng.permutation(len(a))[: len(a) // 2]
        j = i if paired else rng.permutation(len(b))[: len(b) // 2]
        found.append(_distance(aa[np.ix_(i, i)], bb[np.ix_(j, j)], ab[np.ix_(i, j)], paired))
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(np.asarray(found) - whole, [tail, 100 - tail])
    return Interval(whole, whole - float(high), whole - float(low))


def _check(a: Features, b: Features, paired: bool) -> None:
    fits = a.ndim == b.ndim == 2 and a.shape[1:] == b.shape[1:] and min(len(a), len(b)) >= 2
    fits = fits and (len(a) == len(b) or not paired)
    if not fits or not np.isfinite(a).all() or not np.isfinite(b).all():
        raise UsageError(
            "A kernel distance compares two sets of finite features (N, D), of one D and at least "
            f"2 samples each, as many where they are paired: got {a.shape} and {b.shape}."
        )


def _kernel(a: Features, b: Features) -> Features:
    product: Features = np.asarray(a, np.float64) @ np.asarray(b, np.float64).T
    return (product / a.shape[1] + 1) ** 3


def _distance(aa: Features, bb: Features, ab: Features, paired: bool) -> float:
    between = _others(ab) if paired else ab.mean()
    return float(_others(aa) + _others(bb) - 2 * between)


def _others(kernel: Features) -> float:
    """Mean over all pairs of two samples with different numbers."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))
