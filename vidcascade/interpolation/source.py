"""Clips as they come: every frame in order, with its exact time, as the decoder left it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidcascade.errors import UsageError
from vidcascade.interpolation.combing import Combing
from vidcascade.interpolation.formats import check_size, plain
from vidcascade.interpolation.seeking import Seeks, decode, video_frames
from vidcascade.interpolation.stills import folder_frames, webp_frames, webp_images
from vidcascade.video.decoding import (
    folder_fps,
    frame_files,
    nominal_fps,
    open_video,
    source_kind,
)

__all__ = ["Source", "SourceFrame"]

_COARSE = Fraction(1, 2000)
_LOOKED_AT = 48  # frames that are asked whether they are interlaced, before any work is done


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """One decoded frame.

    Attributes:
        index: its number in the source, from 0.
        time: when it appears, seconds from the first frame.
        frame: the ``av.VideoFrame``, untouched.
    """

    index: int
    time: Fraction
    frame: Any


@dataclass
class Source:
    """A clip that can be read, and what is known of it before any frame is decoded.

    Attributes:
        path, kind: as given; "video", "webp" or "folder" (of PNG frames).
        fps: nominal frames per second.
        steady: every frame lasts ``1/fps`` (within the rounding of the container).
        tick: the container's unit of time, seconds.
        origin: time of the first frame in the container's own time, seconds.
        expected: number of frames that the packets promise.
        last: stay of the last frame, seconds.
        rotation: degrees counter-clockwise by which players turn the picture.
        aspect: shape of a pixel, width to height.
        first: the first frame.
        warnings: what the user should know; grows while the source is read.
        seeks: where decoding can begin; None where only the beginning is certain.
    """

    path: Path
    kind: str
    fps: Fraction
    steady: bool
    tick: Fraction
    origin: Fraction
    expected: int
    last: Fraction
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    first: Any = None
    warnings: list[str] = field(default_factory=list)
    seeks: Seeks | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Source:
        """Look at a clip.

        Raises :class:`UsageError` when it is missing, empty, not a video, without a video
        stream, a single picture, or interlaced.
        """
        place = Path(path)
        kind = source_kind(place)
        found = {"folder": _look_at_folder, "webp": _look_at_webp, "video": _look_at_video}[kind](
            place
        )
        if found.expected < 2:
            raise UsageError(
                f"{place} holds one frame only, and there is nothing to put between; "
                "give a clip of two frames or more."
            )
        return found

    def frames(self, start: Fraction = Fraction(0), stop: Fraction | None = None
               ) -> Iterator[SourceFrame]:  # fmt: skip
        """Frames with ``start <= time < stop`` in order, one in memory at a time.

        Decoding begins at a key frame before ``start`` where the container's index allows it, and
        gives the very frames that decoding from the beginning gives.

        Raises :class:`UsageError` where the picture changes its size or format or is interlaced,
        :class:`VidCascadeError` for damage that cannot be decoded.
        """
        first: Any = None
        previous: Fraction | None = None
        place = self.seeks.before(start + self.origin) if self.seeks else None
        index = 0
        for frame, stamp in self._decoded(place):
            if first is None:
                first = self.first or frame
                if place is not None:
                    assert self.seeks is not None
                    index = self.seeks.number(frame.pts)
            if (frame.width, frame.height) != (first.width, first.height):
                raise UsageError(
                    f"{self.path} changes its picture size at frame {index}; "
                    "convert it to one size first."
                )
            if frame.interlaced_frame:
                raise _interlaced(self.path)
            if frame.is_corrupt:
                self.warn(f"{self.path} is damaged at frame {index}.")
            time = self._time(index, stamp, previous)
            if time is None:
                self.warn(f"{self.path} repeats or reverses a time at frame {index}; dropped.")
                continue
            previous = time
            index += 1
            if stop is not None and time >= stop:
                return
            if time >= start:
                yield SourceFrame(index - 1, time, plain(frame))
        if index < self.expected * 0.98 - 2:
            self.warn(
                f"{self.path} declares {self.expected} frames but only {index} could be decoded; "
                "it is probably incomplete."
            )

    def warn(self, text: str) -> None:
        """Note something once; after a few of a kind there is no need for more."""
        if text not in self.warnings and len(self.warnings) < 20:
            self.warnings.append(text)

    def _time(self, index: int, stamp: Fraction | None, previous: Fraction | None
              ) -> Fraction | None:  # fmt: skip
        if self.steady:
            if stamp is None:
                return index / self.fps
            # The stamps were all seen to lie on the grid; rounding is undone here. A damaged
            # frame that is missing leaves its slot empty.
            time = round((stamp - self.origin) * self.fps) / self.fps
        elif stamp is None:
            time = Fraction(0) if previous is None else previous + 1 / self.fps
        else:
            time = stamp - self.origin
        return time if previous is None or time > previous else None

    def _decoded(self, place: int | None = None) -> Iterator[tuple[Any, Fraction | None]]:
        """All frames, or those from a key frame on.

        They have the decoder's flags still, of which :func:`plain` does not keep all.
        """
        if self.kind == "folder":
            yield from folder_frames(self.path)
        elif self.kind == "webp":
            yield from webp_frames(self.path)
        else:
            for frame in video_frames(self.path, place):
                stamp = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
                yield frame, stamp


def _interlaced(path: Path) -> UsageError:
    return UsageError(
        f"{path} is interlaced: each frame is two half-pictures of different moments, which "
        f"would tear; deinterlace it first, for example with: ffmpeg -i {path.name} -vf bwdif "
        "out.mp4."
    )


def _look_at_video(path: Path) -> Source:
    stamps: list[int] = []
    keys: list[int] = []
    durations: dict[int, int] = {}
    untimed = False
    with open_video(path) as (container, stream):
        tick = Fraction(stream.time_base or Fraction(1, 1000))
        fps = nominal_fps(stream)
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        with suppress(av.error.FFmpegError):  # decoding will tell how far the file is whole
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
                    if packet.duration:
                        durations[packet.pts] = packet.duration
                elif packet.size and packet.pts is None:
                    untimed = True
        gif = container.format.name == "gif"
    first, warnings = _first_frames(path)
    head = first.pts if first.pts is not None else min(stamps, default=0)
    # An edit list hides packets before the first frame that is shown.
    shown = [s for s in stamps if s >= head]
    ordered = np.unique(np.asarray(shown or [head], dtype=np.int64))
    seeks = None
    if not untimed and not gif and len(shown) == len(ordered):
        key_stamps = np.unique(np.asarray([k for k in keys if k >= head], dtype=np.int64))
        seeks = Seeks(ordered, key_stamps, tick)
    gaps = np.diff(ordered)
    if gif and len(gaps):
        fps = (1 / (Fraction(int(np.median(gaps))) * tick)).limit_denominator(1001)
    steady, fps = _steadiness(ordered, tick, fps)
    stated = durations.get(int(ordered[-1]), 0)
    last = 1 / fps if steady else (stated or int(gaps[-1]) if len(gaps) else 1) * tick
    sar = getattr(first, "sample_aspect_ratio", None) or 1
    with open_video(path) as (_, stream):
        sar = stream.sample_aspect_ratio or sar
    return Source(
        path, "video", fps, steady, tick, head * tick, len(ordered), last,
        rotation=round(first.rotation), aspect=Fraction(sar) or Fraction(1), first=plain(first),
        warnings=warnings, seeks=seeks,
    )  # fmt: skip


def _steadiness(stamps: np.ndarray, tick: Fraction, nominal: Fraction) -> tuple[bool, Fraction]:
    """Whether stamps are a steady grid seen through the container's rounding, and its rate."""
    if len(stamps) < 2:
        return True, nominal
    count = len(stamps) - 1
    mean = count / (Fraction(int(stamps[-1] - stamps[0])) * tick)
    candidates = [nominal, Fraction(round(mean)), Fraction(round(mean * 1001 / 1000) * 1000, 1001)]
    for rate in candidates:
        if rate <= 0:
            continue
        step = float(1 / (rate * tick))
        expected = np.arange(len(stamps)) * step
        # One tick for rounding, and the first stamp is rounded as well.
        if step >= 2 and np.abs(stamps - stamps[0] - expected).max() <= 1.01:
            return True, rate
    return False, nominal


