"""Named motions as functions of time.

A pose is ``(x, y, rotation, scale, width)``: the position in *frame units* (the frame's short side
is 1, the origin is its centre, y points down), the rotation in radians (clockwise on the screen), a
factor on the subject's size, and one more on its width, in [-1, 1]: below 0 its mirror image is
seen, as of a card that shows its back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Pose = tuple[float, float, float, float, float]

_EDGE = 0.08  # width of a sticker that is seen from the side, which has some thickness

_DIRECTIONS: dict[str, tuple[float, float]] = {
    "up": (0.0, -1.0),
    "down": (0.0, 1.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
}


@dataclass(frozen=True)
class Motion:
    """One drawn motion. ``pose(t)`` is a pure function of the time in seconds.

    ``x``, ``y`` is the home position, ``extent`` the size of the movement in frame units (or
    the ratio of sizes for grow, shrink and pulse), ``rate`` cycles per second, ``phase`` and
    ``tilt`` radians, ``sign`` the sense of rotation, ``reach`` half the subject's size (a
    crossing starts that far outside the frame).
    """

    kind: str
    duration: float
    x: float = 0.0
    y: float = 0.0
    extent: float = 0.0
    rate: float = 0.0
    phase: float = 0.0
    tilt: float = 0.0
    sign: float = 1.0
    reach: float = 0.0

    def pose(self, t: float, half_width: float = 0.5, half_height: float = 0.5) -> Pose:
        """The pose at time ``t`` in seconds, in a frame of the given half extents."""
        u = t / self.duration
        x, y, turn, scale, width = self.x, self.y, self.tilt, 1.0, 1.0
        angle = math.tau * self.rate * t + self.phase
        if self.kind in _DIRECTIONS:
            dx, dy = _DIRECTIONS[self.kind]
            x += dx * self.extent * (u - 0.5)
            y += dy * self.extent * (u - 0.5)
        elif self.kind.startswith("cross "):
            dx, dy = _DIRECTIONS[self.kind.removeprefix("cross ")]
            # from just outside one edge to just outside the other, whatever the aspect ratio
            x += dx * (half_width + self.reach) * (2 * u - 1)
            y += dy * (half_height + self.reach) * (2 * u - 1)
        elif self.kind == "bounce":
            v = (angle / math.tau) % 1.0
            y += self.extent * (0.5 - 4 * v * (1 - v))  # parabolas, floor at +extent / 2
        elif self.kind == "spin":
            width = math.copysign(max(abs(math.cos(angle)), _EDGE), math.cos(angle))
        elif self.kind == "tumble":
            turn += self.sign * angle
        elif self.kind == "swing":
            theta = 0.6 * math.sin(angle)
            x += self.extent * math.sin(theta)
            y += self.extent * (math.cos(theta) - 1)
            turn -= theta  # hangs from a pivot above
        elif self.kind == "grow":
            scale = self.extent ** (u - 0.5)
        elif self.kind == "shrink":
            scale = self.extent ** (0.5 - u)
        elif self.kind == "pulse":
            scale = self.extent ** (0.5 * math.sin(angle))
        elif self.kind == "orbit":
            x += self.extent * math.cos(self.sign * angle)
            y += self.extent * math.sin(self.sign * angle)
        elif self.kind == "shake":
            x += self.extent * math.sin(angle)
            turn += 0.12 * math.sin(angle + 1.0)
        else:
            assert self.kind == "still", self.kind
        return x, y, turn, scale, width


def draw_motion(
    kind: str,
    rng: np.random.Generator,
    duration: float,
    size: float,
    centre: tuple[float, float] = (0.0, 0.0),
    room: float = 1.0,
) -> Motion:
    """Draw the continuous parameters of a motion.

    ``size`` is the subject's size and ``room`` the side of the square around ``centre`` that it
    has to itself, both in frame units. Extents are per clip of ``duration`` seconds, so that a
    short clip shows as much movement as a long one; a subject that is alone (room 1) travels at
    least 0.36 of the frame.
    """

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    # every kind takes the same draws, so that one motion's tuning leaves the others' seeds alone
    a, b, c, d, e = (draw(0, 1) for _ in range(5))
    jx, jy = draw(-1, 1), draw(-1, 1)
    sign = 1.0 if e < 0.5 else -1.0
    slack = max(0.0, (room - size) / 2)
    x, y, tilt = centre[0] + 0.7 * jx * slack, centre[1] + 0.7 * jy * slack, (d - 0.5) * 0.2
    cx, cy = centre[0] + 0.15 * jx * slack, centre[1] + 0.15 * jy * slack
    travel = max(0.36 * room, min(0.38 + 0.24 * a, 2 * slack))
    if kind in ("up", "down"):
        return Motion(kind, duration, x=x, y=cy * 0.5, extent=travel, tilt=tilt)
    if kind in ("left", "right"):
        return Motion(kind, duration, x=cx * 0.5, y=y, extent=travel, tilt=tilt)
    if kind.startswith("cross "):
        along_x = kind in ("cross left", "cross right")
        # The sprite's content fills its square, whose corner may stick out when it is tilted.
        return Motion(
            kind,
            duration,
            x=0.0 if along_x else x,
            y=y if along_x else 0.0,
            tilt=tilt,
            reach=0.5 * size + 0.05 * b,
        )
    if kind == "bounce":
        rate = max(1.0 + 0.5 * b, 1.6 / duration)
        return Motion(
            kind, duration, x=x, y=cy, extent=0.8 * travel, rate=rate, phase=math.tau * c, tilt=tilt
        )
    if kind in ("spin", "tumble"):
        # One turn in two seconds: of a spin about the vertical axis, of a tumble clockwise, both
        # from nearly upright. Captions say neither which way nor how fast, and a base must settle
        # what is not said at noise that hides all but the largest shapes.
        rate = max(0.48 + 0.04 * a, 0.96 / duration)
        return Motion(kind, duration, x=x, y=y, rate=rate, tilt=tilt)
    if kind == "swing":
        rate = max(0.45 + 0.3 * a, 0.9 / duration)
        length = (0.3 + 0.12 * b) * room
        return Motion(
            kind, duration, x=cx, y=cy, extent=length, rate=rate, phase=math.tau * c, tilt=0.0
        )
    if kind in ("grow", "shrink"):
        biggest = max(1.8, (1.05 * room / size) ** 2)  # the largest size is sqrt(ratio) x size
        return Motion(kind, duration, x=cx, y=cy, extent=min(2.2 + 1.3 * a, biggest), tilt=tilt)
    if kind == "pulse":
        rate = max(0.9 + 0.6 * a, 1.6 / duration)
        return Motion(
            kind, duration, x=x, y=y, extent=1.6, rate=rate, phase=math.tau * c, tilt=tilt
        )
    if kind == "orbit":
        rate = max(0.45 + 0.25 * a, 0.9 / duration)
        radius = max(0.14 * room, min(0.2 + 0.08 * b, slack))
        phase = math.tau * c
        return Motion(kind, duration, centre[0], centre[1], radius, rate, phase, tilt, sign)
    if kind == "shake":
        # below 4 Hz: faster shaking aliases at the base stage's 8 frames per second
        return Motion(
            kind, duration, x=x, y=y, extent=0.045 + 0.03 * a, rate=2.2 + b, phase=math.tau * c
        )
    return Motion("still", duration, x=x, y=y, tilt=tilt)
