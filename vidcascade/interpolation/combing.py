"""Interlaced pictures that nothing in the file calls interlaced.

Each frame then holds two half-pictures of different moments, its even and its odd lines, and what
moves looks like a comb. In a film the lines of the frame before and of the frame after fit between
a frame's own lines equally well, and worse than its own; in interlaced video those of one side,
half a frame away, fit better than those of the other, one and a half away, and as well as the
frame's own. As FFmpeg's ``idet`` filter (Niedermayer 2012).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Combing"]

_COLUMNS = 512  # as many columns are enough
_MORE = 1.06  # times worse that the lines of the other side fit
_FITS = 1.25  # times worse, for the lines of both sides: the frame's own lines are of one moment
_SUSPECT, _SURE = 6, 20  # frames that are interlaced before a clip is
_NOISE = 1.0  # mean misfit in levels below which there is nothing to see


class Combing:
    """Looks at the frames of a clip in order and says whether they are interlaced."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int16]] = []
        self.sides = [0, 0]  # frames whose lines fit to one side, with either line first
        self.whole = 0  # frames whose own lines fit best

    def look(self, frame: Any) -> None:
        """Take the next frame, an ``av.VideoFrame``."""
        grey = frame.to_ndarray(format="gray")
        step = max(1, grey.shape[1] // _COLUMNS)
        self._rows = [*self._rows[-2:], grey[:, ::step].astype(np.int16)]
        if len(self._rows) == 3 and len(grey) >= 8:
            self._judge(*self._rows)

    def _judge(
        self, before: NDArray[np.int16], here: NDArray[np.int16], after: NDArray[np.int16]
    ) -> None:
        outer = here[:-2] + here[2:]

        def misfit(lines: NDArray[np.int16]) -> NDArray[np.float64]:
            each = np.abs(outer - 2 * lines[1:-1]).mean(axis=1)
            return np.array([each[::2].mean(), each[1::2].mean()])

        earlier, later, own = misfit(before), misfit(after), misfit(here).mean()
        # Even lines from one side and odd ones from the other, as they lie in time.
        sides = (earlier[0] + later[1]) / 2, (earlier[1] + later[0]) / 2
        if min(sides) > _FITS * own:
            self.whole += 1
            return
        for side in (0, 1):
            if sides[1 - side] > max(_MORE * sides[side], _NOISE):
                self.sides[side] += 1

    @property
    def suspected(self) -> bool:
        """Whether some of the frames so far are interlaced."""
        most, least = max(self.sides), min(self.sides)
        return most >= _SUSPECT and least * 8 <= most and self.whole <= most

    @property
    def certain(self) -> bool:
        """Whether so many of them are, and next to none are not, that it can be nothing else."""
        return self.suspected and max(self.sides) >= _SURE and self.whole * 8 <= max(self.sides)
