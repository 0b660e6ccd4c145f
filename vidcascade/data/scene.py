"""What a scene is: the discrete description, the drawn scene and its geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.data.motions import Motion

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Description:
    """The discrete choices of a clip and its caption.

    ``subjects`` are ``(name, colour, size word)``: a colour marks a solid, ``None`` a sticker.
    ``motions`` has one name per subject. ``relation`` places the first of two subjects relative
    to the second ("left of" or "above").
    """

    subjects: tuple[tuple[str, str | None, str | None], ...]
    motions: tuple[str, ...]
    background: str
    camera: str | None
    shadow: bool
    caption: str
    relation: str | None = None


@dataclass(frozen=True)
class Placement:
    """A subject in a scene: ``size`` in frame units, ``gain`` a tint per RGB channel."""

    name: str
    colour: str | None
    size: float
    motion: Motion
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """A camera path: at time t the view's centre is (x, y) and its magnification 1 / zoom."""

    kind: str
    extent: float
    duration: float

    def view(self, t: float) -> tuple[float, float, float]:
        """``(x, y, zoom)`` at ``t`` seconds, in frame units; zoom < 1 is closer."""
        u = t / self.duration
        if self.kind == "zoom in":
            return 0.0, 0.0, math.exp(-self.extent * u)
        if self.kind == "zoom out":
            return 0.0, 0.0, math.exp(-self.extent * (1 - u))
        dx, dy = {"pan left": (-1, 0), "pan right": (1, 0), "pan up": (0, -1), "pan down": (0, 1)}[
            self.kind
        ]
        return dx * self.extent * (u - 0.5), dy * self.extent * (u - 0.5), 1.0


@dataclass(frozen=True)
class Scene:
    """A drawn scene: everything that rendering needs, for any size and any time.

    ``shadow`` is ``(dx, dy, strength)`` in frame units and [0, 1], or ``None``; later subjects
    lie in front of earlier ones; ``duration`` is in seconds.
    """

    subjects: tuple[Placement, ...]
    background: str
    background_seed: int
    camera: Camera | None
    shadow: tuple[float, float, float] | None
    duration: float


@dataclass(frozen=True)
class Frame:
    """A pixel grid of ``height`` × ``width``; pixel (0, 0) has its centre at index (0, 0)."""

    height: int
    width: int

    @classmethod
    def of(cls, size: int | Sequence[int]) -> Frame:
        """From a side or ``(height, width)``. Raises ``ValueError`` below 4 pixels."""
        h, w = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(h, w) < 4:
            raise ValueError(f"a frame of {h} x {w} is too small: use at least 4 x 4 pixels")
        return cls(h, w)

    @property
    def short(self) -> int:
        """The short side in pixels = 1 frame unit."""
        return min(self.height, self.width)

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height in frame units."""
        return self.width / self.short / 2, self.height / self.short / 2

    def view(self, scene: Scene, t: float) -> F64:
        """3 × 3 matrix from world coordinates to pixel indices at time ``t``."""
        cx, cy, zoom = scene.camera.view(t) if scene.camera else (0.0, 0.0, 1.0)
        k = self.short / zoom
        return np.array(
            [
                [k, 0.0, self.width / 2 - 0.5 - k * cx],
                [0.0, k, self.height / 2 - 0.5 - k * cy],
                [0.0, 0.0, 1.0],
            ]
        )

    def place(
        self, scene: Scene, subject: Placement, t: float, offset: tuple[float, float] = (0, 0)
    ) -> F64:
        """3 × 3 matrix from the sprite's unit square [-0.5, 0.5]² to pixel indices at ``t``."""
        x, y, turn, scale, width = subject.motion.pose(t, *self.half)
        s = subject.size * scale
        c, d = s * math.cos(turn), s * math.sin(turn)
        model = np.array(
            [[c * width, -d, x + offset[0]], [d * width, c, y + offset[1]], [0.0, 0.0, 1.0]]
        )
        placed: F64 = self.view(scene, t) @ model
        return placed
