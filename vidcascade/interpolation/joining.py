"""The finished file: segments one after the other, and everything else of the source beside them.

Nothing is encoded here. Sound, subtitles, attachments, chapters and tags are copied packet by
packet with the times that they had.
"""

from __future__ import annotations

import heapq
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from vidcascade.errors import UsageError
from vidcascade.interpolation.outputs import Format
from vidcascade.interpolation.segments import Segment, packets_of
from vidcascade.interpolation.source import Source
from vidcascade.interpolation.unfinished import CUT_SHORT
from vidcascade.video import tags
from vidcascade.video.decoding import open_video

__all__ = ["Copies", "find_copies", "join"]

_FINEST = Fraction(1, 90000)
_KINDS = {"audio": "sound", "subtitle": "subtitles"}
_REMEDY = {"audio": "--no-audio", "subtitle": "--no-subtitles"}


@dataclass(frozen=True)
class Copies:
    """What is copied from the source.

    Attributes:
        indices: of the source's streams.
        begins: earliest time of any stream, seconds in the container's own time.
        notes: what could not be copied.
    """

    indices: tuple[int, ...] = ()
    begins: Fraction | None = None
    notes: tuple[str, ...] = field(default=())


def find_copies(source: Source, form: Format, suffix: str, audio: bool, subtitles: bool) -> Copies:
    """The streams that go into the output as they are.

    Raises :class:`UsageError` when the container cannot hold the sound or the subtitles.
    """
    if source.kind != "video":
        return Copies()
    indices: list[int] = []
    starts: list[Fraction] = []
    notes: list[str] = []
    with open_video(source.path) as (container, video):
        for stream in container.streams:
            if stream.index == video.index:
                continue
            if (stream.type == "audio" and not audio) or (
                stream.type == "subtitle" and not subtitles
            ):
                continue
            if form.kind != "video":
                if stream.type == "audio":
                    notes.append(f"{suffix} holds no sound: it is left out")
                continue
            if stream.type not in ("audio", "subtitle", "attachment"):
                notes.append(f"stream {stream.index} ({stream.type}) is left out")
                continue
            if not _holds(form.muxer, stream):
                if stream.type not in _KINDS:
                    notes.append(f"stream {stream.index} ({stream.type}) is left out")
                    continue
                name = stream.codec_context.name if stream.codec_context else "unknown codec"
                raise UsageError(
                    f"A {suffix} file cannot hold the {_KINDS[stream.type]} of {source.path} "
                    f"({name}); write an .mkv, or leave it out with {_REMEDY[stream.type]}."
                )
            indices.append(stream.index)
            if stream.start_time is not None and stream.time_base:
                starts.append(stream.start_time * Fraction(stream.time_base))
    return Copies(tuple(indices), min(starts, default=None), tuple(dict.fromkeys(notes)))


def _holds(muxer: str, template: Any) -> bool:
    """Whether a container takes a stream, found by trying."""
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(template)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError, NotImplementedError):
        return False
    return True


def join(
    path: Path,
    segments: Sequence[Segment],
    source: Source,
    form: Format,
    copies: Copies,
    tick: Fraction,
    start: Fraction,
    stop: Fraction,
    whole: bool,
    added: dict[str, str],
) -> None:
    """Write the output.

    Args:
        path: the file to make.
        segments: of the video, in order.
        source: where the rest comes from.
        form: the container.
        copies: the streams that are copied.
        tick: unit of the video's times, seconds.
        start, stop: what of the source is shown, seconds from its first frame; the segments'
            times count from ``start``, and their last frame is on show until ``stop``.
        whole: sound and chapters that go on after the picture are kept.
        added: tags beside those of the source.
    """
    # All streams keep their distance from each other. A clip that is cut at its start, or that
    # begins late as a whole (MPEG-TS), begins at zero.
    if start > 0:
        zero = source.origin + start
    else:
        begins = [t for t in (source.origin, copies.begins) if t is not None]
        zero = max(min(begins), Fraction(0))
    shift = source.origin + start - zero
    with (
        av.open(str(segments[0].path)) as pattern,
        av.open(str(path), "w", format=form.muxer, options=_options(form)) as out,
    ):
        video: Any = out.add_stream_from_template(pattern.streams.video[0])
        video.time_base = fine = _fine(tick)
        given = {k.lower(): v for k, v in pattern.streams.video[0].metadata.items()}
        video.metadata.clear()
        if "alpha_mode" in given:  # without it, players pass over the packets' opacity
            video.metadata["alpha_mode"] = given["alpha_mode"]
        if source.rotation and form.kind == "video":
            video.set_display_rotation(source.rotation)
        out.metadata.update(added)
        if source.kind != "video":
            for _, packet in _video(segments, video, shift, fine, stop - start):
                out.mux(packet)
            return
        with open_video(source.path) as (container, shown):
            ends = None if whole else source.origin + stop
            _describe(out, video, container, shown, zero, ends)
            streams = {}
            for index in copies.indices:
                template = container.streams[index]
                copy: Any = out.add_stream_from_template(template)
                copy.metadata.update(_tags(template.metadata))
                copy.disposition = template.disposition
                streams[index] = copy
            merged = heapq.merge(
                _video(segments, video, shift, fine, stop - start),
                _copied(container, streams, zero, zero if start > 0 else None, ends),
                key=lambda item: item[0],
            )
            for _, packet in merged:
                out.mux(packet)


