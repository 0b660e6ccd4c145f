"""Checkpoints that are either whole or absent, and continue a run exactly."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import nn

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.training.sharding import gather, gather_state, own_part, share_state
from vidcascade.video.atomic import atomic_path

_WEIGHTS = "diffusion_pytorch_model*.safetensors"  # of a network; a student may lie beside them


def save_checkpoint(
    folder: Path,
    step: int,
    network: nn.Module,
    ema: EMAModel,
    optimisers: list[torch.optim.Optimizer],
    minutes: float = 0.0,
    write: bool = True,
) -> None:
    """Replace the checkpoint in ``folder/checkpoint`` in one move.

    Tensors in it are whole, however many processes hold parts of them; all of those call this.

    Args:
        folder: of the run.
        step: how many are done.
        network, ema, optimisers: what is saved.
        minutes: how long the run has trained so far, see :func:`trained_minutes`.
        write: whether this process writes it, or only hands over its parts.
    """
    weights = gather(_learnt(network), write)
    averaged = gather(dict(zip(_names(network), ema.shadow_params, strict=True)), write)
    state = {
        "step": step,
        "ema_steps": ema.optimization_step,
        "optimisers": [gather_state(optimiser, write) for optimiser in optimisers],
    }
    if not write:
        return
    target = folder / "checkpoint"
    with atomic_path(target, overwrite=True) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / "network.safetensors")
        save_file({k: v.contiguous() for k, v in averaged.items()}, temporary / "ema.safetensors")
        torch.save(state, temporary / "state.pt")
        (temporary / "clock.json").write_text(json.dumps({"minutes": minutes}), encoding="utf-8")


def claim_start(folder: Path, init: Path | None) -> None:
    """A run's folder belongs to the weights that the run began with.

    Args:
        folder: of the run, which exists.
        init: folder of weights to start from, or None.

    Raises:
        UsageError: its checkpoint is of a run that began with others. (Of one that does not say, as
            runs once did not, any are taken.)
    """
    mark = folder / "start.json"
    files = [] if init is None else sorted(init.glob(_WEIGHTS))
    own = json.dumps({"init": [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]})
    if not (folder / "checkpoint").exists():
        with atomic_path(mark, overwrite=True) as temporary:
            temporary.write_text(own, encoding="utf-8")
    elif mark.is_file() and mark.read_text(encoding="utf-8", errors="replace") != own:
        raise UsageError(
            f"{folder} holds a run that began with other weights: give the same --init as then, or "
            "choose another --out."
        )


def trained_minutes(folder: Path) -> float:
    """How long the run in ``folder`` had trained at its checkpoint; 0 without one."""
    try:
        text = (folder / "checkpoint" / "clock.json").read_text(encoding="utf-8")
        return max(float(json.loads(text)["minutes"]), 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


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
    if not source.is_dir() and not _recover(source):
        return 0
    try:
        weights = load_file(source / "network.safetensors")
        averaged = load_file(source / "ema.safetensors")
        _check_fit(network, weights)
        own = _learnt(network)
        weights = {name: own_part(tensor, own[name]) for name, tensor in weights.items()}
        network.load_state_dict(weights, strict=False)  # what is frozen is not in it
        # weights_only: an optimiser state holds tensors and numbers, and nothing else is loaded.
        # On the CPU, not on the one GPU that saved it: the optimiser brings it to its own.
        state: dict[str, Any] = torch.load(
            source / "state.pt", weights_only=True, map_location="cpu"
        )
        for shadow, name in zip(ema.shadow_params, _names(network), strict=True):
            shadow.copy_(own_part(averaged[name], shadow))
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            decays = [group["weight_decay"] for group in optimiser.param_groups]
            optimiser.load_state_dict(share_state(optimiser, saved))
            # Like the rates, which are set at every step, it is the recipe's and not the state's.
            for group, decay in zip(optimiser.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        ema.optimization_step = int(state["ema_steps"])
        return int(state["step"])
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise VidCascadeError(
            f"The checkpoint in {source} does not fit this run ({reason[:160]}): choose another "
            "--out, or remove it to start again."
        ) from error


def _recover(source: Path) -> bool:
    """Put back a checkpoint whose replacement died between its two renames."""
    for old in source.parent.glob(f".{source.name}.*.old"):
        with contextlib.suppress(OSError):  # another process of the same run was quicker
            old.rename(source)
            break
    return source.is_dir()


def _check_fit(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Say in a few words what torch says in a page."""
    own = {name: tuple(tensor.shape) for name, tensor in _learnt(network).items()}
    other = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(own.keys() | other.keys()):
        if own.get(name) != other.get(name):
            raise ValueError(
                f"{name} is {other.get(name, 'missing')} in it and "
                f"{own.get(name, 'missing')} in the spec's network"
            )


def _learnt(network: nn.Module) -> dict[str, torch.Tensor]:
    """All that a run changes: frozen weights come from where they came from."""
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    return {name: v for name, v in network.state_dict().items() if name not in frozen}


def _names(network: nn.Module) -> list[str]:
    return [name for name, p in network.named_parameters() if p.requires_grad]
