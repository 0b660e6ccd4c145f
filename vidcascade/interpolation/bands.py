"""From a frame to the small grid of flow and network, and back to its own size.

What is done at the frame's own size is done a band of rows at a time, so that 4K needs little
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["bands", "eight_bits", "enlarged", "reduced", "warped"]

_BAND = 256


def bands(height: int) -> Iterator[slice]:
    """The rows of a frame, a few hundred at a time."""
    for top in range(0, height, _BAND):
        yield slice(top, min(top + _BAND, height))


def reduced(frame: NDArray[Any], scale: float) -> NDArray[Any]:
    """A frame (H, W, C) at ``scale`` times its size, by area; itself from a scale of 1 on."""
    if scale >= 1:
        return frame
    height, width = frame.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))


def eight_bits(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """A uint8 or uint16 frame as uint8, for the optical flow."""
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    return np.asarray(np.rint(frame / np.float32(257)), dtype=np.uint8)


def enlarged(
    field: NDArray[np.float32], height: int, width: int, rows: slice
) -> NDArray[np.float32]:
    """Rows of a field (h, w) or (h, w, C) brought to a frame's grid; its values stay."""
    small_height, small_width = field.shape[:2]
    if (small_height, small_width) == (height, width):
        return field[rows]
    # Pixel centres of the large grid, on the small one.
    x = (np.arange(width, dtype=np.float32) + 0.5) * (small_width / width) - 0.5
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (small_height / height) - 0.5
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    large = cv2.remap(field, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(large, dtype=np.float32).reshape(len(y), width, *field.shape[2:])


def warped(frame: NDArray[Any], flow: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
    """Rows of a frame (H, W, C), looked up along the flow (rows, W, 2) in pixels.

    Bicubic: linear lookup blurs at half pixels, the more so the smaller the frame. It may overshoot
    the frame's range.
    """
    height, width = frame.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + flow[..., 1]
    np.clip(x, 0, width - 1, out=x)
    np.clip(y, 0, height - 1, out=y)
    # Only the rows that the band needs: remap takes no more than 32767 of them.
    low, high = max(int(y.min()) - 1, 0), min(int(y.max()) + 3, height)
    part = frame[low:high].astype(np.float32)
    out = cv2.remap(part, x, y - low, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.float32)
