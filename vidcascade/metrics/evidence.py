"""What a report shows of a clip: where it flickers, and the frames to blame. Bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.composite import weights
from vidcascade.metrics.second_difference import Causes
from vidcascade.metrics.swimming import Swim

__all__ = ["HeatMap", "WorstFrame", "WorstFrames", "frame_heat"]

Map = NDArray[np.float32]
Picture = NDArray[np.uint8]

_KEEP = 4
_APART = 0.5  # seconds


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """One of the frames that flicker most, with its neighbours.

    Attributes:
        index: Frame number, from 0.
        time: Seconds.
        value: The flicker of this frame (before the eye's gain).
        pictures: Frames t-1, t, t+1 as uint8 RGB, short side 256.
        heat: float32 (h, w), where this frame differs from what its neighbours let expect.
    """

    index: int
    time: float
    value: float
    pictures: tuple[Picture, Picture, Picture]
    heat: Map


def frame_heat(causes: Causes, unsteady: Swim) -> Map:
    """Squared flicker at each point of one frame, quarter size, weighted as in the composite."""
    factor = weights()
    height, width = causes.regions.shape
    size = (width, height)
    fine: Any = cv2.resize(np.square(causes.fine), size, interpolation=cv2.INTER_AREA)
    power = np.square(unsteady.field)
    drift: Any = cv2.resize(power[..., 0] + power[..., 1], size, interpolation=cv2.INTER_AREA)
    heat = (
        factor["regional_luminance"] ** 2 * np.square(causes.regions)
        + factor["chroma"] ** 2 * np.square(causes.colours).sum(axis=-1)
        + factor["texture"] ** 2 * fine / np.square(causes.hiding)
        + factor["swimming"] ** 2 * drift
    )
    return np.asarray(heat * causes.shares, dtype=np.float32)


class HeatMap:
    """Root mean square of the frames' heat, where they were seen."""

    def __init__(self) -> None:
        self._total: NDArray[np.float64] | None = None
        self._seen: NDArray[np.float64] | None = None

    def add(self, heat: Map, shares: Map) -> None:
        if self._total is None or self._seen is None:
            self._total, self._seen = np.zeros(heat.shape), np.zeros(heat.shape)
        self._total += heat
        self._seen += shares

    def finish(self) -> Map | None:
        """float32 (h, w), or None when no frame could be measured."""
        if self._total is None or self._seen is None:
            return None
        return np.sqrt(self._total / np.maximum(self._seen, 1e-3)).astype(np.float32)


class WorstFrames:
    """The few frames with the highest values, at least half a second apart."""

    def __init__(self) -> None:
        self._kept: list[WorstFrame] = []

    def wants(self, value: float, time: float) -> bool:
        """Whether a frame would be kept, so that its pictures need not be made in vain."""
        near = [w for w in self._kept if abs(w.time - time) < _APART]
        if near:
            return value > max(w.value for w in near)
        return value > 0 and (len(self._kept) < _KEEP or value > self._kept[-1].value)

    def add(self, worst: WorstFrame) -> None:
        self._kept = [w for w in self._kept if abs(w.time - worst.time) >= _APART]
        self._kept.append(worst)
        self._kept.sort(key=lambda w: -w.value)
        del self._kept[_KEEP:]

    def finish(self) -> list[WorstFrame]:
        """Worst first."""
        return list(self._kept)
