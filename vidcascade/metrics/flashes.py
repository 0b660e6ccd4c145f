"""General and red flashes, as the photosensitivity guidelines count them.

A *transition* is a change of relative luminance by 0.1 of the maximum or more whose darker side is
below 0.8, or of red saturation ``320 max(R - G - B, 0)`` (0 unless R is at least 80 % of the sum)
by 20 or more, over at least a quarter of the picture; two opposing transitions make a flash. More
than 6 within a second (three flashes) fail; 4 to 6 for more than four of the last five seconds
fail as an extended sequence; 4 to 6 otherwise are passed with a warning.

Sources: WCAG 2.2, *general flash and red flash thresholds*; ITU-R BT.1702-3. Rules, thresholds and
values are those of EA IRIS (github.com/electronicarts/IRIS, relative luminance, no pattern
detection), which takes the *mean over the whole picture* once a quarter of it has changed: halves
that flash in turn cancel there. So the same rules also run on each cell of a grid; what a quarter
of the cells see is the clip's *local* count.

This is information, no certificate of compliance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FlashCounter", "FlashFrame", "Flashes", "verdict"]

_LUMINANCE_STEP, _DARK = 0.1, 0.8
_RED_STEP = 20.0
_AREA = 0.25
_MOST, _SOME = 6, 4
_EXTENDED, _EXTENDED_WINDOW = 4.0, 5.0
_ROWS = 8
# Larger pictures are thinned out to at most so many pixels: means and shares stay the same.
_PIXELS = 640 * 480

PASS, WARNING, EXTENDED, FAIL = 0, 1, 2, 3
_NAMES = ("pass", "pass with warning", "fail", "fail")

Values = NDArray[np.float32]


def _decode_table() -> Values:
    value = np.arange(256) / 255
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return curve.astype(np.float32)


_LINEAR = _decode_table()


@dataclass(frozen=True)
class FlashFrame:
    """What was counted at one frame.

    Attributes:
        luminance: Mean relative luminance, 0 to 1.
        luminance_area: Share of pixels whose luminance changed since the frame before.
        red: Mean red saturation, 0 to 320.
        red_area: Share of pixels whose red saturation changed.
        general: Luminance transitions within the last second.
        red_transitions: Red transitions within the last second.
        general_result: 0 pass, 1 warning, 2 extended failure, 3 failure.
        red_result: Likewise.
        local: The most luminance transitions that a quarter of the cells see in the last second.
        local_red: Likewise, red.
    """

    luminance: float
    luminance_area: float
    red: float
    red_area: float
    general: int
    red_transitions: int
    general_result: int
    red_result: int
    local: int
    local_red: int


@dataclass(frozen=True)
class Flashes:
    """A clip's flashes.

    Attributes:
        general: Most luminance transitions within a second, over the whole picture.
        red: Most red transitions within a second, over the whole picture.
        local: Most luminance transitions within a second that a quarter of the cells see.
        local_red: Likewise, red.
        global_verdict: IRIS's overall result: "pass", "pass with warning" or "fail".
        verdict: The worse of that and the local counts' result.
    """

    general: int = 0
    red: int = 0
    local: int = 0
    local_red: int = 0
    global_verdict: str = "pass"
    verdict: str = "pass"


class _Transitions:
    """Accumulates changes of N values at once and counts transitions within a second."""

    def __init__(self, count: int, threshold: float, dark: float) -> None:
        self._threshold, self._dark = threshold, dark
        self._sum: Values = np.zeros(count, dtype=np.float32)
        self._last = self._sum
        self._previous: Values | None = None
        self._steps: deque[tuple[float, Values]] = deque()
        self._started = np.zeros(count)
        self._hits: deque[tuple[float, NDArray[np.bool_]]] = deque()

    def add(self, time: float, values: Values, large: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Transitions in the last second, (N,), after this frame's values (N,).

        ``large`` says where enough of the picture has changed for the change to count.
        """
        second = time - 1 + 1e-3
        if self._previous is not None:
            change = np.where(large, values - self._previous, np.float32(0))
            before = self._sum
            # Zero goes with either sign: a pause does not end a rise.
            goes_on = ((before <= 0) & (change <= 0)) | ((before >= 0) & (change >= 0))
            # What is left of a rise that began more than a second ago no longer counts.
            while self._steps and self._steps[0][0] < second:
                gone, old = self._steps.popleft()
                expired = np.where(goes_on & (self._started <= gone), old, np.float32(0))
                before = before - expired
            self._sum = np.where(goes_on, before + change, change).astype(np.float32)
            self._started = np.where(goes_on, self._started, time)
            self._steps.append((time, change))
            darker = np.minimum(values, self._previous)
            was = np.abs(self._last) >= self._threshold
            same = ((self._last <= 0) & (self._sum <= 0)) | ((self._last >= 0) & (self._sum >= 0))
            hit = (np.abs(self._sum) >= self._threshold) & (darker < self._dark) & ~(same & was)
            self._hits.append((time, hit))
        self._last = self._sum
        self._previous = values
        while self._hits and self._hits[0][0] < second:
            self._hits.popleft()
        total = np.zeros(len(values), dtype=np.int64)
        for _, hit in self._hits:
            total += hit
        return total


