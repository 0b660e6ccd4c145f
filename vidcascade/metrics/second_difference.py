"""What changes between three frames once motion is taken out, split by cause.

``e_t = L_t - (w₋ W L_{t-1} + w₊ W L_{t+1})`` with W looking the neighbours up along the flow and
w₋ + w₊ = 1 by time (½ each at a constant frame rate). Whatever moves or fades at a constant speed
cancels; what flickers does not. Only pixels that both neighbours show are counted.

The gain on a flicker of frequency f is ``1 - cos(2π f / fps)``; :mod:`.spectrum` takes it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.compensation import Pair, warp_along
from vidcascade.metrics.frames import Prepared, smooth

__all__ = ["Causes", "Residual", "residual", "split"]

# Busy surroundings hide fine flicker: at this contrast (L*) it counts by half.
_MASKING = 4.0

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Residual:
    """The second difference of one frame.

    Attributes:
        lab: float32 (H, W, 3), in L*, a*, b*; 0 where not seen.
        seen: bool (H, W), pixels that both neighbours show.
        coverage: Share of the picture that is seen, 0 to 1.
    """

    lab: Array
    seen: NDArray[np.bool_]
    coverage: float


@dataclass(frozen=True, eq=False)
class Causes:
    """One frame's residual, split by cause. All in CIELAB units; 0 = steady.

    Attributes:
        global_luminance: The mean over the picture, signed: the whole picture brightens or darkens.
        regional_luminance: RMS of what is smooth over 1/24 of the short side, without the mean.
        texture: RMS of what is finer than that (noise, boiling detail), divided by 1 plus a quarter
            of the frame's own contrast there (L*): busy surroundings hide it.
        chroma: RMS of the a* and b* residual together, smooth over 1/24 of the short side: the eye
            sees no fine, fast colour.
        regions: float32 (h, w), the smooth lightness residual at a quarter of the size, mean
            included, 0 where not seen.
        colours: float32 (h, w, 2), the same of a* and b*.
        shares: float32 (h, w), how much of each of these points was seen, 0 to 1.
        fine: float32 (H, W), the texture residual before that division, 0 where not seen.
        hiding: float32 (h, w), what it is divided by at a quarter of the size.
    """

    global_luminance: float
    regional_luminance: float
    texture: float
    chroma: float
    regions: Array
    colours: Array
    shares: Array
    fine: Array
    hiding: Array


def residual(
    frame: Prepared,
    earlier: Prepared,
    later: Prepared,
    before: Pair,
    after: Pair,
    weights: tuple[float, float] = (0.5, 0.5),
) -> Residual:
    """Second difference of ``frame`` against its neighbours along the motion.

    Args:
        frame: Frame t.
        earlier: Frame t-1, same size.
        later: Frame t+1, same size.
        before: Motion between t-1 and t.
        after: Motion between t and t+1.
        weights: Weights of the earlier and the later neighbour, sum 1; by time where steps differ.
    """
    back = warp_along(earlier.lab, before.backward)
    ahead = warp_along(later.lab, after.forward)
    seen = before.seen_later & after.seen_earlier
    expected = back * np.float32(weights[0]) + ahead * np.float32(weights[1])
    difference: Any = cv2.copyTo(frame.lab - expected, seen.view(np.uint8))
    return Residual(difference, seen, float(seen.mean()))


def split(rest: Residual, frame: Prepared) -> Causes:
    """Split the residual of a frame by cause (result: see the class).

    Masking by contrast: Legge & Foley 1980, doi:10.1364/JOSA.70.001458.
    """
    height, width = rest.seen.shape
    count = max(int(np.count_nonzero(rest.seen)), 1)
    mean = float(rest.lab[..., 0].sum(dtype=np.float64)) / count
    stacked = smooth(np.asarray(cv2.merge((rest.lab, rest.seen.astype(np.float32)))))
    shares = np.clip(stacked[..., 3], 0, 1)
    # A normalised convolution: unseen pixels neither add nor dilute.
    local = stacked[..., :3] / np.maximum(shares, 1e-3)[..., None]
    local *= (shares > 0.05)[..., None]
    wide = cv2.resize(local[..., 0], (width, height), interpolation=cv2.INTER_LINEAR)
    fine = (rest.lab[..., 0] - wide) * rest.seen
    weight = max(float(shares.sum()), 1e-9)
    hiding = 1 + frame.contrast / np.float32(_MASKING)
    size = (local.shape[1], local.shape[0])
    power: Any = cv2.resize(np.square(fine), size, interpolation=cv2.INTER_AREA)
    texture = (power / np.square(hiding)).sum(dtype=np.float64) * (height * width / power.size)
    regional = np.square(local[..., 0] - mean) * shares
    chroma = np.square(local[..., 1:]).sum(axis=-1) * shares
    return Causes(
        global_luminance=mean,
        regional_luminance=float(np.sqrt(regional.sum() / weight)),
        texture=float(np.sqrt(texture / count)),
        chroma=float(np.sqrt(chroma.sum() / weight)),
        regions=np.asarray(local[..., 0]),
        colours=np.asarray(local[..., 1:]),
        shares=np.asarray(shares),
        fine=np.asarray(fine, dtype=np.float32),
        hiding=np.asarray(hiding),
    )
