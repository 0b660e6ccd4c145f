"""The makers of in-between frames, behind one small protocol."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.midpoint import intermediate_flows
from vidcascade.flow.warp import warp_np
from vidcascade.interpolation.bands import bands, eight_bits, enlarged, reduced, warped
from vidcascade.interpolation.steady import standing_still

__all__ = ["QUALITIES", "Between", "FlowBetween", "check_pair", "make_between"]

QUALITIES = ("fast", "balanced", "best")
_NETWORK = "vidcascade.interpolation.model"

Frame = NDArray[Any]


class Between(Protocol):
    """Makes the frames between two others."""

    def __call__(self, first: Frame, second: Frame, times: Sequence[float]) -> list[Frame]:
        """The frames at ``times``, each above 0 (``first``) and below 1 (``second``).

        ``first`` and ``second`` are uint8 or uint16 ``(H, W, 3)`` RGB of one size, any size from
        1 × 1 up; the frames returned have their shape and dtype.
        """
        ...


def make_between(quality: str = "balanced", steps: int = 1, device: str = "cpu") -> Between:
    """The maker of a quality.

    Args:
        quality: ``"fast"`` is optical flow alone; ``"balanced"`` and ``"best"`` add the network.
        steps: diffusion steps of the network, >= 1; without effect on ``"fast"``.
        device: torch device of the network.

    Raises :class:`UsageError` for an unknown quality or ``steps`` below 1. Warns, and falls back
    to optical flow, where the network's weights are not installed.
    """
    if quality not in QUALITIES:
        raise UsageError(f"Quality {quality!r} is unknown; use one of {', '.join(QUALITIES)}.")
    if steps < 1:
        raise UsageError(f"steps must be at least 1, not {steps}.")
    if quality == "fast":
        return FlowBetween()
    try:
        module = importlib.import_module(_NETWORK)
        maker: Between = module.NetworkBetween(quality=quality, steps=steps, device=device)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and missing != _NETWORK:
            raise  # something that the network itself needs: not to be passed over
        warnings.warn(
            "The interpolation network's weights are not here: using optical flow alone, which "
            "is --quality fast.",
            stacklevel=2,
        )
        return FlowBetween()
    return maker


def check_pair(first: Frame, second: Frame, times: Sequence[float]) -> None:
    """Raise :class:`UsageError` unless the arguments are what :class:`Between` takes."""
    for frame in (first, second):
        if frame.dtype not in (np.uint8, np.uint16) or frame.ndim != 3 or frame.shape[2] != 3:
            raise UsageError(
                f"Frames must be uint8 or uint16 (H, W, 3) RGB: got {frame.dtype} {frame.shape}."
            )
    if first.shape != second.shape or first.dtype != second.dtype or 0 in first.shape:
        raise UsageError(
            f"Two frames of one size are needed: got {first.dtype} {first.shape} and "
            f"{second.dtype} {second.shape}."
        )
    for t in times:
        if not 0 < t < 1:
            raise UsageError(f"A frame between two others needs a time between 0 and 1: got {t}.")


class FlowBetween:
    """Optical flow, no learning: both neighbours warped to the time and mixed.

    DIS flow both ways at a bounded size, the flows at time t from it (linear motion, as in Super
    SloMo, arXiv:1712.00080), and a mix that keeps overlays still. What one neighbour covers is
    mixed in all the same: to find that out is what the network is for.
    """

    def __init__(self, short_side: int = 540, preset: str = "medium") -> None:
        """``short_side``: flow is found at no more than this many pixels; the warp is not."""
        self.short_side, self.preset = short_side, preset

    def __call__(self, first: Frame, second: Frame, times: Sequence[float]) -> list[Frame]:
        """See :class:`Between`."""
        check_pair(first, second, times)
        scale = self.short_side / min(first.shape[:2])
        one, two = (eight_bits(reduced(frame, scale)) for frame in (first, second))
        forward, backward = dis_flow(one, two, self.preset), dis_flow(two, one, self.preset)
        made = []
        for t in times:
            to_first, to_second = intermediate_flows(forward, backward, float(t))
            still = standing_still(one, two, warp_np(one, to_first), warp_np(two, to_second))
            kept = still if still.any() else None
            made.append(_mixed(first, second, to_first, to_second, kept, float(t)))
        return made


def _mixed(
    first: Frame,
    second: Frame,
    to_first: Frame,
    to_second: Frame,
    still: NDArray[np.float32] | None,
    t: float,
) -> Frame:
    """Warp both at their own size, a band of rows at a time, and mix.

    ``still`` is the share of both where they are (None: nowhere).
    """
    height, width = first.shape[:2]
    stretch = np.array([width / to_first.shape[1], height / to_first.shape[0]], np.float32)
    share, top = np.float32(t), np.iinfo(first.dtype).max
    out = np.empty_like(first)
    for rows in bands(height):
        one = warped(first, enlarged(to_first, height, width, rows) * stretch, rows)
        two = warped(second, enlarged(to_second, height, width, rows) * stretch, rows)
        mixed = one + (two - one) * share
        if still is not None:
            here, there = (frame[rows].astype(np.float32) for frame in (first, second))
            kept = enlarged(still, height, width, rows)[..., None]
            mixed += (here + (there - here) * share - mixed) * kept
        out[rows] = np.rint(mixed).clip(0, top)
    return out
