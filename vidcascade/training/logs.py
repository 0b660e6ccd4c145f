"""What a run writes down as it goes: ``log.csv``, and the same for TensorBoard."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidcascade.video.atomic import atomic_path

NOISE_BINS = 4
_BINS = [f"loss_sigma_{k}_of_{NOISE_BINS}" for k in range(NOISE_BINS)]
_HEADER = ["step", "minutes", "loss", *_BINS, "grad_norm", "clips_per_second", "waiting"]


@dataclass
class Progress:
    """One line of the log.

    Attributes:
        step: steps done.
        minutes: of training so far, those before a resume included.
        loss: mean since the line before, and ``by_noise`` the same by quarters of σ, from low to
            high; NaN where no example fell.
        grad_norm: of the last step, before clipping.
        clips_per_second: examples trained on, sheets and checkpoints not counted.
        waiting: share of the time in which the trainer waited for examples.
        rates: factor on the learning rates.
        minutes_left: until the steps are done or the time is up.
    """

    step: int
    minutes: float
    loss: float
    by_noise: list[float]
    grad_norm: float
    clips_per_second: float
    waiting: float
    rates: float = 1.0
    minutes_left: float = float("nan")


class Meter:
    """Collects what happens between two lines of the log; each line begins a new one.

    Attributes:
        waited: seconds spent waiting for examples.
        paused: seconds spent on sheets and checkpoints, which are no part of the speed.
    """

    def __init__(self, now: float) -> None:
        self._since = now
        self._losses: list[torch.Tensor] = []
        self._sigmas: list[torch.Tensor] = []
        self.waited = 0.0
        self.paused = 0.0

    def add(self, losses: torch.Tensor, sigmas: torch.Tensor) -> None:
        """One step's losses and σ of its examples, (B,) both."""
        self._losses.append(losses.detach().cpu())
        self._sigmas.append(sigmas.cpu())

    @property
    def steps(self) -> int:
        """Steps that were added."""
        return len(self._losses)

    def seconds(self, now: float) -> float:
        """Spent on steps so far."""
        return max(now - self._since - self.paused, 1e-9)

    def seconds_per_step(self, now: float) -> float:
        """Mean time of a step."""
        return self.seconds(now) / max(len(self._losses), 1)

    def line(
        self, now: float, step: int, minutes: float, left: float, grad_norm: float, rates: float
    ) -> Progress:
        """Sum up as a line of the log."""
        losses, sigmas = torch.cat(self._losses), torch.cat(self._sigmas)
        seconds = self.seconds(now)
        return Progress(
            step,
            minutes,
            float(losses.mean()),
            by_noise(losses, sigmas),
            grad_norm,
            len(losses) / seconds,
            min(self.waited / seconds, 1.0),
            rates,
            left,
        )


class RunLog:
    """The logs of one run, continued after ``step``: what was logged beyond it is dropped.

    A run that is killed has logged more than its last checkpoint holds, and will log those steps
    again.

    Attributes:
        minutes: of training that the kept rows tell of.
    """

    def __init__(self, folder: Path, step: int, writes: bool = True) -> None:
        self.path = folder / "log.csv"
        # Of several training processes only one may touch the files.
        self.minutes = _trim(self.path, step) if writes else 0.0
        self._folder = folder / "tensorboard"
        self._purge = step + 1
        self._opened: Any = None

    @property
    def _board(self) -> Any:
        # Opened at the first line, so that nothing is imported or written by a run with no logs.
        if self._opened is None:
            from torch.utils.tensorboard import SummaryWriter

            self._opened = SummaryWriter(str(self._folder), purge_step=self._purge)
        return self._opened

    def write(self, line: Progress) -> None:
        """Append a line to both logs."""
        fresh = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(_HEADER)
            numbers = [line.minutes, line.loss, *line.by_noise, line.grad_norm]
            numbers += [line.clips_per_second, line.waiting]
            writer.writerow([line.step, *(f"{value:.5g}" for value in numbers)])
        scalars = {
            "loss/all": line.loss,
            **{f"loss/sigma_{k}_of_{NOISE_BINS}": v for k, v in enumerate(line.by_noise)},
            "grad_norm": line.grad_norm,
            "learning_rate_factor": line.rates,
            "speed/clips_per_second": line.clips_per_second,
            "speed/waiting": line.waiting,
        }
        for name, value in scalars.items():
            if np.isfinite(value):
                self._board.add_scalar(name, value, line.step)
        self._board.flush()

    def picture(self, sheet: np.ndarray, step: int) -> None:
        """Show a sample sheet, uint8 (H, W, 3), in TensorBoard."""
        self._board.add_image("samples", sheet, step, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        """Finish the TensorBoard file."""
        if self._opened is not None:
            self._opened.close()


def by_noise(losses: torch.Tensor, sigmas: torch.Tensor) -> list[float]:
    """Mean loss in each quarter of σ: losses and sigmas (N,) → :data:`NOISE_BINS` numbers."""
    bins = (sigmas * NOISE_BINS).long().clamp(max=NOISE_BINS - 1)
    return [
        float(losses[bins == k].mean()) if (bins == k).any() else float("nan")
        for k in range(NOISE_BINS)
    ]


def _trim(path: Path, step: int) -> float:
    """Drop rows beyond ``step``; returns the minutes of the last row that stays."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        return 0.0
    # A line that was cut off by a crash is not a row.
    kept = [r for r in rows if len(r) == len(_HEADER) and r[0].isdigit() and int(r[0]) <= step]
    with (
        atomic_path(path, overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([_HEADER, *kept])
    try:
        return float(kept[-1][1]) if kept else 0.0
    except ValueError:
        return 0.0
