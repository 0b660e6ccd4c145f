"""Where a flow cannot be trusted: the forward-backward check and motion boundaries.

Source: Ruder et al. 2016, *Artistic Style Transfer for Videos*, arXiv:1604.08610, with the numbers
used by Lai et al. 2018, *Learning Blind Video Temporal Consistency*, arXiv:1808.00449.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.flow.warp import warp

__all__ = ["occlusion", "occlusion_np"]


def occlusion(flow: Tensor, reverse: Tensor) -> Tensor:
    """Pixels of the first frame without a reliable partner in the second.

    With ``r`` the reverse flow looked up along ``flow`` f, a pixel is occluded where
    ``|f + r|² > 0.01 (|f|² + |r|²) + 0.5`` (the round trip does not return) or
    ``|∇f|² > 0.01 |f|² + 0.002`` (a motion boundary; forward differences).

    Args:
        flow: (B, 2, H, W) from the first to the second frame, pixels.
        reverse: (B, 2, H, W) from the second to the first, pixels.

    Returns:
        bool (B, 1, H, W) on the first frame's grid, True = occluded.

    Raises:
        UsageError: If the shapes differ.
    """
    back = warp(reverse, flow)
    size = flow.square().sum(1, keepdim=True)
    lost = (flow + back).square().sum(1, keepdim=True)
    trip = lost > 0.01 * (size + back.square().sum(1, keepdim=True)) + 0.5
    gradient = torch.zeros_like(size)
    gradient[..., :, :-1] += flow.diff(dim=-1).square().sum(1, keepdim=True)
    gradient[..., :-1, :] += flow.diff(dim=-2).square().sum(1, keepdim=True)
    return trip | (gradient > 0.01 * size + 0.002)


def occlusion_np(flow: NDArray[np.float32], reverse: NDArray[np.float32]) -> NDArray[np.bool_]:
    """:func:`occlusion` for one pair of arrays (H, W, 2): bool (H, W), True = occluded."""
    pair = [
        torch.from_numpy(np.ascontiguousarray(f)).permute(2, 0, 1)[None] for f in (flow, reverse)
    ]
    return occlusion(*pair)[0, 0].numpy()
