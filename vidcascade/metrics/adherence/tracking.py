"""Where the subject of a clip is, how large it is and how it turns, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["Track", "track_subject"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# Below this share of the frame an outline is a speck, not a subject.
_SMALLEST = 0.004
# What counts as inside when parts are told apart; a small subject is outlined hesitantly.
_INSIDE = 0.35
# The patches in which turns are read: side, and the side of a square of the subject's area in it.
_SIDE, _SPAN = 48, 22.0
# Turns that are tried between two frames, in degrees. A five-fold symmetric shape looks the same
# after 72 degrees, so turns of more than 36 could not be told from their opposites.
_STEP, _MOST = 3.0, 36.0


@dataclass(frozen=True)
class Track:
    """The subject's path through T frames. Lengths are in units of the frame's short side.

    Attributes:
        x, y: (T,) centroid from the frame's centre, y down; NaN where no subject was seen.
        size: (T,) square root of the covered area; NaN likewise.
        spread_x, spread_y: (T,) standard deviation of what is covered, along x and y; NaN likewise.
        turn: (T-1,) rotation from each frame to the next in radians, clockwise; 0 if unseen.
    """

    x: F64
    y: F64
    size: F64
    spread_x: F64
    spread_y: F64
    turn: F64

    @property
    def seen(self) -> float:
        """Share of frames in which there is a subject, 0 to 1."""
        return float(np.isfinite(self.x).mean())


def track_subject(frames: NDArray[np.uint8], masks: NDArray[Any]) -> Track:
    """Follow the subject that ``masks`` outline.

    Args:
        frames: (T, H, W, 3) RGB uint8, T ≥ 2.
        masks: (T, h, w) share of each pixel that the subject covers, 0 to 1; any size.

    Raises:
        UsageError: If the shapes do not fit.
    """
    if frames.ndim != 4 or masks.ndim != 3 or len(frames) != len(masks) or len(frames) < 2:
        raise UsageError(
            "Tracking needs frames (T, H, W, 3) and masks (T, h, w) of at least two frames: got "
            f"{frames.shape} and {masks.shape}."
        )
    height, width = frames.shape[1:3]
    covers = [_main_part(_resized(mask, width, height)) for mask in masks]
    short = min(height, width)
    places = np.array([_place(cover) for cover in covers])
    spreads = np.array([_spread(*both) for both in zip(covers, places, strict=True)]) / short
    middle = ((width - 1) / 2, (height - 1) / 2)
    turn = np.zeros(len(frames) - 1)
    patches = [
        _patch(frame, cover, place) if np.isfinite(place).all() else None
        for frame, cover, place in zip(frames, covers, places, strict=True)
    ]
    for k, (a, b) in enumerate(pairwise(patches)):
        if a is not None and b is not None:
            turn[k] = _turn_between(a, b)
    return Track(
        (places[:, 0] - middle[0]) / short,
        (places[:, 1] - middle[1]) / short,
        places[:, 2] / short,
        spreads[:, 0],
        spreads[:, 1],
        turn,
    )


def _resized(mask: NDArray[Any], width: int, height: int) -> F32:
    out = np.asarray(mask, np.float32)
    if out.shape != (height, width):
        out = np.asarray(cv2.resize(out, (width, height), interpolation=cv2.INTER_LINEAR))
    return out


def _main_part(cover: F32) -> F32:
    """The largest connected part, so that specks elsewhere do not pull the centroid."""
    solid = (cover > _INSIDE).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    if count <= 2:  # the background, and at most one part
        return cover * cv2.dilate(solid, np.ones((3, 3), np.uint8))
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    # The soft edge belongs to the part it surrounds.
    near = cv2.dilate((labels == largest).astype(np.uint8), np.ones((3, 3), np.uint8))
    return cover * near


def _place(cover: F32) -> tuple[float, float, float]:
    """Centroid x, y and root of the area in pixels; NaN if there is too little to see."""
    area = float(cover.sum())
    if area < _SMALLEST * cover.size:
        return math.nan, math.nan, math.nan
    xs, ys = cover.sum(axis=0), cover.sum(axis=1)
    x = float((xs * np.arange(len(xs))).sum()) / area
    y = float((ys * np.arange(len(ys))).sum()) / area
    return x, y, math.sqrt(area)


def _spread(cover: F32, place: F64) -> tuple[float, float]:
    """Standard deviation of the cover along x and y in pixels; NaN with the place."""
    out = []
    for axis, centre in ((0, place[0]), (1, place[1])):
        sums = cover.sum(axis=axis)
        squares = (np.arange(len(sums)) - centre) ** 2
        out.append(math.sqrt(float((sums * squares).sum()) / max(float(sums.sum()), 1e-6)))
    return out[0], out[1]


def _patch(frame: NDArray[np.uint8], cover: F32, place: F64) -> F32:
    """The subject alone, centred and brought to one size: (side, side, 4), RGB × cover and cover.

    Colours are relative to the subject's mean, so that its outside is "no difference".
    """
    x, y, size = place
    scale = _SPAN / size
    centre = (_SIDE - 1) / 2
    matrix = np.array([[scale, 0, centre - scale * x], [0, scale, centre - scale * y]])
    colour = frame.astype(np.float32) / 255
    mean = (colour * cover[..., None]).sum(axis=(0, 1)) / cover.sum()
    both = np.dstack(((colour - mean) * cover[..., None], cover))
    if scale < 1:  # large pictures: average before sampling, or detail aliases
        both = cv2.GaussianBlur(both, (0, 0), 0.5 / scale)
    flat = cv2.warpAffine(both, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(flat, np.float32)


def _turn_between(a: F32, b: F32) -> float:
    """The turn in radians that brings patch ``a`` closest to patch ``b``: try them all."""
    angles = np.arange(-_MOST, _MOST + _STEP / 2, _STEP)
    costs = np.array([_mismatch(_rotated(a, angle), b) for angle in angles])
    # A round, plain subject looks alike at every angle: without this, noise would turn it.
    costs += 0.02 * float(costs.mean()) * np.abs(angles) / _MOST
    best = int(np.argmin(costs))
    shift = 0.0
    if 0 < best < len(angles) - 1:
        left, centre, right = costs[best - 1 : best + 2]
        bend = left - 2 * centre + right
        shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return math.radians(float(angles[best]) + _STEP * float(np.clip(shift, -0.5, 0.5)))


def _rotated(patch: F32, degrees: float) -> F32:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    m = (_SIDE - 1) / 2
    # x right and y down, so a positive angle is clockwise on the screen.
    matrix = np.array([[c, -s, m - c * m + s * m], [s, c, m - s * m - c * m]])
    return np.asarray(cv2.warpAffine(patch, matrix, (_SIDE, _SIDE)), np.float32)


def _mismatch(a: F32, b: F32) -> float:
    return float(np.abs(a - b).mean())
