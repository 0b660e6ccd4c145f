"""Means over few clips, and how far they can be trusted: what tables of clips share.

Percentile intervals of a bootstrap over eight clips are too narrow: of those that are called 95 %
about 89 in a hundred hold the mean. These are *expanded* to what a t interval has (Hesterberg 2015,
*What Teachers Should Know About the Bootstrap*, doi:10.1080/00031305.2015.1089789).

Clips of one room or one film resemble each other, so what is resampled is their sources, with one
mean for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.common import spread
from vidcascade.metrics.statistics import Interval, bootstrap_mean

CONFIDENCE = 0.95
# Fewer differences may all have one sign by chance more often than once in twenty times.
LEAST_CLIPS = 6
_RESAMPLES = 40_000


def few_interval(
    values: Sequence[float] | NDArray[np.floating], confidence: float = CONFIDENCE
) -> Interval:
    """Expanded percentile interval of the mean of independent, finite numbers, at least one.

    With fewer than :data:`LEAST_CLIPS` it is infinite: nothing is more than chance.
    """
    count = len(values)
    if count < LEAST_CLIPS:
        return Interval(float(np.mean(values)), -np.inf, np.inf)
    wide = stats.t.ppf((1 + confidence) / 2, count - 1) * np.sqrt(count / (count - 1))
    expanded = 1 - 2 * float(stats.norm.sf(wide))
    return bootstrap_mean(values, expanded, resamples=_RESAMPLES)


def told(values: Sequence[float] | NDArray[np.floating], digits: int, sign: str = "") -> str:
    """The mean with its interval; where there can be none, with the lowest and the highest value.

    ``31.2 (30.9 to 31.5)`` is the former and ``31.2 [30.9 to 31.5]`` the latter, which
    :func:`interval_note` explains.
    """
    found = few_interval(values)
    if np.isfinite(found.low):
        return spread(*found, digits, sign)
    mean, low, high = (f"{v:{sign}.{digits}f}" for v in (found.mean, min(values), max(values)))
    return f"{mean} [{low} to {high}]" if len(values) > 1 else mean


def interval_note(rows: Sequence[Sequence[str]], over: str = "clips") -> str:
    """What the brackets of a table's cells mean; ``over`` is what was resampled."""
    cells = [cell for row in rows for cell in row[1:]]
    parts = []
    if any("[" in cell for cell in cells):
        parts.append(
            f"in square brackets: lowest and highest of fewer than {LEAST_CLIPS} {over}, which are"
            " too few for an interval"
        )
    if any("(" in cell for cell in cells) or not parts:
        parts.insert(0, f"intervals: bootstrap over {over}, 95 % (expanded percentiles)")
    return "; ".join(parts)


def sources(names: Sequence[str]) -> list[str]:
    """The source of each clip, by its name: ``room_a`` and ``room_b`` are both of ``room``.

    A name up to its last word, words being parted by underscores, is a source if several clips
    share it; a clip that shares its with no other is a source of its own.
    """
    beginnings = [name.rpartition("_")[0] for name in names]
    shared = Counter(beginnings)
    return [
        beginning if beginning and shared[beginning] > 1 else name
        for name, beginning in zip(names, beginnings, strict=True)
    ]


def by_source(
    values: Sequence[float] | NDArray[np.floating], of: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """One mean for each source, of its clips that have a number; without sources all of these.

    Args:
        values: of each clip; NaN where there is no number.
        of: the source of each clip, or None where every clip is one of its own.
    """
    numbers = np.asarray(values, dtype=np.float64)
    known = np.isfinite(numbers)
    if of is None:
        return numbers[known]
    named: dict[str, list[float]] = {}
    for source, number in zip(np.asarray(of)[known], numbers[known], strict=True):
        named.setdefault(str(source), []).append(number)
    return np.array([np.mean(part) for part in named.values()])
