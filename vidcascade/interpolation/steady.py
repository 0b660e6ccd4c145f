"""Logos and subtitles: what stands still in front of what moves must not be dragged along.

Flow is smooth, so the motion of the scene reaches into letters that do not move. A pixel is taken
for part of such an overlay where both neighbours agree at the same place and the two ends of the
flow do not agree with each other. Something that passed in front of a still background is not
meant by this: there both ends of the flow show the passing thing.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["standing_still"]

_WINDOW = (9, 9)
_SAME = 4.0  # levels: what compression makes of a letter that stands still
_WORSE = 3.0  # times as different along the flow as at the same place
_AT_LEAST = 6.0  # levels of difference along the flow


def standing_still(
    first: NDArray[Any], second: NDArray[Any], ahead: NDArray[Any], behind: NDArray[Any]
) -> NDArray[np.float32]:
    """Where to take the neighbours as they are: 0 (along the flow) to 1, ``(H, W)``.

    Args:
        first, second: the neighbours, uint8 ``(H, W, 3)``.
        ahead, behind: both, warped to the time between them.
    """
    place = _difference(first, second)
    moved = _difference(ahead, behind)
    better = (place < _SAME) & (moved > _AT_LEAST) & (moved > _WORSE * place)
    if not better.any():
        return np.zeros(place.shape, np.float32)
    # As far as the window reached, and with a soft edge; but only over what does agree.
    grown = cv2.dilate(better.astype(np.float32), np.ones((5, 5), np.uint8))
    grown *= np.clip(2 - place / _SAME, 0, 1)
    return np.asarray(cv2.GaussianBlur(grown, (5, 5), 0))


def _difference(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    levels = cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b)).max(axis=2)
    return np.asarray(cv2.boxFilter(levels.astype(np.float32), -1, _WINDOW))
