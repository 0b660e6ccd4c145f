"""Small synthetic clips for the flicker tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vidcascade.metrics.streaming import Scan, ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import ClipResult, evaluate

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
needs_golden = pytest.mark.skipif(
    not (GOLDEN / "clips").is_dir(), reason="the golden clips (shared/golden) are not here"
)


def texture(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """A random RGB picture (H, W, 3) uint8 with detail at several scales.

    Square by default: the cheapest shape once the short side is 256.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for sigma in (1.5, 4.0, 8.0):
        total += (
            cv2.GaussianBlur(rng.normal(size=total.shape).astype(np.float32), (0, 0), sigma) * sigma
        )
    return np.clip(128 + 40 * total / total.std(), 20, 235).astype(np.uint8)


def still(count: int = 10, **options: Any) -> np.ndarray:
    """The same picture again and again, (T, H, W, 3)."""
    return np.stack([texture(**options)] * count)


def pan(count: int = 10, step: int = 1, height: int = 64, width: int = 64) -> np.ndarray:
    """A picture that moves to the left by whole pixels."""
    wide = texture(height, width + step * count)
    return np.stack([wide[:, step * i : step * i + width] for i in range(count)])


def brighter(frames: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Each frame made brighter by so many grey levels."""
    out = frames.astype(np.float32) + np.asarray(steps, np.float32)[:, None, None, None]
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def timed(frames: np.ndarray, fps: float = 24.0) -> Iterator[TimedFrame]:
    return (TimedFrame(frame, index / fps) for index, frame in enumerate(frames))


def look(frames: np.ndarray, fps: float = 24.0, published: bool = False) -> Scan:
    return scan(timed(frames, fps), fps, ScanSettings(published=published))


def measured(frames: np.ndarray, fps: float = 24.0, name: str = "clip") -> ClipResult:
    return evaluate(look(frames, fps), name)


def value(frames: np.ndarray, name: str = "flicker", fps: float = 24.0) -> float:
    found = measured(frames, fps).measures[name].value
    assert found is not None
    return found
