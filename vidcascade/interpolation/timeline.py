"""Which frames there will be, and when: exact arithmetic, no pixels.

A clip of n frames at f frames per second has frame i on show from ``times[i]`` for its duration.
Two grids fill it:

* :class:`FactorGrid` divides every frame's stay into k equal parts: n frames become exactly
  **k·n**, at the old times and between them, whatever the spacing of the old ones (variable frame
  rates keep their timestamps).
* :class:`RateGrid` has a frame every 1/F seconds: a clip of D seconds becomes **⌈D·F⌉** frames.

Both end when the clip ended: the last frame has no successor to move towards, so it is held for
its own duration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from vidcascade.errors import UsageError

__all__ = ["MAX_FACTOR", "FactorGrid", "Grid", "RateGrid", "check_factor", "parse_time"]

MAX_FACTOR = 64


class Grid(Protocol):
    """Output times, one source frame's stay after the other."""

    def times(self, start: Fraction, stop: Fraction) -> Iterator[Fraction]:
        """Output times in ``[start, stop)``, seconds, increasing.

        ``start`` is when a source frame appears and ``stop`` when the next one does. A first
        time equal to ``start`` is the source frame itself.
        """
        ...


@dataclass(frozen=True)
class FactorGrid:
    """``factor`` output frames in every source frame's stay, the source frame first."""

    factor: int

    def times(self, start: Fraction, stop: Fraction) -> Iterator[Fraction]:
        """See :class:`Grid`."""
        step = (stop - start) / self.factor
        return (start + k * step for k in range(self.factor))


@dataclass(frozen=True)
class RateGrid:
    """An output frame every ``1/rate`` seconds from ``origin`` on.

    Attributes:
        rate: frames per second.
        origin: time of the first output frame, seconds.
        tolerance: containers round times (Matroska to whole milliseconds). An output time this
            close to a source frame, in seconds, shows that frame itself.
    """

    rate: Fraction
    origin: Fraction = Fraction(0)
    tolerance: Fraction = Fraction(0)

    def times(self, start: Fraction, stop: Fraction) -> Iterator[Fraction]:
        """See :class:`Grid`; times within the tolerance of ``start`` are given as ``start``."""
        number = math.ceil((start - self.tolerance - self.origin) * self.rate)
        while True:
            time = self.origin + number / self.rate
            if time >= stop - self.tolerance:
                return
            yield start if abs(time - start) <= self.tolerance else time
            number += 1


def check_factor(factor: object) -> int:
    """``factor`` as a whole number from 2 to :data:`MAX_FACTOR`, or :class:`UsageError`."""
    try:
        number = Fraction(str(factor))
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    if number.denominator != 1 or not 2 <= number <= MAX_FACTOR:
        raise UsageError(
            f"The factor must be a whole number from 2 to {MAX_FACTOR}, not {factor}; "
            "for any other frame rate give it in frames per second (--fps)."
        )
    return int(number)


def parse_time(text: str | float | Fraction | None, name: str) -> Fraction | None:
    """Seconds from ``"12.5"``, ``"1:02"`` or ``"1:02:03.5"``; None stays None.

    Raises :class:`UsageError`, naming the option ``name``, for anything else and below 0.
    """
    if text is None:
        return None
    parts = str(text).strip().split(":")
    try:
        numbers = [Fraction(part) for part in parts]
        if len(parts) > 3 or any(n < 0 for n in numbers) or any(n >= 60 for n in numbers[1:]):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise UsageError(
            f"{name} {text!r} is not a time; write seconds (12.5) or hours:minutes:seconds."
        ) from None
    return sum((n * 60 ** (len(numbers) - 1 - i) for i, n in enumerate(numbers)), Fraction(0))
