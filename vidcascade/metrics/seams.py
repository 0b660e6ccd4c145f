"""Flicker where one window of a windowed model ends and the next begins.

A long clip made window by window can be steady inside every window and still jump at each border.
The *seam* is the mean of the residual at the frames on either side of a border minus the mean of
all others, in the residual's unit: 0 where borders cannot be told from the interior, above 0 where
they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError

__all__ = ["Seams", "borders_from", "seam_flicker"]

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Seams:
    """Residual at the borders against the interior.

    Attributes:
        excess: Mean at the borders minus mean of the interior.
        at_borders: Mean at the borders.
        interior: Mean of the interior.
        certain: Whether the borders stand out from the interior by more than twice the standard
            error of the difference (Welch), and so by more than chance.
        coverage: Share of the border frames that could be measured, 0 to 1.
    """

    excess: float
    at_borders: float
    interior: float
    certain: bool
    coverage: float


def borders_from(text: str) -> tuple[list[int], int]:
    """Read ``"16,32,48"`` (frame numbers) or ``"every:16"``: (numbers, step); one of them is empty.

    A border at frame n lies between the frames n-1 and n, counted from 0.

    Raises:
        UsageError: If the text is neither.
    """
    problem = (
        f"Window borders {text!r} are not frame numbers: give the first frame of each window"
        " after the first, as 16,32,48 or every:16."
    )
    body, step = text.strip(), 0
    try:
        if body.startswith("every:"):
            step = int(body.removeprefix("every:"))
            numbers = []
        else:
            numbers = sorted({int(part) for part in body.split(",")})
    except ValueError:
        raise UsageError(problem) from None
    if (step < 1 and not numbers) or any(n < 1 for n in numbers):
        raise UsageError(problem)
    return numbers, step


def seam_flicker(values: Series, numbers: Sequence[int], step: int = 0) -> Seams | None:
    """Compare the frames next to borders with all others.

    Args:
        values: (T,) residual of each frame, NaN where there is none.
        numbers: Borders as frame numbers; those outside of the clip are left out.
        step: Or: a border every this many frames.

    Returns:
        None when no border or no interior frame could be measured.
    """
    total = len(values)
    inside = [n for n in (range(step, total, step) if step else numbers) if 1 <= n < total]
    touched = np.zeros(total, dtype=bool)
    for number in inside:
        touched[number - 1 : number + 1] = True
    known = np.isfinite(values)
    if not (touched & known).any() or not (~touched & known).any():
        return None
    groups = values[touched & known], values[~touched & known]
    borders, interior = (float(group.mean()) for group in groups)
    # One value says nothing about its spread.
    certain = min(map(len, groups)) > 1 and borders - interior > 2 * float(
        np.sqrt(sum(group.var(ddof=1) / len(group) for group in groups))
    )
    coverage = float((touched & known).sum() / touched.sum())
    return Seams(borders - interior, borders, interior, certain, coverage)
