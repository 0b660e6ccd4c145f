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
    spec: Annotated[str, typer.Option(help="Spec file, or a bundled one's name.")] = "stickers",
    dtype: Annotated[str, typer.Option(help="Of the stored weights.")] = "bfloat16",
    card: Annotated[Path | None, typer.Option(help="Model card to put beside them.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder.")] = False,
) -> None:
    """Put trained stages into one folder: weights, spec and checksums."""
    folders: dict[str, Path] = {}
    for text in network:
        name, _, folder = text.partition("=")
        if not folder:
            raise UsageError(f"--network {text!r} cannot be read: write stage=folder.")
        folders[name] = Path(folder)
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
    assemble_cascade(CascadeSpec.load(spec), folders, out, DTYPES[dtype], force, about)
    typer.echo(f"Cascade: {out}")
