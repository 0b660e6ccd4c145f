"""Frames of a file for the measures: one at a time, with steady times and a nominal frame rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidcascade.errors import UsageError
from vidcascade.metrics.streaming import TimedFrame
from vidcascade.video.decoding import (
    DEFAULT_FPS,
    folder_fps,
    frame_files,
    iterate,
    nominal_fps,
    open_video,
    source_kind,
)

__all__ = ["Source", "open_source"]

_BROADCAST = 120


@dataclass(frozen=True)
class Source:
    """A clip that can be read from its start as often as needed.

    Attributes:
        path: The file or folder.
        fps: Nominal frames per second.
        expected: Number of frames that the container declares; 0 where it says nothing.
    """

    path: Path
    fps: float
    expected: int

    def frames(self) -> Iterator[TimedFrame]:
        """All frames in order. Alpha is ignored: a flicker in hidden pixels is none.

        Raises:
            UsageError: If the file holds no frame or is no video.
        """
        step = 1 / self.fps
        start: float | None = None
        previous = -step
        for timed in iterate(self.path, source_kind(self.path)):
            if start is None:
                start = timed.time or 0.0
            time = previous + step if timed.time is None else timed.time - start
            if time <= previous:
                time = previous + step
            yield TimedFrame(timed.pixels, time)
            previous = time
        if start is None:
            raise UsageError(f"{self.path} holds no frames that can be decoded; it may be damaged.")


def open_source(path: str | os.PathLike[str]) -> Source:
    """Look at a video file, GIF, WebP or folder of PNG frames, without decoding it.

    Raises:
        UsageError: If it is missing, empty or not a video.
    """
    place = Path(path)
    kind = source_kind(place)
    if kind == "folder":
        files = frame_files(place)
        return Source(place, float(folder_fps(files[0])), len(files))
    if kind == "webp":
        return Source(place, *_webp(place))
    with open_video(place) as (_, stream):
        rate = nominal_fps(stream)
        # Some containers give their clock's rate for lack of a better one.
        fps = rate if rate <= _BROADCAST * 4 else DEFAULT_FPS
        return Source(place, float(fps), int(stream.frames or 0))


def _webp(path: Path) -> tuple[float, int]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            count = int(getattr(image, "n_frames", 1))
            image.load()
            shown = int(image.info.get("duration", 0))
    except OSError as error:
        raise UsageError(
            f"{path} is not a WebP that can be read; it may be damaged or incomplete."
        ) from error
    return float(Fraction(1000, shown) if shown > 0 else DEFAULT_FPS), count
