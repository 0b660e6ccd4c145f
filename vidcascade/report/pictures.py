"""Pictures as data URIs, so that a page needs no second file."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["data_uri", "heat_over", "heat_scale"]

Picture = NDArray[np.uint8]

_QUALITY = 88
# The weakest heat that is coloured at all, and the one that is fully coloured (composite units).
_FAINT, _FULL = 0.05, 2.0


def data_uri(picture: Picture) -> str:
    """An RGB picture (H, W, 3) as a JPEG data URI."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def heat_scale(heat: NDArray[np.float32]) -> float:
    """The heat that is shown in full colour: at least :data:`_FULL`, so that calm looks calm."""
    return max(float(np.quantile(heat, 0.995)), _FULL)


def heat_over(picture: Picture, heat: NDArray[np.float32], full: float) -> Picture:
    """Heat in colour over a grey, darkened picture of the same scene.

    Args:
        picture: RGB (H, W, 3).
        heat: (h, w) of any size; enlarged.
        full: The heat that is shown in full colour.
    """
    height, width = picture.shape[:2]
    large: Any = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    # A root spreads the weak end, where most of what an eye can see lies.
    level = np.sqrt(np.clip(large / full, 0, 1))
    grey: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    base = np.repeat((0.25 * 255 + 0.6 * grey.astype(np.float32))[..., None], 3, axis=2)
    colours: Any = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)
    hot = colours[..., ::-1].astype(np.float32)
    share = np.clip((level - np.sqrt(_FAINT / full)) * 1.6, 0, 0.75)[..., None]
    return np.clip(base * (1 - share) + hot * share, 0, 255).astype(np.uint8)
