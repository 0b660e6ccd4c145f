"""The optical-flow prior of a frame between two others, from dense inverse search."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import MIN_SHORT_SIDE, PRESETS, dis_flow
from vidcascade.interpolation.matching import Guess, guess_motion

__all__ = ["SMALL_SIDE", "flows_between"]

# Up to this short side (pixels) flow is found at full resolution: one pixel is a larger part of
# what there is to see, and the time does not matter yet.
SMALL_SIDE = 160
# Where search begins with a guess: at 1/8 of the size. Coarser levels would smooth it away.
_COARSEST = 3


def flows_between(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    thorough: bool = False,
    guess: Guess | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow from each frame to the other, searched from a guess that sees large motion.

    Args:
        first: (H, W, 3) RGB uint8.
        second: likewise.
        thorough: search at full resolution whatever the size, about three times as slow.
        guess: where search begins; None looks for it.

    Returns:
        first → second and second → first, float32 (H, W, 2), x then y, in pixels.

    Raises:
        UsageError: the frames differ in shape or are not uint8.
    """
    short = min(first.shape[:2])
    if short < MIN_SHORT_SIDE or first.shape != second.shape or first.dtype != np.uint8:
        return dis_flow(first, second), dis_flow(second, first)
    estimator = cv2.DISOpticalFlow.create(PRESETS["medium"])
    estimator.setCoarsestScale(_COARSEST)
    if thorough or short <= SMALL_SIDE:
        estimator.setFinestScale(0)
    if short <= SMALL_SIDE and not thorough:
        estimator.setPatchStride(4)
        estimator.setVariationalRefinementIterations(2)
    ahead, back = (guess or guess_motion(first, second)).flows(*first.shape[:2])
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
    return _search(estimator, a, b, ahead), _search(estimator, b, a, back)


def _search(
    estimator: Any, a: NDArray[Any], b: NDArray[Any], guess: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Flow from ``a`` to ``b``, grey; ``guess`` is overwritten."""
    return np.asarray(estimator.calc(a, b, guess), dtype=np.float32)
