"""Scene cuts: where the next frame shows something else, and no motion leads there.

A hard cut must not be blended across, and a fast pan must not be taken for one (a held frame
stutters). Differences of pixels or of histograms cannot tell the two apart: what can is whether
the second picture is *made of* the first one. So small versions of both are brought into register
by optical flow, from a start that phase correlation gives (a whip pan moves a third of the picture
in a frame), and compared by local correlation, which brightness and contrast do not change: a
flash, a fade or a flicker is no cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import dis_flow
from vidcascade.flow.warp import warp_np

__all__ = ["AHEAD", "CutFinder", "Look", "likeness", "look_at"]

_SHORT = 64  # short side of the pictures compared, pixels
_LONG = 256
AHEAD = 2  # frames that are looked at after a cut; a flash may last as long
_LEAST_COMMON = 0.2  # of the picture has to be in both, or there is nothing to compare
_RETURN = 1.5  # pixels that flow there and back may miss by
# Tuned on films and clips, where cuts between scenes have 0.7 to 0.95 of unlikeness, and the
# fastest action up to 0.6, but never alone.
_UNLIKE = 0.58
_PEAK = 1.5  # times as unlike as any pair around it
_SURE = 0.66  # without enough neighbours to compare with
# A jump within one scene has 0.2 to 0.5, and stands out much more.
_JUMP = 0.2
_JUMP_PEAK = 5.0
_CALM = 0.03
_RETURNED = 0.6  # likeness that the frames before and after a flash have at least


@dataclass(frozen=True, eq=False)
class Look:
    """A frame's small version: uint8 ``(h, w)``."""

    grey: NDArray[np.uint8]


def look_at(rgb: NDArray[Any]) -> Look:
    """The look of an ``(H, W, 3)`` RGB frame, uint8 or uint16."""
    height, width = rgb.shape[:2]
    scale = min(_SHORT / min(height, width), _LONG / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small: NDArray[Any] = np.asarray(cv2.resize(rgb, size, interpolation=way))
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    return Look(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8))


def likeness(a: Look, b: Look) -> float:
    """How much ``b`` is made of ``a``: 1 is the same picture, around 0 is another one.

    The local correlation of the two in register, less where the flows there and back disagree:
    flow can bend one smooth picture into another, but not by the same way back.
    """
    if np.array_equal(a.grey, b.grey):
        return 1.0
    best = -1.0
    for shift in _starts(a.grey, b.grey):
        moved = _shifted(b.grey, shift)
        flow, back = dis_flow(a.grey, moved, "fast"), dis_flow(moved, a.grey, "fast")
        total = flow + np.array(shift, np.float32)
        valid = _inside(total)
        if valid.mean() < _LEAST_COMMON:
            continue
        alike = _correlation(a.grey, warp_np(b.grey, total), valid)
        lost = np.square(flow + warp_np(back, flow)).sum(axis=2)
        returning = float((lost < _RETURN * _RETURN)[valid].mean())
        best = max(best, alike * (0.6 + 0.4 * returning) if alike > 0 else alike)
        if best > 0.8:
            break
    return best


def _starts(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> list[tuple[float, float]]:
    window = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(a.astype(np.float32), b.astype(np.float32), window)
    starts = [(0.0, 0.0)]
    x, y = (float(round(v)) for v in shift)
    if abs(x) + abs(y) > 3 and abs(x) < 0.6 * a.shape[1] and abs(y) < 0.6 * a.shape[0]:
        starts.append((x, y))
    return starts


def _shifted(image: NDArray[np.uint8], shift: tuple[float, float]) -> NDArray[np.uint8]:
    flow = np.empty((*image.shape, 2), np.float32)
    flow[...] = shift
    return np.asarray(warp_np(image, flow))


def _inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = flow.shape[:2]
    x = np.arange(width) + flow[..., 0]
    y = np.arange(height)[:, None] + flow[..., 1]
    return np.asarray((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8], valid: NDArray[np.bool_]) -> float:
    """Mean correlation of 9 × 9 windows; windows without structure count little, and as alike."""
    x, y = a.astype(np.float32), b.astype(np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.boxFilter(values, -1, (9, 9)))

    mx, my = mean(x), mean(y)
    vx, vy = mean(x * x) - mx * mx, mean(y * y) - my * my
    covariance = mean(x * y) - mx * my
    noise = np.float32(12.0)  # variance of compression: what is flatter has no structure
    local = (covariance + noise) / np.sqrt(
        (np.maximum(vx, 0) + noise) * (np.maximum(vy, 0) + noise)
    )
    weight = np.sqrt(np.maximum(np.maximum(vx, vy), 0)) + 1
    weight = weight * valid
    return float((local * weight).sum() / weight.sum())


class CutFinder:
    """Marks the first frame of each scene in a stream of looks, :data:`AHEAD` frames behind it.

    Feed it with :meth:`push`; it answers for the frame that lies :data:`AHEAD` before, and
    :meth:`finish` answers for the rest. It holds a few small pictures and numbers.
    """

    def __init__(self) -> None:
        self._looks: list[Look] = []
        self._unlike: list[float] = []  # of look k and k + 1
        self._at = 0  # the place in _looks of the next frame to answer for
        self._started = False

    def push(self, look: Look) -> list[bool]:
        """Take the next frame's look; answers (new scene or not) that are due, oldest first."""
        if self._looks:
            self._unlike.append(1 - likeness(self._looks[-1], look))
        self._looks.append(look)
        return self._answers(AHEAD)

    def finish(self) -> list[bool]:
        """Answers for the frames that :meth:`push` left open."""
        return self._answers(0)

    def _answers(self, ahead: int) -> list[bool]:
        found = []
        while self._at < len(self._looks) - ahead:
            found.append(self._started and self._is_cut(self._at))
            self._started = True
            self._at += 1
            if self._at > AHEAD + 1:  # what lies further back is never looked at again
                self._looks.pop(0)
                self._unlike.pop(0)
                self._at -= 1
        return found

    def _is_cut(self, at: int) -> bool:
        pair = at - 1  # between looks at - 1 and at
        here = self._unlike[pair]
        around = self._unlike[max(0, pair - AHEAD) : pair] + self._unlike[pair + 1 : at + AHEAD]
        most = max(around, default=0.0)
        between_scenes = here > (_UNLIKE if len(around) > 1 else _SURE) and here > _PEAK * most
        jump = here > _JUMP and here > _JUMP_PEAK * max(most, _CALM) and len(around) > 2
        if not between_scenes and not jump:
            return False
        return not self._is_flash(at)

    def _is_flash(self, at: int) -> bool:
        """Whether the scene comes back after a washed-out frame or two."""
        first, lit = self._looks[at - 1], self._looks[at]
        brightness = abs(float(lit.grey.mean()) - float(first.grey.mean()))
        if brightness < 40 and float(lit.grey.std()) > 12:
            return self._after_flash(at)
        later = self._looks[at + 1 : at + 1 + AHEAD]
        return any(likeness(first, look) > _RETURNED for look in later) or self._after_flash(at)

    def _after_flash(self, at: int) -> bool:
        """Whether this is the end of a flash: the frames before it go on here."""
        lit, back = self._looks[at - 1], self._looks[at]
        if abs(float(lit.grey.mean()) - float(back.grey.mean())) < 40 and lit.grey.std() > 12:
            return False
        earlier = self._looks[max(0, at - 1 - AHEAD) : at - 1]
        return any(likeness(look, back) > _RETURNED for look in earlier)
