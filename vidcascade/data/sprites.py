"""Sprites: stickers from files and shaded solids, as premultiplied mip pyramids.

Every sprite is centred on a square whose side its content fills, so that a scene's ``size``
means the same for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import VidCascadeError

U8 = NDArray[np.uint8]
Array = NDArray[Any]  # OpenCV and mixed-precision numpy results carry no exact type
Shaded = tuple[Array, Array, Array]  # shade, gloss, alpha

SIDE = 256
SHADOW_SIDE = 96
SHADOW_SPAN = 1.5  # the shadow texture's side in sprite sides

RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.10, 0.12),
    "orange": (1.00, 0.50, 0.05),
    "yellow": (1.00, 0.85, 0.10),
    "green": (0.13, 0.68, 0.22),
    "blue": (0.12, 0.32, 0.92),
    "cyan": (0.10, 0.80, 0.82),
    "purple": (0.52, 0.18, 0.80),
    "pink": (1.00, 0.48, 0.72),
    "brown": (0.48, 0.27, 0.12),
    "white": (0.98, 0.98, 0.98),
    "grey": (0.55, 0.56, 0.58),
    "black": (0.10, 0.10, 0.11),
}
"""Base colour of every named colour, sRGB in [0, 1]."""


@dataclass(frozen=True)
class Sprite:
    """A drawable subject.

    ``mips`` are uint8 ``(S, S, 4)`` RGBA images with premultiplied alpha, S = 256, 128, … 16;
    ``shadow`` is a blurred alpha, uint8 ``(96, 96)``, that spans 1.5 sprite sides.
    """

    mips: tuple[U8, ...]
    shadow: U8

    def mip(self, side: float) -> U8:
        """The smallest level of at least ``side`` pixels (the largest one if there is none)."""
        for level in reversed(self.mips):
            if level.shape[0] >= side:
                return level
        return self.mips[0]


def _finish(rgba: U8) -> Sprite:
    """Mips and shadow of a premultiplied (256, 256, 4) image."""
    mips = [np.ascontiguousarray(rgba)]
    while mips[-1].shape[0] > 16:
        half = mips[-1].shape[0] // 2
        smaller: Array = cv2.resize(mips[-1], (half, half), interpolation=cv2.INTER_AREA)
        mips.append(smaller)
    pad = (SHADOW_SIDE - 64) // 2
    alpha = np.pad(mips[2][..., 3], pad)
    shadow: Array = cv2.GaussianBlur(alpha, (0, 0), 3.5)
    return Sprite(tuple(mips), shadow)


def _centred(rgba: Array) -> U8:
    """Premultiplied float RGBA in [0, 1], cropped to its content and centred on the square."""
    solid = rgba[..., 3] > 0.03
    rows, cols = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if rows.size == 0:
        raise VidCascadeError("a sticker is fully transparent: fetch the stickers again.")
    crop = np.ascontiguousarray(rgba[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1])
    h, w = crop.shape[:2]
    scale = (SIDE - 4) / max(h, w)
    matrix = np.array(
        [
            [scale, 0, SIDE / 2 - 0.5 - scale * (w - 1) / 2],
            [0, scale, SIDE / 2 - 0.5 - scale * (h - 1) / 2],
        ]
    )
    method = cv2.INTER_LINEAR if scale >= 1 else cv2.INTER_AREA
    square = cv2.warpAffine(crop, matrix, (SIDE, SIDE), flags=method)
    return (np.clip(square, 0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=1024)
def sticker(folder: Path, code: str) -> Sprite:
    """The sticker ``<folder>/<code>.webp``. Raises :class:`VidCascadeError` if unreadable."""
    from PIL import Image

    path = folder / f"{code}.webp"
    try:
        with Image.open(path) as image:
            rgba = np.asarray(image.convert("RGBA"), np.float32) / 255
    except (OSError, ValueError) as error:
        raise VidCascadeError(
            f"the sticker {path} cannot be read ({error}): run scripts/fetch_stickers.py --force."
        ) from None
    rgba = rgba.copy()
    rgba[..., :3] *= rgba[..., 3:]
    return _finish(_centred(rgba))


@lru_cache(maxsize=256)
def solid(name: str, colour: str) -> Sprite:
    """A shaded solid in a named colour."""
    shade, gloss, alpha = _shape(name)
    base: Array = np.array(RGB[colour], np.float32)
    rgb: Array = base * shade[..., None]
    rgb += (1 - rgb) * gloss[..., None]
    if colour == "black":
        rgb += 0.05 * shade[..., None]  # keeps the form readable
    rgba = np.concatenate([np.clip(rgb, 0, 1), np.ones_like(shade)[..., None]], -1)
    return _finish(_centred((rgba * alpha[..., None]).astype(np.float32)))


_LIGHT: Array = np.array([-0.45, -0.60, 0.66], np.float32) / np.float32(
    np.linalg.norm([-0.45, -0.60, 0.66])
)


def _lit(nx: Array, ny: Array, nz: Array, shiny: float = 0.75) -> tuple[Array, Array]:
    """Lambert shade and Blinn highlight of unit normals (x right, y down, z to the viewer)."""
    lambert = np.clip(nx * _LIGHT[0] + ny * _LIGHT[1] + nz * _LIGHT[2], 0, 1)
    between = _LIGHT + np.array([0, 0, 1], np.float32)
    half = between / np.linalg.norm(between)
    gloss = shiny * np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** 40
    return (0.38 + 0.70 * lambert).astype(np.float32), gloss.astype(np.float32)


def _flat(points: list[tuple[float, float]], side: int) -> Array:
    """Antialiased mask (side, side) of a polygon in [-1, 1] coordinates."""
    mask = np.zeros((side, side), np.uint8)
    pixels = (np.array(points) * 0.5 + 0.5) * side - 0.5
    cv2.fillPoly(mask, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _pillow(inside: Array, depth: float) -> Shaded:
    """Shade, gloss and alpha of a flat shape with a rounded rim, ``depth`` in pixels."""
    distance = cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    u = np.clip(distance / depth, 0, 1)
    height = depth * np.sqrt(np.clip(1 - (1 - u) ** 2, 0, 1)).astype(np.float32)
    height = cv2.GaussianBlur(height, (0, 0), 6)
    gx, gy = cv2.Sobel(height, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(height, cv2.CV_32F, 0, 1) / 8
    norm = np.sqrt(gx**2 + gy**2 + 1)
    shade, gloss = _lit(-gx / norm, -gy / norm, 1 / norm, 0.55)
    return shade, gloss, inside


def _facets(faces: list[tuple[list[tuple[float, float]], float]], side: int) -> Shaded:
    """Flat faces, each a polygon with its brightness; later ones on top."""
    shade = np.zeros((side, side), np.float32)
    alpha = np.zeros((side, side), np.float32)
    ramp = np.linspace(0.06, -0.06, side, dtype=np.float32)[:, None]
    for points, value in faces:
        mask = _flat(points, side)
        shade = shade * (1 - mask) + (value + ramp) * mask
        alpha = np.maximum(alpha, mask)
    return shade / np.maximum(alpha, 1e-3), np.zeros_like(shade), alpha


@lru_cache(maxsize=32)
def _shape(name: str) -> Shaded:
    """Shade, gloss and alpha, float32 (512, 512), of a solid."""
    n = 512
    axis = ((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1) / 0.95
    x, y = np.meshgrid(axis, axis)
    edge = np.float32(2 / n)

    def cover(signed: Array) -> Array:
        return np.clip(0.5 - signed / edge, 0, 1).astype(np.float32)

    if name == "ball":
        r2 = np.clip(x * x + y * y, 0, 1)
        return *_lit(x, y, np.sqrt(1 - r2)), cover(np.hypot(x, y) - 1)
    if name == "ring":
        r = np.maximum(np.hypot(x, y), 1e-3)
        q = np.clip((r - 0.72) / 0.28, -1, 1)  # across the tube
        nx, ny = x / r * q, y / r * q
        return *_lit(nx, ny, np.sqrt(1 - q * q)), cover(np.abs(r - 0.72) - 0.28)
    if name == "capsule":
        core = np.clip(y, -0.5, 0.5)
        dx, dy = x / 0.5, (y - core) / 0.5
        r2 = np.clip(dx * dx + dy * dy, 0, 1)
        return *_lit(dx, dy, np.sqrt(1 - r2)), cover(np.hypot(x, y - core) - 0.5)
    if name == "cylinder":
        q = np.clip(x / 0.68, -1, 1)
        bow = 0.2 * np.sqrt(1 - q * q)
        body = np.maximum(np.abs(x) - 0.68, np.maximum(-0.75 - y, y - 0.75 - bow))
        lid = cover((np.hypot(x / 0.68, (y + 0.75) / 0.2) - 1) * 0.2)
        shade, gloss = _lit(q, np.zeros_like(q), np.sqrt(1 - q * q), 0.4)
        return shade * (1 - lid) + 1.04 * lid, gloss * (1 - lid), np.maximum(cover(body), lid)
    if name == "cone":
        half = np.clip((y + 0.95) / 1.75, 1e-3, 1) * 0.8
        q = np.clip(x / half, -1, 1)
        base = 0.8 + 0.17 * np.sqrt(1 - np.clip(x / 0.8, -1, 1) ** 2)
        shade, gloss = _lit(0.93 * q, np.full_like(q, -0.3), 0.93 * np.sqrt(1 - q * q), 0.4)
        return shade, gloss, cover(np.maximum(np.maximum(np.abs(x) - half, -0.95 - y), y - base))
    if name == "star":
        angles = [(-90 + 36 * i) * math.pi / 180 for i in range(10)]
        radii = [0.95 if i % 2 == 0 else 0.44 for i in range(10)]
        pts = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
        return _pillow(_flat(pts, n), 70)
    if name == "heart":
        ts = [math.tau * i / 120 for i in range(120)]
        pts = [
            (
                0.056 * 16 * math.sin(t) ** 3,
                -0.056 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t))
                + 0.056 * math.cos(4 * t),
            )
            for t in ts
        ]
        return _pillow(_flat(pts, n), 120)
    if name == "cube":
        a, b = 0.82, 0.47
        top, left, right, mid = (0.0, -0.94), (-a, -b), (a, -b), (0.0, 0.0)
        low, low_l, low_r = (0.0, 0.94), (-a, b), (a, b)
        faces = [
            ([top, right, mid, left], 1.08),
            ([left, mid, low, low_l], 0.82),
            ([mid, right, low_r, low], 0.56),
        ]
    elif name == "pyramid":
        peak, left, right, front = (0.0, -0.9), (-0.95, 0.5), (0.95, 0.5), (0.2, 0.85)
        faces = [([peak, front, left], 0.98), ([peak, right, front], 0.60)]
    else:
        assert name == "crystal", name
        up, down, left, right, mid = (
            (0.0, -0.95),
            (0.0, 0.95),
            (-0.7, 0.05),
            (0.7, -0.05),
            (0.1, 0.2),
        )
        faces = [
            ([up, mid, left], 1.08),
            ([up, right, mid], 0.80),
            ([left, mid, down], 0.66),
            ([mid, right, down], 0.48),
        ]
    return _facets(faces, n)
