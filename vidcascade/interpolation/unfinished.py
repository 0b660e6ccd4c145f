"""Outputs that end where Ctrl-C came.

A tag in them says so, or a later run over their folder would take them for whole.
"""

from __future__ import annotations

from pathlib import Path

from vidcascade.errors import VidCascadeError
from vidcascade.video import read_metadata

__all__ = ["CUT_SHORT", "is_cut_short", "own_tags"]

CUT_SHORT = "vidcascade_interrupted"


def is_cut_short(path: Path) -> bool:
    """Whether a file says that it is only the beginning of what it was to be."""
    try:
        return CUT_SHORT in read_metadata(path)
    except VidCascadeError:
        return False


def own_tags(interrupted: bool) -> dict[str, str]:
    """The tags of an output that are not its source's."""
    return {CUT_SHORT: "true"} if interrupted else {}
