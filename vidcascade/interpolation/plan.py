"""From source frames to what has to be made: a stream in, a stream out, a few frames in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from vidcascade.interpolation.cuts import CutFinder, look_at
from vidcascade.interpolation.duplicates import LONGEST_RUN, DuplicateFinder
from vidcascade.interpolation.planes import Canvas, Pixels
from vidcascade.interpolation.source import SourceFrame
from vidcascade.interpolation.timeline import Grid

__all__ = ["HELD", "MADE", "ORIGINAL", "Known", "Slot", "Work", "examined", "planned"]

ORIGINAL, HELD, MADE = "original", "held", "made"


@dataclass(eq=False)
class Known:
    """A source frame and what was found out about it.

    Attributes:
        source: the frame.
        canvas: how it is laid out.
        new_scene: a cut lies before it.
        duplicate: it only repeats the frame before.
    """

    source: SourceFrame
    canvas: Canvas
    new_scene: bool = False
    duplicate: bool = False

    @property
    def time(self) -> Fraction:
        """When it appears, seconds."""
        return self.source.time

    @property
    def frame(self) -> Any:
        """The decoded frame."""
        return self.source.frame

    @cached_property
    def colours(self) -> tuple[Pixels, Pixels | None]:
        """RGB and opacity."""
        return self.canvas.rgb(self.frame)

    @cached_property
    def lost(self) -> list[Pixels | None]:
        """What RGB cannot hold of it."""
        return self.canvas.lost(self.frame, self.colours[0])


@dataclass(frozen=True)
class Slot:
    """One output frame.

    Attributes:
        time: when it appears, seconds from the source's first frame.
        kind: ORIGINAL, HELD (an original shown again) or MADE.
        known: the frame shown, for ORIGINAL and HELD.
        t: place between the two neighbours, above 0 and below 1, for MADE.
    """

    time: Fraction
    kind: str
    known: Known | None = None
    t: float = 0.0


@dataclass(frozen=True)
class Work:
    """Output frames that share their neighbours, in order; ``second`` is None for no motion."""

    first: Known
    second: Known | None
    slots: tuple[Slot, ...]


def examined(frames: Iterable[SourceFrame], canvas: Canvas, cuts: bool = True) -> Iterator[Known]:
    """Source frames with the scene cuts and the duplicates among them marked.

    Holds the few frames that :class:`CutFinder` has to see ahead.
    """
    finder, repeats = CutFinder(), DuplicateFinder()
    waiting: deque[Known] = deque()
    cut_marks: deque[bool] = deque()
    repeat_marks: deque[bool] = deque()
    for frame in frames:
        known = Known(frame, canvas)
        rgb = known.colours[0]
        waiting.append(known)
        repeat_marks.extend(repeats.push(rgb))
        cut_marks.extend(finder.push(look_at(rgb)) if cuts else [False])
        while cut_marks and repeat_marks:
            yield _marked(waiting.popleft(), cut_marks.popleft(), repeat_marks.popleft())
    repeat_marks.extend(repeats.finish())
    cut_marks.extend(finder.finish() if cuts else [])
    while waiting:
        yield _marked(waiting.popleft(), cut_marks.popleft(), repeat_marks.popleft())


def _marked(known: Known, new_scene: bool, duplicate: bool) -> Known:
    known.new_scene = new_scene
    known.duplicate = duplicate and not new_scene
    return known


def planned(
    frames: Iterable[Known], grid: Grid, stop: Callable[[], Fraction], replace: bool = False
) -> Iterator[Work]:
    """What to show at each output time.

    Args:
        frames: source frames in order.
        grid: output times.
        stop: when the last frame ends, seconds; asked when the frames are at their end.
        replace: duplicates are re-made from the frames around them in time; otherwise they stay
            as they are.

    Nothing is ever made across a cut (the frame before it is held), nor between a frame and
    its duplicate (there is nothing to make).
    """
    run: list[Known] = []  # a frame and the duplicates of it that may yet be replaced
    for known in frames:
        if not run:
            run.append(known)
            continue
        if replace and known.duplicate and len(run) <= LONGEST_RUN:
            run.append(known)
            continue
        if known.new_scene or known.duplicate:
            yield _still(run, known.time, grid)
        else:
            yield _moving(run, known, grid)
        run = [known]
    if run:
        yield _still(run, stop(), grid)


def _still(run: list[Known], stop: Fraction, grid: Grid) -> Work:
    """Every frame shown until the next one, as it is."""
    slots = []
    edges = [*(known.time for known in run), stop]
    for known, (start, end) in zip(run, pairwise(edges), strict=True):
        for time in grid.times(start, end):
            slots.append(Slot(time, ORIGINAL if time == start else HELD, known))
    return Work(run[0], None, tuple(slots))


def _moving(run: list[Known], second: Known, grid: Grid) -> Work:
    """From ``run[0]`` to ``second``, over the duplicates between them."""
    first = run[0]
    span = second.time - first.time
    slots = []
    for start, end in pairwise([*(known.time for known in run), second.time]):
        for time in grid.times(start, end):
            if time == first.time:
                slots.append(Slot(time, ORIGINAL, first))
            else:
                slots.append(Slot(time, MADE, t=float((time - first.time) / span)))
    return Work(first, second, tuple(slots))
