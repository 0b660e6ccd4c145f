"""Cascaded video diffusion: a prompt becomes a short clip, stage by stage.

``import vidcascade`` is cheap: torch and diffusers are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vidcascade.errors import UsageError, VidCascadeError

if TYPE_CHECKING:
    from vidcascade.cascade.frames import CascadeOutput
    from vidcascade.cascade.pipeline import VidCascadePipeline
    from vidcascade.cascade.result import StageResult
    from vidcascade.cascade.spec import CascadeSpec, StageSpec
    from vidcascade.interpolation import interpolate
    from vidcascade.video import Clip, read_clip, write_clip

__version__ = "0.1.0"

_LAZY = {
    "CascadeOutput": "vidcascade.cascade.frames",
    "CascadeSpec": "vidcascade.cascade.spec",
    "Clip": "vidcascade.video",
    "StageResult": "vidcascade.cascade.result",
    "StageSpec": "vidcascade.cascade.spec",
    "VidCascadePipeline": "vidcascade.cascade.pipeline",
    "interpolate": "vidcascade.interpolation",
    "read_clip": "vidcascade.video",
    "write_clip": "vidcascade.video",
}

__all__ = [
    "CascadeOutput",
    "CascadeSpec",
    "Clip",
    "StageResult",
    "StageSpec",
    "UsageError",
    "VidCascadeError",
    "VidCascadePipeline",
    "__version__",
    "interpolate",
    "read_clip",
    "write_clip",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vidcascade' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
