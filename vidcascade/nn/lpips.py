"""LPIPS (Zhang et al. 2018, arXiv:1801.03924), with weights that the user names."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcascade.errors import UsageError, VidCascadeError


class LPIPS(nn.Module):
    """Learned perceptual distance: AlexNet trunk with the v0.1 linear heads; 0 = equal.

    Frozen, but differentiable in both pictures, so it also serves as a loss. The package ships no
    weights.

    Args:
        weights: A safetensors file with ``features.{0..4}.weight/bias`` (the five convolutions)
            and ``lin.{0..4}.weight`` (the heads).

    Raises:
        UsageError: If the file is missing.
        VidCascadeError: If it holds something else.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: str | os.PathLike[str]) -> None:
        super().__init__()
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = Path(weights)
        if not path.is_file():
            raise UsageError(f"There are no LPIPS weights at {path}: name a safetensors file.")
        self.features = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        self.lin = nn.ModuleList(_Head(width) for width in (64, 192, 384, 256, 256))
        self.register_buffer("shift", _channels(-0.030, -0.088, -0.188), persistent=False)
        self.register_buffer("scale", _channels(0.458, 0.448, 0.450), persistent=False)
        try:
            self.load_state_dict({key: value.float() for key, value in load_file(path).items()})
        except (RuntimeError, SafetensorError) as error:
            raise VidCascadeError(
                f"{path} does not hold LPIPS weights for AlexNet: it needs features.0 to 4 and"
                " lin.0 to 4."
            ) from error
        self.requires_grad_(False)
        self.eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of B pairs.

        Args:
            a: (B, 3, H, W) RGB in [-1, 1], both sides at least 32.
            b: Same shape.

        Returns:
            float32 (B,).

        Raises:
            UsageError: If the shapes differ or are too small.
        """
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[-2:]) < 32:
            raise UsageError(
                "LPIPS takes two RGB batches (B, 3, H, W) of one shape, both sides at least 32:"
                f" got {tuple(a.shape)} and {tuple(b.shape)}."
            )
        # fp32 even under autocast: distances of near-equal pictures drown in bf16 rounding.
        with torch.autocast(a.device.type, enabled=False):
            total = a.new_zeros(a.shape[0], dtype=torch.float32)
            for x, head in zip(self.activations(torch.cat((a, b))), self.lin, strict=True):
                unit_a, unit_b = _unit(x).chunk(2)
                total = total + head((unit_a - unit_b).square())
        return total

    def activations(self, pictures: Tensor) -> list[Tensor]:
        """What the trunk's five convolutions see in pictures (B, 3, H, W) in [-1, 1].

        Returns:
            float32 (B, C, h, w) each, with 64, 192, 384, 256 and 256 channels.
        """
        found = []
        with torch.autocast(pictures.device.type, enabled=False):
            x = (pictures.float() - self.shift) / self.scale
            for index, conv in enumerate(self.features):
                if index in (1, 2):
                    x = F.max_pool2d(x, 3, stride=2)
                x = F.relu(conv(x))
                found.append(x)
        return found


class _Head(nn.Module):
    """Weighted sum over channels, mean over the picture: (B, C, H, W) → (B,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(-2, -1)) @ self.weight


def _unit(x: Tensor) -> Tensor:
    # The clamp changes no value that matters; without it the root's slope at 0 makes NaN gradients.
    norm = x.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt()
    return x / (norm + 1e-10)


def _channels(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)
