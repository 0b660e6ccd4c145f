"""Optical flow by dense inverse search, through OpenCV.

Source: Kroeger et al. 2016, *Fast Optical Flow using Dense Inverse Search*, arXiv:1603.03590.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["MIN_SHORT_SIDE", "PRESETS", "bidirectional", "dis_flow"]

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}

# DIS matches 8 × 8 patches down a pyramid; below this short side (pixels) too few fit.
MIN_SHORT_SIDE = 48


def dis_flow(
    a: NDArray[np.uint8], b: NDArray[np.uint8], preset: str = "medium"
) -> NDArray[np.float32]:
    """Flow from ``a`` to ``b``: what is at p in ``a`` is at p + flow(p) in ``b``.

    Args:
        a: First frame (H, W, 3) RGB or (H, W) grey, uint8.
        b: Second frame, same shape.
        preset: ``"ultrafast"``, ``"fast"`` or ``"medium"`` (best).

    Returns:
        float32 (H, W, 2), x then y, in pixels of ``a``.

    Raises:
        UsageError: If the preset is unknown, or the frames differ in shape or are not uint8.
    """
    if preset not in PRESETS:
        raise UsageError(f"Flow preset {preset!r} is unknown: use one of {', '.join(PRESETS)}.")
    if a.shape != b.shape or min(a.shape[:2]) < 1:
        raise UsageError(f"Flow needs two frames of one size: got {a.shape} and {b.shape}.")
    first, second = _grey(a), _grey(b)
    height, width = first.shape
    scale = MIN_SHORT_SIDE / min(height, width)
    if scale > 1:
        # A whole factor per side keeps the pixel grids aligned when the flow is reduced again.
        factor = math.ceil(scale)
        size = (width * factor, height * factor)
        flow = _calc(
            cv2.resize(first, size, interpolation=cv2.INTER_CUBIC),
            cv2.resize(second, size, interpolation=cv2.INTER_CUBIC),
            preset,
        )
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / np.float32(factor)
        return np.asarray(flow.reshape(height, width, 2), dtype=np.float32)
    return _calc(first, second, preset)


def bidirectional(
    frames: NDArray[np.uint8], preset: str = "medium"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flows between neighbouring frames, both ways.

    Args:
        frames: (T, H, W, 3) RGB uint8, T ≥ 2.
        preset: As in :func:`dis_flow`.

    Returns:
        ``forward`` and ``backward``, float32 (T-1, H, W, 2) in pixels: ``forward[t]`` goes from
        frame t to t+1, ``backward[t]`` from t+1 to t.

    Raises:
        UsageError: If there are fewer than two frames.
    """
    if len(frames) < 2:
        raise UsageError(f"Flow needs at least two frames: got {len(frames)}.")
    pairs = list(pairwise(frames))
    forward = np.stack([dis_flow(a, b, preset) for a, b in pairs])
    backward = np.stack([dis_flow(b, a, preset) for a, b in pairs])
    return forward, backward


def _grey(frame: NDArray[np.uint8]) -> NDArray[Any]:
    if (
        frame.dtype != np.uint8
        or frame.ndim not in (2, 3)
        or (frame.ndim == 3 and frame.shape[2] != 3)
    ):
        raise UsageError(
            f"Flow takes uint8 frames (H, W, 3) or (H, W): got {frame.dtype} {frame.shape}."
        )
    grey = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(grey)


def _calc(a: NDArray[Any], b: NDArray[Any], preset: str) -> NDArray[np.float32]:
    # A fresh object per call: its buffers are not safe between threads, and making one is cheap.
    estimator = cv2.DISOpticalFlow.create(PRESETS[preset])
    return np.asarray(estimator.calc(a, b, None), dtype=np.float32)  # type: ignore[call-overload]
