"""Things that move although nothing moves them: swimming texture, judder, repeated frames.

With ``s_t = 2 (w₊ f_{t→t+1} + w₋ f_{t→t-1})``, which is 0 for steady motion (the two flows are
opposite): *swimming* is the RMS of s minus its median over the picture (texture that wobbles on its
own), *judder* is the length of that median (the whole picture jerks), both in pixels at a short
side of 256. Where the flows' round trips miss their start, s is uncertain by as much, and that much
is taken off; and a place counts by how well its texture fixes the flow in both directions (Shi &
Tomasi 1994, doi:10.1109/CVPR.1994.323794): flat areas and straight edges swim unseen.

A *duplicate* is a step that changes the picture by less than a fifth of what the steps
around it change, while those move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.compensation import Pair

__all__ = ["Swim", "duplicates", "swim"]

# A step is a duplicate below this share of the 75th percentile of the steps around it …
_SHARE = 0.2
# … within this many seconds each way, …
_AROUND = 1.0
# … provided that they move by this much (pixels at a short side of 256).
_LEAST_MOTION = 0.15
_SAMPLE = 4
# The round trip sees part of the flow's error only; found on clean pans over flat shapes.
_UNCERTAIN = 4.0
_UNCERTAIN_BLUR = 3.0
# Texture (smaller eigenvalue of the structure tensor, L*²) that fixes the flow by half.
_TEXTURE = 1.0
_TEXTURE_BLOCK = 7
# At least this share of the picture is averaged over, so that one corner does not stand for it.
_LEAST_TEXTURE = 0.05

Array = NDArray[np.float32]
Series = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Swim:
    """One frame's unsteady motion.

    Attributes:
        swimming: RMS of s around its median, over textured places, in pixels at a short side of
            256.
        judder: Length of the median of s, likewise.
        field: float32 (H, W, 2), the certain part of s minus its median, times the root of how much
            the place counts; 0 where not seen.
    """

    swimming: float
    judder: float
    field: Array


def swim(
    lightness: Array,
    before: Pair,
    after: Pair,
    seen: NDArray[np.bool_],
    weights: tuple[float, float] = (0.5, 0.5),
) -> Swim:
    """Unsteady motion of frame t.

    Args:
        lightness: float32 (H, W), L* of frame t.
        before: Motion between t-1 and t.
        after: Motion between t and t+1.
        seen: bool (H, W), pixels that both neighbours show.
        weights: Weights of the earlier and the later neighbour, as for the second difference.
    """
    earlier, later = (np.float32(2 * w) for w in weights)
    unsteady = before.backward * earlier + after.forward * later
    sample = unsteady[::_SAMPLE, ::_SAMPLE][seen[::_SAMPLE, ::_SAMPLE]]
    if len(sample) == 0:
        return Swim(0.0, 0.0, np.zeros_like(unsteady))
    median = np.median(sample, axis=0)
    # Each component by itself: numpy is slow where the last axis is as short as a vector's.
    across, down = ((unsteady[..., k] - median[k]) * seen for k in range(2))
    length = np.square(across) + np.square(down)
    lost: Any = (before.lost_later + after.lost_earlier) * seen
    lost = cv2.GaussianBlur(lost, (0, 0), _UNCERTAIN_BLUR)
    certain = np.maximum(length - np.float32(_UNCERTAIN) * lost, 0)
    counts = _texture(lightness) * seen
    scale = np.sqrt(certain * counts / np.maximum(length, 1e-12))
    field: Any = cv2.merge((across * scale, down * scale))
    total = float((certain * counts).sum(dtype=np.float64))
    count = max(float(counts.sum(dtype=np.float64)), _LEAST_TEXTURE * counts.size)
    return Swim(float(np.sqrt(total / count)), float(np.hypot(*median)), field)


def _texture(lightness: Array) -> Array:
    """How well the texture around each pixel fixes the flow, 0 to 1."""
    height, width = lightness.shape
    half = (max(1, width // 2), max(1, height // 2))
    small: Any = cv2.resize(lightness, half, interpolation=cv2.INTER_AREA)
    eigen: Any = cv2.cornerMinEigenVal(small, _TEXTURE_BLOCK, ksize=3)
    eigen = np.maximum(eigen, 0)
    share: Any = cv2.resize(eigen / (eigen + np.float32(_TEXTURE)), (width, height))
    return np.asarray(share, dtype=np.float32)


def duplicates(change: Series, motion: Series, times: Series) -> NDArray[np.bool_]:
    """Which steps repeat the frame before.

    Args:
        change: (N,) mean absolute lightness difference of each step, in L*.
        motion: (N,) mean flow of each step, pixels at a short side of 256.
        times: (N,) time of each step in seconds, increasing.

    Returns:
        bool (N,). A clip in which nothing moves has no duplicates: it is still, not stuttering.
    """
    first = np.searchsorted(times, times - _AROUND, side="left")
    last = np.searchsorted(times, times + _AROUND, side="right")
    repeated = np.zeros(len(change), dtype=bool)
    for step, (start, end) in enumerate(zip(first, last, strict=True)):
        usual = np.quantile(change[start:end], 0.75)
        moving = np.quantile(motion[start:end], 0.75) >= _LEAST_MOTION
        repeated[step] = moving and change[step] < _SHARE * usual
    return repeated
