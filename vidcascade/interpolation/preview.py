"""The first seconds of a clip twice, side by side: blended, and ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.interpolation.between import Between, make_between
from vidcascade.interpolation.making import blended, make
from vidcascade.interpolation.outputs import check_rate, check_target, choose
from vidcascade.interpolation.plan import examined, planned
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.preparing import canvas_for, prepared
from vidcascade.interpolation.settings import Progress, Settings
from vidcascade.interpolation.source import Source
from vidcascade.interpolation.timeline import FactorGrid, Grid, RateGrid
from vidcascade.video import check_output, write_clip

__all__ = ["SECONDS", "Preview", "preview"]

SECONDS = Fraction(2)


@dataclass(frozen=True)
class Preview:
    """What was written.

    Attributes:
        output: file or folder.
        notes: what the user should know of the clip.
    """

    output: Path
    notes: list[str]


def preview(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    progress: Progress | None = None,
    between: Between | None = None,
) -> Preview:
    """Write a clip with a blend on the left and ours on the right, two seconds from the start.

    Args:
        source, output: as for :func:`vidcascade.interpolation.job.interpolate_file`.
        settings: of the job that it is a preview of; how that encodes changes nothing here.
        progress: called with output frames done and expected.
        between: maker of frames; None for that of the settings.

    Raises as :func:`interpolate_file`.
    """
    target, suffix = check_target(output, Path(source), settings.overwrite)
    written = f"{target}/" if suffix == ".png" else target
    check_output(written, settings.overwrite)  # writing knows fewer types of file than a job
    clip = Source.open(source)
    rate = settings.rate if settings.factor is None else clip.fps * settings.factor
    check_rate(suffix, rate)
    stop = settings.start + SECONDS
    settings = replace(settings, end=min(settings.end, stop) if settings.end else stop)
    # Upright RGB frames, as a folder of pictures would hold them.
    form = replace(choose(".png", Canvas.of(clip.first)), pixels="bgr0")
    canvas = canvas_for(clip, form)
    maker = between or make_between(settings.quality, settings.steps, settings.device)
    frames = clip.frames(settings.start, settings.end)
    first = next(frames, None)
    if first is None:
        raise UsageError(f"No frame of {clip.path} lies after --start; give an earlier one.")
    grid: Grid = RateGrid(rate, first.time)
    if settings.factor is not None:
        grid = FactorGrid(settings.factor)
    total = round(rate * (settings.end - settings.start))  # type: ignore[operator]

    def pictures() -> Iterator[NDArray[np.uint8]]:
        taken = prepared(_again(first, frames), clip, form)
        known = list(examined(taken, canvas, settings.cuts))
        end = known[-1].time + clip.last
        done = 0
        for work in planned(known, grid, lambda: end, settings.duplicates == "replace"):
            for made in make(work, maker):
                if made.rgb is None:
                    assert made.slot.known is not None
                    ours = simple = made.slot.known.colours[0]
                else:
                    ours, simple = made.rgb, blended(work, made.slot.t)
                done += 1
                if progress is not None:
                    progress(done, max(total, done))
                yield np.hstack((simple, ours))

    output = write_clip(written, pictures(), rate, overwrite=settings.overwrite)
    return Preview(output, clip.warnings)


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
