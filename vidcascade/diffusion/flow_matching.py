"""Flow matching with x-prediction: the path, its velocity, training times and the loss.

The path is ``z = (1-σ)·x + σ·ε`` with σ in [0, 1] (Lipman et al. 2023; Liu et al. 2023), so the
velocity is ``v = dz/dσ = ε - x``. The network predicts x and the loss is taken in v (Li & He
2025, "Back to basics"), which weights the error in x by 1/σ².
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below this σ the velocity of an imperfect x̂ blows up; the same floor serves loss and sampling.
SIGMA_FLOOR = 0.05


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) → (B, 1, …) so that it broadcasts over ``like``."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def add_noise(x: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The point of the path at σ: x and noise (B, …), sigma (B,) → (B, …)."""
    sigma = per_sample(sigma, x)
    return (1 - sigma) * x + sigma * noise


def velocity(sample: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """v = (z - x)/σ at sample z (B, …) for prediction x (B, …) and sigma (B,) > 0."""
    return (sample - x) / per_sample(sigma, sample).clamp(min=1e-6)


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """Move σ to the noisy side (shift > 1), Esser et al. 2024, eq. 23; 0 and 1 stay."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def unshift_sigma(sigma: float, shift: float) -> float:
    """The inverse of :func:`shift_sigma` for one number."""
    return sigma / (shift - (shift - 1) * sigma)


def training_sigmas(
    normal: Tensor, shift: float = 1.0, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """Logit-normal σ (Esser et al. 2024), shifted: standard normal (B,) → (B,) in (0, 1)."""
    return shift_sigma(torch.sigmoid(mean + std * normal), shift)


def velocity_loss(
    prediction: Tensor,
    x: Tensor,
    sigma: Tensor,
    weight: Tensor | None = None,
    huber: float = 0.0,
) -> Tensor:
    """Mean squared error in v of each sample: prediction and x (B, …), sigma (B,) → (B,).

    ``weight`` broadcasts over x and has mean about 1; it makes parts of the picture count more.
    With ``huber`` = c > 0, in units of x, each value's error e counts as the pseudo-Huber loss
    2c·(√(e² + c²) - c) (Charbonnier et al. 1994) instead of e², in the same weighting: as e² far
    below c, and as 2c·|e| far above.
    """
    error = (prediction.float() - x.float()).square()
    if huber > 0.0:
        # 2c·(√(e² + c²) - c), without the difference of two near numbers.
        error = 2 * huber * error / ((error + huber**2).sqrt() + huber)
    if weight is not None:
        error = error * weight
    return error.flatten(1).mean(1) / sigma.clamp(min=SIGMA_FLOOR).square()
