"""Photographs moved by known cameras, with things passing in front: scenes whose flow is exact.

A scene is a photograph under a moving camera (pan, zoom, rotation, a little perspective) and a few
pieces cut from other photographs, each with a motion of its own. It can be seen at any time, and
the flow between any two times is known, also where one thing covers another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.data.triplets import Triplet
from vidcascade.errors import UsageError

__all__ = ["Motion", "PhotoScene", "SceneSettings", "draw_scene", "photograph_triplets"]

_OVERSAMPLING = 2  # scenes are drawn larger and averaged down: pixels are areas, edges are soft
_WORDS = ("NEWS", "LIVE", "12:45", "hello", "Chapter 2", "[music]", "HD", "- Come here!", "vol. 3")


@dataclass(frozen=True)
class Motion:
    """How one layer lies in the picture at a time: a similarity and a tilt, steady in time.

    Attributes:
        centre: where the texture's middle is at time 0, in pixels of the picture.
        velocity: pixels for each unit of time.
        angle, turn: radians at time 0 and for each unit of time.
        zoom, growth: logarithm of the scale at time 0 and for each unit of time.
        tilt: what the perspective row gains for each unit of time, in 1 / pixels.
        bend: acceleration, pixels for each unit of time squared; 0 at times 0 and 1.
    """

    centre: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    growth: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    bend: tuple[float, float] = (0.0, 0.0)

    def matrix(self, time: float) -> NDArray[np.float64]:
        """Texture coordinates (from its middle) → pixels of the picture, 3 × 3 homography."""
        scale = np.exp(self.zoom + self.growth * time)
        angle = self.angle + self.turn * time
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        arc = time * (time - 1)
        x, y = (
            c + v * time + b * arc
            for c, v, b in zip(self.centre, self.velocity, self.bend, strict=True)
        )
        plane = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        plane[2, :2] = np.asarray(self.tilt) * time
        return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]) @ plane


@dataclass(frozen=True, eq=False)
class Layer:
    """A texture, uint8 (h, w, 4) RGBA with alpha multiplied in, and its motion."""

    texture: NDArray[np.uint8]
    motion: Motion


@dataclass(frozen=True, eq=False)
class PhotoScene:
    """Layers from back to front; the first covers the whole picture.

    Attributes:
        size: (height, width) of the picture in pixels.
        layers: from back to front.
        exposure: gain at time 0 and at time 1.
        shutter: part of a unit of time that the shutter stays open (motion blur), 0 is none.
        noise: standard deviation of the camera's noise, in levels of 0 to 255.
        overlay: what stands still on the glass, uint8 (H, W, 4) RGBA, or None.
    """

    size: tuple[int, int]
    layers: tuple[Layer, ...]
    exposure: tuple[float, float] = (1.0, 1.0)
    shutter: float = 0.0
    noise: float = 0.0
    overlay: NDArray[np.uint8] | None = None

    def render(self, time: float, rng: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """The picture at a time, (H, W, 3) RGB uint8. ``rng`` draws the noise; None leaves it."""
        blur = 1 if self.shutter == 0 else 4
        moments = time + self.shutter * ((np.arange(blur) + 0.5) / blur - 0.5)
        total = np.zeros((*self.size, 3), np.float32)
        for moment in moments:
            total += self._at(float(moment))
        picture = total * np.float32(np.interp(time, (0, 1), self.exposure) / blur)
        if self.overlay is not None:
            alpha = self.overlay[..., 3:].astype(np.float32) / 255
            picture = picture * (1 - alpha) + self.overlay[..., :3] * alpha
        if rng is not None and self.noise:
            picture = picture + rng.normal(0, self.noise, picture.shape)
        return np.asarray(np.rint(picture).clip(0, 255), dtype=np.uint8)

    def _at(self, time: float) -> NDArray[np.float32]:
        height, width = (side * _OVERSAMPLING for side in self.size)
        out = np.zeros((height, width, 3), np.uint8)
        for number, layer in enumerate(self.layers):
            # To the larger grid's pixel centres.
            enlarge = np.diag([_OVERSAMPLING, _OVERSAMPLING, 1.0])
            enlarge[:2, 2] = (_OVERSAMPLING - 1) / 2
            matrix = enlarge @ layer.motion.matrix(time) @ _to_middle(layer.texture)
            seen = cv2.warpPerspective(
                layer.texture if number else layer.texture[..., :3],
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT if number else cv2.BORDER_REFLECT_101,
            )
            if number == 0:
                out = np.asarray(seen, dtype=np.uint8)
                continue
            through = cv2.cvtColor(255 - seen[..., 3], cv2.COLOR_GRAY2RGB)
            below = cv2.multiply(out, through, scale=1 / 255)
            out = np.asarray(cv2.add(below, seen[..., :3]), dtype=np.uint8)
        reduced = cv2.resize(out, self.size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, dtype=np.float32)

    def flow(self, start: float, end: float) -> NDArray[np.float32]:
        """Exact flow from the picture at ``start`` to that at ``end``, (H, W, 2) in pixels.

        Each pixel has the motion of the front-most layer that covers more than half of it; what
        stands on the glass has none.
        """
        height, width = self.size
        x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        out = np.zeros((height, width, 2), np.float32)
        for number, layer in enumerate(self.layers):
            before = layer.motion.matrix(start)
            matrix = layer.motion.matrix(end) @ np.linalg.inv(before)
            scale = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
            there = [(row[0] * x + row[1] * y + row[2]) / scale for row in matrix[:2]]
            moved = np.stack((there[0] - x, there[1] - y), axis=-1).astype(np.float32)
            if number == 0:
                out = moved
                continue
            cover = cv2.warpPerspective(
                np.ascontiguousarray(layer.texture[..., 3]),
                before @ _to_middle(layer.texture),
                (width, height),
            )
            out = np.where(cover[..., None] > 127, moved, out)
        if self.overlay is not None:
            out = np.where(self.overlay[..., 3:] > 127, np.float32(0), out)
        return out


def _to_middle(texture: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = texture.shape[:2]
    return np.array([[1.0, 0.0, -(width - 1) / 2], [0.0, 1.0, -(height - 1) / 2], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class SceneSettings:
    """How scenes are drawn. Speeds are in pixels from time 0 to time 1, drawn log-uniformly.

    Attributes:
        size: side of the square picture.
        speeds: of the camera.
        piece_speeds: of the pieces, beside the camera's.
        pieces: most pieces in front.
        overlay, blur, exposure, noise: shares of scenes with writing that stands still, motion
            blur, changing exposure, camera noise.
    """

    size: int = 256
    speeds: tuple[float, float] = (1.0, 40.0)
    piece_speeds: tuple[float, float] = (2.0, 48.0)
    pieces: int = 4
    overlay: float = 0.15
    blur: float = 0.25
    exposure: float = 0.2
    noise: float = 0.3


def draw_scene(
    photographs: Sequence[NDArray[np.uint8]], settings: SceneSettings, rng: np.random.Generator
) -> PhotoScene:
    """A random scene from photographs, (h, w, 3) RGB uint8 each.

    Raises:
        UsageError: there are no photographs.
    """
    if not photographs:
        raise UsageError("Scenes need at least one photograph.")
    size = settings.size
    camera = _draw_motion((size / 2, size / 2), settings.speeds, rng)
    ground = _window(photographs[int(rng.integers(len(photographs)))], 1.4 * size, rng)
    opaque = np.full((*ground.shape[:2], 1), 255, np.uint8)
    layers = [Layer(np.concatenate((ground, opaque), axis=-1), camera)]
    for _ in range(int(rng.integers(settings.pieces + 1))):
        side = size * np.exp(rng.uniform(np.log(0.08), np.log(0.6)))
        picture = _window(photographs[int(rng.integers(len(photographs)))], side, rng)
        alpha = _blob(picture.shape[:2], rng)
        cut = (picture * (alpha[..., None] / np.float32(255))).round().astype(np.uint8)
        # Seen half-way through: a piece that is outside all the time teaches nothing.
        middle = rng.uniform(0.05, 0.95, 2) * size
        own = _draw_motion((0.0, 0.0), settings.piece_speeds, rng)
        x, y = np.asarray(own.velocity) + np.asarray(camera.velocity) * rng.uniform(0, 1)
        motion = Motion(
            (float(middle[0] - x / 2), float(middle[1] - y / 2)), (float(x), float(y)),
            float(rng.uniform(-3.14, 3.14)), own.turn * 2, own.zoom, own.growth, own.tilt, own.bend,
        )  # fmt: skip
        layers.append(Layer(np.concatenate((cut, alpha[..., None]), axis=-1), motion))
    exposure = (1.0, 1.0)
    if rng.random() < settings.exposure:
        exposure = (float(rng.uniform(0.85, 1.0)), float(rng.uniform(0.85, 1.0)))
    return PhotoScene(
        (size, size),
        tuple(layers),
        exposure,
        float(rng.uniform(0.1, 0.5)) if rng.random() < settings.blur else 0.0,
        float(rng.uniform(0.5, 5.0)) if rng.random() < settings.noise else 0.0,
        _writing(size, rng) if rng.random() < settings.overlay else None,
    )


def _draw_motion(
    centre: tuple[float, float], speeds: tuple[float, float], rng: np.random.Generator
) -> Motion:
    speed = np.exp(rng.uniform(*np.log(speeds)))
    heading = rng.uniform(0, 2 * np.pi)
    x, y = float(speed * np.cos(heading)), float(speed * np.sin(heading))
    lively = float(rng.random() < 0.6)  # the rest only glide
    turn, growth = (float(v) * lively for v in rng.normal(0, (0.06, 0.05)))
    tilt = rng.normal(0, 1.5e-4, 2) * (rng.random() < 0.3)
    bend = rng.normal(0, 0.06, 2) * speed * (rng.random() < 0.4)
    return Motion(
        (centre[0] - x / 2, centre[1] - y / 2), (x, y), float(rng.uniform(-0.4, 0.4)) * lively,
        turn, float(rng.uniform(-0.1, 0.2)), growth, (float(tilt[0]), float(tilt[1])),
        (float(bend[0]), float(bend[1])),
    )  # fmt: skip


def _window(
    photograph: NDArray[np.uint8], side: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A random square of a photograph, reduced to ``side`` pixels times the oversampling."""
    height, width = photograph.shape[:2]
    target = max(8, round(side))
    largest = min(height, width)
    smallest = min(target, largest)
    taken = round(float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))))
    top, left = rng.integers(height - taken + 1), rng.integers(width - taken + 1)
    part = photograph[top : top + taken, left : left + taken]
    kind = cv2.INTER_AREA if taken > target else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (target, target), interpolation=kind), dtype=np.uint8)


