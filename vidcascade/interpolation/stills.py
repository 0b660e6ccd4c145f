"""Frames from folders of PNG files and from animated WebP, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.formats import check_size, plain
from vidcascade.video.decoding import frame_files

__all__ = ["folder_frames", "webp_frames", "webp_images"]


def folder_frames(path: Path) -> Iterator[tuple[Any, Fraction | None]]:
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


def webp_frames(path: Path) -> Iterator[tuple[Any, Fraction | None]]:
    time = Fraction(0)
    for image, duration in webp_images(path):
        yield av.VideoFrame.from_ndarray(image, format="rgba"), time
        time += duration


def webp_images(path: Path) -> Iterator[tuple[np.ndarray, Fraction]]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            check_size(path, image.width, image.height)
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                array = np.array(image.convert("RGBA"))
                yield array, Fraction(max(1, int(image.info.get("duration", 0))), 1000)
    except (OSError, EOFError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise VidCascadeError(
            f"{path} is not a WebP that can be read to its end; it may be damaged or incomplete."
        ) from error
