"""Measures of one clip that several benchmarks need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.streaming import ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import evaluate


def composite_flicker(frames: NDArray[np.uint8], fps: float) -> float:
    """The suite's composite of a clip (T, H, W, 3); NaN where too little could be followed."""
    timed = (TimedFrame(frame, k / fps) for k, frame in enumerate(frames))
    flicker = evaluate(scan(timed, fps, ScanSettings(published=False)), "clip").measures["flicker"]
    return float("nan") if flicker.value is None else flicker.value
