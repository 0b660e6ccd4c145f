"""How close two pictures are, and how sharp one is.

PSNR; SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861); two sharpness measures. LPIPS, which is
a loss as well, is in :mod:`vidcascade.nn.lpips`.

Arrays are channels-last. A float array needs its ``data_range`` (1.0 for pictures in [0, 1]).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["gradient_sharpness", "laplacian_variance", "psnr", "ssim"]

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
