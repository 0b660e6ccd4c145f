"""One clip from file to file."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from vidcascade.errors import UsageError
from vidcascade.interpolation.between import Between, make_between
from vidcascade.interpolation.joining import Copies, find_copies, join
from vidcascade.interpolation.making import Made, finished, make
from vidcascade.interpolation.outputs import (
    Format,
    check_encoder,
    check_rate,
    check_target,
    choose,
)
from vidcascade.interpolation.overlap import Sink, ahead
from vidcascade.interpolation.pictures import write_pictures
from vidcascade.interpolation.plan import HELD, MADE, ORIGINAL, Known, examined, planned
from vidcascade.interpolation.planes import Canvas, is_supported
from vidcascade.interpolation.preparing import canvas_for, prepared
from vidcascade.interpolation.segments import Segment, SegmentWriter, Workshop
from vidcascade.interpolation.settings import Interrupted, Progress, Report, Settings
from vidcascade.interpolation.source import Source, SourceFrame
from vidcascade.interpolation.timeline import FactorGrid, Grid, RateGrid
from vidcascade.interpolation.unfinished import CUT_SHORT, own_tags
from vidcascade.video import atomic_path, read_metadata

__all__ = ["Interrupted", "Report", "Settings", "interpolate_file"]

_AHEAD = 3  # pieces of work that wait for the network
_BEHIND = 4  # frames that wait for the encoder
_SEGMENT_SECONDS = 10
_SHORTEST_SEGMENT = 48


@dataclass
class _Plan:
    """Everything about a job that is settled before the first frame is made."""

    source: Source
    settings: Settings
    target: Path
    form: Format
    canvas: Canvas
    copies: Copies
    rate: Fraction
    tick: Fraction
    total: int

    def grid(self, first: Fraction) -> Grid:
        """The output times, from the first frame taken on."""
        if self.settings.factor is not None:
            return FactorGrid(self.settings.factor)
        rounding = Fraction(0) if self.source.steady else self.source.tick
        return RateGrid(self.rate, first, min(rounding, 1 / (8 * self.rate)))


def interpolate_file(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    progress: Progress | None = None,
    between: Between | None = None,
) -> Report:
    """Raise the frame rate of one clip, in memory that does not grow with its length.

    Args:
        source: a video, GIF, WebP or folder of PNG frames.
        output: the file or folder to make.
        settings: see :class:`Settings`.
        progress: called with output frames done and expected in all.
        between: maker of frames; None for that of the settings.

    Raises :class:`UsageError` and :class:`VidCascadeError` with one sentence; then nothing is
    left behind. ``KeyboardInterrupt`` is treated as the settings say.
    """
    began = time.monotonic()
    plan = _settle(source, output, settings)
    maker = between or make_between(settings.quality, settings.steps, settings.device)
    workshop = Workshop(plan.target)
    done = workshop.open(_fingerprint(plan), settings.resume, settings.overwrite)
    report = Report(
        plan.source.path, plan.target, plan.canvas.width, plan.canvas.height,
        plan.source.fps, plan.rate, encoding=f"{plan.form.codec} {plan.form.pixels}",
    )  # fmt: skip
    keep_workshop = False
    try:
        segments, span = _produce(plan, maker, workshop, done, report, progress)
        _write(plan, segments, span, report)
    except KeyboardInterrupt as stop:
        keep_workshop = _worth_keeping(workshop, settings)
        if not keep_workshop:
            raise
        raise Interrupted(
            f"Interrupted; add --resume to the same command to go on with {plan.target}."
        ) from stop
    finally:
        if not keep_workshop:
            workshop.remove()
    report.notes += [n for n in (plan.form.note, *plan.copies.notes, *plan.source.warnings) if n]
    report.seconds = time.monotonic() - began
    return report


def _worth_keeping(workshop: Workshop, settings: Settings) -> bool:
    """Whether a job that Ctrl-C ended without an output can be gone on with later.

    With "keep" there is no output where Ctrl-C came while it was joined; its frames are done.
    """
    choice = settings.on_interrupt
    return choice == "resumable" or (choice == "keep" and workshop.has_segments)


def _settle(
    path: str | os.PathLike[str], output: str | os.PathLike[str], settings: Settings
) -> _Plan:
    target, suffix = check_target(output, Path(path), settings.overwrite)
    source = Source.open(path)
    name = source.first.format.name
    if not is_supported(name):
        raise UsageError(
            f"{source.path} has pixels of an uncommon format ({name}); convert it to yuv420p first."
        )
    form = choose(suffix, Canvas.of(source.first), settings.codec, settings.crf, settings.encoder)
    copies = find_copies(source, form, suffix, settings.audio, settings.subtitles)
    length = source.expected / source.fps if source.steady else None
    if length is not None and settings.start >= length:
        raise UsageError(
            f"--start lies behind the end of {source.path}, which lasts {float(length):.2f} s."
        )
    frames = source.expected
    if length is not None:
        taken = (min(settings.end, length) if settings.end else length) - settings.start
        frames = max(1, round(taken * source.fps))
    if settings.factor is not None:
        rate = source.fps * settings.factor
        tick = 1 / rate if source.steady else source.tick / settings.factor
        total = frames * settings.factor
    else:
        rate = settings.rate
        tick = 1 / rate
        total = max(1, round(frames / source.fps * rate))
    check_rate(suffix, rate)
    canvas = canvas_for(source, form)
    check_encoder(form, canvas)
    return _Plan(source, settings, target, form, canvas, copies, rate, tick, total)


def _fingerprint(plan: _Plan) -> dict[str, Any]:
    """What an unfinished job must agree in to be gone on with."""
    from vidcascade import __version__

    ignored = {"resume", "overwrite", "on_interrupt", "device"}
    about = plan.source.path.stat()
    chosen = {
        f.name: str(getattr(plan.settings, f.name))
        for f in dataclasses.fields(plan.settings)
        if f.name not in ignored
    }
    return {
        "version": __version__, "source": plan.source.path.name, "size": about.st_size,
        "changed": about.st_mtime_ns, "settings": chosen,
    }  # fmt: skip


@dataclass
class _Span:
    """The part of the source that was shown: first frame's time and end of the last one."""

    start: Fraction = Fraction(0)
    stop: Fraction = Fraction(0)


