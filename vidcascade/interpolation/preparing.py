"""Source frames as the encoder wants them: unchanged wherever it can take them as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import av
import numpy as np

from vidcascade.interpolation.outputs import Format
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.source import Source, SourceFrame

__all__ = ["canvas_for", "prepared"]

_HD_HEIGHT = 720
_UNSPECIFIED, _RGB_MATRIX, _BT709 = 2, 0, 1
_LIMITED, _FULL = 1, 2


def canvas_for(source: Source, form: Format) -> Canvas:
    """The layout of the frames that :func:`prepared` gives."""
    frame = _converted(source.first, form, source.rotation)
    canvas = Canvas.of(frame)
    if _is_rgb(canvas.name):
        return replace(canvas, colorspace=_RGB_MATRIX, color_range=_FULL)
    return canvas


def prepared(frames: Iterable[SourceFrame], source: Source, form: Format) -> Iterator[SourceFrame]:
    """The frames in the encoder's pixel format.

    For ``form.exact`` video formats every one keeps its values bit for bit. For outputs of
    pictures they are upright RGB, converted as :func:`vidcascade.read_clip` does.
    """
    for item in frames:
        yield replace(item, frame=_converted(item.frame, form, source.rotation))


def _converted(frame: Any, form: Format, rotation: int) -> Any:
    if form.kind != "video":
        return _upright(frame, form, rotation)
    if frame.format.name == form.pixels:
        return frame
    if _is_rgb(frame.format.name) and not _is_rgb(form.pixels):
        return _as_yuv(frame, form.pixels)
    out = frame.reformat(
        format=form.pixels,
        src_colorspace=_matrix(frame),
        dst_colorspace=_matrix(frame),
        src_color_range=frame.color_range or None,
        dst_color_range=frame.color_range or None,
    )
    out.colorspace, out.color_range = frame.colorspace, frame.color_range
    out.color_primaries, out.color_trc = frame.color_primaries, frame.color_trc
    return out


def _is_rgb(name: str) -> bool:
    return name.startswith(("rgb", "bgr", "gbr"))


def _as_yuv(frame: Any, name: str) -> Any:
    """RGB as BT.709 of limited range, which is what players expect most."""
    out = frame.reformat(format=name, dst_colorspace=_BT709, dst_color_range=_LIMITED)
    out.colorspace, out.color_range = _BT709, _LIMITED
    out.color_primaries, out.color_trc = _BT709, _BT709
    return out


def _matrix(frame: Any) -> int | None:
    if _is_rgb(frame.format.name):
        return None
    return int(frame.colorspace) if frame.colorspace != _UNSPECIFIED else None


def _upright(frame: Any, form: Format, rotation: int) -> Any:
    # By the source's rotation: a frame that was relabelled has none of its own.
    wide = {"bgr0": "rgb24", "bgra": "rgba"}.get(form.pixels, form.pixels)
    options: dict[str, Any] = {}
    if frame.colorspace == _UNSPECIFIED and frame.height >= _HD_HEIGHT:
        options["src_colorspace"] = 1
    array = frame.to_ndarray(format=wide, **options)
    turns = round(rotation / 90) % 4
    if turns:
        array = np.ascontiguousarray(np.rot90(array, turns))
    return av.VideoFrame.from_ndarray(array, format=wide).reformat(format=form.pixels)
