"""Cascaded video diffusion: a prompt becomes a short clip, stage by stage.

``import vidcascade`` is cheap: torch and diffusers are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vidcascade.errors import UsageError, VidCascadeError

if TYPE_CHECKING:
    from vidcascade.cascade.spec import CascadeSpec, StageSpec

__version__ = "0.1.0"

_LAZY = {
    "CascadeSpec": "vidcascade.cascade.spec",
    "StageSpec": "vidcascade.cascade.spec",
}

__all__ = ["CascadeSpec", "StageSpec", "UsageError", "VidCascadeError", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vidcascade' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
