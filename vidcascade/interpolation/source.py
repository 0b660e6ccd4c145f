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

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.planes import relabelled
from vidcascade.video.decoding import (
    folder_fps,
    frame_files,
    nominal_fps,
    open_video,
    source_kind,
)

__all__ = ["Source", "SourceFrame"]

# FFmpeg tries hundreds of seconds on hostile files; no honest frame is this large.
MAX_PIXELS = 16384 * 16384
_COARSE = Fraction(1, 2000)
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_LOOKED_AT = 48  # frames that are asked whether they are interlaced, before any work is done
# Other names and packings of the same numbers, which convert without any loss.
_PLANAR = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p",
    "p010le": "yuv420p10le", "p016le": "yuv420p16le", "p210le": "yuv422p10le",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "pal8": "bgra", "argb": "rgba", "abgr": "rgba", "0rgb": "rgb24", "rgb0": "rgb24",
    "0bgr": "rgb24", "bgr24": "rgb24", "bgr48le": "rgb48le", "bgr48be": "rgb48le",
    "rgb48be": "rgb48le", "rgba64be": "rgba64le", "bgra64le": "rgba64le",
    "monob": "gray", "monow": "gray", "gray16be": "gray16le", "ya8": "rgba", "ya16be": "rgba64le",
    "rgb8": "rgb24", "bgr8": "rgb24", "rgb565le": "rgb24", "rgb555le": "rgb24",
}  # fmt: skip


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
        warnings: what the user should know; grows while the source is read.
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

        Raises :class:`UsageError` where the picture changes its size or format or is interlaced,
        :class:`VidCascadeError` for damage that cannot be decoded.
        """
        first: Any = None
        previous: Fraction | None = None
        index = 0
        for frame, stamp in self._decoded():
            if first is None:
                first = frame
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
                yield SourceFrame(index - 1, time, frame)
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

    def _decoded(self) -> Iterator[tuple[Any, Fraction | None]]:
        if self.kind == "folder":
            yield from _folder_frames(self.path)
        elif self.kind == "webp":
            yield from _webp_frames(self.path)
        else:
            with open_video(self.path) as (container, stream):
                for frame in _decode(container, stream):
                    stamp = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
                    yield plain(frame), stamp


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    coder = stream.codec_context.name
    said = {key.lower(): value for key, value in stream.metadata.items()}
    if said.get("alpha_mode") != "1" or coder not in _WITH_ALPHA:
        yield from container.decode(stream)
        return
    # FFmpeg's own decoders of VP8 and VP9 pass over the opacity.
    decoder: Any = av.CodecContext.create(_WITH_ALPHA[coder], "r")
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)


def plain(frame: Any) -> Any:
    """The frame in one of the formats that are worked on, which changes no pixel."""
    name = frame.format.name
    if name.startswith("yuvj"):
        return relabelled(frame, name.replace("yuvj", "yuv"))
    if name in _PLANAR:
        out = frame.reformat(format=_PLANAR[name])
        out.pts, out.time_base = frame.pts, frame.time_base
        return out
    return frame


def _interlaced(path: Path) -> UsageError:
    return UsageError(
        f"{path} is interlaced: each frame is two half-pictures of different moments, which "
        f"would tear; deinterlace it first, for example with: ffmpeg -i {path.name} -vf bwdif "
        "out.mp4."
    )


def _look_at_video(path: Path) -> Source:
    stamps: list[int] = []
    durations: dict[int, int] = {}
    with open_video(path) as (container, stream):
        tick = Fraction(stream.time_base or Fraction(1, 1000))
        fps = nominal_fps(stream)
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        with suppress(av.error.FFmpegError):  # decoding will tell how far the file is whole
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
                    if packet.duration:
                        durations[packet.pts] = packet.duration
        gif = container.format.name == "gif"
    first = _first_frames(path)
    head = first.pts if first.pts is not None else min(stamps, default=0)
    # An edit list hides packets before the first frame that is shown.
    ordered = np.unique(np.asarray([s for s in stamps if s >= head] or [head], dtype=np.int64))
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


def _first_frames(path: Path) -> Any:
    """The first frame, after a look at some that follow: none may be interlaced."""
    first: Any = None
    with open_video(path) as (container, stream):
        for number, frame in enumerate(_decode(container, stream)):
            if frame.interlaced_frame:
                raise _interlaced(path)
            if first is None:
                first = frame
            if number >= _LOOKED_AT:
                break
    if first is None:
        raise UsageError(f"{path} holds no frames that can be decoded; it may be damaged.")
    return first


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise UsageError(f"{path} states no picture size; it may be damaged.")
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"{path} is {width} × {height} pixels, more than can be worked on; scale it down first."
        )


def _look_at_folder(path: Path) -> Source:
    files = frame_files(path)
    fps = folder_fps(files[0])
    first = next(_folder_frames(path))[0]
    return Source(path, "folder", fps, True, 1 / fps, Fraction(0), len(files), 1 / fps,
                  first=first)  # fmt: skip


def _folder_frames(path: Path) -> Iterator[tuple[Any, Fraction | None]]:
    name: str | None = None
    for file in frame_files(path):
        try:
            with av.open(str(file)) as container:
                frame = plain(next(iter(container.decode(video=0))))
        except (av.error.FFmpegError, OSError, StopIteration, IndexError) as error:
            raise UsageError(f"{file} is not a PNG image that can be read; replace it.") from error
        # A writer that shrinks its files stores a grey frame as grey; the clip has one format.
        if name is None:
            name = "rgba" if frame.format.name == "bgra" else frame.format.name
            name = "rgb24" if name == "gray" else name
        if frame.format.name != name:
            frame = frame.reformat(format=name)
        yield frame, None


def _look_at_webp(path: Path) -> Source:
    times: list[Fraction] = []
    first: Any = None
    total = Fraction(0)
    for image, duration in _webp_images(path):
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


def _webp_frames(path: Path) -> Iterator[tuple[Any, Fraction | None]]:
    time = Fraction(0)
    for image, duration in _webp_images(path):
        yield av.VideoFrame.from_ndarray(image, format="rgba"), time
        time += duration


def _webp_images(path: Path) -> Iterator[tuple[np.ndarray, Fraction]]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            _check_size(path, image.width, image.height)
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                array = np.array(image.convert("RGBA"))
                yield array, Fraction(max(1, int(image.info.get("duration", 0))), 1000)
    except (OSError, EOFError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise VidCascadeError(
            f"{path} is not a WebP that can be read to its end; it may be damaged or incomplete."
        ) from error
