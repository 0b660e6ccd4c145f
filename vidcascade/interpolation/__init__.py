"""Frame interpolation of existing clips. Names are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidcascade.interpolation.api import interpolate
    from vidcascade.interpolation.batch import BatchReport, interpolate_folder
    from vidcascade.interpolation.between import Between, FlowBetween, make_between
    from vidcascade.interpolation.job import interpolate_file
    from vidcascade.interpolation.preview import preview
    from vidcascade.interpolation.settings import Report, Settings

__all__ = [
    "BatchReport",
    "Between",
    "FlowBetween",
    "Report",
    "Settings",
    "interpolate",
    "interpolate_file",
    "interpolate_folder",
    "make_between",
    "preview",
]

_HOMES = {
    "BatchReport": "batch",
    "Between": "between",
    "FlowBetween": "between",
    "Report": "settings",
    "Settings": "settings",
    "interpolate": "api",
    "interpolate_file": "job",
    "interpolate_folder": "batch",
    "make_between": "between",
    "preview": "preview",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