class _Judge:
    """Pass, warning or failure from the transitions in each last second."""

    def __init__(self) -> None:
        self._some: deque[tuple[float, bool]] = deque()
        self._first: float | None = None
        self.worst = PASS

    def add(self, time: float, transitions: int, step: float) -> int:
        self._first = time if self._first is None else self._first
        if time > self._first:
            self._some.append((time, _SOME <= transitions <= _MOST))
        while self._some and self._some[0][0] < time - _EXTENDED_WINDOW + 1e-3:
            self._some.popleft()
        held = sum(some for _, some in self._some) * step
        if transitions > _MOST:
            result = FAIL
        elif transitions >= _SOME:
            result = EXTENDED if held >= _EXTENDED - step / 2 else WARNING
        else:
            result = PASS
        self.worst = max(self.worst, result)
        return result


class FlashCounter:
    """Counts flashes frame by frame; memory is five seconds of counts."""

    def __init__(self, fps: float) -> None:
        self._step = 1 / fps
        self._global: tuple[_Transitions, _Transitions] = (
            _Transitions(1, _LUMINANCE_STEP, _DARK),
            _Transitions(1, _RED_STEP, np.inf),
        )
        self._local: tuple[_Transitions, _Transitions] | None = None
        self._maps: tuple[Values, Values] | None = None
        self._judges = tuple(_Judge() for _ in range(4))
        self._most = [0, 0, 0, 0]

    def add(self, frame: NDArray[np.uint8], time: float) -> FlashFrame:
        """Count one RGB frame (H, W, 3) uint8, at its native size, shown at ``time`` seconds."""
        maps = _luminance_and_red(_thinned(frame))
        means, areas, counts = [], [], []
        height, width = maps[0].shape
        columns = max(1, round(_ROWS * width / height))
        rows = min(_ROWS, height)
        columns = min(columns, width)
        if self._local is None:
            cells = rows * columns
            self._local = (
                _Transitions(cells, _LUMINANCE_STEP, _DARK),
                _Transitions(cells, _RED_STEP, np.inf),
            )
        local = []
        for index, values in enumerate(maps):
            mean = np.array([cv2.mean(values)[0]], dtype=np.float32)
            area = 0.0
            if self._maps is not None:
                changed = cv2.countNonZero(cv2.subtract(values, self._maps[index]))
                area = changed / values.size
            means.append(float(mean[0]))
            areas.append(area)
            large = np.array([int(area * values.size + 0.5) >= int(_AREA * values.size)])
            counts.append(int(self._global[index].add(time, mean, large)[0]))
            cell: Any = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
            seen = self._local[index].add(time, cell, np.ones(len(cell), dtype=bool))
            # The count that at least a quarter of the cells reach.
            need = max(1, int(np.ceil(_AREA * len(cell))))
            local.append(int(np.sort(seen)[-need]))
        self._maps = maps
        counted = (*counts, *local)
        results = [j.add(time, n, self._step) for j, n in zip(self._judges, counted, strict=True)]
        self._most = [max(a, b) for a, b in zip(self._most, counted, strict=True)]
        return FlashFrame(
            means[0], areas[0], means[1], areas[1], counts[0], counts[1], results[0], results[1],
            local[0], local[1],
        )  # fmt: skip

    def finish(self) -> Flashes:
        """The clip's counts and verdicts."""
        worst = [judge.worst for judge in self._judges]
        general, red, local, local_red = self._most
        whole, every = verdict(max(worst[:2])), verdict(max(worst))
        return Flashes(general, red, local, local_red, whole, every)


def verdict(result: int) -> str:
    """The words for a result: "pass", "pass with warning" or "fail"."""
    return _NAMES[result]


def _thinned(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    step = int(np.ceil(np.sqrt(height * width / _PIXELS)))
    return np.ascontiguousarray(frame[::step, ::step]) if step > 1 else frame


def _luminance_and_red(frame: NDArray[np.uint8]) -> tuple[Values, Values]:
    linear: Any = cv2.LUT(frame, _LINEAR)
    luminance: Any = cv2.transform(linear, np.array([[0.2126, 0.7152, 0.0722]], np.float32))
    total: Any = cv2.transform(linear, np.ones((1, 3), np.float32))
    excess: Any = cv2.transform(linear, np.array([[320, -320, -320]], np.float32))
    saturated = (linear[..., 0] >= np.float32(0.8) * total) & (total > 0)
    red = np.where(saturated, np.maximum(excess, 0), np.float32(0)).astype(np.float32)
    return np.asarray(luminance, dtype=np.float32), red