def _produce(
    plan: _Plan,
    maker: Between,
    workshop: Workshop,
    done: list[Segment],
    report: Report,
    progress: Progress | None,
) -> tuple[list[Segment], _Span]:
    """Make the segments that are not there yet."""
    length = max(_SHORTEST_SEGMENT, round(_SEGMENT_SECONDS * plan.rate))
    writer = SegmentWriter(
        workshop, plan.form, plan.canvas, plan.tick, plan.rate, plan.source.aspect, length, done
    )
    skip = sum(len(segment) for segment in done)
    span = _Span()
    count = 0

    def encode(made: Made) -> None:
        frame = finished(made, plan.canvas)
        writer.write(frame, made.slot.time - span.start, made.slot.kind)

    works = ahead(_planned(plan, report, span), _AHEAD)
    sink = Sink(encode, _BEHIND)
    try:
        with closing(works):  # type: ignore[type-var]
            for work in works:
                if count + len(work.slots) <= skip:
                    count += len(work.slots)
                    continue
                for made in make(work, maker):
                    count += 1
                    if count > skip:
                        sink.put(made)
                    if progress is not None:
                        progress(count, max(plan.total, count))
        sink.close()
        segments = writer.finish()
    except KeyboardInterrupt:
        if plan.settings.on_interrupt != "keep":
            sink.drop()
            writer.abandon()
            raise
        sink.close()
        segments = writer.finish()
        if not segments or not count:
            raise
        report.interrupted = True
        # From the segments: those of an earlier run may reach further than this one has come.
        span.stop = span.start + segments[-1].times()[-1] + 1 / plan.rate
    except BaseException:
        sink.drop()
        writer.abandon()
        raise
    if not segments:
        raise UsageError(
            f"No frame of {plan.source.path} lies between --start and --end; widen them."
        )
    return segments, span


def _planned(plan: _Plan, report: Report, span: _Span) -> Iterator[Any]:
    """Decode, look for cuts and duplicates, plan: what runs ahead of the network."""
    settings, source = plan.settings, plan.source
    frames: Iterator[SourceFrame] = source.frames(settings.start, settings.end)
    first = next(frames, None)
    if first is None:
        return
    span.start = first.time
    taken = prepared(chain((first,), frames), source, plan.form)
    known = examined(taken, plan.canvas, settings.cuts)
    works = planned(
        _counted(known, source, settings, report, span),
        plan.grid(first.time),
        lambda: span.stop,
        settings.duplicates == "replace",
    )
    yield from works


def _counted(
    frames: Iterable[Known], source: Source, settings: Settings, report: Report, span: _Span
) -> Iterator[Known]:
    """Pass frames on, keep the report, and note when the last one ends."""
    for known in frames:
        report.frames_in += 1
        report.duplicates += known.duplicate
        if known.new_scene:
            report.cuts.append(float(known.time - span.start))
        stop = known.time + source.last
        if settings.end is not None and not source.steady:
            stop = min(stop, settings.end)
        span.stop = stop
        yield known


def _write(plan: _Plan, segments: list[Segment], span: _Span, report: Report) -> None:
    """Join the segments to the output, completely or not at all."""
    for segment in segments:
        report.frames_out += len(segment)
        report.originals += segment.counts.get(ORIGINAL, 0)
        report.made += segment.counts.get(MADE, 0)
        report.held += segment.counts.get(HELD, 0)
    report.duration = span.stop - span.start
    added = own_tags(report.interrupted)
    left_out = 0
    with atomic_path(plan.target, plan.settings.overwrite) as temporary:
        if plan.form.kind == "video":
            join(
                temporary, segments, plan.source, plan.form, plan.copies, plan.tick,
                span.start, span.stop, plan.settings.end is None and not report.interrupted, added,
            )  # fmt: skip
        else:
            tags = read_metadata(plan.source.path)
            tags.pop(CUT_SHORT, None)
            left_out = write_pictures(
                temporary, segments, plan.form, plan.rate, report.duration, tags | added
            )
    if left_out:
        report.frames_out -= left_out
        report.notes.append(
            f"{left_out} of the frames are left out: they are closer together than the times that "
            f"a {plan.form.kind} can tell apart"
        )
