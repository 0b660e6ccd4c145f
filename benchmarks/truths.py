"""True clips that stages are measured on: held-out ones of the world, or parts of real videos."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.folder import read_square
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.cuts import likeness, look_at
from vidcascade.video import count_frames
from vidcascade.video.decoding import nominal_fps, open_video

SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".mpg", ".avi"}
FIRST = 870_000_000  # seed of the first held-out clip
_CUT = 0.4  # frames less alike than this lie on two sides of a cut
_STILL = 0.5  # grey levels from frame to frame; less is a standing picture


@dataclass(frozen=True)
class Truth:
    """What the last two stages of a cascade should make.

    Attributes:
        title: caption of a drawn clip; a real one's file name.
        prompt: what stages that read text are told of it; nothing of a real one.
        seed: of what is drawn at random about it.
        rate: frames per second.
        small: uint8 (T, size, size, 3) RGB at the bridge's size.
        large: the same at the refiner's.
    """

    title: str
    prompt: str
    seed: int
    rate: float
    small: NDArray[np.uint8]
    large: NDArray[np.uint8]


def drawn_truths(spec: CascadeSpec, count: int, first: int = FIRST) -> Iterator[Truth]:
    """Clips of combinations that training never shows, each rendered at both sizes."""
    base, bridge, refiner = spec.stages
    world = StickerWorld(spec.world)
    rate = spec.fps_after(refiner.name)
    times = [k / rate for k in range(refiner.frames)]
    for seed in range(first, first + count):
        described = world.describe(seed, world.testing_split)
        scene = world.scene(described, seed, base.frames / spec.fps)
        small, large = (world.render(scene, stage.size, times) for stage in (bridge, refiner))
        yield Truth(described.caption, described.caption, seed, rate, small, large)


def real_truths(spec: CascadeSpec, folder: Path, count: int) -> Iterator[Truth]:
    """One stretch from the middle of each video of a folder, in the order of their names.

    Every n-th frame is taken, with n such that the rate is near the cascade's: real motion stays
    even. Squares from the centre are averaged down. Videos that are too small, too short, damaged,
    cut in that stretch or standing still are passed over, which is said on the terminal.

    Raises:
        UsageError: no such folder, or no usable videos in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds videos.")
    _, bridge, refiner = spec.stages
    found = 0
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        if found == count:
            return
        try:
            large, rate = _stretch(path, refiner.frames, refiner.size, spec.fps_after(refiner.name))
        except (VidCascadeError, ValueError) as error:
            print(f"{path.name} is passed over: {error}", file=sys.stderr)
            continue
        side = (bridge.size, bridge.size)
        small = np.stack([cv2.resize(f, side, interpolation=cv2.INTER_AREA) for f in large])
        yield Truth(path.stem, "", found, rate, small.astype(np.uint8), large)
        found += 1
    if not found:
        raise UsageError(f"There is no usable video in {folder}: give another folder.")


def _stretch(path: Path, frames: int, size: int, rate: float) -> tuple[NDArray[np.uint8], float]:
    """Frames (T, size, size, 3) and their rate; ``ValueError`` says why there are none."""
    with open_video(path) as (_, stream):
        own = float(nominal_fps(stream))
        side = min(stream.codec_context.width, stream.codec_context.height)
    if side < size:
        raise ValueError(f"{side} pixels a side, and {size} are needed")
    total, step = count_frames(path), max(round(own / rate), 1)
    length = step * (frames - 1) + 1
    if total < length:
        raise ValueError(f"{total} frames, and {length} are needed")
    first = (total - length) // 2
    pictures = read_square(path, list(range(first, first + length, step)), size)
    looks = [look_at(picture) for picture in pictures]
    if min(likeness(a, b) for a, b in pairwise(looks)) < _CUT:
        raise ValueError("there is a cut in it")
    if np.abs(np.diff(pictures.astype(np.int16), axis=0)).mean() < _STILL:
        raise ValueError("nothing moves")
    return pictures, own / step
