"""The published measures inside one pass over a clip: value-compatible, and affordable.

They are taken at the clip's own size. The flow behind the warping errors costs far more than
everything else on a large picture, so there it is taken of every k-th pair only: an unbiased
estimate of the same mean, with k in the settings and the share of pairs as its coverage.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.flow.dis import dis_flow
from vidcascade.metrics.flicker import half_size_warping_error, pair_warping_error

__all__ = ["PairValues", "pair_values", "sampling"]

# Every pair up to 640 × 480; beyond that about as many pixels per pair as 320 × 240 has.
_EVERY_PAIR = 640 * 480
_PIXELS_PER_PAIR = 320 * 240
# Beyond this the flow alone would take gigabytes.
_LARGEST = 4096 * 2304

Frame = NDArray[np.uint8]
PairValues = tuple[float, float, float]


def sampling(height: int, width: int, exact: bool = False) -> int:
    """The warping errors are taken of every this many pairs; 0: not at all (larger than 4K)."""
    pixels = height * width
    if pixels > _LARGEST:
        return 0
    if exact or pixels <= _EVERY_PAIR:
        return 1
    return -(-pixels // _PIXELS_PER_PAIR)


def pair_values(earlier: Frame, later: Frame, with_flow: bool) -> PairValues:
    """Mean absolute difference, Lai et al.'s and EvalCrafter's warping error of one pair.

    The errors are NaN without flow. A pair in which no pixel can be followed counts as 0, as in
    the authors' code.
    """
    difference = cv2.norm(earlier, later, cv2.NORM_L1) / earlier.size
    if not with_flow:
        return difference, np.nan, np.nan
    forward, backward = dis_flow(earlier, later), dis_flow(later, earlier)
    lai, _ = pair_warping_error(earlier, later, forward, backward)
    return difference, lai, half_size_warping_error(earlier, later)