def _first_frames(path: Path) -> tuple[Any, list[str]]:
    """The first frame and warnings, after a look at some that follow: none may be interlaced."""
    first: Any = None
    combing = Combing()
    with open_video(path) as (container, stream):
        for number, frame in enumerate(decode(container, stream)):
            if frame.interlaced_frame:
                raise _interlaced(path)
            if first is None:
                first = frame
            if (frame.width, frame.height) == (first.width, first.height):
                combing.look(frame)
            if combing.certain:
                raise _interlaced(path)
            if number >= _LOOKED_AT:
                break
    if first is None:
        raise UsageError(f"{path} holds no frames that can be decoded; it may be damaged.")
    if not combing.suspected:
        return first, []
    return first, [
        f"{path} looks interlaced in places, which would tear: if it is, deinterlace it first, for "
        f"example with: ffmpeg -i {path.name} -vf bwdif out.mp4."
    ]


def _look_at_folder(path: Path) -> Source:
    files = frame_files(path)
    fps = folder_fps(files[0])
    first = next(folder_frames(path))[0]
    return Source(path, "folder", fps, True, 1 / fps, Fraction(0), len(files), 1 / fps,
                  first=first)  # fmt: skip


def _look_at_webp(path: Path) -> Source:
    times: list[Fraction] = []
    first: Any = None
    total = Fraction(0)
    for image, duration in webp_images(path):
        if first is None:
            first = av.VideoFrame.from_ndarray(image, format="rgba")
        times.append(total)
        total += duration
    if first is None:
        raise UsageError(f"{path} holds no frames that can be decoded; it may be damaged.")
    tick = Fraction(1, 1000)
    stamps = np.asarray([round(t / tick) for t in times], dtype=np.int64)
    mean = len(times) / total if total else Fraction(24)
    steady, fps = _steadiness(np.unique(stamps), tick, Fraction(round(mean) or 1))
    last = 1 / fps if steady else total - times[-1]
    return Source(path, "webp", fps, steady, tick, Fraction(0), len(times), last, first=first)
