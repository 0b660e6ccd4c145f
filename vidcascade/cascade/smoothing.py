"""Temporal smoothing: a motion-compensated average of the predicted x along the flow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vidcascade.flow.dis import bidirectional
from vidcascade.flow.occlusion import occlusion
from vidcascade.flow.warp import warp


class TemporalSmoother:
    """Averages each frame with its two neighbours, brought onto it along the optical flow.

    Occluded pixels (forward-backward check) keep their own value. The flow is estimated once, on
    the video that the stage starts from, because the predicted x changes only in detail.

    Args:
        video: (B, T, 3, H, W) in [-1, 1], where motion is read.
        strength: 0 leaves x as it is, 1 replaces it by the average.
    """

    def __init__(self, video: Tensor, strength: float) -> None:
        self.strength = strength
        pixels = ((video.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        pairs = [bidirectional(clip.permute(0, 2, 3, 1).cpu().numpy()) for clip in pixels]
        self.ahead = _tensor([ahead for ahead, _ in pairs]).to(video)
        self.back = _tensor([back for _, back in pairs]).to(video)
        self.see_ahead = self._visible(self.ahead, self.back)
        self.see_back = self._visible(self.back, self.ahead)

    @staticmethod
    def _visible(flow: Tensor, reverse: Tensor) -> Tensor:
        hidden = occlusion(flow.flatten(0, 1), reverse.flatten(0, 1))
        return (~hidden).to(flow.dtype).unflatten(0, flow.shape[:2])

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Smooth predicted x (B, T, 3, H, W); σ is not used, the strength is the user's."""
        del sigma
        total, weight = x.clone(), torch.ones_like(x[:, :, :1])
        pairs = (*x.shape[:1], x.shape[1] - 1)
        following = warp(x[:, 1:].flatten(0, 1), self.ahead.flatten(0, 1)).unflatten(0, pairs)
        previous = warp(x[:, :-1].flatten(0, 1), self.back.flatten(0, 1)).unflatten(0, pairs)
        total[:, :-1] += following * self.see_ahead
        weight[:, :-1] += self.see_ahead
        total[:, 1:] += previous * self.see_back
        weight[:, 1:] += self.see_back
        return torch.lerp(x, total / weight, self.strength)


def _tensor(flows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(flows)).permute(0, 1, 4, 2, 3).contiguous()
