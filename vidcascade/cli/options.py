"""Parsing of options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from vidcascade.errors import UsageError

Number = TypeVar("Number", int, float)

# How a training is run, whatever is trained.
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of videos with metadata.jsonl; without it, drawn stickers."),
]
DataShare = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Share of the folder's clips, with --data; the world draws the rest."
    ),
]
MaxMinutes = Annotated[
    float | None, typer.Option(min=0.01, help="Pause after this; run again to go on.")
]
BudgetMinutes = Annotated[
    float | None,
    typer.Option(min=0.01, help="End, with decayed rates, after this in all calls together."),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Examples in a step.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of examples and noise.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that draw examples.")]
SheetEvery = Annotated[int, typer.Option(min=0, help="Steps between sheets.")]
SaveEvery = Annotated[int, typer.Option(min=0, help="Steps between checkpoints.")]
LogEvery = Annotated[int, typer.Option(min=0, help="Steps between lines.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the network: faster after a minute.")
]


def per_stage(
    text: str | None, option: str, kind: type[Number]
) -> Number | dict[str, Number] | None:
    """``"20"`` → 20 for all stages, ``"base=20,bridge=8"`` → a number for each."""
    if text is None:
        return None
    if "=" not in text:
        return _number(text, option, kind)
    chosen: dict[str, Number] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if not name.strip() or name.strip() in chosen:
            raise UsageError(f"{option} {text!r} cannot be read: write it like base=20,bridge=8.")
        chosen[name.strip()] = _number(value, option, kind)
    return chosen


def _number(text: str, option: str, kind: type[Number]) -> Number:
    try:
        return kind(text.strip())
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(
            f"{option}: {text.strip()!r} is not {what}; write one for all stages, or "
            "base=…,bridge=… for each."
        ) from None


def read_prompts(path: Path) -> list[str]:
    """Prompts from a UTF-8 text file, one on each line; blank lines and # comments are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read as a list of prompts: give a text file."
        ) from error
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise UsageError(f"{path} holds no prompts: write one on each line.")
    return found
