"""Flicker results in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from vidcascade.metrics.suite import ClipResult, Measured
from vidcascade.metrics.verdict import in_words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["number", "print_results"]

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
        for sentence in in_words(result):
            colour = _COLOURS[result.scan.flashes.verdict] if sentence.startswith("Flash") else ""
            console.print(Text(sentence, style=colour))
        console.print()


def _heading(result: ClipResult) -> str:
    scan = result.scan
    rate = f"{scan.fps:.5g} fps" + (" on average (variable)" if scan.variable else "")
    return (
        f"[bold]{escape(result.name)}[/bold]  {scan.size[1]} × {scan.size[0]}, {result.frames}"
        f" frames, {rate}, {result.duration:.2f} s"
    )


def _table(measures: list[Measured]) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("worst second", justify="right", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    group = ""
    for found in measures:
        if group and found.info.group != group:
            table.add_section()
        group = found.info.group
        interval = "" if found.interval is None else "–".join(map(number, found.interval))
        worst = ""
        if found.worst_second is not None:
            worst = f"{number(found.worst_second)} at {found.worst_at:.1f} s"
        arrow = {"lower": " ↓", "higher": " ↑"}.get(found.info.better, "")
        bold = "bold" if found.info.name == "flicker" else ""
        note = f"  [dim]{escape(found.note)}[/dim]" if found.note else ""
        table.add_row(
            Text(found.info.title + arrow, style=bold),
            Text(number(found.value), style=bold),
            escape(found.info.unit) + note,
            interval,
            worst,
            f"{found.coverage:.0%}",
        )
    return table
