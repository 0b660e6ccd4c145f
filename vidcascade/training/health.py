"""Signs that a run is going wrong, each with what to do about it."""

from __future__ import annotations

import math
import statistics
import warnings
from collections import deque
from pathlib import Path

from torch import Tensor

from vidcascade.errors import VidCascadeError

HUNGRY_SHARE = 0.5
HUNGRY_LINES = 3
# Errors are judged over windows of so many examples, and by the median of a few windows.
WINDOW_EXAMPLES = 24
RECENT_WINDOWS = 3
UNTAUGHT_WINDOWS = 6
UNTAUGHT = 1.2  # a little above 1: a refiner needs a while to beat its input
DIVERGED = 4.0  # times the lowest, and worse than an untrained network besides


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


class Divergence:
    """Stops a run whose error climbs, and warns, once, of one whose error never fell.

    The error is the loss over that of an untrained network on the same examples at the same σ. It
    scatters with the noise levels that were drawn, though less than the loss itself; so a run has
    diverged only when it is also worse than a network that has learnt nothing.

    Args:
        warmup: steps of warmup, in which nothing is judged.
        folder: of the run.
    """

    def __init__(self, warmup: int, folder: Path) -> None:
        self.warmup, self.folder = warmup, folder
        self._lowest = math.inf
        self._loss, self._untrained, self._examples = 0.0, 0.0, 0
        self._recent: deque[float] = deque(maxlen=RECENT_WINDOWS)
        self._windows = 0
        self._warned = False

    def see(self, step: int, loss: Tensor, untrained: Tensor) -> None:
        """Look at some examples' losses, and an untrained network's, (B,) both.

        Raises:
            VidCascadeError: the error has risen to several times its lowest and above 1.
        """
        if step <= self.warmup:
            return
        self._loss += float(loss.sum())
        self._untrained += float(untrained.sum())
        self._examples += len(loss)
        if self._examples < WINDOW_EXAMPLES:
            return
        self._recent.append(self._loss / max(self._untrained, 1e-12))
        self._loss, self._untrained, self._examples = 0.0, 0.0, 0
        self._windows += 1
        if len(self._recent) < RECENT_WINDOWS:
            return
        now = statistics.median(self._recent)
        self._lowest = min(self._lowest, now)
        if now > max(DIVERGED * self._lowest, 1.0):
            raise VidCascadeError(
                f"Training stopped at step {step}: the error has risen from {self._lowest:.1%} to "
                f"{now:.1%} of an untrained network's, so this run has diverged; lower muon_lr and "
                f"adam_lr or raise warmup, and start again with another --out than {self.folder}, "
                "whose last checkpoint may be spoilt."
            )
        if self._windows >= UNTAUGHT_WINDOWS and self._lowest >= UNTAUGHT and not self._warned:
            self._warned = True
            warnings.warn(
                f"After {step} steps the error is {now:.0%} of an untrained network's: the "
                "learning rates are probably too high, so lower muon_lr and adam_lr.",
                TrainingWarning,
                stacklevel=2,
            )
