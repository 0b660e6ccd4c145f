"""``vidcascade train``: one stage of a cascade."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from vidcascade.errors import UsageError

if TYPE_CHECKING:
    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.training.logs import Progress

PREVIOUS_SHARE = 0.5
_LISTED = 20


def train(
    stage: Annotated[str, typer.Argument(help="Which stage: base, bridge or refiner.")],
    spec: Annotated[str, typer.Option(help="Spec file, or a bundled one's name.")] = "stickers",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs"),
    data: Data = None,
    data_share: DataShare = 1.0,
    max_minutes: MaxMinutes = None,
    budget_minutes: BudgetMinutes = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all.")] = None,
    batch: Batch = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames seen at once.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another training setting: shift=4.0; repeatable."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Start from these weights, of as many blocks or fewer.")
    ] = None,
    keep: Annotated[
        float, typer.Option(help="Share of them that stays in the result, 0 to below 1.")
    ] = 0.0,
    previous: Annotated[
        list[Path] | None,
        typer.Option(
            help="Network of the stage before: train on clips that it made over; repeated for a "
            "refiner, base first: on what base and bridge made over together. A student that lies "
            "in a base's folder, of the steps that the spec says, is what makes them over."
        ),
    ] = None,
    previous_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of such clips, with --previous.")
    ] = PREVIOUS_SHARE,
    lpips: Annotated[
        Path | None,
        typer.Option(
            help="LPIPS weights (safetensors): how it looks counts too, with --set lpips=0.004."
        ),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    sheet_every: SheetEvery = 500,
    save_every: SaveEvery = 250,
    log_every: LogEvery = 20,
    compile_: Compile = False,
) -> None:
    """Train one stage; run the same command again to continue it."""
    from vidcascade.cascade.spec import CascadeSpec
    from vidcascade.training.mixing import open_clips
    from vidcascade.training.sheets import SheetWriter
    from vidcascade.training.sources import ClipSource, warn_of_emphasis
    from vidcascade.training.trainer import ENDLESS, RunSettings, train_stage

    with plain_warnings():
        check_share(data, data_share)
        if not previous and previous_share != PREVIOUS_SHARE:
            raise UsageError(
                "--previous-share is of clips that the stage before made over: name its network "
                "with --previous, or leave it out."
            )
        changes = read_settings(set_ or [])
        if budget_minutes is not None:
            changes.setdefault("steps", ENDLESS)
        changes |= {
            k: v for k, v in {"steps": steps, "batch": batch, "frames": frames}.items() if v
        }
        loaded = CascadeSpec.load(spec)
        folder = out / stage
        settings = RunSettings(
            folder, max_minutes, sheet_every, save_every, log_every, workers, init, seed,
            tuple(previous or ()), previous_share, compile_, budget_minutes, keep, lpips,
        )  # fmt: skip
        loaded = loaded.with_recipe(stage, **changes)
        source: ClipSource | None = None
        if data is not None:
            loaded, source, new = open_clips(loaded, stage, data, data_share, seed)
            list_skipped(new.folder.skipped, len(new.folder.entries))
            if source is new and is_main():
                warn_of_emphasis(loaded.stage(stage).training, f"stages.{stage}.training")
        sheets = SheetWriter(loaded, stage, folder, source) if sheet_every else None
        weights = train_stage(loaded, stage, settings, report, sheets, source)
    if is_main():
        from vidcascade.training.processes import process_state

        keep_spec(loaded, folder)

        count = process_state().num_processes
        typer.echo(f"Weights: {weights}" + (f", by {count} processes" if count > 1 else ""))


def check_share(data: Path | None, share: float) -> None:
    """Refuse a share of the clips of no folder."""
    if data is None and share != 1.0:
        raise UsageError(
            "--data-share is of a folder's clips: name the folder with --data, or leave it out."
        )


def keep_spec(spec: CascadeSpec, folder: Path) -> None:
    """Write what is trained beside it, for ``vidcascade assemble --spec``."""
    from vidcascade.video import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "spec.yaml", overwrite=True) as temporary:
        temporary.write_text(spec.to_yaml(), encoding="utf-8")


def is_main() -> bool:
    """Whether this process speaks; there are several where ``accelerate launch`` started them."""
    from vidcascade.training.processes import process_state

    return bool(process_state().is_main_process)


def read_settings(texts: list[str]) -> dict[str, Any]:
    """``["shift=4.0"]`` → the recipe's settings; values are read as YAML."""
    import yaml

    chosen: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            chosen[name.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):  # the latter of a date that cannot be
            equals = ""
        if not equals:
            raise UsageError(f"--set {text!r} cannot be read: write it like --set shift=4.0.")
    return chosen


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show the package's own warnings as sentences, and others as Python does."""
    package = str(Path(__file__).parents[1])
    with warnings.catch_warnings():
        ordinary = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, *rest: Any
        ) -> None:
            # What a spec's own checks say is said from within pydantic.
            own = filename.startswith(package) or category.__module__.startswith("vidcascade.")
            if own:
                typer.echo(f"vidcascade: warning: {message}", err=True)
            else:
                ordinary(message, category, filename, *rest)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def report(line: Progress) -> None:
    """Print a line of a training."""
    by_noise = " ".join(f"{value:.3f}" for value in line.by_noise)
    typer.echo(
        f"step {line.step}  {line.minutes:.1f} min  loss {line.loss:.4f}  by σ [{by_noise}]  "
        f"grad {line.grad_norm:.2f}  {line.clips_per_second:.1f} examples/s  "
        f"data wait {line.waiting:.0%}  {_duration(line.minutes_left)} left"
    )


def _duration(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes:.1f} min"


def list_skipped(skipped: list[tuple[str, str]], kept: int) -> None:
    """Say which files of a folder cannot be used, as (name, reason), and how many can."""
    if not skipped:
        return
    typer.echo(f"Skipped {len(skipped)} entries of the folder; {kept} can be used:", err=True)
    for name, reason in skipped[:_LISTED]:
        typer.echo(f"  {name}: {reason}", err=True)
    if len(skipped) > _LISTED:
        typer.echo(f"  and {len(skipped) - _LISTED} more", err=True)
