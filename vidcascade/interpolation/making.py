"""Pixels for the planned frames: colours, and opacity where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcascade.interpolation.between import Between
from vidcascade.interpolation.plan import MADE, Known, Slot, Work
from vidcascade.interpolation.planes import Canvas, Pixels

__all__ = ["Made", "blended", "finished", "make"]


@dataclass(frozen=True, eq=False)
class Made:
    """One output frame on its way to the encoder: its slot, and pixels where they were made."""

    slot: Slot
    work: Work
    rgb: Pixels | None = None
    alpha: Pixels | None = None


def make(work: Work, between: Between) -> list[Made]:
    """All output frames of ``work``."""
    times = [slot.t for slot in work.slots if slot.kind == MADE]
    if not times:
        return [Made(slot, work) for slot in work.slots]
    assert work.second is not None
    pairs = iter(_in_between(work.first, work.second, times, between))
    return [
        Made(slot, work, *next(pairs)) if slot.kind == MADE else Made(slot, work)
        for slot in work.slots
    ]


def _in_between(
    first: Known, second: Known, times: Sequence[float], between: Between
) -> list[tuple[Pixels, Pixels | None]]:
    (rgb0, alpha0), (rgb1, alpha1) = first.colours, second.colours
    if alpha0 is None or alpha1 is None:
        return [(rgb, None) for rgb in between(rgb0, rgb1, times)]
    # Ten bits lie in the upper ones of sixteen, where the most that there can be is 65472.
    bits, held = first.canvas.bits, 8 * alpha0.itemsize
    opaque = ((1 << bits) - 1) << (held - bits)
    if alpha0.min() == alpha1.min() == opaque:
        return [(rgb, np.full_like(alpha0, opaque)) for rgb in between(rgb0, rgb1, times)]
    # Colours count as much as they are seen: what hides under transparency must not move out.
    made = between(_times(rgb0, alpha0), _times(rgb1, alpha1), times)
    masks = between(np.dstack([alpha0] * 3), np.dstack([alpha1] * 3), times)
    out: list[tuple[Pixels, Pixels | None]] = []
    for rgb, mask in zip(made, masks, strict=True):
        alpha = np.ascontiguousarray(mask[..., 1])
        out.append((_divided(rgb, alpha), alpha))
    return out


def _times(rgb: Pixels, alpha: Pixels) -> Pixels:
    top = np.float32(np.iinfo(alpha.dtype).max)
    return np.asarray(np.rint(rgb * (alpha / top)[..., None]).astype(rgb.dtype))


def _divided(rgb: Pixels, alpha: Pixels) -> Pixels:
    top = np.iinfo(alpha.dtype).max
    share = np.maximum(alpha, 1).astype(np.float32)[..., None] / np.float32(top)
    return np.asarray(np.rint(np.minimum(rgb / share, top)).astype(rgb.dtype))


def blended(work: Work, t: float) -> NDArray[Any]:
    """The plain mix of the two neighbours, which is what the preview compares with."""
    assert work.second is not None
    first, second = work.first.colours[0], work.second.colours[0]
    mixed = first * np.float32(1 - t) + second * np.float32(t)
    return np.asarray(np.rint(mixed).astype(first.dtype))


def finished(made: Made, canvas: Canvas) -> Any:
    """The ``av.VideoFrame`` to encode: the decoded one itself for everything that is not made."""
    if made.rgb is None:
        assert made.slot.known is not None
        return made.slot.known.frame
    work = made.work
    assert work.second is not None
    return canvas.frame(made.rgb, made.alpha, (work.first, work.second), made.slot.t)
