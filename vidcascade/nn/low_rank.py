"""Low-rank changes of a network's matrices (LoRA, Hu et al. 2022).

A student that differs from its teacher by a few per cent of its numbers is stored as that
difference. While it learns, every matrix ``W`` is used as ``W + up · down``; afterwards the change
is added once, and the network runs at its usual speed. (peft does this for transformers models, and
imports transformers to do it: seconds in a program that should answer in a few.)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_BLOCKS = 64  # that are compiled, at most; others run as they are

__all__ = [
    "LowRank",
    "add_low_rank",
    "allow_compiling",
    "fingerprint",
    "low_rank_state",
    "merge_low_rank",
    "set_low_rank",
]


class LowRank(nn.Module):
    """Adds a matrix of low rank to a weight, nothing at the start.

    Args:
        rows, columns: of the weight.
        rank: of what is added.
    """

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """(rows, columns) → the same shape."""
        return weight + self.up @ self.down


def add_low_rank(network: nn.Module, rank: int) -> None:
    """Freeze a network and let every matrix in it learn a change of ``rank``.

    Matrices without room for that rank stay as they are.

    Raises:
        ValueError: a rank below 1, or above that of every matrix.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, not {rank}")
    network.requires_grad_(False)
    chosen = [m for m, weight in _matrices(network) if min(weight.shape) > rank]
    if not chosen:
        raise ValueError(f"no matrix of the network has room for a change of rank {rank}")
    for module in chosen:
        rows, columns = cast("Tensor", module.weight).shape
        parametrize.register_parametrization(module, "weight", LowRank(rows, columns, rank))


def allow_compiling() -> None:
    """Let torch.compile take networks that :func:`add_low_rank` changed.

    A matrix with a change is a class of its own, so every block is compiled by itself.
    """
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, _BLOCKS)


def low_rank_state(network: nn.Module) -> dict[str, Tensor]:
    """The changes that :func:`add_low_rank` made room for, as ``<module>.up`` and ``.down``."""
    state = {}
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            change = module.parametrizations.weight[0]
            state[f"{name}.up"] = change.up.detach()
            state[f"{name}.down"] = change.down.detach()
    return state


@torch.no_grad()
def set_low_rank(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the changes that :func:`add_low_rank` made room for these values.

    Raises:
        ValueError: changes of other matrices or another rank, or not finite.
    """
    own = low_rank_state(network)
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError("they are changes of other matrices, or of another rank")
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError("they are not finite")
    for name, tensor in own.items():
        tensor.copy_(state[name])


@torch.no_grad()
def merge_low_rank(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Add changes, as :func:`low_rank_state` gives them, to a plain network's weights in place.

    Raises:
        ValueError: changes that are not this network's, or not finite.
    """
    weights = dict(_named_matrices(network))
    names = {key.removesuffix(".up") for key in state if key.endswith(".up")}
    if set(state) != {f"{n}.{part}" for n in names for part in ("up", "down")}:
        raise ValueError("they are no pairs of matrices")
    for name in sorted(names):
        up, down = state[f"{name}.up"].float(), state[f"{name}.down"].float()
        weight = weights.get(name)
        fits = up.ndim == down.ndim == 2 and up.shape[1] == down.shape[0]
        if weight is None or not fits or weight.shape != (up.shape[0], down.shape[1]):
            raise ValueError(f"{name} is not a matrix of that size in the network")
        change = (up @ down).to(weight)
        if not change.isfinite().all():
            raise ValueError(f"{name} is not finite")
        weight += change


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights rounded to bfloat16, by which its changes know it.

    Weights are stored in that precision, so a copy in any wider one has the same fingerprint.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().bfloat16().contiguous().view(torch.int16).numpy())
    return digest.hexdigest()


def _matrices(network: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 2:
            yield module, weight


def _named_matrices(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters():
        if name.endswith(".weight") and parameter.ndim == 2:
            yield name.removesuffix(".weight"), parameter
