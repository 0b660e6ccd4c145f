"""Checkpoints that are either whole or absent, and continue a run exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import nn

from vidcascade.errors import VidCascadeError
from vidcascade.video.atomic import atomic_path


def save_checkpoint(
    folder: Path,
    step: int,
    network: nn.Module,
    ema: EMAModel,
    optimisers: list[torch.optim.Optimizer],
) -> None:
    """Replace the checkpoint in ``folder/checkpoint`` in one move."""
    target = folder / "checkpoint"
    with atomic_path(target, overwrite=True) as temporary:
        temporary.mkdir()
        save_file(network.state_dict(), temporary / "network.safetensors")
        averaged = dict(zip(_names(network), ema.shadow_params, strict=True))
        save_file({k: v.contiguous() for k, v in averaged.items()}, temporary / "ema.safetensors")
        state = {
            "step": step,
            "ema_steps": ema.optimization_step,
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        }
        torch.save(state, temporary / "state.pt")


def load_checkpoint(
    folder: Path,
    network: nn.Module,
    ema: EMAModel,
    optimisers: list[torch.optim.Optimizer],
) -> int:
    """Restore what :func:`save_checkpoint` wrote; returns the step, 0 when there is nothing.

    Raises:
        VidCascadeError: the checkpoint is damaged or belongs to another network.
    """
    source = folder / "checkpoint"
    if not source.is_dir():
        return 0
    try:
        network.load_state_dict(load_file(source / "network.safetensors"))
        averaged = load_file(source / "ema.safetensors")
        # weights_only: an optimiser state holds tensors and numbers, and nothing else is loaded.
        state: dict[str, Any] = torch.load(source / "state.pt", weights_only=True)
        for shadow, name in zip(ema.shadow_params, _names(network), strict=True):
            shadow.copy_(averaged[name])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    except Exception as error:
        reason = str(error).splitlines()[0][:160]
        raise VidCascadeError(
            f"The checkpoint in {source} does not fit this run ({reason}): choose another --out, "
            "or remove it to start again."
        ) from error
    ema.optimization_step = state["ema_steps"]
    return int(state["step"])


def _names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters()]
