"""Backward warping: every output pixel looks up where it came from.

``out(p) = image(p + flow(p))`` with p at pixel centres, bilinear, clamped to the border.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.errors import UsageError

__all__ = ["inside", "warp", "warp_np"]


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Warp a batch of images; differentiable in both arguments.

    Zero flow, and any whole-pixel flow, returns the input's values bit for bit.

    Args:
        image: (B, C, H, W), any floating type; sampled in float32.
        flow: (B, 2, H, W), x then y, in pixels.

    Returns:
        (B, C, H, W) in the image's dtype.

    Raises:
        UsageError: If the shapes do not fit.
    """
    batch, _, height, width = image.shape
    if flow.shape != (batch, 2, height, width):
        raise UsageError(
            f"Warping needs a flow (B, 2, H, W) of the image's size: got {tuple(flow.shape)} for"
            f" an image {tuple(image.shape)}."
        )
    flow = flow.float()
    x = torch.arange(width, device=flow.device, dtype=torch.float32)
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None]
    x = (x + flow[:, 0]).clamp(0, width - 1)
    y = (y + flow[:, 1]).clamp(0, height - 1)
    # grid_sample wants coordinates divided by the size, and divides again by its inverse. Only for
    # a power of two is that exact in floating point; so the image is padded up to one. The padding
    # is never seen: coordinates were clamped above.
    full_w, full_h = _power_of_two(width), _power_of_two(height)
    source = F.pad(image.float(), (0, full_w - width, 0, full_h - height))
    grid = torch.stack(((2 * x + 1) / full_w - 1, (2 * y + 1) / full_h - 1), dim=-1)
    out = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return out.to(image.dtype)


def inside(flow: Tensor) -> Tensor:
    """Where a flow (B, 2, H, W) in pixels stays in the picture: bool (B, 1, H, W)."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within[:, None]


def warp_np(image: NDArray[Any], flow: NDArray[np.float32]) -> NDArray[Any]:
    """Warp one array with OpenCV: no batch, any frame size; coordinates as in :func:`warp`.

    Args:
        image: (H, W) or (H, W, C) with C ≤ 4, uint8 or float32.
        flow: (H, W, 2), x then y, in pixels.

    Returns:
        The warped array, same shape and dtype.

    Raises:
        UsageError: If the sizes differ.
    """
    height, width = image.shape[:2]
    if flow.shape != (height, width, 2):
        raise UsageError(
            f"Warping needs a flow (H, W, 2) of the image's size: got {flow.shape} for an image"
            f" {image.shape}."
        )
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    np.clip(x, 0, width - 1, out=x)
    np.clip(y, 0, height - 1, out=y)
    out = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out).reshape(image.shape)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
