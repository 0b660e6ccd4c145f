"""A clip: decoded frames with their timing."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["Clip", "as_fps"]

_MAX_DENOMINATOR = 1001


def as_fps(fps: Fraction | float | str) -> Fraction:
    """Frame rate as an exact fraction of frames per second, > 0.

    Decimal spellings of the broadcast rates are recognised: 23.976 becomes 24000/1001, so that
    sound does not drift over a long clip. Raises :class:`UsageError` for anything that is not a
    positive, finite number.
    """
    try:
        exact = Fraction(fps)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise UsageError(f"Frame rate {fps!r} is not a number; give frames per second.") from None
    if exact <= 0:
        raise UsageError(f"Frame rate {fps} is not above zero; give frames per second.")
    broadcast = Fraction(round(exact * 1001 / 1000) * 1000, 1001)
    if exact.denominator > 1 and broadcast and abs(exact - broadcast) < Fraction(5, 10_000):
        return broadcast
    if exact.denominator <= _MAX_DENOMINATOR:
        return exact
    return exact.limit_denominator(_MAX_DENOMINATOR) or exact


@dataclass(frozen=True, eq=False)
class Clip:
    """Decoded frames with their timing.

    Attributes:
        frames: uint8 ``(T, H, W, 3)`` RGB, 0 to 255, T >= 1, upright (rotation applied).
        times: float64 ``(T,)`` seconds at which each frame appears, strictly increasing; the
            first frame read from a file is at 0.
        fps: nominal frames per second (average for a variable frame rate), > 0.
        metadata: the container's tags, keys in lower case.

    Raises ``ValueError`` when the parts do not fit together.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    fps: Fraction
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.dtype != np.uint8:
            raise ValueError(f"Clip frames must be uint8, not {self.frames.dtype}.")
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or 0 in self.frames.shape:
            raise ValueError(
                f"Clip frames must be (T, H, W, 3) and not empty, not {self.frames.shape}."
            )
        if self.times.dtype != np.float64 or self.times.shape != (len(self.frames),):
            raise ValueError(
                f"Clip times must be float64 ({len(self.frames)},), "
                f"not {self.times.dtype} {self.times.shape}."
            )
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise ValueError("Clip times must be finite and strictly increasing.")
        if not isinstance(self.fps, Fraction) or self.fps <= 0:
            raise ValueError(f"Clip fps must be a positive Fraction, not {self.fps!r}.")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.frames.shape[2])

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float(self.times[-1] - self.times[0]) + float(1 / self.fps)
