"""The plots of a flicker report, as SVG that stands inside the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from vidcascade.metrics.composite import CAUSES, weights
from vidcascade.metrics.spectrum import sensitivity
from vidcascade.metrics.suite import ClipResult

__all__ = ["COLOURS", "causes_plot", "comparison_plot", "spectrum_plot"]

Series = NDArray[np.float64]

COLOURS = {
    "global_luminance": "#d1495b",
    "regional_luminance": "#edae49",
    "texture": "#66a182",
    "chroma": "#8d6fb8",
    "swimming": "#2e86ab",
    "judder": "#7a6f5d",
}
LABELS = {
    "global_luminance": "whole picture",
    "regional_luminance": "regions",
    "texture": "texture",
    "chroma": "colour",
    "swimming": "swimming",
    "judder": "judder",
}
_CLIPS = ("#1d3557", "#d1495b", "#66a182", "#edae49", "#8d6fb8", "#2e86ab")
# More points than this cannot be told apart on a screen.
_POINTS = 900
_STYLE: Any = {
    "svg.hashsalt": "vidcascade",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3a3f47",
    "xtick.color": "#5a606a",
    "ytick.color": "#5a606a",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
}


def causes_plot(result: ClipResult) -> str:
    """Flicker over time, each cause's share of its energy stacked under the line."""
    times, flicker = result.scan.times, result.measures["flicker"].series
    assert flicker is not None
    factor = weights()
    energy = np.stack(
        [np.square(factor[name] * np.nan_to_num(_series(result, name))) for name in CAUSES]
    )
    # The first frame and the last have one neighbour only, and so no value.
    inner, flicker, energy = times[1:-1], flicker[1:-1], energy[:, 1:-1]
    shown, level = _thinned(inner, np.nan_to_num(flicker))
    energy = np.stack([_thinned(inner, row)[1] for row in energy])
    total = np.maximum(energy.sum(axis=0), 1e-12)
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.5)
        layers = level * energy / total
        axes.stackplot(
            shown, layers, colors=[COLOURS[c] for c in CAUSES], labels=[LABELS[c] for c in CAUSES],
            linewidth=0, alpha=0.9,
        )  # fmt: skip
        axes.plot(shown, level, color="#22262b", linewidth=0.8)
        missing = np.isnan(flicker)
        for start, end in _runs(missing):
            axes.axvspan(times[start], times[end + 2], color="#c9ced6", alpha=0.5, linewidth=0)
        axes.set_xlim(times[0], times[-1])
        axes.set_ylim(0, max(float(level.max(initial=0)) * 1.08, 0.5))
        axes.set_xlabel("seconds")
        axes.set_ylabel("flicker")
        axes.legend(ncols=6, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, 1.2),
                    frameon=False, handlelength=1, columnspacing=1.2)  # fmt: skip
        return _svg(figure, "Flicker over time, by cause")


def spectrum_plot(results: Sequence[ClipResult]) -> str | None:
    """Spectrum of lightness, and where the eye is sensitive; None without any."""
    found = [r for r in results if "cells" in r.scan.spectra]
    if not found:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.5)
        highest = max(r.scan.fps / 2 for r in found)
        hz = np.linspace(0, highest, 200)
        eye = axes.twinx()
        eye.fill_between(hz, sensitivity(hz) / 172.3, color="#1d3557", alpha=0.07, linewidth=0)
        eye.set_ylim(0, 1.05)
        eye.set_yticks([])
        eye.grid(False)
        for spine in eye.spines.values():
            spine.set_visible(False)
        for index, result in enumerate(found):
            for name, style in (("cells", "-"), ("global_luminance", ":")):
                spectrum = result.scan.spectra[name]
                colour = _CLIPS[index % len(_CLIPS)] if len(found) > 1 else "#d1495b"
                label = "in cells" if name == "cells" else "of the whole picture"
                if len(found) > 1:
                    label = _short(result.name) if name == "cells" else "_"
                axes.plot(
                    spectrum.hz[1:], spectrum.amplitude()[1:], style, color=colour, label=label,
                    linewidth=1.3, marker="o" if len(spectrum.hz) < 40 else "", markersize=2.5,
                )  # fmt: skip
        axes.set_xlim(0, highest)
        axes.set_ylim(bottom=0)
        dotted = "; dotted: the whole picture's mean" if len(found) > 1 else ""
        axes.set_xlabel(f"Hz (shaded: how sensitive the eye is{dotted})")
        axes.set_ylabel("lightness flicker, L* RMS")
        axes.legend(fontsize=7.5, frameon=False, loc="upper right")
        return _svg(figure, "Temporal spectrum of lightness")


def comparison_plot(results: Sequence[ClipResult]) -> str:
    """Flicker of several clips with intervals, split by cause."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(0.85 + 0.42 * len(results))
        factor = weights()
        for row, result in enumerate(results):
            found = result.measures["flicker"]
            if found.value is None:
                axes.text(0, row, f" no value: {found.note}", va="center", fontsize=8)
                continue
            parts = [(factor[name] * (result.measures[name].value or 0.0)) ** 2 for name in CAUSES]
            left, total = 0.0, max(sum(parts), 1e-12)
            for name, part in zip(CAUSES, parts, strict=True):
                width = found.value * part / total
                axes.barh(row, width, left=left, height=0.6, color=COLOURS[name], linewidth=0)
                left += width
            if found.interval is not None:
                low, high = found.interval
                axes.plot([low, high], [row, row], color="#22262b", linewidth=1.2)
                axes.plot([low, low], [row - 0.1, row + 0.1], color="#22262b", linewidth=1.2)
                axes.plot([high, high], [row - 0.1, row + 0.1], color="#22262b", linewidth=1.2)
        axes.set_yticks(range(len(results)), [_short(r.name) for r in results])
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("flicker (bars split by cause, lines: 95 % interval)")
        # By hand: a cause that is nowhere seen still has its colour named.
        names = [Patch(color=COLOURS[name], label=LABELS[name]) for name in CAUSES]
        figure.legend(handles=names, ncols=6, fontsize=7.5, loc="outside upper center",
                      frameon=False, handlelength=1, columnspacing=1.2)  # fmt: skip
        return _svg(figure, "Flicker of the clips")


def _series(result: ClipResult, name: str) -> Series:
    series = result.measures[name].series
    assert series is not None
    return series


def _thinned(times: Series, values: Series) -> tuple[Series, Series]:
    """At most about :data:`_POINTS` points, each the highest of its stretch."""
    step = -(-len(times) // _POINTS)
    if step == 1:
        return times, values
    pad = -len(values) % step
    stretched = np.pad(values, (0, pad), mode="edge").reshape(-1, step)
    return times[::step], stretched.max(axis=1)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (inclusive) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _short(name: str) -> str:
    tail = name.replace("\\", "/").rsplit("/", 1)[-1]
    # A dollar sign would start a formula.
    return (tail if len(tail) <= 34 else tail[:16] + "…" + tail[-16:]).replace("$", r"\$")


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.6, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, title: str) -> str:
    out = io.StringIO()
    metadata = {"Title": title, "Date": None, "Creator": None}
    figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    text = out.getvalue()
    # Without the XML header, which belongs to files; a role and a name for those who do not see.
    text = text[text.index("<svg") :]
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
