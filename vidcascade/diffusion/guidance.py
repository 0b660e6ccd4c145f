"""Classifier-free guidance, its interval, and dynamic thresholding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Guidance:
    """How far to go from the unconditional towards the conditional prediction.

    ``scale`` 1 is no guidance (Ho & Salimans 2022). It acts only while ``low ≤ σ ≤ high``
    (Kynkäänniemi et al. 2024). ``threshold`` is the percentile of Imagen's dynamic thresholding
    (Saharia et al. 2022, section 2.3) or None.
    """

    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0
    threshold: float | None = None

    def acts(self, sigma: float) -> bool:
        """Whether a second, unconditional prediction is needed at this σ."""
        return self.scale != 1.0 and self.low <= sigma <= self.high

    def combine(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """Guided prediction of x from two of shape (B, …)."""
        return unconditional + self.scale * (conditional - unconditional)

    def limit(self, x: Tensor) -> Tensor:
        """Bring a guided x (B, …) back into [-1, 1], by percentile if there is one."""
        if self.threshold is None:
            return x.clamp(-1, 1)
        sizes = x.float().abs().flatten(1).sort(dim=1).values
        index = min(int(self.threshold * sizes.shape[1]), sizes.shape[1] - 1)
        bound = sizes[:, index].clamp(min=1.0).reshape(-1, *[1] * (x.ndim - 1))
        return (torch.minimum(torch.maximum(x, -bound), bound) / bound).to(x.dtype)
