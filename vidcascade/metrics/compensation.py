"""Neighbouring frames laid on top of each other along the motion, and where that is possible.

The check is Ruder et al.'s round trip (arXiv:1604.08610); motion boundaries are not cut out, as
the published warping error does: swimming texture is all boundaries. In flat areas no flow is
right and none is needed: a pixel also passes where the round trip's error cannot change its
lightness visibly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import dis_flow
from vidcascade.metrics.frames import Prepared

__all__ = ["Pair", "connect", "warp_along"]

# Change of lightness (L*) by a wrong flow that does not matter.
_HARMLESS = 0.5

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two neighbouring frames and the motion between them, both ways.

    Attributes:
        forward: float32 (H, W, 2), flow from the earlier to the later frame in pixels.
        backward: float32 (H, W, 2), from the later to the earlier.
        seen_earlier: bool (H, W), pixels of the earlier frame that the later one also shows.
        seen_later: bool (H, W), the other way round.
        lost_later: float32 (H, W), squared distance in pixels by which the round trip from the
            later frame misses its start: how far the flow can be trusted.
        lost_earlier: The same of the earlier frame.
    """

    forward: Array
    backward: Array
    seen_earlier: Mask
    seen_later: Mask
    lost_earlier: Array
    lost_later: Array


def connect(earlier: Prepared, later: Prepared, preset: str = "medium") -> Pair:
    """Flow between two frames of one size, computed once for every measure that needs it."""
    forward = dis_flow(earlier.grey, later.grey, preset)
    backward = dis_flow(later.grey, earlier.grey, preset)
    seen_earlier, lost_earlier = _round_trip(forward, backward, earlier.slope, later.slope)
    seen_later, lost_later = _round_trip(backward, forward, later.slope, earlier.slope)
    return Pair(forward, backward, seen_earlier, seen_later, lost_earlier, lost_later)


def warp_along(image: Array, flow: Array) -> Array:
    """``image`` looked up along ``flow``, bicubic, so that fine detail survives half a pixel.

    Bilinear lookup would blur the neighbours but not the frame itself, and a pan over fine texture
    would read as flicker.
    """
    x, y = _targets(flow)
    out = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)


def _targets(flow: Array) -> tuple[Array, Array]:
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return x, y


def _round_trip(flow: Array, reverse: Array, slope: Array, other: Array) -> tuple[Mask, Array]:
    height, width = flow.shape[:2]
    x, y = _targets(flow)
    back: Any = cv2.remap(reverse, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lost = _square(flow + back)
    allowed = np.float32(0.01) * (_square(flow) + _square(back)) + np.float32(0.5)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    # Flat on both sides: a cut from a flat picture to a rich one is no match.
    there: Any = cv2.remap(other, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    harmless = np.maximum(slope, there) ** 2 * lost <= np.float32(_HARMLESS**2)
    return np.asarray(((lost <= allowed) | harmless) & inside), lost


def _square(flow: Array) -> Array:
    return np.asarray(flow[..., 0] ** 2 + flow[..., 1] ** 2)
