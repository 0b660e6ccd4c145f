"""``vidcascade interpolate``: raise the frame rate of a clip, or of a folder of clips."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcascade.errors import UsageError

if TYPE_CHECKING:
    from vidcascade.cli.progress import FrameBar
    from vidcascade.interpolation.batch import BatchReport
    from vidcascade.interpolation.preview import Preview
    from vidcascade.interpolation.settings import Report, Settings


def interpolate(
    source: Annotated[Path, typer.Argument(help="Video, GIF, WebP, folder of PNG or of clips.")],
    output: Annotated[Path, typer.Argument(help="mp4, mov, mkv, webm, gif, webp or a folder.")],
    factor: Annotated[
        str | None, typer.Option(help="Output frames for each frame: 2, 4, 8, … [2].")
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Output frame rate, any: 60, 59.94.")] = None,
    quality: Annotated[str, typer.Option(help="fast (flow alone), balanced or best.")] = "balanced",
    steps: Annotated[int, typer.Option(help="Diffusion steps of the network.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    start: Annotated[str | None, typer.Option(help="From there: 12.5 or 1:02:03.5.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to there.")] = None,
    duplicates: Annotated[
        str, typer.Option(help="keep repeated frames, or replace them by made ones.")
    ] = "keep",
    cuts: Annotated[
        bool, typer.Option("--cuts/--no-cuts", help="Hold the frame before a scene cut.")
    ] = True,
    codec: Annotated[
        str | None, typer.Option(help="h264, hevc, av1, vp9, ffv1, prores [by suffix].")
    ] = None,
    crf: Annotated[int | None, typer.Option(help="Quality, lower is better.")] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Encoder option name=value; repeatable.")
    ] = None,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Copy the sound.")] = True,
    subtitles: Annotated[
        bool, typer.Option("--subtitles/--no-subtitles", help="Copy subtitles.")
    ] = True,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only two seconds: a blend beside ours.")
    ] = False,
    on_interrupt: Annotated[
        str, typer.Option(help="Ctrl-C leaves: discard, keep (playable), resumable.")
    ] = "discard",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed job.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Raise the frame rate of a clip; its own frames stay untouched."""
    from vidcascade.interpolation.batch import interpolate_folder, is_batch
    from vidcascade.interpolation.job import interpolate_file
    from vidcascade.interpolation.settings import Settings
    from vidcascade.interpolation.timeline import check_factor, parse_time

    settings = Settings(
        factor=check_factor(factor or 2) if fps is None or factor is not None else None,
        fps=fps,
        quality=quality,
        steps=steps,
        device=device,
        start=parse_time(start, "--start") or 0,  # type: ignore[arg-type]
        end=parse_time(end, "--end"),
        duplicates=duplicates,
        cuts=cuts,
        codec=codec,
        crf=crf,
        encoder=dict(_pair(text) for text in encoder or []),
        audio=audio,
        subtitles=subtitles,
        on_interrupt=on_interrupt,
        resume=resume,
        overwrite=force,
    )
    if not source.exists():
        raise UsageError(f"{source} does not exist; check the name.")
    if preview:
        if is_batch(source):
            raise UsageError("--preview takes one clip, not a folder of them.")
        _check_preview(settings, json_)
    from vidcascade.cli.progress import FrameBar

    with warnings.catch_warnings(record=True) as caught, FrameBar(quiet=json_) as bar:
        warnings.simplefilter("always", UserWarning)
        if is_batch(source):
            batch = interpolate_folder(source, output, settings, bar.clip)
        elif preview:
            shown = _preview(source, output, settings, bar)
        else:
            report = interpolate_file(source, output, settings, bar)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            typer.echo(f"vidcascade: warning: {warning.message}", err=True)
    if is_batch(source):
        _print_batch(batch, json_)
    elif preview:
        typer.echo(f"{shown.output}: two seconds, blended on the left, ours on the right")
        _print_notes(shown.notes)
    else:
        _print([report], json_)
        if report.interrupted:
            raise typer.Exit(130)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--encoder {text!r} cannot be read: write it like preset=slow.")
    return name, value


def _check_preview(settings: Settings, as_json: bool) -> None:
    """Refuse options that a preview could only pass over."""
    given = {
        "--codec": settings.codec is not None,
        "--crf": settings.crf is not None,
        "--encoder": bool(settings.encoder),
        "--on-interrupt": settings.on_interrupt != "discard",
        "--resume": settings.resume,
        "--json": as_json,
    }
    names = [name for name, used in given.items() if used]
    if names:
        have, them = ("has", "it") if len(names) == 1 else ("have", "them")
        raise UsageError(
            f"{', '.join(names)} {have} no effect together with --preview; leave {them} out."
        )


def _preview(source: Path, output: Path, settings: Settings, bar: FrameBar) -> Preview:
    from vidcascade.interpolation.preview import preview

    return preview(source, output, settings, bar)


def _print_batch(batch: BatchReport, as_json: bool) -> None:
    _print(batch.done, as_json, batch.failed)
    if batch.failed and not as_json:
        typer.echo(f"{len(batch.failed)} of the clips failed:", err=True)
        for path, reason in batch.failed:
            typer.echo(f"  {path}: {reason}", err=True)
    if batch.interrupted:
        typer.echo(
            "vidcascade: interrupted; add --resume to the same command to go on with the rest.",
            err=True,
        )
        raise typer.Exit(130)
    if batch.failed:
        raise typer.Exit(1)


def _print(
    reports: list[Report], as_json: bool, failed: list[tuple[Path, str]] | None = None
) -> None:
    from vidcascade.cli.progress import peak_memory

    if as_json:
        import json

        about = {
            "clips": [report.as_dict() for report in reports],
            "failed": [{"clip": str(path), "reason": reason} for path, reason in failed or []],
            "peak_memory_bytes": int(peak_memory()),
        }
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    for report in reports:
        for line in report.lines():
            typer.echo(line)
        _print_notes(report.notes)
    if reports:
        typer.echo(f"peak memory {peak_memory() / 2**30:.2f} GiB")


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.echo(f"vidcascade: note: {note}", err=True)
