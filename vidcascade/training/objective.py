"""The training objective of any stage: flow matching on x, with the text sometimes dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.flow_matching import (
    add_noise,
    per_sample,
    training_sigmas,
    velocity_loss,
)
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.text import TextEncoder
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws

_MAX_CAPTIONS = 20_000  # about 0.5 GB of MiniLM's states


class TextCache:
    """Token states of captions, each encoded once; ``""`` stands for a dropped caption."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._states: dict[str, Tensor] = {}

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Captions → states (B, L, D) float32 and mask (B, L), padded to the longest."""
        rows = [self._row(caption) for caption in captions]
        longest = max(len(row) for row in rows)
        out = torch.zeros(len(rows), longest, rows[0].shape[1])
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row.float()
            mask[i, : len(row)] = True
        return out, mask

    def _row(self, caption: str) -> Tensor:
        found = self._states.get(caption)
        if found is None:
            # Alone, although together would be faster: the last bits depend on the company, and a
            # resumed run, whose cache is empty, would not repeat an uninterrupted one.
            states, mask = self.encoder.encode([caption])
            found = states[0, mask[0]].half().cpu()
            while len(self._states) >= _MAX_CAPTIONS:
                del self._states[next(iter(self._states))]
            self._states[caption] = found
        return found


def stage_loss(
    stage: Stage,
    network: SpaceTimeDenoiser,
    batch: Example,
    text: TextCache | None,
    draws: Draws,
) -> tuple[Tensor, Tensor]:
    """Loss and σ of each sample, (B,) both; all randomness comes from ``draws``."""
    recipe = stage.spec.training
    sigma = training_sigmas(draws.normal(), recipe.shift, std=recipe.sigma_std)
    noise = draws.normal(*batch.target.shape[1:])
    dropped = draws.uniform() < recipe.text_dropout
    start = stage.start(batch.given)
    at_start = torch.zeros(len(batch.captions), dtype=torch.bool)
    if start is not None:
        # Only the levels below the truncated start are ever visited.
        sigma = sigma * stage.spec.start_sigma
        at_start = draws.uniform() < recipe.first_step
        sigma = torch.where(at_start, stage.spec.start_sigma, sigma)
        noise = _share_noise(noise, stage.spec.smoothing.noise_correlation, draws)
    device = batch.target.device
    sigma, noise = sigma.to(device), noise.to(device)
    states = mask = None
    if text is not None:
        captions = ["" if d else c for d, c in zip(dropped, batch.captions, strict=True)]
        states, mask = (tensor.to(device) for tensor in text(captions))
    point = add_noise(batch.target, noise, sigma)
    if start is not None:
        # Sampling starts from the *upsampled input* noised to the start, in which the detail that
        # the target has is missing. A network that only ever saw noised targets would look for
        # that detail under the noise; here it learns to make it.
        swap = per_sample(at_start.to(device), point)
        point = torch.where(swap, add_noise(start, noise, sigma), point)
    x = stage.predict(
        network,
        point,
        sigma,
        batch.given,
        batch.augmentation,
        states,
        mask,
        batch.positions,
    )
    return velocity_loss(x, batch.target, sigma, batch.weight, recipe.huber), sigma


@torch.no_grad()
def untrained_loss(stage: Stage, batch: Example, sigma: Tensor) -> Tensor:
    """What a network that has learnt nothing would lose on these examples at these σ, (B,).

    Heads start at zero: an untrained base predicts grey, the other stages their input.
    """
    count, frames, _, height, width = batch.target.shape
    nothing = batch.target.new_zeros(count, frames, stage.out_channels, height, width)
    x = stage.to_x(nothing, batch.given, batch.augmentation)
    recipe = stage.spec.training
    return velocity_loss(x, batch.target, sigma, batch.weight, recipe.huber)


def _share_noise(noise: Tensor, correlation: float, draws: Draws) -> Tensor:
    """Noise (B, T, …) whose frames have the correlation that sampling gives them."""
    if correlation == 0.0:
        return noise
    shared = draws.normal(1, *noise.shape[2:])
    return correlation**0.5 * shared + (1 - correlation) ** 0.5 * noise
