"""How close two pictures are, and how sharp one is.

PSNR; SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861); LPIPS (Zhang et al. 2018,
arXiv:1801.03924), with weights that the user names; two sharpness measures.

Arrays are channels-last. A float array needs its ``data_range`` (1.0 for pictures in [0, 1]).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidcascade.errors import UsageError, VidCascadeError

__all__ = ["LPIPS", "gradient_sharpness", "laplacian_variance", "psnr", "ssim"]

Values = NDArray[np.float64]


def psnr(a: NDArray[Any], b: NDArray[Any], data_range: float | None = None) -> Values:
    """Peak signal-to-noise ratio of each picture, in dB (infinite for equal pictures).

    Args:
        a: (H, W, C) or (…, H, W, C), such as a clip (T, H, W, C).
        b: Same shape.
        data_range: Largest minus smallest possible value; None: 255, uint8 only.

    Returns:
        float64 of shape (…); for one picture a 0-d array, so ``float(psnr(a, b))`` works.

    Raises:
        UsageError: If shapes differ or a float picture comes without its range.
    """
    peak = _peak(a, b, data_range)
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean(axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        return np.asarray(20 * np.log10(peak) - 10 * np.log10(error))


def ssim(a: NDArray[Any], b: NDArray[Any], data_range: float | None = None) -> Values:
    """Structural similarity of each picture, mean over channels; 1 for equal pictures.

    Gaussian window 11 × 11, σ = 1.5, K = (0.01, 0.03), population covariance, only where the
    window fits; each channel by itself.

    Args:
        a: (H, W, C) or (…, H, W, C), both sides at least 11.
        b: Same shape.
        data_range: As for :func:`psnr`.

    Returns:
        float64 of shape (…).

    Raises:
        UsageError: As :func:`psnr`, or if the pictures are smaller than the window.
    """
    peak = _peak(a, b, data_range)
    *lead, height, width, _ = a.shape
    if min(height, width) < 11:
        raise UsageError(f"SSIM needs pictures of at least 11 × 11 pixels: got {width} × {height}.")
    pairs = zip(
        a.reshape(-1, *a.shape[-3:]).astype(np.float64),
        b.reshape(-1, *b.shape[-3:]).astype(np.float64),
        strict=True,
    )
    values = [_ssim_picture(x, y, peak) for x, y in pairs]
    return np.asarray(values, dtype=np.float64).reshape(lead)


def gradient_sharpness(frames: NDArray[np.uint8]) -> Values:
    """Mean gradient magnitude of each picture's luma, in grey levels (0 to 255) per pixel.

    Args:
        frames: (H, W, 3) or (…, H, W, 3) RGB uint8.

    Returns:
        float64 of shape (…). Central differences, border left out; noise counts as sharpness.
    """
    luma = _luma(frames)
    dx = (luma[..., 1:-1, 2:] - luma[..., 1:-1, :-2]) / 2
    dy = (luma[..., 2:, 1:-1] - luma[..., :-2, 1:-1]) / 2
    return np.asarray(np.hypot(dx, dy).mean(axis=(-2, -1)))


def laplacian_variance(frames: NDArray[np.uint8]) -> Values:
    """Variance of the 4-neighbour Laplacian of each picture's luma, in squared grey levels.

    Weighs fine detail more than :func:`gradient_sharpness`. Source: Pech-Pacheco et al. 2000,
    doi:10.1109/ICPR.2000.903548. Shapes as there.
    """
    luma = _luma(frames)
    centre = luma[..., 1:-1, 1:-1]
    around = luma[..., :-2, 1:-1] + luma[..., 2:, 1:-1] + luma[..., 1:-1, :-2] + luma[..., 1:-1, 2:]
    return np.asarray((around - 4 * centre).var(axis=(-2, -1)))


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


def _peak(a: NDArray[Any], b: NDArray[Any], data_range: float | None) -> float:
    if a.shape != b.shape or a.ndim < 3:
        raise UsageError(
            f"Fidelity compares pictures (…, H, W, C) of one shape: got {a.shape} and {b.shape}."
        )
    if data_range is not None:
        return float(data_range)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise UsageError("Pictures that are not uint8 need a data_range: give 1.0 for [0, 1].")
    return 255.0


def _ssim_picture(x: Values, y: Values, peak: float) -> float:
    kernel = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F)

    def blur(values: Values) -> Values:
        # Rows and columns 5 from the edge have seen the border's padding: cut them off.
        out = cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel).reshape(values.shape)
        return np.asarray(out[5:-5, 5:-5])

    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x**2
    var_y = blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _luma(frames: NDArray[np.uint8]) -> Values:
    if frames.dtype != np.uint8 or frames.ndim < 3 or frames.shape[-1] != 3:
        raise UsageError(
            f"Sharpness takes uint8 RGB pictures (…, H, W, 3): got {frames.dtype} {frames.shape}."
        )
    if min(frames.shape[-3:-1]) < 3:
        raise UsageError("Sharpness needs pictures of at least 3 × 3 pixels.")
    return np.asarray(frames @ np.array([0.299, 0.587, 0.114]))
