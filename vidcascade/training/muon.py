"""Muon (Jordan et al. 2024) that stays fast on processors without bfloat16 arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vidcascade.training.sharding import own_part, whole

# Numbers in a stack of matrices: what it takes beside them is a few times as much memory.
_LARGEST_STACK = 2**24


class GramMuon(torch.optim.Muon):
    """torch's Muon with the Newton-Schulz iteration run on the Gram matrix, in float32.

    torch iterates on the whole matrix in bfloat16, which most CPUs emulate some twenty times more
    slowly. Every iterate is a polynomial of the Gram matrix times the gradient, so the iteration
    can run on the small square matrix and touch the large one twice: a fifth of the arithmetic for
    the 1:9 matrices of 3 × 3 convolutions, with the same update but for rounding.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; ``closure`` recomputes the loss, as for every torch optimiser."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            updates: dict[nn.Parameter, Tensor] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                buffer = state["momentum_buffer"]
                buffer.lerp_(parameter.grad, 1 - momentum)
                updates[parameter] = (
                    parameter.grad.lerp(buffer, momentum) if group["nesterov"] else buffer
                )
            settings = group["ns_coefficients"], group["ns_steps"], group["eps"]
            for together in _stacks(list(updates)):
                # The singular values are of whole matrices: every process works on all of them.
                parts = [whole(updates.pop(parameter)) for parameter in together]
                for parameter, update in zip(together, _all(parts, *settings), strict=True):
                    rows, columns = parameter.shape
                    parameter.mul_(1 - lr * group["weight_decay"])
                    size = -lr * math.sqrt(max(1.0, rows / columns))
                    parameter.add_(own_part(update, parameter), alpha=size)
        return loss


def _stacks(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """The parameters; on a GPU those of one shape together, as many as a stack may hold.

    A GPU starts a product of many small matrices as fast as that of one, and a network has many
    matrices of few shapes.
    """
    shapes: dict[Any, list[nn.Parameter]] = {}
    for number, parameter in enumerate(parameters):
        key = parameter.shape if stacks_pay(parameter.device) else number
        shapes.setdefault(key, []).append(parameter)
    for alike in shapes.values():
        count = max(1, _LARGEST_STACK // alike[0].numel())
        for first in range(0, len(alike), count):
            yield alike[first : first + count]


def _all(matrices: Sequence[Tensor], *settings: Any) -> Sequence[Tensor]:
    """Every matrix orthogonalised; those of a stack at once."""
    if len(matrices) == 1:
        return [orthogonalise(matrices[0], *settings)]
    return list(orthogonalise(torch.stack(list(matrices)), *settings))


def stacks_pay(device: torch.device) -> bool:
    """Whether products of many small matrices are faster together."""
    return device.type == "cuda"


def orthogonalise(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float = 1e-7
) -> Tensor:
    """Bring all singular values of a matrix (m, n), or of each of (k, m, n), near 1.

    Roughly within [0.5, 1.5], by the quintic ``X ← aX + b(XXᵀ)X + c(XXᵀ)²X`` applied ``steps``
    times to X = matrix / ‖matrix‖, with X never formed in between: (XXᵀ) and the product of the
    polynomials commute.
    """
    a, b, c = coefficients
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = (matrix.mT if tall else matrix).float()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], device=gram.device)
    total = identity
    for _ in range(steps):
        polynomial = a * identity + b * gram + c * (gram @ gram)
        total = polynomial @ total
        gram = polynomial @ gram @ polynomial
    out = total @ x
    return (out.mT if tall else out).to(matrix.dtype)
