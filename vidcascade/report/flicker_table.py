"""Flicker results in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vidcascade.metrics.suite import ClipResult, Measured
from vidcascade.metrics.verdict import in_words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["GROUPS", "number", "print_results"]

GROUPS = {
    "flicker": "Flicker by cause",
    "flashes": "Flashes",
    "published": "Published measures",
    "context": "Context",
    "reference": "Against the reference",
}

_COLOURS = {"pass": "green", "pass with warning": "yellow", "fail": "bold red"}


def number(value: float | None) -> str:
    """Three or four significant digits; "–" for no number."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 0.001:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}" if size >= 10 else f"{value:.3f}"


def print_results(
    console: Console,
    results: Sequence[ClipResult],
    references: Sequence[dict[str, Measured]] = (),
) -> None:
    """One table per clip (↓ lower is better, ↑ higher), and what it says in words."""
    for index, result in enumerate(results):
        measures = dict(result.measures)
        if references:
            measures |= references[index]
        console.print(_heading(result))
        console.print(_table(list(measures.values())))
        for note in _notes(measures.values()):
            console.print(Text(note, style="dim"))
        console.print()
        for sentence in in_words(result):
            colour = _COLOURS[result.scan.flashes.verdict] if sentence.startswith("Flash") else ""
            console.print(Text(sentence, style=colour))
        console.print()


def _heading(result: ClipResult) -> str:
    scan = result.scan
    rate = f"{scan.fps:.5g} fps" + (" on average (variable)" if scan.variable else "")
    return (
        f"[bold]{escape(result.name)}[/bold]\n{scan.size[1]} × {scan.size[0]}, {result.frames}"
        f" frames, {rate}, {result.duration:.2f} s"
    )


def _notes(measures: Iterable[Measured]) -> list[str]:
    """Why there is no number, or what to know about it; the same note of several once."""
    titles: dict[str, list[str]] = {}
    for found in measures:
        # What the seams' note says is said in words below.
        if found.note and not (found.info.name == "seams" and found.value is not None):
            titles.setdefault(found.note, []).append(found.info.title)
    return [f"{', '.join(names)}: {note}" for note, names in titles.items()]


def _table(measures: list[Measured]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("worst second", justify="right", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    group = ""
    for found in measures:
        if found.info.group != group:
            group = found.info.group
            table.add_row(Text(GROUPS[group], style="dim italic"))
        interval = "" if found.interval is None else "–".join(map(number, found.interval))
        worst = ""
        if found.worst_second is not None:
            worst = f"{number(found.worst_second)} at {found.worst_at:.1f} s"
        arrow = {"lower": " ↓", "higher": " ↑"}.get(found.info.better, "")
        bold = "bold" if found.info.name == "flicker" else ""
        table.add_row(
            Text(found.info.title + arrow, style=bold),
            Text(number(found.value), style=bold),
            escape(found.info.unit),
            interval,
            worst,
            f"{100 * found.coverage:.0f} %",
        )
    return table
