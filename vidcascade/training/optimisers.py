"""Muon for the matrices inside the blocks, AdamW for everything else."""

from __future__ import annotations

import torch
from torch import nn

from vidcascade.cascade.recipe import Recipe
from vidcascade.training.muon import GramMuon

DECAY_FROM = 0.8


def build_optimisers(network: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Split the parameters (Jordan et al. 2024): hidden matrices to Muon, the rest to AdamW.

    Embeddings, norms, biases, stem and head are not hidden matrices. With ``muon_lr`` 0 all go to
    AdamW.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        outside = name.split(".")[0] not in ("trunk", "down_blocks", "up_blocks")
        hidden = parameter.ndim == 2 and not outside and ".modulation." not in name
        (matrices if hidden and recipe.muon_lr > 0 else others).append(parameter)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            others, lr=recipe.adam_lr, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
    ]
    if matrices:
        optimisers.append(GramMuon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay))
    return optimisers


def scheduled_rate(
    step: int, total: int, warmup: int, floor: float = 0.05, progress: float = 0.0
) -> float:
    """Factor on the learning rate: linear warmup, flat, linear decay over the last fifth.

    ``progress`` is the share of the run's time that is spent, 0 to 1, for runs that end by the
    clock: whichever of steps and time is nearer to its end decides.
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    done = max(step / total, progress)
    fall = max(floor, (1 - done) / (1 - DECAY_FROM)) if done >= DECAY_FROM else 1.0
    return min(rise, fall)
