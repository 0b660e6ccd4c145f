"""What all model cards share: a template filled with stored results, written beside the weights."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from benchmarks.common import RESULTS, in_one_sentence
from vidcascade.errors import UsageError

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- measured, written by scripts/write_card.py -->"
END = "<!-- end of what was measured -->"


def template(file: Path) -> Template:
    """A card's template; what it names and is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; nothing in it comes from outside the project
    )
    return environment.get_template(file.name)


@in_one_sentence
def write_card(
    about: str | None,
    weights: Path,
    render: Callable[[Path, Path], str],
    arguments: Sequence[str] | None = None,
    summary: Callable[[Path, Path], str] | None = None,
) -> int:
    """Parse the command line of a card's script, render, write ``README.md``; the exit status.

    Args:
        about: what ``--help`` says.
        weights: default folder of the weights.
        render: (weights, results) → the card.
        arguments: the command line, or None for the process's own.
        summary: (weights, results) → what the project's own README says of the default weights.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--weights", type=Path, default=weights)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    texts = {args.weights / "README.md": render(args.weights, args.results)}
    if summary is not None and args.weights.resolve() == weights.resolve():
        said = summary(args.weights, args.results)
        texts[README] = with_summary(README.read_text(encoding="utf-8"), said)
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
        print(file)
    return 0


def with_summary(readme: str, summary: str) -> str:
    """The README with this between its two marks, in place of what was there.

    Raises:
        UsageError: it has no such marks, or not in this order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"The README has no place for what was measured: {BEGIN} … {END}.")
    return f"{before}{BEGIN}\n\n{summary.strip()}\n\n{END}{after}"
