"""``vidcascade train``: one stage of a cascade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    stage: Annotated[str, typer.Argument(help="Which stage: base, bridge or refiner.")],
    spec: Annotated[str, typer.Option(help="Spec file, or a bundled one's name.")] = "stickers",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs"),
    max_minutes: Annotated[float | None, typer.Option(min=0.01, help="Stop after this.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Examples in a step.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames seen at once.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from these weights.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of examples and noise.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw examples.")] = 1,
    sheet_every: Annotated[int, typer.Option(min=0, help="Steps between sheets.")] = 500,
) -> None:
    """Train one stage; run the same command again to continue it."""
    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.training.sheets import SheetWriter
    from vidcascade.training.trainer import Progress, RunSettings, train_stage

    loaded = CascadeSpec.load(spec).with_recipe(stage, steps=steps, batch=batch, frames=frames)
    folder = out / stage

    def report(line: Progress) -> None:
        by_noise = " ".join(f"{value:.3f}" for value in line.by_noise)
        typer.echo(
            f"step {line.step}  {line.minutes:.1f} min  loss {line.loss:.4f}  by σ [{by_noise}]  "
            f"grad {line.grad_norm:.2f}  {line.clips_per_second:.1f} clips/s  "
            f"data wait {line.waiting:.0%}"
        )

    settings = RunSettings(folder, max_minutes, sheet_every, init=init, seed=seed, workers=workers)
    sheets = SheetWriter(loaded, stage, folder)
    typer.echo(f"Weights: {train_stage(loaded, stage, settings, report, sheets)}")
