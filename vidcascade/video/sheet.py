"""Contact sheets: clips as rows of evenly spaced frames, for looking at many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["contact_sheet"]

_GAP = 4
_PAPER = (255, 255, 255)
_INK = (0, 0, 0)


def _evenly(total: int, columns: int) -> list[int]:
    """At most ``columns`` frame numbers from the first to the last, without repeats."""
    shown = min(total, columns)
    return [round(i) for i in np.linspace(0, total - 1, shown)]


def contact_sheet(
    videos: Sequence[NDArray[np.uint8]],
    labels: Sequence[str] | None = None,
    columns: int = 8,
) -> NDArray[np.uint8]:
    """One row for each clip: evenly spaced frames, first and last included, under a label.

    Args:
        videos: uint8 ``(T, H, W, 3)`` RGB each; sizes and lengths may differ, nothing is scaled.
        labels: one text for each clip, wrapped to the sheet's width; None for no labels.
        columns: frames shown of each clip, >= 1; a shorter clip shows all it has.

    Returns a uint8 ``(H, W, 3)`` RGB image. Raises ``ValueError`` for no clips, a malformed
    clip, or another number of labels than clips.
    """
    if not videos:
        raise ValueError("A contact sheet needs at least one clip.")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}.")
    if labels is not None and len(labels) != len(videos):
        raise ValueError(f"{len(labels)} labels do not fit {len(videos)} clips.")
    for number, video in enumerate(videos):
        shaped = video.ndim == 4 and video.shape[3] == 3 and 0 not in video.shape
        if not shaped or video.dtype != np.uint8:
            raise ValueError(
                f"Clip {number} must be uint8 (T, H, W, 3), not {video.dtype} {video.shape}."
            )
    from PIL import Image, ImageDraw, ImageFont

    rows = [[video[i] for i in _evenly(len(video), columns)] for video in videos]
    width = _GAP + max(len(row) * (row[0].shape[1] + _GAP) for row in rows)
    tallest = max(row[0].shape[0] for row in rows)
    font = ImageFont.load_default(size=max(10, min(18, tallest // 8)))
    line = int(sum(font.getmetrics())) if isinstance(font, ImageFont.FreeTypeFont) else 12
    texts = [_wrap(text, width - 2 * _GAP, font) for text in labels or [""] * len(rows)]
    height = _GAP + sum(
        len(text) * line + row[0].shape[0] + _GAP for text, row in zip(texts, rows, strict=True)
    )
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for text, row in zip(texts, rows, strict=True):
        for words in text:
            draw.text((_GAP, top), words, fill=_INK, font=font)
            top += line
        for column, frame in enumerate(row):
            left = _GAP + column * (frame.shape[1] + _GAP)
            sheet.paste(Image.fromarray(np.ascontiguousarray(frame)), (left, top))
        top += row[0].shape[0] + _GAP
    return np.asarray(sheet)


def _wrap(text: str, width: int, font: object) -> list[str]:
    """Lines of ``text`` that fit ``width`` pixels; a single word may be longer."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) > width:  # type: ignore[attr-defined]
            lines.append(word)
        else:
            lines[-1:] = [longer]
    return lines
