"""Small multiples of a sweep: flicker above, sharpness below, one column for each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.flicker.sweep import SAMPLED, TRUE, Setting, Values
from benchmarks.flicker.sweep_verdict import change

__all__ = ["draw"]

_ROWS = (("flicker", "flicker\n(lower is steadier)"), ("sharpness", "sharpness, levels/px"))
_LOOK = {SAMPLED: ("#c1440e", "o", -0.06), TRUE: ("#1f6fb2", "s", 0.06)}


def draw(
    chosen: Sequence[Setting], values: Values, truths: Mapping[str, list[float]], path: Path
) -> None:
    """Means over clips; the bars are the paired 95 % intervals of the change from the default.

    The default has no bar: it is what the others are compared with (a ring marks it). The dashed
    line is the truth's mean.
    """
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(s.group for s in chosen))
    members = [[s for s in chosen if s.group == group] for group in groups]
    figure = Figure(figsize=(2.1 + 1.95 * len(groups), 5.6))
    widths = [len(m) + 1 for m in members]
    axes = figure.subplots(
        2, len(groups), sharey="row", sharex="col", squeeze=False, width_ratios=widths
    )
    for row, (measure, label) in enumerate(_ROWS):
        truth = _mean(truths[measure])
        for column, settings in enumerate(members):
            panel = axes[row, column]
            panel.axhline(truth, color="#333333", linestyle="--", linewidth=1, label="truth")
            for source in values:
                _line(panel, measure, source, settings, values)
            panel.grid(axis="y", color="#e4e4e4", linewidth=0.7)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
            if row == 0:
                panel.set_title(_wrapped(groups[column].name), fontsize=9)
        axes[row, 0].set_ylabel(label)
    axes[0, 0].set_ylim(bottom=0)
    for column, settings in enumerate(members):
        panel = axes[1, column]
        labels = [f"{s.value:g}" for s in settings]
        panel.set_xticks(range(len(settings)), labels, fontsize=8)
        panel.set_xlim(-0.6, len(settings) - 0.4)
        for tick, setting in zip(panel.get_xticklabels(), settings, strict=True):
            tick.set_fontweight("bold" if setting.default else "normal")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=9,
        bbox_to_anchor=(0.5, -0.04),
    )  # fmt: skip
    figure.suptitle(
        "One setting at a time (ring and bold: the default; bars: paired 95 % interval of the"
        " change from it)",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130, bbox_inches="tight")


def _line(
    panel: Any, measure: str, source: str, settings: Sequence[Setting], values: Values
) -> None:
    colour, marker, shift = _LOOK[source]
    (default,) = [s for s in settings if s.default]
    start = _mean(values[source][default.name][measure])
    x, y, below, above = [], [], [], []
    for place, setting in enumerate(settings):
        found = None if setting.default else change(values, source, measure, setting, default)
        x.append(place + shift)
        # Around the default's mean, so that clips without a number do not move the line.
        mean = 0.0 if setting.default else np.nan if found is None else found.mean
        y.append(start + mean)
        # Of few clips the interval is infinite: no bar.
        bar = found is not None and np.isfinite(found.high - found.low)
        below.append(found.mean - found.low if found is not None and bar else 0.0)
        above.append(found.high - found.mean if found is not None and bar else 0.0)
        if setting.default:
            panel.plot(
                x[-1], y[-1], "o", markersize=11, fillstyle="none", color=colour, linewidth=1
            )
    panel.errorbar(
        x, y, (below, above), color=colour, marker=marker, markersize=4.5, linewidth=1.2,
        elinewidth=1, capsize=2.5, label=source,
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _wrapped(name: str) -> str:
    """A title of at most two lines."""
    words = name.split()
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])
