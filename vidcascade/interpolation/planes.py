"""Between a decoder's planes and RGB arrays, so that brightness survives the way there and back.

Originals never take this way: they reach the encoder as they were decoded. Made frames do, and
any difference in brightness between the two would flicker at half the frame rate. Therefore:

* Limited-range YUV is *not* stretched to full range. 16…235 stays 16…235, so whiter than white
  and blacker than black survive, and the round trip only rounds.
* Chroma is repeated on the way up and averaged on the way down: exact for a still picture.
* Colours that RGB cannot hold are cut off on the way; what the neighbours lost is added again.
* Where both neighbours agree exactly and the made frame is within rounding, their value is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Near", "Pixels", "is_supported", "relabelled"]

Pixels = NDArray[Any]  # (H, W, 3) RGB, uint8 or uint16

_YUV = re.compile(r"yuv(a?)4(20|22|44|40|11|10)p(9|10|12|14|16)?(?:le)?$")
_GREY = re.compile(r"gray(9|10|12|14|16)?(?:le)?$")
_GBR = re.compile(r"gbr(a?)p(9|10|12|14|16)?(?:le)?$")
_PACKED = {"rgb24": "rgb", "bgr24": "bgr", "bgr0": "bgrx", "rgba": "rgba", "bgra": "bgra",
           "rgb48le": "rgb", "rgba64le": "rgba"}  # fmt: skip
_CHROMA = {"20": (2, 2), "22": (2, 1), "44": (1, 1), "40": (1, 2), "11": (4, 1), "10": (4, 4)}
# Kr and Kb of ITU-T H.273 matrix coefficients. An unknown matrix needs none of its own here: what
# counts is that the way back is the inverse of the way there.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114),
            7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}  # fmt: skip
_BT709, _BT601, _FULL = 1, 6, 2
_HD_HEIGHT = 720


def is_supported(name: str) -> bool:
    """Whether frames of pixel format ``name`` can be taken apart and made here."""
    return bool(_YUV.match(name) or _GREY.match(name) or _GBR.match(name) or name in _PACKED)


def relabelled(frame: Any, name: str) -> Any:
    """The same bytes under another format's name of the same layout (yuvj420p is yuv420p).

    The full range that ``yuvj`` stands for is put into the frame's own tag.
    """
    out = av.VideoFrame(frame.width, frame.height, name)
    for source, target in zip(frame.planes, out.planes, strict=True):
        bytes_wide = min(source.line_size, target.line_size)
        _rows(target)[:, :bytes_wide] = _rows(source)[:, :bytes_wide]
    out.pts, out.time_base = frame.pts, frame.time_base
    out.colorspace, out.color_range = frame.colorspace, _FULL
    out.color_primaries, out.color_trc = frame.color_primaries, frame.color_trc
    return out


def _rows(plane: Any) -> NDArray[np.uint8]:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]


class Near(Protocol):
    """A neighbour of a made frame: the frame, and :meth:`Canvas.lost` of it."""

    @property
    def frame(self) -> Any: ...

    @property
    def lost(self) -> list[Pixels | None]: ...


@dataclass(frozen=True)
class Canvas:
    """How one clip's frames are laid out in memory; the same for all of them.

    Attributes:
        name: pixel format, one for which :func:`is_supported`.
        width, height: pixels, as stored (before any rotation).
        colorspace, color_range, primaries, trc: H.273 numbers as FFmpeg gives them.
    """

    name: str
    width: int
    height: int
    colorspace: int = 2
    color_range: int = 0
    primaries: int = 2
    trc: int = 2

    @classmethod
    def of(cls, frame: Any) -> Canvas:
        """The canvas of a decoded frame."""
        return cls(
            frame.format.name, frame.width, frame.height, int(frame.colorspace),
            int(frame.color_range), int(frame.color_primaries), int(frame.color_trc),
        )  # fmt: skip

    @property
    def bits(self) -> int:
        """Bits of a component: 8 to 16."""
        if self.name in _PACKED:
            return 16 if "48" in self.name or "64" in self.name else 8
        match = _YUV.match(self.name) or _GREY.match(self.name) or _GBR.match(self.name)
        assert match is not None, self.name
        return int(match.groups()[-1] or 8)

    @property
    def has_alpha(self) -> bool:
        """Whether there is a plane or channel of opacity."""
        return (
            "yuva" in self.name or "gbra" in self.name or self.name in ("rgba", "bgra", "rgba64le")
        )

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of the arrays that :meth:`rgb` returns."""
        return np.uint8 if self.bits == 8 else np.uint16

    def rgb(self, frame: Any) -> tuple[Pixels, Pixels | None]:
        """RGB ``(H, W, 3)`` and opacity ``(H, W)`` (None without) of a frame on this canvas.

        uint8 for 8 bits, otherwise uint16 with the components in the upper bits.
        """
        planes = self.planes(frame)
        alpha = self._up(planes.pop()) if self.has_alpha and self.name not in _PACKED else None
        if self.name in _PACKED:
            packed, order = planes[0], _PACKED[self.name]
            if "a" in order:
                alpha = np.ascontiguousarray(packed[..., 3])
            colour = packed[..., :3] if order.startswith("rgb") else packed[..., 2::-1]
            return np.ascontiguousarray(colour), alpha
        if _GBR.match(self.name):
            green, blue, red = planes
            return self._up(np.dstack((red, green, blue))), alpha
        if _GREY.match(self.name):
            return self._up(np.dstack([planes[0]] * 3)), alpha
        luma, u, v = planes
        wide, high = self._chroma()
        if (wide, high) != (1, 1):
            size = (u.shape[1] * wide, u.shape[0] * high)
            u, v = (
                cv2.resize(c, size, interpolation=cv2.INTER_NEAREST)[: self.height, : self.width]
                for c in (u, v)
            )
        yuv = self._up(np.dstack((luma, u, v)))
        return np.asarray(cv2.transform(yuv, self._matrix())), alpha

    def lost(self, frame: Any, rgb: Pixels) -> list[Pixels | None]:
        """What RGB could not hold of a frame: int32 for each plane, None where only rounding."""
        if not _YUV.match(self.name):
            return [None] * len(frame.planes)
        rounding = 2 << (self.bits - 8)
        found: list[Pixels | None] = []
        planes, back = self.planes(frame), self._values(rgb, None)
        for number, (plane, value) in enumerate(zip(planes, back, strict=True)):
            if number < 3 and int(cv2.absdiff(_solid(plane), _solid(value)).max()) > rounding:
                error = plane.astype(np.int32) - value
                error[np.abs(error) <= rounding] = 0
                found.append(error)
            else:
                found.append(None)
        return found

    def frame(
        self,
        rgb: Pixels,
        alpha: Pixels | None,
        near: tuple[Near, Near] | None = None,
        t: float = 0.5,
    ) -> Any:
        """A new frame from RGB and opacity as :meth:`rgb` gives them.

        ``near``: the two frames it lies between, ``t`` its place between them (0 to 1).
        """
        out = av.VideoFrame(self.width, self.height, self.name)
        targets = self.planes(out)
        values = self._values(rgb, alpha)
        for number, (target, value) in enumerate(zip(targets, values, strict=True)):
            if near is not None and self.name not in _PACKED:
                first, second = (self.planes(n.frame)[number] for n in near)
                value = self._restored(value, near[0].lost[number], near[1].lost[number], t)
                value = _steady(value, first, second, 1 << (self.bits - 8))
            target[...] = value
        out.colorspace, out.color_range = self.colorspace, self.color_range
        out.color_primaries, out.color_trc = self.primaries, self.trc
        return out

    def planes(self, frame: Any) -> list[Pixels]:
        """Views of a frame's planes: ``(H, W)`` each, or one ``(H, W, C)`` for packed formats."""
        found = []
        for plane in frame.planes:
            rows = np.frombuffer(plane, self.dtype).reshape(plane.height, -1)
            if self.name in _PACKED:
                channels = len(_PACKED[self.name])
                used = rows[:, : self.width * channels]
                found.append(used.reshape(self.height, self.width, channels))
            else:
                found.append(rows[:, : plane.width])
        return found

    def _values(self, rgb: Pixels, alpha: Pixels | None) -> list[Pixels]:
        if self.name in _PACKED:
            order = _PACKED[self.name]
            colour = rgb if order.startswith("rgb") else rgb[..., ::-1]
            if len(order) == 3:
                return [colour]
            opaque = np.full(rgb.shape[:2], np.iinfo(rgb.dtype).max, rgb.dtype)
            return [np.dstack((colour, opaque if alpha is None else alpha))]
        if _GBR.match(self.name):
            parts = [self._down(rgb[..., c]) for c in (1, 2, 0)]
        elif _GREY.match(self.name):
            parts = [self._down(rgb[..., 1])]
        else:
            yuv = cv2.transform(rgb, _inverse(self._matrix()))
            parts = [self._down(yuv[..., 0])]
            parts += [self._down(self._halved(yuv[..., c])) for c in (1, 2)]
        if self.has_alpha:
            full = np.iinfo(rgb.dtype).max
            opaque = np.full(rgb.shape[:2], full, rgb.dtype)
            parts.append(self._down(opaque if alpha is None else alpha))
        return parts

    def _restored(self, value: Pixels, before: Any, after: Any, t: float) -> Pixels:
        if before is None and after is None:
            return value
        total = value.astype(np.float32)
        for lost, weight in ((before, 1 - t), (after, t)):
            if lost is not None:
                total += lost * np.float32(weight)
        return total.round().clip(0, (1 << self.bits) - 1).astype(self.dtype)

    def _chroma(self) -> tuple[int, int]:
        match = _YUV.match(self.name)
        return _CHROMA[match.group(2)] if match else (1, 1)

    def _halved(self, plane: Pixels) -> Pixels:
        wide, high = self._chroma()
        if (wide, high) == (1, 1):
            return plane
        down, right = -self.height % high, -self.width % wide
        if down or right:
            plane = cv2.copyMakeBorder(plane, 0, down, 0, right, cv2.BORDER_REPLICATE)
        size = (plane.shape[1] // wide, plane.shape[0] // high)
        # In floating point: whole numbers would round every half up, and all chroma with it.
        mean = cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(np.rint(mean).astype(plane.dtype))

    def _up(self, values: Pixels) -> Pixels:
        return values if self.bits == 8 else np.left_shift(values, 16 - self.bits)

    def _down(self, values: Pixels) -> Pixels:
        shift = 16 - self.bits
        if self.bits == 8 or shift == 0:
            return values
        top = (1 << self.bits) - 1
        rounded = (values.astype(np.uint32) + (1 << (shift - 1))) >> shift
        return np.minimum(rounded, top).astype(np.uint16)

    def _matrix(self) -> NDArray[np.float64]:
        """3 × 4: YUV with its offset → RGB on the scale that luma has."""
        unspecified = _BT709 if self.height >= _HD_HEIGHT else _BT601
        red, blue = _WEIGHTS.get(self.colorspace, _WEIGHTS[unspecified])
        green = 1 - red - blue
        # Limited range has 219 steps of luma and 224 of chroma.
        scale = 1.0 if self.color_range == _FULL else 219 / 224
        v, u = 2 * (1 - red) * scale, 2 * (1 - blue) * scale
        matrix = np.array([
            [1, 0, v],
            [1, -u * blue / green, -v * red / green],
            [1, u, 0],
        ])  # fmt: skip
        middle = 128.0 if self.bits == 8 else 32768.0
        return np.column_stack((matrix, -matrix @ [0, middle, middle]))


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    back = np.linalg.inv(matrix[:, :3])
    return np.column_stack((back, -back @ matrix[:, 3]))


def _steady(value: Pixels, first: Pixels, second: Pixels, rounding: int) -> Pixels:
    close = cv2.absdiff(value, _solid(first)) <= rounding
    return np.where(close & (first == second), first, value)


def _solid(plane: Pixels) -> Pixels:
    return np.ascontiguousarray(plane)
