"""Signs that a run is going wrong, each with what to do about it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from vidcascade.errors import VidCascadeError

HUNGRY_SHARE = 0.5
HUNGRY_LINES = 3


class TrainingWarning(UserWarning):
    """Something that slows a run or spoils it, and does not stop it."""


def check_finite(loss: float, grad_norm: float, step: int, folder: Path) -> None:
    """Stop a run whose numbers are no numbers any more, before they reach weights or checkpoints.

    Raises:
        VidCascadeError: the loss or the norm of the gradient is NaN or infinite.
    """
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    kept = folder / "checkpoint"
    again = (
        f"run again from the last checkpoint in {folder}"
        if kept.is_dir()
        else "start again (there is no checkpoint yet)"
    )
    raise VidCascadeError(
        f"Training stopped at step {step}: the loss is {loss:.3g} and the gradient norm "
        f"{grad_norm:.3g}; lower muon_lr and adam_lr or raise warmup, then {again}."
    )


class Starvation:
    """Warns, once, of a trainer that waits for its data."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._hungry = 0
        self._warned = False

    def see(self, waiting: float) -> None:
        """Look at one line's share of time spent waiting."""
        # One line may be slow for many reasons, the start of the workers among them.
        self._hungry = self._hungry + 1 if waiting > HUNGRY_SHARE else 0
        if self._hungry < HUNGRY_LINES or self._warned:
            return
        self._warned = True
        warnings.warn(
            f"More than {HUNGRY_SHARE:.0%} of the time is spent waiting for examples: raise "
            f"--workers (now {self.workers}).",
            TrainingWarning,
            stacklevel=2,
        )
