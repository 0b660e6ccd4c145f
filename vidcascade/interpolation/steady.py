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

# Areas: levels of difference that compression makes of what stands still, levels that are a
# difference along the flow, and how many times as different that must be.
_WINDOW = (5, 5)
_SAME, _AT_LEAST, _WORSE = 4.0, 12.0, 4.0
# Single pixels, for thin strokes: the same two, and the share of such pixels around.
_PIXEL_SAME, _PIXEL_AT_LEAST, _CROWD = 6.0, 24.0, 0.3


def standing_still(
    first: NDArray[Any], second: NDArray[Any], ahead: NDArray[Any], behind: NDArray[Any]
) -> NDArray[np.float32]:
    """Where to take the neighbours as they are: 0 (along the flow) to 1, ``(H, W)``.

    Args:
        first, second: the neighbours, uint8 ``(H, W, 3)``.
        ahead, behind: both, warped to the time between them.
    """
    place, moved = _levels(first, second), _levels(ahead, behind)
    place_around, moved_around = (cv2.boxFilter(x, -1, _WINDOW) for x in (place, moved))
    area = (
        (place_around < _SAME) & (moved_around > _AT_LEAST) & (moved_around > _WORSE * place_around)
    )
    single = ((place <= _PIXEL_SAME) & (moved > _PIXEL_AT_LEAST)).astype(np.float32)
    if not area.any() and not single.any():
        return np.zeros(place.shape, np.float32)
    # As far as the window reached, and with a soft edge; but only over what does agree.
    wide = cv2.dilate(area.astype(np.float32), np.ones((3, 3), np.uint8))
    wide *= np.clip(2 - cv2.boxFilter(place, -1, (3, 3)) / np.float32(_SAME), 0, 1)
    thin = single * (cv2.boxFilter(single, -1, _WINDOW) > _CROWD)
    soft = [cv2.GaussianBlur(x, (3, 3), 0) for x in (wide, thin)]
    soft[1] *= np.clip(2 - place * np.float32(2 / _PIXEL_SAME), 0, 1)
    return np.asarray(np.maximum(*soft), dtype=np.float32)


def _levels(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    """Difference of each pixel's most different channel."""
    levels = cv2.absdiff(np.ascontiguousarray(a), np.ascontiguousarray(b)).max(axis=2)
    return np.asarray(levels, dtype=np.float32)
