"""Frames out of a container, one at a time and exactly: PyAV, and Pillow for WebP and PNG."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import tags

__all__ = [
    "DEFAULT_FPS",
    "UNREADABLE",
    "Timed",
    "frame_files",
    "iterate",
    "nominal_fps",
    "open_video",
    "pixels",
    "source_kind",
]

DEFAULT_FPS = Fraction(24)
_UNSPECIFIED = 2
_HD_HEIGHT = 720
# No exponents: a number of a billion digits would take minutes to make.
_NOTED_FPS = re.compile(r"\d{1,9}(\.\d{1,9}|/\d{1,9})?")
# What Pillow raises for damaged and for hostile files, besides its own error for huge pictures.
# What Pillow raises of files that are no pictures.
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError)


@dataclass(frozen=True, eq=False)
class Timed:
    """One decoded frame: uint8 ``(H, W, 3)`` RGB, and its time in seconds (None if untimed)."""

    pixels: NDArray[np.uint8]
    time: float | None


def source_kind(path: Path) -> str:
    """ "folder" of PNG frames, "webp" or "video", for a path that exists.

    Raises :class:`UsageError` when there is nothing at ``path``, it cannot be read or is empty.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; check the name.")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} cannot be read: permission denied; change its permissions.")
    if path.is_dir():
        return "folder"
    if path.is_file():
        with path.open("rb") as handle:
            head = handle.read(12)
        if not head:
            raise UsageError(f"{path} is empty; give a video file.")
        # By content and not by suffix. FFmpeg cannot decode animated WebP.
        if head[:4] == b"RIFF" and head[8:] == b"WEBP":
            return "webp"
    return "video"


def frame_files(folder: Path) -> list[Path]:
    """The numbered PNG frames of a folder, in order of their numbers.

    Raises :class:`UsageError` when there are none.
    """
    files = [p for p in folder.glob("*.png") if p.stem.isdecimal()]
    if not files:
        raise UsageError(f"Folder {folder} holds no PNG frames named by number; give a video.")
    return sorted(files, key=lambda p: int(p.stem))


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video with PyAV: ``(container, first video stream)``.

    Raises :class:`UsageError` when the file is not a video, has no video stream or has colours
    that FFmpeg cannot convert, and :class:`VidCascadeError` when decoding fails inside the block.
    """
    import av

    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise UsageError(
            f"{path} is not a video that can be read ({_reason(error)}); it may be damaged, "
            "incomplete or another kind of file."
        ) from error
    with container:
        if not container.streams.video:
            raise UsageError(f"{path} has no video stream; give a file with pictures in it.")
        stream: Any = container.streams.video[0]
        if stream.codec_context is None:
            raise UsageError(f"{path} uses a codec that is not known here; convert it to H.264.")
        stream.thread_type = "AUTO"
        try:
            yield container, stream
        except av.error.FFmpegError as error:
            if error.errno == errno.ENOTSUP:
                raise UsageError(
                    f"{path} has colours of a kind that cannot be converted here; convert it to "
                    "BT.709 first."
                ) from error
            raise VidCascadeError(
                f"{path} is damaged and cannot be decoded to its end ({_reason(error)}); "
                "repair it or download it again."
            ) from error


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def nominal_fps(stream: Any) -> Fraction:
    """Average frames per second of a stream, or the best guess the container allows."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return Fraction(rate)
    return DEFAULT_FPS


def pixels(frame: Any, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """An upright uint8 ``(H, W, 3)`` RGB array of a PyAV frame, resized to ``size`` (H, W)."""
    from av.video.reformatter import Colorspace, Interpolation

    options: dict[str, Any] = {}
    if frame.colorspace == _UNSPECIFIED and frame.height >= _HD_HEIGHT:
        # What players assume for HD; the converter would assume BT.601 and shift the colours.
        options["src_colorspace"] = Colorspace.ITU709
    turns = round(frame.rotation / 90) % 4
    if size is not None:
        height, width = size if turns % 2 == 0 else size[::-1]
        shrinks = height <= frame.height and width <= frame.width
        options |= {
            "height": height,
            "width": width,
            "interpolation": Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        }
    array = frame.to_ndarray(format="rgb24", **options)
    return np.ascontiguousarray(np.rot90(array, turns)) if turns else array


def iterate(path: Path, kind: str) -> Iterator[Timed]:
    """All frames of a source in order, one in memory at a time.

    Warns when a file holds fewer frames than it declares, which FFmpeg passes over in silence.
    """
    if kind == "folder":
        yield from _iterate_folder(path)
    elif kind == "webp":
        yield from _iterate_webp(path)
    else:
        yield from _iterate_video(path)


def _iterate_video(path: Path) -> Iterator[Timed]:
    with open_video(path) as (container, stream):
        number = 0
        for frame in container.decode(stream):
            if frame.is_corrupt:
                warnings.warn(f"{path} is damaged at frame {number}.", stacklevel=2)
            yield Timed(pixels(frame), None if frame.time is None else float(frame.time))
            number += 1
        # A file cut off in its middle: packets that the index promises are beyond its end.
        promised = float(stream.duration * stream.time_base) if stream.duration else 0.0
        rate = nominal_fps(stream)
        if stream.frames > number and number / rate < 0.98 * promised - 1.5 / rate:
            warnings.warn(
                f"{path} declares {stream.frames} frames but only {number} could be decoded; "
                "it is probably incomplete.",
                stacklevel=2,
            )


def _iterate_folder(folder: Path) -> Iterator[Timed]:
    from PIL import Image

    files = frame_files(folder)
    rate = folder_fps(files[0])
    for index, file in enumerate(files):
        try:
            with Image.open(file) as image:
                array = _rgb(image)
        except (*UNREADABLE, Image.DecompressionBombError) as error:
            raise UsageError(f"{file} is not a PNG image that can be read; replace it.") from error
        yield Timed(array, float(index / rate))


def _rgb(image: Any) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow cuts off at 255
        grey = np.right_shift(np.asarray(image), 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image.convert("RGB"))


def folder_fps(first: Path) -> Fraction:
    """Frames per second noted in the first frame of a folder, 24 when there is no such note."""
    from PIL import Image

    try:
        note = tags.read_png(first).get(tags.FPS_KEY, "").strip()
        rate = Fraction(note) if _NOTED_FPS.fullmatch(note) else DEFAULT_FPS
    except (*UNREADABLE, Image.DecompressionBombError, ZeroDivisionError):
        return DEFAULT_FPS
    return rate or DEFAULT_FPS


def _iterate_webp(path: Path) -> Iterator[Timed]:
    from PIL import Image

    elapsed = 0
    try:
        with Image.open(path) as image:
            for index in count():
                if index >= getattr(image, "n_frames", 1):
                    return
                image.seek(index)
                array = np.array(image.convert("RGB"))
                yield Timed(array, elapsed / 1000)
                elapsed += int(image.info.get("duration", 0))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{path} is not a WebP that can be read; it may be damaged or incomplete."
        ) from error
