"""``vidcascade.interpolate``: two frames, many frames, or a file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.interpolation.between import Between, check_pair, make_between
from vidcascade.interpolation.cuts import CutFinder, look_at
from vidcascade.interpolation.timeline import check_factor, parse_time

if TYPE_CHECKING:
    from vidcascade.interpolation.batch import BatchReport
    from vidcascade.interpolation.settings import Progress, Report

__all__ = ["interpolate"]

Frames = NDArray[Any]
_MAKERS: dict[tuple[str, int, str], Between] = {}
_FEWEST_FOR_CUTS = 4


@overload
def interpolate(
    source: Frames,
    target: Frames,
    times: Sequence[float] = ...,
    *,
    quality: str = ...,
    steps: int = ...,
    device: str = ...,
) -> list[Frames]: ...


@overload
def interpolate(
    source: Frames,
    target: None = ...,
    times: Sequence[float] = ...,
    *,
    factor: int = ...,
    quality: str = ...,
    steps: int = ...,
    device: str = ...,
    cuts: bool = ...,
) -> Frames: ...


@overload
def interpolate(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    factor: int | None = ...,
    fps: Fraction | float | str | None = ...,
    quality: str = ...,
    steps: int = ...,
    device: str = ...,
    cuts: bool = ...,
    progress: Progress | None = ...,
    **options: Any,
) -> Report | BatchReport: ...


def interpolate(
    source: Any,
    target: Any = None,
    times: Sequence[float] = (0.5,),
    *,
    factor: int | None = None,
    fps: Fraction | float | str | None = None,
    quality: str = "balanced",
    steps: int = 1,
    device: str = "cpu",
    cuts: bool = True,
    progress: Any = None,
    **options: Any,
) -> Any:
    """Make frames between frames.

    ``interpolate(frame0, frame1, times=[0.5])``: two uint8 (or uint16) ``(H, W, 3)`` RGB arrays of
    any size → a list of the frames at ``times``, each above 0 and below 1.

    ``interpolate(frames, factor=2)``: ``(T, H, W, 3)``, T >= 2 → ``((T - 1)·factor + 1, H, W, 3)``.
    Every ``factor``-th frame is one that was given, bit for bit. In four frames or more, scene
    cuts are looked for unless ``cuts=False``; there the frame before is held.

    ``interpolate("in.mp4", "out.mp4", factor=4)`` or ``fps=60``: a file, or every file of a folder
    → a report. ``options`` are those of :class:`vidcascade.interpolation.settings.Settings`
    (``codec``, ``crf``, ``start``, ``end``, ``duplicates``, ``resume``, ``overwrite`` …);
    ``progress(done, total)`` is called for each output frame.

    Args:
        quality: "fast", "balanced" or "best".
        steps: diffusion steps, >= 1.
        device: torch device.

    Raises :class:`UsageError` for arguments that do not fit, :class:`VidCascadeError` when a
    file is damaged or cannot be written.
    """
    if isinstance(source, str | os.PathLike):
        if target is None:
            raise UsageError(
                "Interpolating a file needs an output: interpolate(in, out, factor=2)."
            )
        return _files(
            source, target, progress, factor=factor, fps=fps, quality=quality, steps=steps,
            device=device, cuts=cuts, **options,
        )  # fmt: skip
    if options:
        raise UsageError(f"{', '.join(options)}: only for files, not for arrays.")
    first = np.asarray(source)
    if target is not None:
        second = np.asarray(target)
        check_pair(first, second, times)
        if factor is not None or fps is not None:
            raise UsageError("For two frames give times, not a factor or a frame rate.")
        return _maker(quality, steps, device)(first, second, list(times))
    if fps is not None or factor is None:
        raise UsageError("For an array of frames give a factor: interpolate(frames, factor=2).")
    return _array(first, check_factor(factor), _maker(quality, steps, device), cuts)


def _maker(quality: str, steps: int, device: str) -> Between:
    """The maker of frames, loaded once: callers go through pairs in a loop."""
    key = (quality, steps, device)
    if key not in _MAKERS:
        _MAKERS[key] = make_between(quality, steps, device)
    return _MAKERS[key]


def _array(frames: Frames, factor: int, between: Between, cuts: bool) -> Frames:
    if frames.ndim != 4 or len(frames) < 2:
        raise UsageError(
            f"An array of frames must be (T, H, W, 3) with T of 2 or more: got {frames.shape}."
        )
    times = [k / factor for k in range(1, factor)]
    check_pair(frames[0], frames[1], times)
    starts = _scene_starts(frames) if cuts and len(frames) >= _FEWEST_FOR_CUTS else set()
    out = np.empty(((len(frames) - 1) * factor + 1, *frames.shape[1:]), frames.dtype)
    out[::factor] = frames
    for number in range(len(frames) - 1):
        place = number * factor + 1
        if number + 1 in starts:
            out[place : place + factor - 1] = frames[number]
        else:
            made = between(frames[number], frames[number + 1], times)
            out[place : place + factor - 1] = np.stack(made)
    return out


def _scene_starts(frames: Frames) -> set[int]:
    finder = CutFinder()
    answers = [answer for frame in frames for answer in finder.push(look_at(frame))]
    answers += finder.finish()
    return {number for number, new in enumerate(answers) if new}


def _files(source: Any, target: Any, progress: Any, **options: Any) -> Any:
    from vidcascade.interpolation.batch import interpolate_folder, is_batch
    from vidcascade.interpolation.job import interpolate_file
    from vidcascade.interpolation.settings import Settings

    known = {f.name for f in dataclasses.fields(Settings)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise UsageError(f"Unknown option {unknown[0]!r}; use one of {', '.join(sorted(known))}.")
    options["start"] = parse_time(options.get("start"), "start") or Fraction(0)
    options["end"] = parse_time(options.get("end"), "end")
    settings = Settings(**options)
    if is_batch(source):
        return interpolate_folder(source, target, settings, lambda *_: progress)
    return interpolate_file(source, target, settings, progress)
