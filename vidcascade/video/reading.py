"""Reading clips: exactly and in order for people, at random and fast for training.

:func:`read_clip` decodes with PyAV. :func:`read_frames` uses decord (optional) only where it is
known to return the right frames; it was measured to return wrong ones, silently, for open GOPs
and edit lists, and to hang on MPEG-TS.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.video import random_access, tags
from vidcascade.video.clip import Clip
from vidcascade.video.decoding import (
    DEFAULT_FPS,
    UNREADABLE,
    folder_fps,
    frame_files,
    iterate,
    nominal_fps,
    open_video,
    source_kind,
)

__all__ = ["count_frames", "read_clip", "read_frames", "read_metadata"]


def read_clip(path: str | os.PathLike[str], max_frames: int | None = None) -> Clip:
    """Read a video file, an animated GIF or WebP, or a folder of PNG frames.

    Args:
        path: the file or folder.
        max_frames: stop after this many frames (>= 1); None reads all of them.

    Returns a :class:`Clip` of upright RGB frames; times come from the container's presentation
    times, shifted so that the first frame is at 0 seconds.

    Raises :class:`UsageError` when the file is missing, empty, not a video or has no video
    stream, :class:`VidCascadeError` when it is damaged. Warns when it seems incomplete.
    """
    source = Path(path)
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, not {max_frames}.")
    kind = source_kind(source)
    frames: list[NDArray[np.uint8]] = []
    times: list[float | None] = []
    for timed in iterate(source, kind):
        if frames and timed.pixels.shape != frames[0].shape:
            raise UsageError(
                f"{source} changes its picture size at frame {len(frames)}; "
                "convert it to one size first."
            )
        frames.append(timed.pixels)
        times.append(timed.time)
        if len(frames) == max_frames:
            break
    if not frames:
        raise UsageError(f"{source} holds no frames that can be decoded; it may be damaged.")
    fps = _fps(source, kind, times)
    return Clip(np.stack(frames), _steady(times, fps), fps, read_metadata(source))


def _fps(source: Path, kind: str, times: list[float | None]) -> Fraction:
    if kind == "folder":
        return folder_fps(frame_files(source)[0])
    coarse = Fraction(1, 1000)  # WebP notes whole milliseconds, GIF whole hundredths
    nominal = DEFAULT_FPS
    if kind == "video":
        with open_video(source) as (container, stream):
            nominal = nominal_fps(stream)
            if container.format.name != "gif":
                return nominal
        coarse = Fraction(1, 100)
    first, last = times[0], times[-1]
    if first is None or last is None or last <= first:
        return nominal
    # The simplest rate that the rounding of the times allows.
    span = Fraction(last - first)
    exact = (len(times) - 1) / span
    whole = Fraction(round(exact))
    # WebP's steps are rounded one by one, so the error grows with the number of frames.
    slack = exact * coarse * (len(times) if kind == "webp" else 1) / span
    return whole if whole and abs(whole - exact) <= slack else exact.limit_denominator(1001)


def _steady(times: list[float | None], fps: Fraction) -> NDArray[np.float64]:
    """Times from 0 and strictly increasing; frames without a usable one follow at ``fps``."""
    step = float(1 / fps)
    steady: list[float] = []
    start = times[0] or 0.0
    for time in times:
        previous = steady[-1] if steady else -step
        value = previous + step if time is None else time - start
        steady.append(value if value > previous else previous + step)
    return np.asarray(steady, dtype=np.float64)


def read_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int] | NDArray[np.integer],
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Read frames by number, in any order and with repeats.

    Args:
        path: as for :func:`read_clip`; the numbering is the same.
        indices: N frame numbers from 0 to ``count_frames(path) - 1``.
        size: ``(height, width)`` in pixels to resize to while decoding; None keeps the size.

    Returns uint8 ``(N, H, W, 3)`` RGB. Readers are kept open for each process and never cross
    a fork, so this is safe in DataLoader workers.

    Raises :class:`UsageError` as :func:`read_clip`, and ``IndexError`` for a number out of range.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size must be (height, width), both at least 1, not {size}.")
    source = Path(path)
    numbers = [int(i) for i in indices]
    total = count_frames(source)
    for number in numbers:
        if not 0 <= number < total:
            raise IndexError(f"Frame {number} is not in {source}, which has {total} frames.")
    return random_access.read(source, source_kind(source), numbers, size)


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames that :func:`read_clip` returns, without decoding where possible.

    Raises :class:`UsageError` when the file is missing, empty or not a video.
    """
    source = Path(path)
    return random_access.count(source, source_kind(source))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Tags of a file or folder of frames, keys in lower case; empty when there are none.

    Raises :class:`UsageError` when the file is missing, empty, damaged or not a video.
    """
    from PIL import Image

    source = Path(path)
    kind = source_kind(source)
    try:
        if kind == "folder":
            found = tags.read_png(frame_files(source)[0])
            return {k: v for k, v in found.items() if k != tags.FPS_KEY}
        if kind == "webp":
            return tags.read_webp(source)
        with open_video(source) as (container, _):
            if container.format.name == "gif":
                return tags.read_gif(source)
            return tags.clean(dict(container.metadata))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise UsageError(f"{source} cannot be read; it may be damaged or incomplete.") from error
