"""The sampling loop that all stages share: a plain loop over falling noise levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from vidcascade.diffusion.guidance import Guidance
from vidcascade.diffusion.schedules import Schedule


class Predictor(Protocol):
    """Predicts x: sample (B, …) at σ (B,), with or without its condition → (B, …)."""

    def __call__(self, sample: Tensor, sigma: Tensor, conditional: bool) -> Tensor: ...


@torch.no_grad()
def sample(
    predict: Predictor,
    noise: Tensor,
    schedule: Schedule,
    guidance: Guidance | None = None,
    start: Tensor | None = None,
    adjust: Callable[[Tensor, float], Tensor] | None = None,
    on_step: Callable[[int, float, Tensor], None] | None = None,
) -> Tensor:
    """Turn noise into x.

    Args:
        predict: the network with its conditioning bound.
        noise: standard normal, (B, …).
        schedule: levels and update rule; used up by one call (multistep rules keep history).
        guidance: how to use the unconditional prediction; None means not at all.
        start: x (B, …) to start from when the schedule starts below σ = 1.
        adjust: changes each predicted x given σ, e.g. temporal smoothing.
        on_step: called after each step with its index, σ and predicted x.

    Returns:
        The last sample, (B, …), clamped to [-1, 1].
    """
    guidance = guidance or Guidance()
    current = schedule.initial(start, noise)
    for index, sigma in enumerate(schedule.sigmas):
        level = torch.full((noise.shape[0],), sigma, device=noise.device)
        point = schedule.network_input(index, current)
        x = predict(point, level, True)
        if guidance.acts(sigma):
            x = guidance.combine(x, predict(point, level, False))
        x = guidance.limit(x)
        if adjust is not None:
            x = adjust(x, sigma)
        current = schedule.step(index, x, current)
        if on_step is not None:
            on_step(index, sigma, x)
    return current.clamp(-1, 1)
