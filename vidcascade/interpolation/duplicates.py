"""Frames that only repeat the one before: 24 in 30 pulldown, animation drawn on twos."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["AHEAD", "LONGEST_RUN", "DuplicateFinder"]

# Animation on fours repeats three times; more is a picture that stands still, and what comes
# after it starts from there.
LONGEST_RUN = 3
AHEAD = 2  # frames that are looked at after the one judged
_SHORT, _LONG = 180, 640
_BLOCK = 8
_NOISE = 1.0  # levels: what compression makes of a repeated frame
_SHARE = 0.2  # of the largest change nearby, noise included …
_MOST = 4.0  # … but more levels than this are motion


class DuplicateFinder:
    """Tells which frames only repeat the one before, :data:`AHEAD` frames behind the stream.

    Judged by the block of 8 × 8 pixels that changed most, at a small size, so that a small thing
    that moves is enough; and against the changes right before and after, so that noise does not
    hide a repeat, and slow motion is none.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.uint8] | None = None
        self._changes: list[float] = []  # of the last frames, each against the one before it
        self._at = 0  # the place in _changes of the next frame to answer for

    def push(self, rgb: NDArray[Any]) -> list[bool]:
        """Take the next frame, ``(H, W, 3)`` RGB; answers that are due, oldest first."""
        small = _small(rgb)
        before, self._before = self._before, small
        self._changes.append(math.inf if before is None else _largest_change(before, small))
        return self._answers(AHEAD)

    def finish(self) -> list[bool]:
        """Answers for the frames that :meth:`push` left open."""
        return self._answers(0)

    def _answers(self, ahead: int) -> list[bool]:
        found = []
        while self._at < len(self._changes) - ahead:
            change = self._changes[self._at]
            around = [
                *self._changes[max(0, self._at - LONGEST_RUN - 1) : self._at],
                *self._changes[self._at + 1 : self._at + 1 + AHEAD],
            ]
            usual = max((c for c in around if c < math.inf), default=0.0)
            found.append(change <= _NOISE or change < min(_SHARE * usual, _MOST))
            self._at += 1
            if self._at > LONGEST_RUN + 1:
                self._changes.pop(0)
                self._at -= 1
        return found


def _small(rgb: NDArray[Any]) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    scale = min(1.0, _SHORT / min(height, width), _LONG / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[Any] = rgb
    if scale < 1:
        small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    if small.dtype == np.uint8:
        return small
    return np.asarray(small >> 8, dtype=np.uint8)


def _largest_change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    change = cv2.absdiff(a, b).mean(axis=2, dtype=np.float32)
    blocks = cv2.resize(
        change,
        (max(1, change.shape[1] // _BLOCK), max(1, change.shape[0] // _BLOCK)),
        interpolation=cv2.INTER_AREA,
    )
    return float(blocks.max())
