"""Networks of which each process holds a part: weights, gradients, averages, optimisers' states.

``accelerate launch`` asks for it (``distributed_type: FSDP``) and torch's fully_shard does it, on
GPUs and CPUs alike. accelerate's own preparation is passed by: on CPUs it does not shard, and with
bfloat16 it would round a network's inputs, σ among them, and the gradients that are summed. Here
the parts are float32, and autocast decides as in any other run.

A sharded tensor is a DTensor. Arithmetic on each element needs nothing else; where a tensor is
needed whole, all processes must ask for it together.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeBlock, SpaceTimeDenoiser

K = TypeVar("K")

# What accelerate's FSDP can do besides, and these runs cannot.
_EXTRAS = ("OFFLOAD_PARAMS", "ACTIVATION_CHECKPOINTING", "CPU_RAM_EFFICIENT_LOADING")


def sharding_asked() -> bool:
    """Whether ``accelerate launch`` was told to shard.

    Raises:
        UsageError: it was, in a way that is not to be had here.
    """
    if not _is_on("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION") != "2" or any(_is_on(f"FSDP_{name}") for name in _EXTRAS):
        raise UsageError(
            "Networks are sharded by FSDP 2 without offloading, activation checkpointing or "
            "efficient loading: launch with configs/accelerate/fsdp.yaml."
        )
    return True


def shard(network: nn.Module, device: torch.device) -> None:
    """Leave each process its part of a network, on ``device``.

    All processes must hold the same weights. Parameters are replaced: averages and optimisers are
    built afterwards, and blocks are compiled before.

    Raises:
        UsageError: not all of the network is trained.
    """
    whole_network = isinstance(network, SpaceTimeDenoiser)
    if not whole_network or not all(p.requires_grad for p in network.parameters()):
        raise UsageError(
            "Only whole networks can be sharded, not students or low-rank changes: launch with "
            "configs/accelerate/node.yaml."
        )
    # Nothing is done in place to what a network returns.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    again = _is_on("FSDP_RESHARD_AFTER_FORWARD")
    for module in network.modules():
        if isinstance(module, SpaceTimeBlock):
            fully_shard(module, mesh=mesh, reshard_after_forward=again)
    fully_shard(network, mesh=mesh)


def prepare(
    accelerator: Accelerator, network: nn.Module, optimisers: list[torch.optim.Optimizer]
) -> tuple[Any, list[torch.optim.Optimizer]]:
    """Network and optimisers to train with: accelerate's, unless the network is sharded."""
    if isinstance(network, FSDPModule):
        return network, optimisers
    model, *prepared = accelerator.prepare(network, *optimisers)
    return model, prepared


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, in every process; one that is not sharded is returned as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, sharded as ``like``, if that is."""
    if not isinstance(like, DTensor):
        return tensor
    # No source: all processes hold the whole tensor, and nothing is sent.
    return distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def gather(tensors: Mapping[K, Any], keep: bool) -> dict[K, Any]:
    """Tensors with what is sharded made whole, on the CPU; nothing in a process without ``keep``.

    All processes call it, with the same tensors in the same order.
    """
    kept: dict[K, Any] = {}
    for name, tensor in tensors.items():
        # One at a time: a GPU need not have room for all.
        full = whole(tensor).cpu() if isinstance(tensor, DTensor) else tensor
        if keep:
            kept[name] = full
    return kept


@contextmanager
def gathered(ema: EMAModel, keep: bool) -> Iterator[None]:
    """While it lasts the averages are whole in processes with ``keep``; others have none."""
    parts = ema.shadow_params
    ema.shadow_params = list(gather(dict(enumerate(parts)), keep).values())
    try:
        yield
    finally:
        ema.shadow_params = parts


def gather_state(optimiser: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    """An optimiser's state dict as :func:`gather` makes it, as if nothing were sharded."""
    saved = optimiser.state_dict()
    return saved | {"state": {k: gather(state, keep) for k, state in saved["state"].items()}}


def share_state(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """What :func:`gather_state` gave, cut to this process's parts."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state = dict(saved["state"])
    for number, parameter in enumerate(parameters):
        if number in state:
            state[number] = {
                # Counts of steps are no part of the parameter.
                name: own_part(value, parameter) if value.shape == parameter.shape else value
                for name, value in state[number].items()
            }
    return saved | {"state": state}


def _is_on(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"
