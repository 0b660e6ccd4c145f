"""The training objective of any stage: flow matching on x, with the text sometimes dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.flow_matching import add_noise, training_sigmas, velocity_loss
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.text import TextEncoder
from vidcascade.training.dataset import Example


class TextCache:
    """Token states of captions, each encoded once; ``""`` stands for a dropped caption."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._states: dict[str, Tensor] = {}

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """Captions → states (B, L, D) float32 and mask (B, L), padded to the longest."""
        missing = sorted({c for c in captions if c not in self._states})
        if missing:
            states, mask = self.encoder.encode(missing)
            for caption, state, kept in zip(missing, states, mask, strict=True):
                self._states[caption] = state[kept].half()
        rows = [self._states[c] for c in captions]
        longest = max(len(row) for row in rows)
        out = torch.zeros(len(rows), longest, rows[0].shape[1])
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row.float()
            mask[i, : len(row)] = True
        return out, mask


def stage_loss(
    stage: Stage,
    network: SpaceTimeDenoiser,
    batch: Example,
    text: TextCache | None,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Loss and σ of each sample, (B,) both; all randomness comes from ``generator``."""
    recipe = stage.spec.training
    count = len(batch.captions)
    sigma = training_sigmas(count, generator, recipe.shift, std=recipe.sigma_std)
    if stage.spec.kind == "refiner":
        # Only the levels below the truncated start are ever visited.
        sigma = sigma * stage.spec.start_sigma
    noise = torch.randn(batch.target.shape, generator=generator)
    dropped = torch.rand(count, generator=generator) < recipe.text_dropout
    device = batch.target.device
    sigma, noise = sigma.to(device), noise.to(device)
    states = mask = None
    if text is not None:
        captions = ["" if d else c for d, c in zip(dropped, batch.captions, strict=True)]
        states, mask = (tensor.to(device) for tensor in text(captions))
    x = stage.predict(
        network,
        add_noise(batch.target, noise, sigma),
        sigma,
        batch.given,
        batch.augmentation,
        states,
        mask,
        batch.positions,
    )
    return velocity_loss(x, batch.target, sigma, batch.weight), sigma