def _blob(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A soft-edged shape, uint8 (h, w): round, ragged or thin, well inside its square."""
    height, width = shape[:2]
    count = int(rng.integers(3, 14))
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    corners = rng.uniform(0.35, 0.95, count)
    radii = np.interp(angles, np.linspace(0, 2 * np.pi, count + 1), np.append(corners, corners[0]))
    narrow = rng.uniform(0.15, 1.0) if rng.random() < 0.3 else rng.uniform(0.6, 1.0)
    points = np.stack((np.cos(angles) * radii, np.sin(angles) * radii * narrow), axis=-1)
    points = (points * 0.48 + 0.5) * (width, height)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 255)
    soft = float(np.exp(rng.uniform(np.log(0.4), np.log(3.0))))
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), dtype=np.uint8)
    mask[[0, -1]] = mask[:, [0, -1]] = 0
    if rng.random() < 0.15:  # glass
        mask = (mask * rng.uniform(0.4, 0.9)).astype(np.uint8)
    return mask


def _writing(size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Words and a plate that stand still, uint8 (size, size, 4) RGBA."""
    out = np.zeros((size, size, 4), np.uint8)
    scale = size / 256
    for _ in range(int(rng.integers(1, 4))):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        x, y = (int(v) for v in rng.integers(0, int(0.8 * size), 2))
        if rng.random() < 0.3:
            end = (x + int(rng.integers(8, 80) * scale), y + int(rng.integers(6, 30) * scale))
            cv2.rectangle(out, (x, y), end, (*colour, 255), -1)
            colour = tuple(255 - v for v in colour)
        word = _WORDS[int(rng.integers(len(_WORDS)))]
        at, height = (x, y + int(14 * scale)), float(rng.uniform(0.3, 1.0)) * scale
        thick = int(rng.integers(1, 3))
        cv2.putText(out, word, at, cv2.FONT_HERSHEY_SIMPLEX, height, (*colour, 255), thick, 16)
    return out


def photograph_triplets(
    files: Sequence[Path],
    count: int,
    settings: SceneSettings,
    rng: np.random.Generator,
    uneven: float = 0.3,
    keep: int = 40,
) -> Iterator[Triplet]:
    """Triplets of random scenes: the pictures at time 0, at a time between, and at time 1.

    Args:
        files: photographs, any format that OpenCV reads.
        count: of triplets.
        settings: of the scenes.
        rng: of the draws.
        uneven: share whose middle picture is not half-way but anywhere from 0.1 to 0.9.
        keep: photographs held in memory at a time.

    Raises:
        UsageError: a file is no picture, or there are none.
    """
    if not files:
        raise UsageError("Scenes need at least one photograph.")
    held: list[NDArray[np.uint8]] = []
    for number in range(count):
        if len(held) < keep or number % 4 == 0:
            held.append(_photograph(files[int(rng.integers(len(files)))]))
            held = held[-keep:]
        scene = draw_scene(held, settings, rng)
        time = float(rng.uniform(0.1, 0.9)) if rng.random() < uneven else 0.5
        frames = np.stack([scene.render(moment, rng) for moment in (0.0, time, 1.0)])
        yield Triplet(frames, time, "photographs")


def _photograph(file: Path) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: check the name.") from error
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise UsageError(f"{file} is not a picture that can be read: remove it.")
    scale = 1024 / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(picture[..., ::-1], dtype=np.uint8).copy()
