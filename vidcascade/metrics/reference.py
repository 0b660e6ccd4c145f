"""A clip against the clip it should have been.

tOF and tLP: Chu et al. 2020, *Learning Temporal Coherence via Self-Supervision for GAN-based Video
Generation* (TecoGAN), arXiv:1811.09393, with its script's settings: two frames left out at each
end, flows and pictures cropped to multiples of 32 that leave a border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.metrics.catalogue import info
from vidcascade.metrics.frames import prepare
from vidcascade.metrics.statistics import bootstrap_mean
from vidcascade.metrics.streaming import TimedFrame
from vidcascade.metrics.suite import Measured, block_length

__all__ = [
    "against_reference",
    "farneback_difference",
    "lpips_difference",
    "teco_crop",
    "teco_psnr",
]

Frame = NDArray[np.uint8]
Array = NDArray[np.float32]

_CUT = 2
# Equal frames have an infinite PSNR, which no mean survives.
_MOST_PSNR = 100.0

Distance = Callable[[Frame, Frame], float]


def teco_crop(size: int) -> tuple[int, int]:
    """First pixel and length that TecoGAN's script keeps of a side: a multiple of 32, less than
    the side by 16 at least; sides that leave nothing are kept whole."""
    length = (size // 32) * 32
    while length > size - 16:
        length -= 32
    if length <= 0:
        return 0, size
    return (size - length) // 2, length


def farneback_difference(
    clip: tuple[Frame, Frame], reference: tuple[Frame, Frame], crop: bool = True
) -> float:
    """One step's tOF: mean length of the difference of the two clips' Farneback flows, in pixels.

    Args:
        clip: Frames t-1 and t, (H, W, 3) RGB uint8.
        reference: The same of the reference, same size.
        crop: As TecoGAN's script does; False for the whole picture.
    """
    wanted, found = (_farneback(*pair) for pair in (reference, clip))
    length = np.linalg.norm(wanted - found, axis=-1)
    if crop:
        (y, height), (x, width) = (teco_crop(side) for side in length.shape)
        length = length[y : y + height, x : x + width]
    return float(length.mean())


def teco_psnr(frame: Frame, reference: Frame) -> float:
    """PSNR of the luma (BT.601, limited range) of two cropped frames, as TecoGAN's script has it.

    At most 100 dB.
    """
    weights = np.array([0.256788235294118, 0.504129411764706, 0.097905882352941])
    ours, theirs = _cropped(frame), _cropped(reference)
    error = np.square((ours.astype(np.float64) - theirs) @ weights).mean()
    return _MOST_PSNR if error == 0 else min(20 * np.log10(255 / np.sqrt(error)), _MOST_PSNR)


def lpips_difference(
    clip: tuple[Frame, Frame], reference: tuple[Frame, Frame], lpips: Distance
) -> float:
    """One step's tLP: 100 × the difference of the two clips' LPIPS between frames t-1 and t.

    Arguments as :func:`farneback_difference`; ``lpips`` is a distance between two RGB frames.
    """
    found, wanted = (lpips(*(_cropped(f) for f in pair)) for pair in (clip, reference))
    return 100 * abs(found - wanted)


def against_reference(
    clip: Iterable[TimedFrame],
    reference: Iterable[TimedFrame],
    fps: float,
    lpips: Distance | None = None,
    align: bool = False,
) -> dict[str, Measured]:
    """Measures of a clip against a reference, in one pass over both.

    Args:
        clip: Frames of the clip.
        reference: Frames of the reference.
        fps: Frames per second, for the bootstrap's blocks.
        lpips: Distance between two RGB frames, for tLP; None leaves tLP out.
        align: Bring frames of another size to the reference's, and stop at the shorter clip's end,
            instead of refusing.

    Raises:
        UsageError: If sizes or lengths differ and ``align`` is off, or there are no two frames.
    """
    from vidcascade.metrics.fidelity import ssim

    rows: list[dict[str, float]] = []
    last: tuple[Frame, Frame] | None = None
    labs: tuple[Array, Array] | None = None
    for index, (ours, theirs) in enumerate(zip_longest(clip, reference)):
        if ours is None or theirs is None:
            if align:
                break
            longer = "reference" if ours is None else "clip"
            raise UsageError(
                f"The {longer} goes on after frame {index}, where the other ends; add --align to"
                " compare what both have."
            )
        frame, wanted = _sized(ours.pixels, theirs.pixels, align)
        row = {"psnr": _psnr(frame, wanted), "tof": np.nan, "tlp": np.nan}
        row["ssim"] = float(ssim(frame, wanted)) if min(frame.shape[:2]) >= 11 else np.nan
        row["temporal_difference"] = np.nan
        lab = prepare(frame).lab, prepare(wanted).lab
        if last is not None and labs is not None:
            row["tof"] = farneback_difference((last[0], frame), (last[1], wanted))
            change = (lab[0] - labs[0]) - (lab[1] - labs[1])
            row["temporal_difference"] = float(np.linalg.norm(change, axis=-1).mean())
            if lpips is not None:
                row["tlp"] = lpips_difference((last[0], frame), (last[1], wanted), lpips)
        rows.append(row)
        last, labs = (frame, wanted), lab
    if len(rows) < 2:
        raise UsageError("A comparison with a reference needs two frames of each at least.")
    names = ["tof", "temporal_difference", "psnr", "ssim"]
    if lpips is not None:
        names.insert(2, "tlp")
    return {name: _summary(name, [row[name] for row in rows], fps) for name in names}


def _summary(name: str, values: list[float], fps: float) -> Measured:
    series = np.asarray(values, dtype=np.float64)
    counted = series.copy()
    if name in ("tof", "tlp") and len(series) > 2 * _CUT + 1:
        # TecoGAN's script leaves out two frames at each end; the first step is between the third
        # and the fourth.
        counted[: _CUT + 1] = np.nan
        counted[-_CUT:] = np.nan
    known = counted[np.isfinite(counted)]
    if known.size == 0:
        return Measured(info(name), None, coverage=0.0, note="the pictures are too small")
    interval = None
    if known.size > 1:
        found = bootstrap_mean(known, block=block_length(fps, known.size))
        interval = (found.low, found.high)
    return Measured(info(name), float(known.mean()), interval, series=series)


def _sized(frame: Frame, wanted: Frame, align: bool) -> tuple[Frame, Frame]:
    if frame.shape == wanted.shape:
        return frame, wanted
    if not align:
        raise UsageError(
            f"The clip is {frame.shape[1]} × {frame.shape[0]} and the reference"
            f" {wanted.shape[1]} × {wanted.shape[0]}; add --align to bring them to one size."
        )
    height, width = wanted.shape[:2]
    how = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    sized: Any = cv2.resize(frame, (width, height), interpolation=how)
    return np.asarray(sized, dtype=np.uint8), wanted


def _psnr(frame: Frame, wanted: Frame) -> float:
    from vidcascade.metrics.fidelity import psnr

    return min(float(psnr(frame, wanted)), _MOST_PSNR)


def _cropped(frame: Frame) -> Frame:
    (y, height), (x, width) = (teco_crop(side) for side in frame.shape[:2])
    return frame[y : y + height, x : x + width]


def _farneback(earlier: Frame, later: Frame) -> Array:
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (earlier, later)]
    flow = cv2.calcOpticalFlowFarneback(
        grey[0],
        grey[1],
        None,  # type: ignore[call-overload]
        0.5,
        3,
        15,
        3,
        5,
        1.2,
        0,
    )
    return np.asarray(flow, dtype=np.float32)
