"""Embeddings of scalars: noise level, noise augmentation, a frame's place in the clip."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoids(values: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal features (Vaswani et al. 2017) of values (N,) → (N, even width), in float32."""
    half = width // 2
    rates = torch.exp(-math.log(max_period) * torch.arange(half, device=values.device) / half)
    angles = values.float()[:, None] * rates
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class ScalarEmbedding(nn.Module):
    """A scalar through sinusoids and two linear layers.

    Args:
        width: features of the embedding.
        scale: what values are multiplied by first, so that their range spans many periods.
        zero_init: contribute nothing at the start, for inputs that are added to a trained network.
    """

    def __init__(self, width: int, scale: float, zero_init: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.features = 128
        self.first = nn.Linear(self.features, width)
        self.second = nn.Linear(width, width)
        if zero_init:
            nn.init.zeros_(self.second.weight)
            nn.init.zeros_(self.second.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(N,) → (N, width)."""
        features = sinusoids(values * self.scale, self.features)
        return self.second(F.silu(self.first(features.to(self.first.weight.dtype))))
