"""Training data: the sticker world (drawn, captioned, with exact flow).

Names are imported on first use, so that ``WorldConfig`` costs no numpy or OpenCV.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "WorldConfig": "config",
    "Description": "stickers",
    "Scene": "stickers",
    "StickerWorld": "stickers",
    "fetch_stickers": "fetch",
    "cache_folder": "fetch",
}

__all__ = [
    "Description",
    "Scene",
    "StickerWorld",
    "WorldConfig",
    "cache_folder",
    "fetch_stickers",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
