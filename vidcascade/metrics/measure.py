"""Measure a file: the one call behind ``vidcascade flicker``."""

from __future__ import annotations

import os
from collections.abc import Callable

from vidcascade.errors import UsageError
from vidcascade.metrics.reference import Distance, against_reference
from vidcascade.metrics.source import Source, open_source
from vidcascade.metrics.streaming import ScanSettings, scan
from vidcascade.metrics.suite import ClipResult, Measured, evaluate

__all__ = ["measure_clip", "measure_reference"]


def measure_clip(
    clip: str | os.PathLike[str] | Source,
    borders: tuple[list[int], int] | None = None,
    settings: ScanSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> ClipResult:
    """All measures of a clip that need nothing beside it, in one pass and bounded memory.

    Args:
        clip: A video file, GIF, WebP or folder of PNG frames.
        borders: Window borders, as :func:`.seams.borders_from` reads them.
        settings: How to look.
        progress: Called with the number of frames done.

    Raises:
        UsageError: If it is no video, has one frame only, or its picture size changes.
        VidCascadeError: If it is damaged.
    """
    source = clip if isinstance(clip, Source) else open_source(clip)
    try:
        found = scan(source.frames(), source.fps, settings, progress)
    except UsageError as error:
        # What the frames themselves say does not name the file yet.
        text = str(error)
        if str(source.path) in text:
            raise
        raise UsageError(f"{source.path}: {text}") from error
    return evaluate(found, str(source.path), borders)


def measure_reference(
    clip: Source, reference: Source, lpips: Distance | None = None, align: bool = False
) -> dict[str, Measured]:
    """Measures of a clip against its reference (see :func:`.reference.against_reference`)."""
    return against_reference(clip.frames(), reference.frames(), clip.fps, lpips, align)
