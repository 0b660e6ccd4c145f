"""Which of two clips flickers less, by how much, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.metrics.composite import CAUSES
from vidcascade.metrics.statistics import paired_rms_difference
from vidcascade.metrics.suite import ClipResult, block_length

__all__ = ["Comparison", "Difference", "compare", "obstacles"]

# Frame rates within one percent are one rate (24 and 23.976); motion may differ by half.
_RATE = 0.01
_MOTION = 1.5
# Motion below this (percent of the short side per second) is none: two still clips compare.
_LITTLE_MOTION = 2.0

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One measure of the second clip minus the first.

    Attributes:
        name: Measure.
        first: Value of the first clip over the frames that both have.
        second: Value of the second.
        mean: The difference, second minus first.
        low: Lower end of its 95 % interval (paired circular block bootstrap).
        high: Upper end.
    """

    name: str
    first: float
    second: float
    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return bool(self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Two clips.

    Attributes:
        first: Name of the first.
        second: Name of the second.
        differences: By measure; empty when not comparable.
        obstacles: Why the numbers do not compare, one sentence each; empty when they do.
        verdict: The outcome in one sentence.
    """

    first: str
    second: str
    differences: dict[str, Difference]
    obstacles: list[str]
    verdict: str


def obstacles(first: ClipResult, second: ClipResult) -> list[str]:
    """Why two clips' flicker cannot be compared; empty when it can."""
    found = []
    a, b = first.scan.fps, second.scan.fps
    if abs(a - b) > _RATE * max(a, b):
        found.append(f"their frame rates differ ({a:.5g} and {b:.5g} per second)")
    motion = [clip.measures["motion"].value or 0.0 for clip in (first, second)]
    slow, fast = sorted(max(m, _LITTLE_MOTION) for m in motion)
    if fast > _MOTION * slow:
        found.append(
            f"they move differently ({motion[0]:.1f} and {motion[1]:.1f} % of the short side"
            " per second)"
        )
    return found


def compare(
    first: ClipResult, second: ClipResult, force: bool = False, align: bool = False
) -> Comparison:
    """Compare two clips of the same content.

    Args:
        first: One clip.
        second: The other.
        force: Compare even where :func:`obstacles` says that it means little.
        align: Compare clips of different size or length: frames are paired by time, as far as the
            shorter clip goes.

    Raises:
        UsageError: If size or length differ and ``align`` is off.
    """
    names = (first.name, second.name)
    if not align:
        _same_shape(first, second)
    against = obstacles(first, second)
    if against and not force:
        reason = " and ".join(against)
        verdict = f"{names[0]} and {names[1]} are not comparable: {reason} (--force compares them)."
        return Comparison(*names, {}, against, verdict)
    differences = {}
    for name in ("flicker", *CAUSES):
        found = _difference(name, first, second)
        if found is not None:
            differences[name] = found
    return Comparison(*names, differences, against, _verdict(names, differences, against))


def _same_shape(first: ClipResult, second: ClipResult) -> None:
    if first.scan.size != second.scan.size:
        (h1, w1), (h2, w2) = first.scan.size, second.scan.size
        raise UsageError(
            f"{first.name} is {w1} × {h1} and {second.name} {w2} × {h2}; add --align to compare"
            " clips of different size."
        )
    if first.frames != second.frames:
        raise UsageError(
            f"{first.name} has {first.frames} frames and {second.name} {second.frames}; add"
            " --align to compare as far as the shorter one goes."
        )


def _difference(name: str, first: ClipResult, second: ClipResult) -> Difference | None:
    a, b = first.measures[name], second.measures[name]
    if a.value is None or b.value is None or a.series is None or b.series is None:
        return None
    nearest = _nearest(first.scan.times, second.scan.times)
    end = min(first.scan.times[-1], second.scan.times[-1]) + 0.5 / second.scan.fps
    left, right = a.series, b.series[nearest]
    both = np.isfinite(left) & np.isfinite(right) & (first.scan.times <= end)
    if both.sum() < 2:
        return None
    left, right = left[both], right[both]
    block = block_length(first.scan.fps, len(left))
    interval = paired_rms_difference(left, right, block=block)
    before, after = (float(np.sqrt(np.square(values).mean())) for values in (left, right))
    return Difference(name, before, after, interval.mean, interval.low, interval.high)


def _nearest(wanted: Series, times: Series) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left_closer = wanted - times[right - 1] <= times[right] - wanted
    return np.where(left_closer, right - 1, right)


def _verdict(names: tuple[str, str], differences: dict[str, Difference], against: list[str]) -> str:
    warning = f" Read with care: {' and '.join(against)}." if against else ""
    main = differences.get("flicker")
    if main is None:
        return f"{names[0]} and {names[1]} share too few measured frames to compare.{warning}"
    if not main.certain:
        return (
            f"{names[0]} ({main.first:.3f}) and {names[1]} ({main.second:.3f}) cannot be told"
            f" apart: the difference is {main.mean:+.3f}, 95 % interval {main.low:+.3f} to"
            f" {main.high:+.3f}.{warning}"
        )
    less, more = names if main.mean > 0 else names[::-1]
    low, high = sorted((main.first, main.second))
    ends = sorted((abs(main.low), abs(main.high)))
    share = f", {100 * (1 - low / high):.0f} % less" if high > 0 else ""
    return (
        f"{less} flickers less than {more}: {low:.3f} against {high:.3f}{share}; the difference of"
        f" {abs(main.mean):.3f} is more than chance (95 % interval {ends[0]:.3f} to"
        f" {ends[1]:.3f}).{warning}"
    )
