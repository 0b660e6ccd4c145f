"""Writes ``benchmarks/RESULTS.md`` from the stored results: ``python -m benchmarks.report``.

Nothing in it is typed by hand, so it says what was measured and no more.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

_KEYS = ("name", "title", "command", "machine", "settings", "tables")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--out", type=Path, help="file to write [RESULTS.md beside the folder]")
    args = parser.parse_args(arguments)
    out = args.out or args.results.parent / "RESULTS.md"
    results = [
        json.loads(p.read_text(encoding="utf-8")) for p in sorted(args.results.glob("*.json"))
    ]
    # Other benchmarks may keep other files here.
    known = [r for r in results if isinstance(r, dict) and all(key in r for key in _KEYS)]
    out.write_text(render(known), encoding="utf-8")
    print(f"{out}: {len(known)} results")
    return 0


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page as Markdown."""
    parts = [
        "# Results\n",
        "Written by `python -m benchmarks.report` from `benchmarks/results/*.json`; "
        "[README.md](README.md) says what each benchmark measures.\n",
    ]
    for result in results:
        parts += [f"## {result['title']}\n", f"    {result['command']}\n", _about(result)]
        for table in result["tables"]:
            parts += [f"### {table['title']}\n", markdown_table(table), *markdown_notes(table)]
    return "\n".join(parts)


def _about(result: Mapping[str, Any]) -> str:
    m = result["machine"]
    packages = ", ".join(
        f"{name} {m[name]}" for name in ("vidcascade", "torch", "diffusers") if name in m
    )
    settings = [
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in result["settings"].items()
        if value not in (None, "", {}, [])
    ]
    lines = f"{m['processor']}, {m['cores']} cores, Python {m['python']}; {packages}.\n"
    return lines + (f"Settings: {'; '.join(settings)}.\n" if settings else "")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    # A checksum is there to be compared, and its beginning is enough for that.
    is_hash = len(text) >= 40 and all(c in "0123456789abcdef" for c in text)
    return text[:12] if is_hash else text


def markdown_table(table: Mapping[str, Any]) -> str:
    """A stored table as Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(table["columns"]) - 1)
    return "\n".join([line(table["columns"]), rule, *map(line, table["rows"]), ""])


def markdown_notes(table: Mapping[str, Any]) -> list[str]:
    """A stored table's notes, each as a paragraph of Markdown."""
    return [f"*{_sentence(note)}*\n" for note in table["notes"]]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


if __name__ == "__main__":
    raise SystemExit(main())
