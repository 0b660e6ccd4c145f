"""``vidcascade assemble``: trained stages become a cascade that generate can load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidcascade.errors import UsageError


def assemble(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    network: Annotated[
        list[str], typer.Option(help="stage=folder of its weights; repeat for each stage.")
    ],
    student: Annotated[
        list[str] | None, typer.Option(help="stage=file of its student, from vidcascade distil.")
    ] = None,
    reader: Annotated[
        Path | None, typer.Option(help="Folder of a reader of prompts (scripts/train_reader.py).")
    ] = None,
    spec: Annotated[str, typer.Option(help="Spec file, or a bundled one's name.")] = "stickers",
    dtype: Annotated[str, typer.Option(help="Of the stored weights.")] = "bfloat16",
    card: Annotated[Path | None, typer.Option(help="Model card to put beside them.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder.")] = False,
) -> None:
    """Put trained stages into one folder: weights, spec and checksums."""
    folders = _by_stage(network, "--network", "folder")
    students = _by_stage(student or [], "--student", "file")
    from diffusers.utils import logging

    from vidcascade.cascade.assembling import assemble_cascade
    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.nn.precision import DTYPES

    logging.set_verbosity_error()
    if dtype not in DTYPES:
        raise UsageError(f"--dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    about: str | None = None
    if card is not None:
        try:
            about = card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{card} cannot be read as a model card.") from error
    loaded = CascadeSpec.load(spec)
    assemble_cascade(loaded, folders, out, DTYPES[dtype], force, about, students, reader)
    typer.echo(f"Cascade: {out}")


def _by_stage(texts: list[str], option: str, what: str) -> dict[str, Path]:
    """``["base=runs/x"]`` → paths by stage name."""
    chosen: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not path or name in chosen:
            raise UsageError(
                f"{option} {text!r} cannot be read: write stage={what}, each stage once."
            )
        chosen[name] = Path(path)
    return chosen
