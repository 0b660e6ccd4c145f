"""The optical-flow prior of a frame between two others, from dense inverse search."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import MIN_SHORT_SIDE, PRESETS, dis_flow

__all__ = ["SMALL_SIDE", "flows_between"]

# Up to this short side (pixels) flow is found at full resolution: one pixel is a larger part of
# what there is to see, and the time does not matter yet.
SMALL_SIDE = 160


def flows_between(
    first: NDArray[np.uint8], second: NDArray[np.uint8], thorough: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow from each frame to the other.

    Args:
        first: (H, W, 3) RGB uint8.
        second: likewise.
        thorough: search at full resolution whatever the size, about three times as slow.

    Returns:
        first → second and second → first, float32 (H, W, 2), x then y, in pixels.

    Raises:
        UsageError: the frames differ in shape or are not uint8.
    """
    short = min(first.shape[:2])
    small = short <= SMALL_SIDE
    if short < MIN_SHORT_SIDE or first.shape != second.shape or not (small or thorough):
        return dis_flow(first, second), dis_flow(second, first)
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
    return _search(a, b, thorough), _search(b, a, thorough)


def _search(a: NDArray[Any], b: NDArray[Any], thorough: bool) -> NDArray[np.float32]:
    estimator = cv2.DISOpticalFlow.create(PRESETS["medium"])
    estimator.setFinestScale(0)
    if not thorough:
        estimator.setPatchStride(4)
        estimator.setVariationalRefinementIterations(2)
    return np.asarray(estimator.calc(a, b, None), dtype=np.float32)  # type: ignore[call-overload]
