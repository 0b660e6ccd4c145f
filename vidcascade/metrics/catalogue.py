"""What every measure is: its unit, its range, which way is better, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "MeasureInfo", "info"]

_OWN = "vidcascade; motion-compensated second difference in CIELAB at a short side of 256"
_EYE = (
    " Weighed by the eye's temporal contrast sensitivity (Watson & Ahumada 2011), so that frame"
    " rates compare."
)


@dataclass(frozen=True)
class MeasureInfo:
    """One measure.

    Attributes:
        name: As in files and on the command line.
        title: As in tables.
        unit: Of the value; "" for a pure number.
        low: Smallest possible value; None: unbounded.
        high: Largest possible value; None: unbounded.
        better: "lower", "higher", or "" where neither is better.
        definition: One sentence.
        source: Where it was defined.
        group: "flicker", "flashes", "published", "context" or "reference".
    """

    name: str
    title: str
    unit: str
    low: float | None
    high: float | None
    better: str
    definition: str
    source: str
    group: str


CATALOGUE: tuple[MeasureInfo, ...] = (
    MeasureInfo(
        "flicker",
        "Flicker",
        "",
        0,
        None,
        "lower",
        "All causes below in quadrature, weighted as ColorVideoVDP sees them; 0 = steady, 1 = about"
        " what three of four viewers notice.",
        _OWN + "; weights fitted to ColorVideoVDP (Mantiuk et al. 2024, doi:10.1145/3658144)",
        "flicker",
    ),
    MeasureInfo(
        "global_luminance",
        "whole picture",
        "L*",
        0,
        None,
        "lower",
        "The whole picture brightens and darkens: mean of the residual over the picture." + _EYE,
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "regional_luminance",
        "regions",
        "L*",
        0,
        None,
        "lower",
        "Parts brighten and darken: RMS of the residual smooth over 1/24 of the short side,"
        " without its mean." + _EYE,
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "texture",
        "texture",
        "L*",
        0,
        None,
        "lower",
        "Noise and boiling detail: RMS of the residual finer than that, less where the picture's"
        " own contrast hides it." + _EYE,
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "chroma",
        "colour",
        "a*b*",
        0,
        None,
        "lower",
        "Colours change: RMS of the smooth residual in a* and b*." + _EYE,
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "swimming",
        "swimming",
        "px",
        0,
        None,
        "lower",
        "Texture wobbles by itself: RMS of the unsteady part of the motion around its median,"
        " in pixels at a short side of 256." + _EYE,
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "judder",
        "judder",
        "px",
        0,
        None,
        "lower",
        "The picture as a whole moves in jerks: length of the median of the unsteady part of the"
        " motion, in pixels at a short side of 256.",
        _OWN,
        "flicker",
    ),
    MeasureInfo(
        "duplicates",
        "repeated frames",
        "%",
        0,
        100,
        "lower",
        "Steps that change the picture by less than a fifth of the 75th percentile of the steps"
        " around them, while those move.",
        "vidcascade",
        "flicker",
    ),
    MeasureInfo(
        "seams",
        "seams",
        "",
        None,
        None,
        "lower",
        "Flicker at the frames next to window borders minus flicker of all others; needs"
        " --window-borders. Below 0 where borders are steadier than the rest.",
        "vidcascade",
        "flicker",
    ),
    MeasureInfo(
        "visibility",
        "visibility",
        "thresholds",
        0,
        None,
        "lower",
        "Spectrum of the lightness of cells as contrast, times the eye's sensitivity, summed in"
        " quadrature over frequencies; 1 = the threshold of a uniform field.",
        "Watson & Ahumada 2011, Flicker visibility, SID Digest 42(1), 957-959",
        "flicker",
    ),
    MeasureInfo(
        "flashes_general",
        "general flashes",
        "changes/s",
        0,
        None,
        "lower",
        "Most opposing changes of relative luminance within a second over the whole picture; two"
        " make a flash, more than 6 fail.",
        "WCAG 2.2; ITU-R BT.1702-3; values as EA IRIS",
        "flashes",
    ),
    MeasureInfo(
        "flashes_red",
        "red flashes",
        "changes/s",
        0,
        None,
        "lower",
        "Most opposing changes of saturated red within a second over the whole picture; more than"
        " 6 fail.",
        "WCAG 2.2; ITU-R BT.1702-3; values as EA IRIS",
        "flashes",
    ),
    MeasureInfo(
        "flashes_local",
        "local flashes",
        "changes/s",
        0,
        None,
        "lower",
        "The same count in each cell of a grid: what at least a quarter of the cells see. Catches"
        " parts that flash in turn, which cancel in the mean of the picture.",
        "vidcascade, after ITU-R BT.1702-3",
        "flashes",
    ),
    MeasureInfo(
        "difference",
        "adjacent-frame MAE",
        "of 255",
        0,
        255,
        "lower",
        "Mean absolute difference of neighbouring frames at native size; rises with any motion.",
        "Huang et al. 2023, VBench, arXiv:2311.17982",
        "published",
    ),
    MeasureInfo(
        "vbench_temporal_flickering",
        "VBench flickering",
        "",
        0,
        1,
        "higher",
        "(255 - adjacent-frame MAE) / 255, as VBench prints it; 1 = a still picture.",
        "Huang et al. 2023, VBench, arXiv:2311.17982",
        "published",
    ),
    MeasureInfo(
        "warping_error",
        "warping error",
        "",
        0,
        1,
        "lower",
        "Mean squared RGB difference (0 to 1) along DIS flow where the round trip holds, at native"
        " size.",
        "Lai et al. 2018, arXiv:1808.00449",
        "published",
    ),
    MeasureInfo(
        "warping_error_evalcrafter",
        "EvalCrafter error",
        "",
        0,
        3,
        "lower",
        "The same at half size and three times as large.",
        "Liu et al. 2023, EvalCrafter, arXiv:2310.11440",
        "published",
    ),
    MeasureInfo(
        "motion",
        "motion",
        "%/s",
        0,
        None,
        "",
        "Mean length of the flow in percent of the short side per second: what the other numbers"
        " have to be read beside.",
        "vidcascade",
        "context",
    ),
    MeasureInfo(
        "frozen",
        "frozen",
        "%",
        0,
        100,
        "",
        "Steps from one frame to the next that change nothing at all (mean below 0.02 L*).",
        "vidcascade",
        "context",
    ),
    MeasureInfo(
        "tof",
        "tOF",
        "px",
        0,
        None,
        "lower",
        "Mean length of the difference of Farneback flows of clip and reference.",
        "Chu et al. 2020, TecoGAN, arXiv:1811.09393",
        "reference",
    ),
    MeasureInfo(
        "temporal_difference",
        "temporal difference",
        "ΔE",
        0,
        None,
        "lower",
        "Mean CIELAB distance between the steps (frame minus the one before) of clip and reference,"
        " at a short side of 256.",
        "vidcascade",
        "reference",
    ),
    MeasureInfo(
        "tlp",
        "tLP × 100",
        "",
        0,
        None,
        "lower",
        "Difference between the LPIPS of neighbouring frames in clip and reference, times 100;"
        " needs --lpips.",
        "Chu et al. 2020, TecoGAN, arXiv:1811.09393",
        "reference",
    ),
    MeasureInfo(
        "psnr",
        "PSNR",
        "dB",
        0,
        None,
        "higher",
        "Peak signal-to-noise ratio of each frame against the reference; 100 for equal frames.",
        "",
        "reference",
    ),
    MeasureInfo(
        "ssim",
        "SSIM",
        "",
        -1,
        1,
        "higher",
        "Structural similarity of each frame to the reference.",
        "Wang et al. 2004, doi:10.1109/TIP.2003.819861",
        "reference",
    ),
)

_BY_NAME = {entry.name: entry for entry in CATALOGUE}


def info(name: str) -> MeasureInfo:
    """The entry of a measure; ``KeyError`` when there is none."""
    return _BY_NAME[name]