def _options(form: Format) -> dict[str, str]:
    if form.muxer in ("mp4", "mov"):
        return {"movflags": "+faststart+use_metadata_tags"}
    # The encoder's delay of the sound lies before zero; the picture is not moved because of it.
    return {"avoid_negative_ts": "disabled"}


def _fine(tick: Fraction) -> Fraction:
    """A unit that divides ``tick`` and is fine enough for the offset of the sound."""
    parts = 1
    while tick / parts > _FINEST:
        parts *= 2
    return tick / parts


def _tags(metadata: Any) -> dict[str, str]:
    return {k: v for k, v in dict(metadata).items() if k.lower() not in _OF_THE_FILE}


# What a muxer, or a job, states of its own file; copied, it would be wrong.
_OF_THE_FILE = {"duration", "number_of_frames", "number_of_bytes", "bps", "encoder", "vendor_id",
                "_statistics_tags", "_statistics_writing_app",
                "_statistics_writing_date_utc", CUT_SHORT}  # fmt: skip


def _describe(
    out: Any, video: Any, container: Any, given: Any, zero: Fraction, ends: Fraction | None
) -> None:
    """Copy tags, and the chapters up to ``ends``; both times are the source's own."""
    length = None if ends is None else ends - zero
    out.metadata.update(tags.clean(_tags(container.metadata)))
    video.metadata.update(_tags(given.metadata))
    chapters = []
    for chapter in container.chapters():
        unit = Fraction(chapter["time_base"])
        begin, end = (chapter[k] * unit - zero for k in ("start", "end"))
        if end <= 0 or (length is not None and begin >= length):
            continue
        end = end if length is None else min(end, length)
        milli = Fraction(1, 1000)
        chapters.append(
            chapter
            | {"start": round(max(begin, Fraction(0)) / milli), "end": round(end / milli),
               "time_base": milli}
        )  # fmt: skip
    if chapters:
        out.set_chapters(chapters)


def _video(
    segments: Sequence[Segment], stream: Any, shift: Fraction, tick: Fraction, stop: Fraction
) -> Iterator[tuple[float, Any]]:
    """The segments' packets with their real times, and when each is to be decoded."""
    delay = max(segment.delay for segment in segments)
    # Packet j is decoded when frame j - delay is shown: each time is passed once, in order.
    shown: deque[int] = deque()
    lists = (segment.times() for segment in segments)
    following: list[Fraction] | None = None
    for segment in segments:
        times = following or next(lists)
        following = next(lists, None)
        end = following[0] if following else stop
        stamps = [round((time + shift) / tick) for time in (*times, end)]
        if not shown:
            step = max(1, stamps[1] - stamps[0])
            shown.extend(stamps[0] - step * k for k in range(delay, 0, -1))
        shown.extend(stamps[:-1])
        durations = [max(1, b - a) for a, b in pairwise(stamps)]
        for place, packet in packets_of(segment):
            packet.pts, packet.dts = stamps[place], shown.popleft()
            packet.duration = durations[place]
            packet.time_base = tick
            packet.stream = stream
            yield float(packet.dts * tick), packet


def _copied(
    container: Any,
    streams: dict[int, Any],
    zero: Fraction,
    start: Fraction | None,
    stop: Fraction | None,
) -> Iterator[tuple[float, Any]]:
    """Packets of the copied streams, in the order of the file.

    ``start`` and ``stop`` are in the source's own time; what lies wholly outside is left out.
    """
    if not streams:
        return
    last = dict.fromkeys(streams, float("-inf"))
    chosen = [container.streams[index] for index in streams]
    for packet in container.demux(*chosen):
        if packet.pts is None or (packet.dts is None and not packet.size):
            continue
        tick = Fraction(packet.time_base)
        time = packet.pts * tick
        if (stop is not None and time >= stop) or (start is not None and time < start):
            continue
        index = packet.stream.index
        moved = round(zero / tick)
        packet.pts -= moved
        packet.dts = packet.pts if packet.dts is None else packet.dts - moved
        packet.stream = streams[index]
        last[index] = max(last[index], float(packet.dts * tick))
        yield last[index], packet
