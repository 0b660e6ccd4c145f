"""Frames brought to one size and into the units in which flicker is measured.

Whatever the clip's resolution, a measure sees the picture with its short side at
:data:`SHORT_SIDE` pixels, lightness and chroma in CIELAB (D65), and for the flow a grey picture of
constant local mean and constant contrast, so that a change of brightness, be it of the whole
picture or of a part, is not taken for motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LONG_SIDE_LIMIT",
    "QUARTER",
    "REGION",
    "SHORT_SIDE",
    "Prepared",
    "normalised_size",
    "prepare",
    "smooth",
]

SHORT_SIDE = 256
# Very long pictures (banners, scans) would cost more than they say: the long side is capped.
LONG_SIDE_LIMIT = 2048

# Steepest slope within this many pixels, for what a wrong flow could change.
_REACH = 9

# The eye and any screen blur more than this; it also hides what interpolation does to a pixel.
_BLUR = 0.7
_GREY_MEAN, _GREY_SPREAD = 128.0, 40.0
# Below this spread (L*) a picture is nearly plain, and stretching it would only stretch its noise.
_LEAST_SPREAD = 2.0
# The scale that divides regions from texture, as a share of the short side (one σ).
REGION = 1 / 24
QUARTER = 4  # Regions are smooth: they are filtered at a quarter of the size.

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prepared:
    """One frame as the measures see it.

    Attributes:
        lab: float32 (H, W, 3) CIELAB: L* 0 to 100, a* and b*.
        grey: uint8 (H, W), lightness less its regional mean, at constant contrast, for the flow.
        small: uint8 (H, W, 3) RGB at the same size, for pictures in a report.
        slope: float32 (H, W), the steepest change of lightness around each pixel, L* per pixel.
        contrast: float32 (h, w), standard deviation of lightness in the region around each point of
            a quarter of the size, L*.
    """

    lab: Array
    grey: NDArray[np.uint8]
    small: NDArray[np.uint8]
    slope: Array
    contrast: Array


def normalised_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which a picture of this size is measured; the aspect is kept."""
    scale = min(SHORT_SIDE / min(height, width), LONG_SIDE_LIMIT / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def prepare(frame: NDArray[np.uint8]) -> Prepared:
    """Bring one RGB frame (H, W, 3) uint8 of any size to the measures' size and units."""
    height, width = normalised_size(*frame.shape[:2])
    if (height, width) == frame.shape[:2]:
        small = frame
    else:
        shrinks = height < frame.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(frame, (width, height), interpolation=how), dtype=np.uint8)
    lab: Any = cv2.cvtColor(small.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2Lab)
    lab = cv2.GaussianBlur(lab, (0, 0), _BLUR)
    lightness: Any = cv2.extractChannel(lab, 0)
    moments = smooth(np.asarray(cv2.merge((lightness, np.square(lightness)))))
    contrast = np.sqrt(np.maximum(moments[..., 1] - np.square(moments[..., 0]), 0))
    around = cv2.resize(moments[..., 0], (width, height), interpolation=cv2.INTER_LINEAR)
    detail = lightness - around
    gain = np.float32(_GREY_SPREAD / max(float(detail.std()), _LEAST_SPREAD))
    grey = np.clip(detail * gain + np.float32(_GREY_MEAN + 0.5), 0, 255).astype(np.uint8)
    return Prepared(lab, grey, small, _slope(lightness), contrast)


def smooth(values: Array) -> Array:
    """(H, W, C) averaged over regions, at a quarter of the size: (h, w, C)."""
    height, width = values.shape[:2]
    size = (max(1, width // QUARTER), max(1, height // QUARTER))
    small: Any = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    sigma = max(min(height, width) * REGION / QUARTER, 0.5)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma), dtype=np.float32)


def _slope(lightness: Array) -> Array:
    across: Any = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    down: Any = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    steepest = cv2.dilate(cv2.magnitude(across, down), np.ones((_REACH, _REACH), np.uint8))
    return np.asarray(steepest, dtype=np.float32)
