"""A flicker report as one HTML page: no script, nothing fetched, every name escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vidcascade import __version__
from vidcascade.metrics.catalogue import MeasureInfo
from vidcascade.metrics.compare import Comparison
from vidcascade.metrics.composite import fit_report
from vidcascade.metrics.suite import ClipResult, Measured
from vidcascade.metrics.verdict import grade, in_words, state
from vidcascade.report.flicker_plots import causes_plot, comparison_plot, spectrum_plot
from vidcascade.report.flicker_table import GROUPS, number
from vidcascade.report.pictures import data_uri, heat_over, heat_scale

__all__ = ["flicker_page"]


@dataclass(frozen=True)
class _Worst:
    index: int
    time: float
    value: float
    pictures: list[tuple[str, str]]


@dataclass(frozen=True)
class _Clip:
    """One clip, ready for the page."""

    name: str
    facts: str
    grade: str
    value: str
    interval: str
    sentences: list[str]
    flashes: str
    series: Markup | None
    spectrum: Markup | None
    heat: str | None
    heat_full: str
    worst: list[_Worst]
    groups: list[tuple[str, list[Measured]]]
    settings: list[tuple[str, str]]


def flicker_page(
    results: Sequence[ClipResult],
    references: Sequence[dict[str, Measured]] = (),
    comparisons: Sequence[Comparison] = (),
) -> str:
    """The page.

    Args:
        results: Clips, at least one.
        references: Measures against the reference, one dictionary per clip, or none.
        comparisons: Pairs of clips.
    """
    environment = Environment(
        loader=PackageLoader("vidcascade.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    clips = [
        _clip(result, references[index] if references else {})
        for index, result in enumerate(results)
    ]
    several = len(results) > 1
    found: dict[str, MeasureInfo] = {
        measured.info.name: measured.info
        for clip in clips
        for _, group in clip.groups
        for measured in group
    }
    spectra = spectrum_plot(results) if several else None
    return environment.get_template("flicker.html.j2").render(
        title=_title(results),
        version=__version__,
        clips=clips,
        several=several,
        comparison=Markup(comparison_plot(results)) if several else None,
        spectra=Markup(spectra) if spectra else None,
        comparisons=comparisons,
        catalogue=list(found.values()),
        titles={name: entry.title for name, entry in found.items()},
        fit=fit_report(),
    )


def _title(results: Sequence[ClipResult]) -> str:
    first = PurePath(results[0].name).name
    more = len(results) - 1
    return f"Flicker: {first}" + (f" and {more} more" if more else "")


def _clip(result: ClipResult, reference: dict[str, Measured]) -> _Clip:
    scan = result.scan
    found = result.measures["flicker"]
    known = found.value is not None
    if not known:
        word = "no value"
    elif state(result) == "frozen":
        word = "frozen"
    else:
        word = grade(found.value or 0.0)
    rate = f"{scan.fps:.5g} fps" + (" on average, variable" if scan.variable else "")
    spectrum = spectrum_plot([result])
    groups: dict[str, list[Measured]] = {}
    for measured in (*result.measures.values(), *reference.values()):
        groups.setdefault(measured.info.group, []).append(measured)
    full = heat_scale(scan.heat) if scan.heat is not None else 1.0
    heat = None
    if scan.heat is not None and scan.backdrop is not None:
        heat = data_uri(heat_over(scan.backdrop, scan.heat, full))
    interval = ""
    if found.interval is not None:
        interval = f"95 % interval {number(found.interval[0])} to {number(found.interval[1])}"
    return _Clip(
        name=result.name,
        facts=f"{scan.size[1]} × {scan.size[0]}, {result.frames} frames, {rate},"
        f" {result.duration:.2f} s",
        grade=word,
        value=number(found.value),
        interval=interval,
        # A pass is said by the badge.
        sentences=[said for said in in_words(result) if said != "Flashes: pass."],
        flashes=scan.flashes.verdict,
        series=Markup(causes_plot(result)) if known else None,
        spectrum=Markup(spectrum) if spectrum else None,
        heat=heat,
        heat_full=number(full),
        worst=[_worst(worst, full) for worst in scan.worst],
        groups=[(GROUPS[group], entries) for group, entries in groups.items()],
        settings=_settings(result),
    )


def _worst(worst: Any, full: float) -> _Worst:
    labels = ("before", "this frame", "after")
    pictures = [
        (label, data_uri(picture)) for label, picture in zip(labels, worst.pictures, strict=True)
    ]
    heat = heat_over(worst.pictures[1], worst.heat, full)
    pictures.append(("where it differs from both", data_uri(heat)))
    return _Worst(worst.index, worst.time, worst.value, pictures)


def _settings(result: ClipResult) -> list[tuple[str, str]]:
    out = []
    for name, value in result.settings().items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {entry}" for key, entry in value.items())
        out.append((name.replace("_", " "), str(value)))
    return out
