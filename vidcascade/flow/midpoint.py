"""Flows of a frame that does not exist yet, from those of its neighbours.

Source: Jiang et al. 2018, *Super SloMo*, arXiv:1712.00080, equation 4 (linear motion; the flow at a
pixel of the missing frame is borrowed from the same pixel of its neighbours).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.warp import warp, warp_np

__all__ = ["average_of_warps", "extrapolated_flows", "intermediate_flows", "midpoint_prior"]

Flow = TypeVar("Flow", NDArray[np.float32], Tensor)


def intermediate_flows(f01: Flow, f10: Flow, t: float = 0.5) -> tuple[Flow, Flow]:
    """Flows from the frame at time t to frame 0 and to frame 1.

    ``f_t0 = -(1-t) t f01 + t² f10`` and ``f_t1 = (1-t)² f01 - t (1-t) f10``; at t = ½ that is
    ``¼ (f10 - f01)`` and its negative.

    Args:
        f01: Flow from frame 0 to frame 1 in pixels: array (…, H, W, 2) or tensor (B, 2, H, W).
        f10: Flow from frame 1 to frame 0, same kind and shape.
        t: Time of the missing frame, 0 < t < 1.

    Returns:
        ``f_t0``, ``f_t1``: same kind and shape.

    Raises:
        UsageError: If ``t`` lies outside 0 to 1 or the shapes differ.
    """
    if not 0 < t < 1:
        raise UsageError(f"A frame between two others needs a time between 0 and 1: got {t}.")
    if f01.shape != f10.shape:
        raise UsageError(f"The two flows differ in shape: {f01.shape} and {f10.shape}.")
    to_first = f10 * (t * t) - f01 * (t * (1 - t))
    to_second = f01 * ((1 - t) * (1 - t)) - f10 * (t * (1 - t))
    return to_first, to_second


def extrapolated_flows(
    last_to_previous: Flow, step: float = 1.0, iterations: int = 3
) -> tuple[Flow, Flow]:
    """Flows from a frame *after* the last one, when everything keeps moving as it did.

    A pixel x of the last frame goes to ``x - step · f(x)``. Seen from the new frame its flow back
    is ``g(y) = step · f(y + g(y))``, solved by fixed-point iteration so that a moving thing carries
    its own motion with it.

    Args:
        last_to_previous: f, flow from the last frame to the one before, in pixels: array
            (H, W, 2) or tensor (B, 2, H, W).
        step: How far past the last frame, in frame intervals, > 0 (½ when rates are doubled).
        iterations: Fixed-point steps; 0 borrows the flow at the same pixel.

    Returns:
        ``to_last``, ``to_previous``: same kind and shape.

    Raises:
        UsageError: If ``step`` is not positive.
    """
    if step <= 0:
        raise UsageError(f"A frame past the last one needs a positive step: got {step}.")
    motion = last_to_previous
    for _ in range(iterations):
        if isinstance(last_to_previous, Tensor):
            motion = warp(last_to_previous, motion * step)
        else:
            motion = warp_np(last_to_previous, motion * np.float32(step))
    return motion * step, motion * (1 + step)


def midpoint_prior(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    t: float = 0.5,
    f01: NDArray[np.float32] | None = None,
    f10: NDArray[np.float32] | None = None,
    preset: str = "medium",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flows from the missing frame to ``a`` and to ``b``: the bridge's prior.

    Args:
        a: Frame 0, (H, W, 3) RGB uint8.
        b: Frame 1, same shape.
        t: Time of the missing frame, 0 < t < 1.
        f01: Flow a → b (H, W, 2) in pixels where it is known already; None: DIS.
        f10: Flow b → a, likewise.
        preset: DIS preset.

    Returns:
        ``f_t0``, ``f_t1`` float32 (H, W, 2) in pixels.
    """
    f01 = dis_flow(a, b, preset) if f01 is None else f01
    f10 = dis_flow(b, a, preset) if f10 is None else f10
    return intermediate_flows(f01, f10, t)


def average_of_warps(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    to_a: NDArray[np.float32],
    to_b: NDArray[np.float32],
    t: float = 0.5,
) -> NDArray[np.uint8]:
    """The missing frame without any learning: both neighbours warped, mixed as 1-t to t.

    This is the bar that a bridge has to pass. Shapes as in :func:`midpoint_prior`; returns
    (H, W, 3) uint8.
    """
    first = _to_tensor(a), _to_tensor(to_a)
    second = _to_tensor(b), _to_tensor(to_b)
    mixed = warp(*first) * (1 - t) + warp(*second) * t
    return mixed[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def _to_tensor(array: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].float()
