"""The makers of in-between frames, behind one small protocol."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.midpoint import intermediate_flows
from vidcascade.flow.warp import warp_np
from vidcascade.interpolation.steady import standing_still

__all__ = ["QUALITIES", "Between", "FlowBetween", "check_pair", "make_between"]

QUALITIES = ("fast", "balanced", "best")
_NETWORK = "vidcascade.interpolation.model"
_BAND = 256  # rows warped at a time: bounds memory at 4K

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
    SloMo, arXiv:1712.00080), and a mix that leaves out a neighbour where it is looked up outside
    of its picture, and keeps overlays still. Weights from the check there and back, or from
    projecting the flow to time t, were measured to cost 0.03 to 0.1 dB: what is covered is for
    the network to find out.
    """

    def __init__(self, short_side: int = 540, preset: str = "medium") -> None:
        """``short_side``: flow is found at no more than this many pixels; the warp is not."""
        self.short_side, self.preset = short_side, preset

    def __call__(self, first: Frame, second: Frame, times: Sequence[float]) -> list[Frame]:
        """See :class:`Between`."""
        check_pair(first, second, times)
        one, two = (_eight_bits(_reduced(f, self.short_side)) for f in (first, second))
        forward, backward = dis_flow(one, two, self.preset), dis_flow(two, one, self.preset)
        made = []
        for t in times:
            to_first, to_second = intermediate_flows(forward, backward, float(t))
            weight = _weight_of_second(to_first, to_second, float(t))
            still = standing_still(one, two, warp_np(one, to_first), warp_np(two, to_second))
            kept = still if still.any() else None
            made.append(_mixed(first, second, to_first, to_second, weight, kept, float(t)))
        return made


def _reduced(frame: Frame, short_side: int) -> Frame:
    height, width = frame.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))


def _eight_bits(frame: Frame) -> NDArray[np.uint8]:
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    return (frame >> 8).astype(np.uint8)


def _weight_of_second(to_first: Frame, to_second: Frame, t: float) -> NDArray[np.float32]:
    """Share of the second neighbour in each pixel, 0 to 1, on the flow's grid."""
    one, two = (1 - t) * _seen(to_first), t * _seen(to_second)
    return np.asarray(two / (one + two), dtype=np.float32)


def _seen(to_neighbour: Frame) -> NDArray[np.float32]:
    """How far a neighbour is to be trusted where it is looked up: 0.01 to 1."""
    height, width = to_neighbour.shape[:2]
    x = np.arange(width, dtype=np.float32) + to_neighbour[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + to_neighbour[..., 1]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return np.where(inside, np.float32(1), np.float32(0.01))


def _mixed(
    first: Frame,
    second: Frame,
    to_first: Frame,
    to_second: Frame,
    weight: NDArray[np.float32],
    still: NDArray[np.float32] | None,
    t: float,
) -> Frame:
    """Warp both at their own size, a band of rows at a time, and mix.

    ``weight`` is the second one's share, ``still`` that of both where they are (None: nowhere).
    """
    height, width = first.shape[:2]
    out = np.empty_like(first)
    for top in range(0, height, _BAND):
        rows = slice(top, min(top + _BAND, height))
        one = _warped(first, _enlarged(to_first, height, width, rows), rows)
        two = _warped(second, _enlarged(to_second, height, width, rows), rows)
        share = _enlarged(weight, height, width, rows)[..., None]
        mixed = one + (two - one) * share
        if still is not None:
            here, there = (frame[rows].astype(np.float32) for frame in (first, second))
            kept = _enlarged(still, height, width, rows)[..., None]
            mixed += (here + (there - here) * np.float32(t) - mixed) * kept
        np.rint(mixed, out=mixed)
        out[rows] = mixed  # a mean of values in range is in range
    return out


def _enlarged(field: Frame, height: int, width: int, rows: slice) -> NDArray[np.float32]:
    """Rows of a flow (H, W, 2) or a map (H, W) brought to the frame's size, flows in its pixels."""
    small_height, small_width = field.shape[:2]
    if (small_height, small_width) == (height, width):
        return np.asarray(field[rows])
    scale = np.array([width / small_width, height / small_height], np.float32)
    # Pixel centres of the large grid, on the small one.
    x = (np.arange(width, dtype=np.float32) + 0.5) / scale[0] - 0.5
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / scale[1] - 0.5
    grid_x, grid_y = np.meshgrid(x, y)
    large = cv2.remap(field, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(large * scale if field.ndim == 3 else large, dtype=np.float32)


def _warped(frame: Frame, flow: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
    height, width = frame.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + flow[..., 1]
    np.clip(x, 0, width - 1, out=x)
    np.clip(y, 0, height - 1, out=y)
    # remap is limited to 32767 pixels a side; the rows of the frame that a band needs are fewer.
    low, high = int(y.min()), int(y.max()) + 2
    part = frame[low:high].astype(np.float32)
    out = cv2.remap(part, x, y - low, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out)
