"""Methods measured on the same clips: the measures, their means and what is better.

What :mod:`benchmarks.stages` and :mod:`benchmarks.gap` have in common.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.common import Table
from benchmarks.intervals import LEAST_CLIPS, by_source, few_interval, interval_note, told

TRUTH = "truth"
LEARNT_BY_LPIPS = (
    "LPIPS flatters the bundled bridge and refiner, which learnt by it as well, beside what did not"
)


@dataclass(frozen=True)
class Measure:
    """One column: how it is written, and which way is better (0: neither, near the truth)."""

    key: str
    name: str
    better: int
    digits: int
    of_truth: bool = False


MEASURES = (
    Measure("psnr", "PSNR, dB", 1, 2),
    Measure("missing", "PSNR of missing frames, dB", 1, 2),
    Measure("ssim", "SSIM", 1, 4),
    Measure("lpips", "LPIPS", -1, 4),
    Measure("flicker", "flicker (composite)", -1, 3, True),
    Measure("warping", "warping error × 1000", -1, 3, True),
    Measure("change", "frame difference, levels", 0, 3, True),
    Measure("sharpness", "sharpness, levels/px", 0, 3, True),
)


@dataclass
class Comparison:
    """Methods on the same clips: ``values[method][measure]`` has one number for each clip.

    ``sources`` are those of the clips; None where every clip is one of its own.
    """

    title: str
    stage: str
    standins: tuple[str, ...]
    note: str
    clips: str = "held-out"
    sources: list[str] | None = None
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def plain(self) -> dict[str, dict[str, list[float | None]]]:
        """The values for JSON, which has no NaN: None says that there was no number."""
        return {
            method: {
                key: [v if math.isfinite(v) else None for v in numbers]
                for key, numbers in columns.items()
            }
            for method, columns in self.values.items()
        }

    def add(self, method: str, found: dict[str, float]) -> None:
        """Append one clip's numbers."""
        columns = self.values.setdefault(method, {})
        for key, value in found.items():
            columns.setdefault(key, []).append(value)


def make_tables(comparison: Comparison) -> list[Table]:
    """Means with intervals, and the stage minus each stand-in (and minus the truth)."""
    values, of = comparison.values, comparison.sources
    ours = values[comparison.stage]
    shown = [m for m in MEASURES if m.key in ours]
    rows = [
        [method, *(mean_of(values[method].get(m.key), m.digits, of) for m in shown)]
        for method in (*comparison.standins, comparison.stage, TRUTH)
    ]
    # No verdict against the truth: less flicker than it has is blur, and no merit.
    differences = [
        [
            f"{comparison.stage} − {method}",
            *(difference(m, ours[m.key], values[method].get(m.key), of, judged) for m in shown),
        ]
        for method, judged in (*((name, True) for name in comparison.standins), (TRUTH, False))
    ]
    over = "clips" if of is None else "sources"
    flattered = (LEARNT_BY_LPIPS,) if any(m.key == "lpips" for m in shown) else ()
    verdicts = "better, worse: the interval of the mean difference does not hold 0"
    if of is not None and len(set(of)) < LEAST_CLIPS:
        verdicts = f"too few sources to tell what is better: {LEAST_CLIPS} are needed"
    columns = ["", *(m.name for m in shown)]
    clips = f"{_counted(comparison)}; {comparison.note}; {interval_note(rows, over)}"
    paired = f"{verdicts}; no verdict against the truth; {interval_note(differences, over)}"
    return [
        Table(comparison.title, columns, rows, (clips, *flattered)),
        Table(
            f"{comparison.title}: paired differences", columns, differences, (paired, *flattered)
        ),
    ]


def _counted(comparison: Comparison) -> str:
    count = len(next(iter(comparison.values[comparison.stage].values())))
    text = f"{count} {comparison.clips} clips"
    if comparison.sources is None:
        return text
    return (
        f"{text} of {len(set(comparison.sources))} sources, each of which counts once (clips whose "
        "names differ in their last word alone are of one source)"
    )


def mean_of(
    numbers: Sequence[float] | None, digits: int, sources: Sequence[str] | None = None
) -> str:
    """Mean of the clips, with its interval and how many there were, if some had no number."""
    known = [v for v in numbers or () if math.isfinite(v)]
    if not numbers or not known:
        return "–"
    less = f", {len(known)} clips" if len(known) < len(numbers) else ""
    return told(by_source(numbers, sources), digits) + less


def difference(
    m: Measure,
    ours: Iterable[float],
    other: Iterable[float] | None,
    sources: Sequence[str] | None = None,
    judged: bool = True,
) -> str:
    """Mean of ours minus the other's, paired, with its interval and what that says.

    Args:
        m: of what.
        ours: of each clip.
        other: of each clip; None where there is no such number.
        sources: as in :func:`benchmarks.intervals.by_source`.
        judged: whether one of both may be called better.
    """
    if other is None:
        return "–"
    # Left out: clips of which too little could be followed.
    pairs = by_source(np.subtract(list(ours), list(other)), sources)
    if not len(pairs):
        return "–"
    mean, low, high = few_interval(pairs)
    text = told(pairs, m.digits, "+")
    if judged and m.better and (low > 0 or high < 0):
        text += " better" if (mean > 0) == (m.better > 0) else " worse"
    return text
