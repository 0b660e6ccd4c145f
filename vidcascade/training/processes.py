"""The processes that train together."""

from __future__ import annotations

import torch
from accelerate import PartialState


def process_state() -> PartialState:
    """accelerate's state of this process, made as the trainer's own will be.

    Whoever asks first decides: without ``cpu`` on a machine that has no GPU, each of several
    processes would take itself for the only one.
    """
    return PartialState(cpu=not torch.cuda.is_available())
