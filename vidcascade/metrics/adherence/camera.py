"""Which way the camera moves, from how the background moves. Nothing here is learned.

From frame to frame the flow of what lies outside the subject's outline is fitted by a similarity,
robustly; over the clip these add up to a way and a magnification. The limits are about half of the
smallest camera moves that the world draws: 0.24 of the frame, or a magnification by 1.35.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import dis_flow

__all__ = ["FIXED", "CameraMove", "camera_shown", "measure_camera"]

FIXED = "fixed"
_SIDE = 192  # clips are looked at in this size: flow of a few pixels is better seen in more
_EVERY = 4  # pixels between the points that are fitted
_LEAST_POINTS = 24
_LEAST_DETAIL = 6.0  # grey levels by which a point's surroundings vary; flow of less is a guess
_TRAVELLED, _ZOOMED = 0.12, math.log(1.16)


@dataclass(frozen=True)
class CameraMove:
    """How the picture moves as a whole.

    Attributes:
        dx, dy: way of its centre over the clip, x right and y down, in frame sides. The camera
            goes the other way.
        zoom: natural logarithm of its magnification over the clip.
        followed: share of frame steps in which enough could be followed, 0 to 1.
    """

    dx: float
    dy: float
    zoom: float
    followed: float


def measure_camera(frames: NDArray[np.uint8], masks: NDArray[np.float32]) -> CameraMove:
    """Follow the background of a clip.

    Args:
        frames: (T, H, W, 3) RGB uint8.
        masks: (T, h, w) outlines of what moves by itself, in [0, 1], of any size.
    """
    video = [cv2.resize(f, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) for f in frames]
    dx = dy = zoom = 0.0
    followed = 0
    for k, (before, after) in enumerate(pairwise(video)):
        step = _similarity(before, after, masks[k])
        if step is None:
            continue
        followed += 1
        centre = np.array([_SIDE / 2, _SIDE / 2, 1.0])
        way = (step @ centre - centre[:2]) / _SIDE
        dx, dy = dx + float(way[0]), dy + float(way[1])
        zoom += math.log(math.hypot(step[0, 0], step[1, 0]))
    steps = max(len(video) - 1, 1)
    # A move is taken to go on where it cannot be followed.
    rest = steps / max(followed, 1)
    return CameraMove(dx * rest, dy * rest, zoom * rest, followed / steps)


def camera_shown(move: CameraMove) -> str | None:
    """A camera move by its name in the world, :data:`FIXED`, or None where nothing was followed."""
    if move.followed < 0.5:
        return None
    if abs(move.zoom) >= _ZOOMED:
        return "zoom in" if move.zoom > 0 else "zoom out"
    if max(abs(move.dx), abs(move.dy)) < _TRAVELLED:
        return FIXED
    if abs(move.dx) >= abs(move.dy):
        return "pan left" if move.dx > 0 else "pan right"
    return "pan up" if move.dy > 0 else "pan down"


def _similarity(
    before: NDArray[np.uint8], after: NDArray[np.uint8], mask: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """2 × 3 matrix that takes the background of one frame to the next; None without detail."""
    flow = dis_flow(before, after)
    grey = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (9, 9))
    detail = np.sqrt(np.maximum(cv2.blur(grey * grey, (9, 9)) - mean * mean, 0.0))
    subject = cv2.dilate(
        cv2.resize(mask, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR), np.ones((13, 13))
    )
    rows, columns = np.mgrid[_EVERY // 2 : _SIDE : _EVERY, _EVERY // 2 : _SIDE : _EVERY]
    usable = (subject[rows, columns] < 0.3) & (detail[rows, columns] > _LEAST_DETAIL)
    if usable.sum() < _LEAST_POINTS:
        return None
    start = np.stack((columns[usable], rows[usable]), axis=1).astype(np.float32)
    cv2.setRNGSeed(0)  # the same clip, the same answer
    found, _ = cv2.estimateAffinePartial2D(
        start, start + flow[rows[usable], columns[usable]], ransacReprojThreshold=0.5
    )
    return None if found is None else np.asarray(found, np.float64)
