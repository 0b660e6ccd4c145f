"""``vidcascade finetune``: new subjects for a finished cascade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidcascade.cli.options import (
    Batch,
    Compile,
    LogEvery,
    SaveEvery,
    Seed,
    SheetEvery,
    Workers,
)
from vidcascade.cli.train import is_main, list_skipped, plain_warnings, report


def finetune(
    data: Annotated[Path, typer.Argument(help="Folder of videos or pictures with metadata.jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder of the new cascade.")],
    weights: Annotated[
        str, typer.Option(help="Cascade to start from: a folder, a bundled name or a hub id.")
    ] = "stickers",
    stage: Annotated[str, typer.Option(help="Stage to train.")] = "base",
    share: Annotated[
        float, typer.Option(help="Share of new clips; the rest keeps what was known.")
    ] = 0.5,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Of training, at whose end the rates have decayed.")
    ] = 20.0,
    batch: Batch = None,
    muon_lr: Annotated[float | None, typer.Option(help="Rate of the matrices.")] = None,
    adam_lr: Annotated[float | None, typer.Option(help="Rate of everything else.")] = None,
    rank: Annotated[
        int, typer.Option(min=0, help="Of the change that is learnt (LoRA); 0: all weights.")
    ] = 16,
    keep: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of the old weights in the result.")
    ] = 0.0,
    run: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints and logs; default: OUT-run.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    sheet_every: SheetEvery = 500,
    save_every: SaveEvery = 100,
    log_every: LogEvery = 20,
    compile_: Compile = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the new cascade.")] = False,
) -> None:
    """Teach a finished cascade new subjects from a few clips or pictures, and keep the old ones.

    Pictures are clips that stand still. The same command goes on from the last checkpoint after
    an interruption. What an earlier finetuning taught is not among the old clips: put its clips
    into the folder as well.
    """
    from diffusers.utils import logging

    from vidcascade.cascade.weights import MARKS
    from vidcascade.training import finetuning
    from vidcascade.training.mixing import mix
    from vidcascade.training.sheets import SheetWriter
    from vidcascade.training.sources import FolderSource
    from vidcascade.training.trainer import RunSettings
    from vidcascade.video.atomic import check_own_folder, check_parent

    logging.set_verbosity_error()  # diffusers says much about casts that are meant
    with plain_warnings():
        folder, spec = finetuning.prepare(
            weights, stage, rank or None, batch=batch, muon_lr=muon_lr, adam_lr=adam_lr
        )
        out = out.absolute()
        check_parent(out)
        check_own_folder(out, force, MARKS)
        new = FolderSource.open(spec, stage, data, stills=True)
        list_skipped(new.folder.skipped, len(new.folder.entries))
        source = mix(spec, stage, new, share, seed)
        place = (run or out.with_name(f"{out.name}-run")) / stage
        settings = RunSettings(
            place, sheet_every=sheet_every, save_every=save_every, log_every=log_every,
            workers=workers, seed=seed, compile=compile_, budget_minutes=minutes,
            init=folder / stage, keep=keep,
        )  # fmt: skip
        sheets = SheetWriter(spec, stage, place, new) if sheet_every else None
        finetuning.finetune(
            folder, spec, stage, source, settings, out, report, sheets, force, rank or None
        )
    if is_main():
        typer.echo(f"Cascade: {out}")
