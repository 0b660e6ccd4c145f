"""Reading, writing and laying out clips. Names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidcascade.video.atomic import atomic_path
    from vidcascade.video.clip import Clip, as_fps
    from vidcascade.video.reading import count_frames, read_clip, read_frames, read_metadata
    from vidcascade.video.sheet import contact_sheet
    from vidcascade.video.writing import check_output, write_clip

__all__ = [
    "Clip",
    "as_fps",
    "atomic_path",
    "check_output",
    "contact_sheet",
    "count_frames",
    "read_clip",
    "read_frames",
    "read_metadata",
    "write_clip",
]

_HOMES = {
    "Clip": "clip",
    "as_fps": "clip",
    "atomic_path": "atomic",
    "check_output": "writing",
    "contact_sheet": "sheet",
    "count_frames": "reading",
    "read_clip": "reading",
    "read_frames": "reading",
    "read_metadata": "reading",
    "write_clip": "writing",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
