"""Two subjects in one clip: is each what was asked for, on the side that was asked for?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.data.scene import Description
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser, subject_label

__all__ = ["PairJudgement", "judge_pair"]


@dataclass(frozen=True)
class PairJudgement:
    """What a clip of two subjects should show and what was recognised on its two sides.

    Attributes:
        caption: the prompt.
        wanted: label of the first subject (left, or above) and of the second.
        found: labels seen there.
    """

    caption: str
    wanted: tuple[str, str]
    found: tuple[str, str]

    @property
    def right(self) -> bool:
        """Whether both subjects stand where they should."""
        return self.found == self.wanted

    @property
    def swapped(self) -> bool:
        """Whether both are there, each on the other's side."""
        return not self.right and self.found == self.wanted[::-1]


def judge_pair(
    recogniser: Recogniser, frames: NDArray[np.uint8], described: Description, caption: str
) -> PairJudgement:
    """Judge a clip of two subjects.

    Args:
        recogniser: taught on the world of the description.
        frames: (T, H, W, 3) RGB uint8.
        described: what it should show; its relation says on which sides.
        caption: the prompt that was given, kept for the record.

    Raises:
        UsageError: it does not describe two subjects and how they stand to each other.
    """
    if len(described.subjects) != 2 or described.relation not in ("left of", "above"):
        raise UsageError("Pairs are judged where two subjects stand beside or above each other.")
    first, second = (subject_label(name, colour) for name, colour, _ in described.subjects)
    where = np.zeros((2, 2), np.float32)
    where[(slice(None), 0) if described.relation == "left of" else (0, slice(None))] = 1.0
    found = recogniser.look(frames, where).subject, recogniser.look(frames, 1 - where).subject
    return PairJudgement(caption, (first, second), found)
