"""Clips with known motion and known faults: the ground truth of the flicker benchmarks.

A clip is a big picture seen through a moving window; faults are added afterwards, so the same
motion exists with and without each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import VidCascadeError

__all__ = ["FAULTS", "MOTIONS", "TEXTURES", "Recipe", "canvas", "inject", "moving", "photo"]

Frames = NDArray[np.uint8]
Canvas = NDArray[np.float32]

SIZE = (160, 208)
FRAMES = 32
FPS = 24.0
WINDOW = 8


@dataclass(frozen=True)
class Recipe:
    """One clip: what it shows, how it moves, what is wrong with it."""

    texture: str
    motion: str
    fault: str = "none"
    strength: float = 0.0
    seed: int = 0


def _noise(rng: np.random.Generator, size: tuple[int, int], sigmas: list[float]) -> Canvas:
    total = np.zeros((*size, 3), np.float32)
    for sigma in sigmas:
        layer = rng.normal(size=(*size, 3)).astype(np.float32)
        total += cv2.GaussianBlur(layer, (0, 0), sigma) * sigma**0.8
    return (128 + 45 * total / total.std()).astype(np.float32)


def canvas(texture: str, seed: int = 0, size: tuple[int, int] = SIZE) -> Canvas:
    """A big picture (float32, 0 to 255), 1.8 times the frame, of a procedural texture."""
    rng = np.random.default_rng(seed + 1000)
    big = (int(size[0] * 1.8), int(size[1] * 1.8))
    if texture == "clouds":
        out = _noise(rng, big, [6.0, 14.0, 30.0])
    elif texture == "gravel":
        out = _noise(rng, big, [1.2, 2.5, 5.0])
    elif texture == "shapes":
        out = _noise(rng, big, [30.0]) * 0.5 + 64
        for _ in range(45):
            colour = [float(c) for c in rng.uniform(20, 235, 3)]
            centre = (int(rng.integers(0, big[1])), int(rng.integers(0, big[0])))
            axes = (int(rng.integers(6, 40)), int(rng.integers(6, 40)))
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(out, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), 0.8), np.float32)
    else:
        raise ValueError(f"Texture {texture!r} is unknown.")
    return np.clip(out, 8, 247).astype(np.float32)


def photo(path: Path, size: tuple[int, int] = SIZE) -> Canvas:
    """A photograph as a big picture, 1.8 times the frame."""
    stored = cv2.imread(str(path))
    if stored is None:
        raise VidCascadeError(f"{path} is no picture that can be read: take it out of the folder.")
    picture = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    big = (int(size[0] * 1.8), int(size[1] * 1.8))
    scale = max(big[0] / picture.shape[0], big[1] / picture.shape[1])
    resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(resized[: big[0], : big[1]], dtype=np.float32)


def _window(picture: Canvas, size: tuple[int, int], x: float, y: float, zoom: float) -> Canvas:
    height, width = size
    matrix = np.array([[zoom, 0, x], [0, zoom, y]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (width, height), flags=flags).astype(np.float32)


def moving(
    picture: Canvas,
    motion: str,
    count: int = FRAMES,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
    other: Canvas | None = None,
) -> Frames:
    """A clean clip (T, H, W, 3) uint8: "static", "pan", "tilt", "zoom", "object" or "cut"."""
    margin = 0.1 * size[0]
    out = []
    for index in range(count):
        t = index * FPS / fps
        x = y = margin
        zoom, source = 1.0, picture
        if motion == "pan":
            x += 1.7 * t
        elif motion == "tilt":
            x, y = x + 0.6 * t, y + 1.3 * t
        elif motion == "zoom":
            zoom = 1.25 * 0.992**t
        elif motion == "cut" and index >= count // 2:
            source = picture[::-1, ::-1].copy() if other is None else other
        frame = _window(source, size, x, y, zoom)
        if motion == "object":
            frame = _with_object(frame, picture, t, size)
        out.append(frame)
    return np.clip(np.round(np.stack(out)), 0, 255).astype(np.uint8)


def _with_object(frame: Canvas, picture: Canvas, t: float, size: tuple[int, int]) -> Canvas:
    height, width = size
    patch = _window(picture[::-1].copy(), size, 20 - 2.2 * t, 10, 1.0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x - (0.25 * width + 2.2 * t), y - 0.5 * height)
    alpha = np.clip(0.22 * height - distance + 0.5, 0, 1)[..., None]
    return (frame * (1 - alpha) + patch * alpha).astype(np.float32)


def _random(seed: int, count: int) -> NDArray[np.float64]:
    """Independent values of mean 0 and spread 1, the same ones for every strength."""
    values = np.random.default_rng(seed + 7).normal(size=count)
    return (values - values.mean()) / values.std()


def _brightness(frames: Canvas, strength: float, seed: int) -> Canvas:
    return frames + strength * _random(seed, len(frames))[:, None, None, None].astype(np.float32)


def _pulse(frames: Canvas, strength: float, seed: int) -> Canvas:
    wave = np.sin(2 * np.pi * 6 * np.arange(len(frames)) / FPS + 0.4)
    return frames + (strength * wave)[:, None, None, None].astype(np.float32)


def _noisy(frames: Canvas, strength: float, seed: int) -> Canvas:
    rng = np.random.default_rng(seed + 11)
    return frames + strength * rng.standard_normal(frames.shape, dtype=np.float32)


def _swim(frames: Canvas, strength: float, seed: int) -> Canvas:
    rng = np.random.default_rng(seed + 13)
    height, width = frames.shape[1:3]
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    out = np.empty_like(frames)
    for index, frame in enumerate(frames):
        shift = rng.normal(size=(height, width, 2)).astype(np.float32)
        shift = np.asarray(cv2.GaussianBlur(shift, (0, 0), height / 16), np.float32)
        shift *= strength / shift.std()
        out[index] = cv2.remap(
            frame, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
    return out


def _colour(frames: Canvas, strength: float, seed: int) -> Canvas:
    values = _random(seed, len(frames))[:, None].astype(np.float32)
    # Red against blue at constant luma (BT.709), so that it is colour and hardly lightness.
    shift = values * np.array([1.0, -0.2165, -0.8], np.float32) * strength
    return frames + shift[:, None, None, :]


def _local(frames: Canvas, strength: float, seed: int) -> Canvas:
    height, width = frames.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    spot = np.exp(-((x - 0.65 * width) ** 2 + (y - 0.4 * height) ** 2) / (2 * (0.15 * height) ** 2))
    values = _random(seed, len(frames)).astype(np.float32)
    return frames + strength * values[:, None, None, None] * spot[None, ..., None]


def _halves(frames: Canvas, strength: float, seed: int) -> Canvas:
    width = frames.shape[2]
    side = np.where(np.arange(width) < width // 2, 1.0, -1.0).astype(np.float32)
    values = _random(seed, len(frames)).astype(np.float32)
    return frames + strength * values[:, None, None, None] * side[None, None, :, None]


def _judder(frames: Canvas, strength: float, seed: int) -> Canvas:
    """Every round(1 / strength)-th frame repeats the one before."""
    step = max(2, round(1 / strength))
    return np.stack([frames[i - 1 if i % step == step - 1 else i] for i in range(len(frames))])


def _seam(frames: Canvas, strength: float, seed: int) -> Canvas:
    """Each window of :data:`WINDOW` frames has its own brightness."""
    levels = np.where(np.arange(len(frames)) // WINDOW % 2 == 0, -0.5, 0.5).astype(np.float32)
    return frames + strength * levels[:, None, None, None]


_INJECT: dict[str, Callable[[Canvas, float, int], Canvas]] = {
    "brightness": _brightness,
    "pulse": _pulse,
    "noise": _noisy,
    "swimming": _swim,
    "colour": _colour,
    "local": _local,
    "halves": _halves,
    "judder": _judder,
    "seam": _seam,
}

# Growing strengths: grey levels, pixels for swimming, share of repeated frames for judder.
FAULTS: dict[str, tuple[float, ...]] = {
    "brightness": (1, 2, 4, 8),
    "pulse": (1, 2, 4, 8),
    "noise": (2, 4, 8, 16),
    "swimming": (0.25, 0.5, 1.0, 1.5),
    "colour": (2, 4, 8, 16),
    "local": (4, 8, 16, 32),
    "halves": (1, 2, 4, 8),
    "judder": (0.0625, 0.125, 0.25, 0.5),
    "seam": (2, 4, 8, 16),
}
MOTIONS = ("static", "pan", "tilt", "zoom", "object", "cut")
TEXTURES = ("clouds", "gravel", "shapes")


def inject(frames: Frames, fault: str, strength: float, seed: int = 0) -> Frames:
    """A clip with a fault; "none" returns it as it is."""
    if fault == "none" or strength == 0:
        return frames
    out = _INJECT[fault](frames.astype(np.float32), strength, seed)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)
