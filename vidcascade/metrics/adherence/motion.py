"""Which of thirteen of the world's motions a track shows, by rules that a person can check.

Nothing here is learned. The limits lie well inside the smallest movements that the world draws
(:func:`vidcascade.data.motions.draw_motion`), all per clip: travel 0.36 of the frame, growth by
1.8, 0.96 turns of a spin or a tumble, swings and circles 0.28 wide, bounces 0.29 high, shaking 0.09
wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.adherence.tracking import Track

__all__ = ["MOTIONS", "Evidence", "classify_motion", "direction_shown", "measure_motion"]

MOTIONS = (
    "up", "down", "left", "right", "bounce", "spin", "tumble",
    "swing", "grow", "shrink", "orbit", "shake", "still",
)  # fmt: skip

_ENOUGH_SEEN = 0.6
_TUMBLED = math.radians(150)
_SPUN = math.log(1.6)  # how much narrower, as a logarithm
_LEVEL = 0.2  # of what a spin narrows; a tumble of a long subject changes height and width alike
_GREW = math.log(1.35)
_TRAVELLED = 0.20
_STRAIGHT = 0.6
_WIDE = 0.14  # circles and bounces are wider, shaking and standing still are not
_STILL = 0.045
# A subject that has a direction at all has moved or grown by this much.
_SOME_WAY, _SOME_GROWTH = 0.08, math.log(1.12)


@dataclass(frozen=True)
class Evidence:
    """What is measured on a track. Lengths in units of the frame's short side.

    Attributes:
        seen: share of frames with a subject, 0 to 1.
        dx, dy: net travel, x right and y down, from the first quarter's trend to the last's.
        straightness: net travel / length of the path, 0 to 1; 1 is a straight line.
        growth: natural logarithm of last size / first size.
        turn: net rotation in radians, clockwise.
        narrowed: natural logarithm of the width at the beginning and the end, whichever is less,
            over that at the narrowest in between.
        heightened: standard deviation of the logarithm of its height, while it is at least half as
            wide as ever: of a line, seen from the side, the ends are uncertain.
        width, height: extent of the path.
        reversals: how often x changes its direction.
    """

    seen: float
    dx: float
    dy: float
    straightness: float
    growth: float
    turn: float
    narrowed: float
    heightened: float
    width: float
    height: float
    reversals: int


def measure_motion(track: Track) -> Evidence:
    """Reduce a track to the numbers that the rules look at."""
    ok = np.isfinite(track.x)
    if ok.sum() < 4:
        return Evidence(float(ok.mean()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    time = np.arange(len(ok))
    followed = (track.x, track.y, track.size, track.spread_x, track.spread_y)
    x, y, size, wide, tall = (np.interp(time, time[ok], values[ok]) for values in followed)
    dx, dy = _trend(x), _trend(y)
    # Jitter of a pixel adds to the path's length in every frame: leave it out by smoothing.
    path = float(np.hypot(np.diff(_smooth(x)), np.diff(_smooth(y))).sum())
    net = math.hypot(_smooth(x)[-1] - _smooth(x)[0], _smooth(y)[-1] - _smooth(y)[0])
    return Evidence(
        seen=track.seen,
        dx=dx,
        dy=dy,
        straightness=net / path if path > 1e-6 else 0.0,
        growth=_trend(np.log(size)),
        turn=float(track.turn.sum()),
        narrowed=_narrowed(wide),
        heightened=float(np.log(np.maximum(tall[wide >= wide.max() / 2], 1e-6)).std()),
        width=_extent(x),
        height=_extent(y),
        reversals=_reversals(x),
    )


def classify_motion(evidence: Evidence) -> str:
    """One of :data:`MOTIONS`, or ``"none"`` when there is hardly a subject to follow.

    The rules are asked in this order, the most unmistakable first:

    1. spin: in its place, the subject becomes narrower by a factor of 1.6 and wide again, at a
       steady height; tumble: its net turn is more than 150 degrees;
    2. left, right, up, down: the subject travels 0.2 or more, and straight;
    3. grow, shrink: the size changes by a factor of 1.35 or more;
    4. orbit: the path is wide and high, neither less than 0.45 of the other;
    5. bounce: it is high; swing: it is wide and turns back at most five times;
    6. still: it is neither 0.045 wide nor high; shake: anything else.
    """
    e = evidence
    if e.seen < _ENOUGH_SEEN:
        return "none"
    in_place = max(e.width, e.height) < _WIDE  # a tall subject that swings gets narrower, too
    if e.narrowed > _SPUN and e.heightened < _LEVEL * e.narrowed and in_place:
        return "spin"
    if abs(e.turn) > _TUMBLED:
        return "tumble"
    # A subject that leaves the frame seems to shrink: travel is asked before size.
    if math.hypot(e.dx, e.dy) > _TRAVELLED and e.straightness > _STRAIGHT:
        return _way(e)
    if abs(e.growth) > _GREW:
        return "grow" if e.growth > 0 else "shrink"
    if min(e.width, e.height) > max(_WIDE, 0.45 * max(e.width, e.height)):
        return "orbit"
    if e.height > _WIDE and e.height > e.width:
        return "bounce"
    if e.width > 1.5 * _WIDE and e.reversals <= 5:
        return "swing"
    if max(e.width, e.height) < _STILL:
        return "still"
    return "shake"


def direction_shown(evidence: Evidence, wanted: str) -> bool | None:
    """Whether the subject goes the right way; None for motions that have no direction.

    Easier than the whole motion: *up* asks only that the subject ends higher, by more than it
    moves sideways; *grow* that it ends larger.
    """
    e = evidence
    if wanted in ("up", "down", "left", "right"):
        enough = e.seen >= _ENOUGH_SEEN and math.hypot(e.dx, e.dy) > _SOME_WAY
        return enough and _way(e) == wanted
    if wanted in ("grow", "shrink"):
        growth = e.growth if wanted == "grow" else -e.growth
        return e.seen >= _ENOUGH_SEEN and growth > _SOME_GROWTH
    return None


def _way(e: Evidence) -> str:
    if abs(e.dx) > abs(e.dy):
        return "right" if e.dx > 0 else "left"
    return "down" if e.dy > 0 else "up"


def _trend(values: NDArray[np.float64]) -> float:
    """Last minus first value of the straight line through them all."""
    slope = np.polyfit(np.arange(len(values)), values, 1)[0]
    return float(slope) * (len(values) - 1)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(values, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


def _extent(values: NDArray[np.float64]) -> float:
    """Largest minus smallest, one outlier at each end forgiven in a clip of ten or more frames."""
    ordered = np.sort(values)
    spare = 1 if len(values) >= 10 else 0
    return float(ordered[-1 - spare] - ordered[spare])


def _narrowed(widths: NDArray[np.float64]) -> float:
    """See :attr:`Evidence.narrowed`.

    In a clip of ten or more frames the narrowest but one: a spin has two of each width.
    """
    end = max(len(widths) // 6, 1)
    least = np.sort(widths)[1 if len(widths) >= 10 else 0]
    wide = min(widths[:end].max(), widths[-end:].max())
    return math.log(max(float(wide), 1e-6) / max(float(least), 1e-6))


def _reversals(values: NDArray[np.float64]) -> int:
    """Changes of direction, steps of less than a hundredth of the frame not counted."""
    steps = np.diff(values)
    steps = steps[np.abs(steps) > 0.01]
    return int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())
