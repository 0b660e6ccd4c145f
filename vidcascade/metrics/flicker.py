"""Published flicker measures, kept as they were published so that numbers can be compared.

Both respond to more than flicker: :func:`mean_absolute_difference` to any motion, and
:func:`warping_error` to whatever the flow gets wrong. Compare only clips of
one frame rate and size.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.occlusion import occlusion_np
from vidcascade.flow.warp import warp_np

__all__ = [
    "evalcrafter_warping_error",
    "half_size_warping_error",
    "mean_absolute_difference",
    "pair_warping_error",
    "vbench_temporal_flickering",
    "warping_error",
]


def warping_error(frames: NDArray[np.uint8], preset: str = "medium") -> float:
    """Mean squared change along the motion, where the motion is known; 0 = perfectly stable.

    The mean over t of ``Σ ((W(I_t) - I_{t-1})² M) / Σ M`` on RGB in [0, 1], W warping along the
    flow from frame t-1 to t, M the pixels that pass the forward-backward check, counted once per
    channel. A pair without one such pixel counts as 0, as in the authors' code. Values elsewhere
    (EvalCrafter) count M once per pixel and are three times as large.

    Source: Lai et al. 2018, *Learning Blind Video Temporal Consistency*, arXiv:1808.00449; here
    with DIS flow instead of FlowNet2.

    Args:
        frames: (T, H, W, 3) RGB uint8, T ≥ 2.
        preset: DIS preset.

    Raises:
        UsageError: If ``frames`` is something else.
    """
    _check(frames)
    errors = [
        pair_warping_error(a, b, dis_flow(a, b, preset), dis_flow(b, a, preset))[0]
        for a, b in pairwise(frames)
    ]
    return float(np.mean(errors))


def pair_warping_error(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    forward: NDArray[np.float32],
    backward: NDArray[np.float32],
) -> tuple[float, float]:
    """One pair's term of :func:`warping_error`, with given flows.

    Args:
        a: Frame t-1, (H, W, 3) RGB uint8.
        b: Frame t.
        forward: Flow a → b, (H, W, 2) pixels.
        backward: Flow b → a.

    Returns:
        The error, and the share of pixels that it covers (0 to 1).
    """
    seen = ~occlusion_np(forward, backward)
    first = a.astype(np.float32) / 255
    warped = warp_np(b.astype(np.float32) / 255, forward)
    squared = np.square((warped - first)[seen], dtype=np.float64)
    return (float(squared.mean()) if squared.size else 0.0), float(seen.mean())


def evalcrafter_warping_error(frames: NDArray[np.uint8]) -> float:
    """EvalCrafter's warping error: at half the size, and three times as large; 0 = stable.

    Its code halves the frames (bilinear), pads them to multiples of 8 for the flow network and
    counts M once per pixel against the squares of three channels. Source: Liu et al. 2023,
    *EvalCrafter*, arXiv:2310.11440; here with DIS flow instead of RAFT.

    Args:
        frames: (T, H, W, 3) RGB uint8, T ≥ 2.

    Raises:
        UsageError: If ``frames`` is something else.
    """
    _check(frames)
    return float(np.mean([half_size_warping_error(a, b) for a, b in pairwise(frames)]))


def half_size_warping_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """One pair's term of :func:`evalcrafter_warping_error`; frames (H, W, 3), sides at least 2."""
    first, second = _half(a), _half(b)
    grey_first, grey_second = (np.round(f * 255).astype(np.uint8) for f in (first, second))
    forward = dis_flow(grey_first, grey_second)
    seen = ~occlusion_np(forward, dis_flow(grey_second, grey_first))
    squared = np.square((warp_np(second, forward) - first)[seen], dtype=np.float64)
    return 3 * float(squared.mean()) if squared.size else 0.0


def _half(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = max(frame.shape[0] // 2, 1), max(frame.shape[1] // 2, 1)
    whole = frame[: 2 * height, : 2 * width].astype(np.float32) / np.float32(255)
    half = cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)
    rows, columns = -height % 8, -width % 8
    # Replicated on both sides, as its padder does.
    return np.asarray(
        cv2.copyMakeBorder(
            half,
            rows // 2,
            rows - rows // 2,
            columns // 2,
            columns - columns // 2,
            cv2.BORDER_REPLICATE,
        ),
        dtype=np.float32,
    )


def mean_absolute_difference(frames: NDArray[np.uint8]) -> float:
    """Mean |I_t - I_{t+1}| over frames, pixels and channels, in grey levels (0 to 255).

    Args:
        frames: (T, H, W, 3) uint8, T ≥ 2; the channel order does not matter.

    Raises:
        UsageError: If ``frames`` is something else.
    """
    _check(frames)
    return float(np.mean([_absolute_difference(a, b) for a, b in pairwise(frames)]))


def vbench_temporal_flickering(frames: NDArray[np.uint8]) -> float:
    """VBench's temporal flickering score, ``(255 - MAD) / 255``; 1 = a still picture.

    It ranks a clean pan below a flickering still, and rises under heavy compression.
    Source: Huang et al. 2023, *VBench*, arXiv:2311.17982. Arguments as
    :func:`mean_absolute_difference`.
    """
    return (255.0 - mean_absolute_difference(frames)) / 255.0


def _absolute_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Any:
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).mean()


def _check(frames: NDArray[np.uint8]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2:
        raise UsageError(
            "Flicker is measured on at least two uint8 RGB frames (T, H, W, 3): got"
            f" {frames.dtype} {frames.shape}."
        )
