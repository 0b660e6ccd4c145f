"""Pixel formats and sizes of decoded frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidcascade.errors import UsageError
from vidcascade.interpolation.planes import relabelled

__all__ = ["MAX_PIXELS", "check_size", "plain"]

# FFmpeg tries hundreds of seconds on hostile files; no honest frame is this large.
MAX_PIXELS = 16384 * 16384
# Other names and packings of the same numbers, which convert without any loss.
_PLANAR = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p",
    "p010le": "yuv420p10le", "p016le": "yuv420p16le", "p210le": "yuv422p10le",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "pal8": "bgra", "argb": "rgba", "abgr": "rgba", "0rgb": "rgb24", "rgb0": "rgb24",
    "0bgr": "rgb24", "bgr24": "rgb24", "bgr48le": "rgb48le", "bgr48be": "rgb48le",
    "rgb48be": "rgb48le", "rgba64be": "rgba64le", "bgra64le": "gbrap16le",
    "monob": "gray", "monow": "gray", "gray16be": "gray16le", "ya8": "rgba", "ya16be": "rgba64le",
    "rgb8": "rgb24", "bgr8": "rgb24", "rgb565le": "rgb24", "rgb555le": "rgb24",
}  # fmt: skip


def plain(frame: Any) -> Any:
    """The frame in one of the formats that are worked on, which changes no pixel."""
    name = frame.format.name
    if name.startswith("yuvj"):
        return relabelled(frame, name.replace("yuvj", "yuv"))
    if name in _PLANAR:
        out = frame.reformat(format=_PLANAR[name])
        out.pts, out.time_base = frame.pts, frame.time_base
        # The converter calls BT.470 by its twin's name, SMPTE 170M.
        out.colorspace, out.color_range = frame.colorspace, frame.color_range
        return out
    return frame


def check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise UsageError(f"{path} states no picture size; it may be damaged.")
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"{path} is {width} × {height} pixels, more than can be worked on; scale it down first."
        )
