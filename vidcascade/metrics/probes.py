"""Signed series for the spectra, taken at fixed places of the residual, one row per frame.

Lightness and colour are followed in a grid of cells, texture and swimming at scattered points. The
spectra are averaged over places, so a flicker keeps its frequency even where its sign differs from
place to place.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.second_difference import Causes
from vidcascade.metrics.spectrum import Periodogram, Welch
from vidcascade.metrics.swimming import Swim

__all__ = ["Probes"]

_ROWS = 6
_POINTS = 64
_LEAST_SHARE = 0.5

Row = NDArray[np.float64]


class Probes:
    """Feeds the periodograms of all causes on an even time grid."""

    def __init__(self, size: tuple[int, ...], fps: float) -> None:
        height, width = size
        self._rows = min(_ROWS, max(height // 4, 1))
        self._columns = max(1, min(round(_ROWS * width / height), width // 4))
        # The same places for every clip of a size: results repeat exactly.
        generator = np.random.default_rng(0)
        self._y = generator.integers(0, height, _POINTS)
        self._x = generator.integers(0, width, _POINTS)
        cells = self._rows * self._columns
        self._slices: dict[str, slice] = {}
        total = 0
        for name, count in (
            ("global_luminance", 1),
            ("cells", cells),
            ("regional_luminance", cells),
            ("chroma", 2 * cells),
            ("texture", _POINTS),
            ("swimming", 2 * _POINTS),
        ):
            self._slices[name] = slice(total, total + count)
            total += count
        self._total = total
        self._fps = fps
        self._welch = {
            name: Welch(part.stop - part.start, fps) for name, part in self._slices.items()
        }
        self._start: float | None = None
        self._previous: tuple[float, Row] | None = None
        self._next = 0

    def add(self, time: float, causes: Causes, unsteady: Swim, seen: NDArray[np.bool_]) -> None:
        """One frame's residual at ``time`` seconds."""
        size = (self._columns, self._rows)
        shares: Any = cv2.resize(causes.shares, size, interpolation=cv2.INTER_AREA)
        hidden = shares.ravel() < _LEAST_SHARE
        cells = _cells(causes.regions, size, hidden)
        point = np.where(seen[self._y, self._x], 1.0, np.nan)
        drift = unsteady.field[self._y, self._x] * point[:, None]
        row = np.concatenate(
            (
                [causes.global_luminance],
                cells,
                cells - causes.global_luminance,
                _cells(causes.colours[..., 0], size, hidden),
                _cells(causes.colours[..., 1], size, hidden),
                causes.fine[self._y, self._x] * point,
                drift.ravel(),
            )
        )
        self._place(time, row)

    def skip(self, time: float) -> None:
        """A frame without a residual."""
        self._place(time, np.full(self._total, np.nan))

    def finish(self) -> dict[str, Periodogram]:
        """Spectrum of each cause (not of judder, which is one vector for the whole picture)."""
        return {name: welch.finish() for name, welch in self._welch.items()}

    def _place(self, time: float, row: Row) -> None:
        """Put a row on the even grid: where frames come unevenly, rows are interpolated in time."""
        if self._start is None:
            self._start = time
        position = (time - self._start) * self._fps
        while self._next <= position + 0.25:
            share = 1.0
            if self._previous is not None and position - self._next > 0.25:
                before = self._previous[0]
                share = (self._next - before) / (position - before)
            old = row if self._previous is None else self._previous[1]
            self._feed(row if share >= 1 else (1 - share) * old + share * row)
            self._next += 1
        self._previous = (position, row)

    def _feed(self, row: Row) -> None:
        for name, part in self._slices.items():
            self._welch[name].add(row[part])


def _cells(values: NDArray[np.float32], size: tuple[int, int], hidden: NDArray[np.bool_]) -> Row:
    cells: Any = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return np.where(hidden, np.nan, cells.ravel()).astype(np.float64)
