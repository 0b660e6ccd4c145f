"""``vidcascade distil``: a stage's student, which needs few steps and no guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidcascade.cli.options import (
    Batch,
    BudgetMinutes,
    Compile,
    Data,
    DataShare,
    LogEvery,
    MaxMinutes,
    SaveEvery,
    Seed,
    SheetEvery,
    Workers,
)


def distil(
    stage: Annotated[str, typer.Argument(help="Which stage: base.")] = "base",
    weights: Annotated[str, typer.Option(help="Cascade: folder, bundled name or hub id.")] = (
        "stickers"
    ),
    spec: Annotated[
        str | None, typer.Option(help="Spec that describes the student [the weights' own].")
    ] = None,
    method: Annotated[
        str, typer.Option(help="consistency, matching, or perceptual (the last step alone).")
    ] = ("consistency"),
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/distil"),
    data: Data = None,
    data_share: DataShare = 1.0,
    max_minutes: MaxMinutes = None,
    budget_minutes: BudgetMinutes = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps in all.")] = None,
    batch: Batch = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another training setting: adam_lr=0.001; repeatable."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from this student. Consistency and matching leave a last step that has "
            "changes of its own."
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="Share of it that stays in the result, 0 to below 1.")
    ] = 0.0,
    lpips: Annotated[
        Path | None, typer.Option(help="LPIPS weights, safetensors; for perceptual.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    sheet_every: SheetEvery = 250,
    save_every: SaveEvery = 100,
    log_every: LogEvery = 20,
    compile_: Compile = False,
) -> None:
    """Distil a stage into a student; run the same command again to continue it."""
    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.cascade.students import with_students
    from vidcascade.cascade.weights import SPEC_FILE, resolve_weights
    from vidcascade.cli.train import (
        check_share,
        is_main,
        keep_spec,
        list_skipped,
        plain_warnings,
        read_settings,
        report,
    )
    from vidcascade.training.distillation import METHODS, distil_stage
    from vidcascade.training.mixing import open_clips
    from vidcascade.training.sheets import SheetWriter
    from vidcascade.training.sources import ClipSource, warn_of_emphasis
    from vidcascade.training.trainer import ENDLESS, RunSettings

    with plain_warnings():
        check_share(data, data_share)
        folder = resolve_weights(weights)
        loaded = CascadeSpec.load(spec or folder / SPEC_FILE)
        changes = read_settings(set_ or [])
        if budget_minutes is not None:
            changes.setdefault("steps", ENDLESS)
        changes |= {k: v for k, v in {"steps": steps, "batch": batch}.items() if v}
        loaded = loaded.with_student_recipe(stage, **changes)
        source: ClipSource | None = None
        if data is not None:
            loaded, source, new = open_clips(loaded, stage, data, data_share, seed)
            list_skipped(new.folder.skipped, len(new.folder.entries))
            about = loaded.stage(stage).student
            if about is not None and source is new and is_main():
                warn_of_emphasis(about.training, f"stages.{stage}.student.training")
        place = out / stage
        settings = RunSettings(
            place, max_minutes, sheet_every, save_every, log_every, workers, init, seed,
            compile=compile_, budget_minutes=budget_minutes, keep=keep,
        )  # fmt: skip
        sheets = None
        if sheet_every and method in METHODS:
            sheets = SheetWriter(with_students(loaded), stage, place, source)
        student = distil_stage(
            loaded, stage, method, folder / stage, settings, report, sheets, source, lpips
        )
    if is_main():
        keep_spec(loaded, place)
        typer.echo(f"Student: {student}")
