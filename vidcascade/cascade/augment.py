"""Noise augmentation: noise added to a stage's conditioning video, never to its sample.

After Ho et al. 2022 ("Cascaded Diffusion Models"), with the level given as σ of a variance-
preserving mix, the only unit used in this package.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidcascade.diffusion.flow_matching import per_sample


def augment(video: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """``sqrt(1-σ²)·video + σ·noise``: video and noise (B, …), sigma (B,) in [0, 1) → (B, …)."""
    sigma = per_sample(sigma, video)
    return torch.sqrt(1 - sigma.square()) * video + sigma * noise


def unscale(video: Tensor, sigma: Tensor) -> Tensor:
    """Undo the mix's shrinking, keeping its noise: the unbiased estimate of the clean video."""
    return video / torch.sqrt(1 - per_sample(sigma, video).square())


def frame_noise(
    shape: tuple[int, ...], generator: torch.Generator, correlation: float = 0.0
) -> Tensor:
    """Standard normal noise (T, C, H, W) whose frames share a fraction of their variance.

    ``correlation`` ρ in [0, 1) is the correlation of any two frames (Ge et al. 2023, "Preserve
    Your Own Correlation", mixed noise). Drawn on the CPU so that a seed means the same everywhere.
    """
    own = torch.randn(shape, generator=generator)
    if correlation == 0.0:
        return own
    shared = torch.randn((1, *shape[1:]), generator=generator)
    return correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
