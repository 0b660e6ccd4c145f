"""Counting what was recognised, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.data.scene import Description
from vidcascade.data.words import COLOURS
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.motion import classify_motion, direction_shown, measure_motion
from vidcascade.metrics.adherence.recogniser import Recogniser, frames_to_pixels, subject_label
from vidcascade.metrics.adherence.tracking import track_subject
from vidcascade.metrics.statistics import Interval

__all__ = ["ASPECTS", "Judgement", "judge", "share_right", "wilson"]

ASPECTS = ("subject", "motion", "direction", "background", "everything", "colour", "shape")


@dataclass(frozen=True)
class Judgement:
    """What one clip should show and what was recognised in it.

    Attributes:
        caption: the prompt.
        wanted: subject label, motion and background of the description.
        found: the same three, recognised.
        right: whether each aspect is right; None where a clip has no such aspect (a sticker's
            colour, the direction of a spin). ``everything`` is subject, motion and background.
    """

    caption: str
    wanted: tuple[str, str, str]
    found: tuple[str, str, str]
    right: dict[str, bool | None]


def judge(
    recogniser: Recogniser, frames: NDArray[np.uint8], described: Description, caption: str
) -> Judgement:
    """Judge a clip of one subject.

    Args:
        recogniser: taught on the world of the description.
        frames: (T, H, W, 3) RGB uint8; the whole duration of the clip, any size.
        described: what it should show.
        caption: the prompt that was given, kept for the record.
    """
    if len(described.subjects) != 1:
        raise UsageError("Adherence is judged on clips of one subject: leave out relations.")
    name, colour, _ = described.subjects[0]
    motion = described.motions[0]
    sight = recogniser.look(frames)
    evidence = measure_motion(track_subject(frames_to_pixels(frames), sight.masks))
    wanted = (subject_label(name, colour), motion, described.background)
    found = (sight.subject, classify_motion(evidence), sight.background)
    right: dict[str, bool | None] = {
        "subject": found[0] == wanted[0],
        "motion": found[1] == wanted[1],
        "direction": direction_shown(evidence, motion),
        "background": found[2] == wanted[2],
        "everything": found == wanted,
        "colour": None,
        "shape": None,
    }
    if colour is not None:
        # Only solids are labelled by a colour: a soccer ball is no ball of the colour "soccer".
        first, _, rest = sight.subject.partition(" ")
        seen_colour, seen_shape = (first, rest) if first in COLOURS else (None, None)
        right["colour"], right["shape"] = seen_colour == colour, seen_shape == name
    return Judgement(caption, wanted, found, right)


def share_right(judgements: Sequence[Judgement], aspect: str) -> tuple[Interval, int] | None:
    """Share of clips in which an aspect is right, its Wilson interval and the number of clips.

    None when no clip has that aspect.
    """
    values = [j.right[aspect] for j in judgements if j.right[aspect] is not None]
    if not values:
        return None
    return wilson(sum(map(bool, values)), len(values)), len(values)


def wilson(successes: int, trials: int, z: float = 1.96) -> Interval:
    """Wilson's score interval of a share; ``z`` 1.96 is 95 %.

    Unlike the textbook interval it is not empty at 0 or 100 %. Source: Wilson 1927,
    doi:10.1080/01621459.1927.10502953.

    Raises:
        UsageError: If there are no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise UsageError(f"{successes} of {trials} is no share: count at least one clip.")
    share = successes / trials
    spare = z * z / trials
    centre = (share + spare / 2) / (1 + spare)
    half = z * math.sqrt(share * (1 - share) / trials + spare / (4 * trials)) / (1 + spare)
    # At 0 and 100 % a bound is the share itself, but for rounding, which must not put it inside.
    low, high = min(share, centre - half), max(share, centre + half)
    return Interval(share, max(0.0, low), min(1.0, high))
