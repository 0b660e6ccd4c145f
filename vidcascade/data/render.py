"""Drawing a scene: frames, alpha masks and exact optical flow.

Sprites are warped with premultiplied alpha at twice the resolution from the matching mip level
and averaged down, only inside their own bounding box; backgrounds are painted once per clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.data.backgrounds import paint
from vidcascade.data.scene import F64, Frame, Scene
from vidcascade.data.sprites import SHADOW_SIDE, SHADOW_SPAN, Sprite

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Array = NDArray[Any]  # OpenCV results carry no exact type
Box = tuple[int, int, int, int]

_SUPER = 2  # supersampling of sprites
_CANVAS = 2  # oversampling of a background that a camera moves over


def _box(matrix: F64, frame: Frame, span: float = 1.0) -> Box | None:
    """``(x0, y0, x1, y1)`` pixels that the placed unit square may touch; None if outside."""
    ex = 0.5 * span * (abs(matrix[0, 0]) + abs(matrix[0, 1])) + 1
    ey = 0.5 * span * (abs(matrix[1, 0]) + abs(matrix[1, 1])) + 1
    x0, x1 = math.floor(matrix[0, 2] - ex), math.ceil(matrix[0, 2] + ex) + 1
    y0, y1 = math.floor(matrix[1, 2] - ey), math.ceil(matrix[1, 2] + ey) + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, frame.width), min(y1, frame.height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _warp(texture: U8, matrix: F64, box: Box, span: float, over: int) -> Array:
    """Draw a square ``texture`` that spans ``span`` sprite sides into ``box``."""
    side = texture.shape[0]
    x0, y0, x1, y1 = box
    linear = matrix[:2, :2] * (over * span / side)
    shift = (
        over * (matrix[:2, 2] + 0.5 - (x0, y0)) - 0.5 + linear @ (0.5 - side / 2, 0.5 - side / 2)
    )
    affine = np.column_stack([linear, shift])
    size = ((x1 - x0) * over, (y1 - y0) * over)
    big: Array = cv2.warpAffine(texture, affine, size, flags=cv2.INTER_LINEAR)
    if over == 1:
        return big
    out: Array = cv2.resize(big, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return out


def _layer(sprite: Sprite, matrix: F64, box: Box) -> Array:
    """The sprite as premultiplied RGBA uint8 inside ``box``."""
    area = abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])
    side = _SUPER * math.sqrt(area)  # between height and width, where they differ
    return _warp(sprite.mip(0.9 * side), matrix, box, 1.0, _SUPER)


def _backdrop(scene: Scene, frame: Frame, times: Sequence[float]) -> U8:
    """The background of every frame: uint8 (T, H, W, 3)."""
    px = 1 / frame.short
    half_w, half_h = frame.half
    if scene.camera is None:
        xs = (np.arange(frame.width) + 0.5) * px - half_w
        ys = (np.arange(frame.height) + 0.5) * px - half_h
        image = paint(scene.background, xs, ys, px, scene.background_seed)
        return np.broadcast_to(image, (len(times), *image.shape)).copy()
    # The canvas depends on the scene only (as long as the times lie within its duration), so a
    # frame rendered alone equals the same frame rendered in a clip.
    views = [scene.camera.view(t) for t in (0.0, scene.duration, *times)]
    step = px / _CANVAS
    left = min(x - half_w * z for x, _, z in views) - 2 * px
    right = max(x + half_w * z for x, _, z in views) + 2 * px
    top = min(y - half_h * z for _, y, z in views) - 2 * px
    bottom = max(y + half_h * z for _, y, z in views) + 2 * px
    xs = left + (np.arange(math.ceil((right - left) / step)) + 0.5) * step
    ys = top + (np.arange(math.ceil((bottom - top) / step)) + 0.5) * step
    canvas = paint(scene.background, xs, ys, px, scene.background_seed)
    out = np.empty((len(times), frame.height, frame.width, 3), np.uint8)
    to_world = np.array([[step, 0, xs[0]], [0, step, ys[0]], [0, 0, 1.0]])
    for k, t in enumerate(times):
        affine = (frame.view(scene, t) @ to_world)[:2]
        cv2.warpAffine(
            canvas, affine, (frame.width, frame.height), dst=out[k],
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return out


def draw(
    scene: Scene, sprites: Sequence[Sprite], frame: Frame, times: Sequence[float], masks: bool
) -> tuple[U8, F32 | None]:
    """Frames uint8 ``(T, H, W, 3)`` and, on request, subject alpha float32 ``(T, H, W)``."""
    video = _backdrop(scene, frame, times)
    cover = np.zeros(video.shape[:3], np.float32) if masks else None
    for k, t in enumerate(times):
        for sprite, subject in zip(sprites, scene.subjects, strict=True):
            if scene.shadow is not None:
                _shade(
                    video[k], scene, sprite, frame, frame.place(scene, subject, t, scene.shadow[:2])
                )
            matrix = frame.place(scene, subject, t)
            box = _box(matrix, frame)
            if box is None:
                continue
            x0, y0, x1, y1 = box
            rgba = _layer(sprite, matrix, box)
            alpha = rgba[..., 3:]
            region = video[k, y0:y1, x0:x1]
            colour = rgba[..., :3] * np.array(subject.gain, np.float32)
            clear = (255 - alpha).astype(np.float32) * np.float32(1 / 255)
            colour += region * clear
            colour += np.float32(0.5)
            np.minimum(colour, 255, out=colour)
            np.copyto(region, colour, casting="unsafe")
            if cover is not None:
                patch = cover[k, y0:y1, x0:x1]
                patch += (1 - patch) * (1 - clear[..., 0])
    return video, cover


def _shade(image: U8, scene: Scene, sprite: Sprite, frame: Frame, matrix: F64) -> None:
    """Darken ``image`` in place under a subject."""
    assert scene.shadow is not None
    box = _box(matrix, frame, SHADOW_SPAN)
    if box is None:
        return
    x0, y0, x1, y1 = box
    # a texture pixel or more per frame pixel would alias: supersample, it is already blurred
    small = SHADOW_SPAN * math.hypot(matrix[0, 0], matrix[1, 0]) < 0.6 * SHADOW_SIDE
    soft = _warp(sprite.shadow, matrix, box, SHADOW_SPAN, 2 if small else 1)
    keep = 1 - soft.astype(np.float32) * np.float32(scene.shadow[2] / 255)
    region = image[y0:y1, x0:x1]
    np.copyto(region, region * keep[..., None] + np.float32(0.5), casting="unsafe")


def alpha(scene: Scene, sprite: Sprite, index: int, frame: Frame, t: float) -> F32:
    """One subject's own alpha, float32 ``(H, W)`` in [0, 1], as if nothing were in front."""
    out = np.zeros((frame.height, frame.width), np.float32)
    matrix = frame.place(scene, scene.subjects[index], t)
    box = _box(matrix, frame)
    if box is not None:
        x0, y0, x1, y1 = box
        out[y0:y1, x0:x1] = _layer(sprite, matrix, box)[..., 3] * np.float32(1 / 255)
    return out


def exact_flow(
    scene: Scene, sprites: Sequence[Sprite], frame: Frame, t0: float, t1: float
) -> tuple[F32, NDArray[np.bool_]]:
    """Flow (H, W, 2) in pixels and visibility (H, W); see ``StickerWorld.flow``."""
    h, w = frame.height, frame.width
    xs, ys = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
    pairs = [(frame.view(scene, t0), frame.view(scene, t1))]
    pairs += [(frame.place(scene, s, t0), frame.place(scene, s, t1)) for s in scene.subjects]
    owner = np.zeros((h, w), np.int64)
    later = []
    for k, sprite in enumerate(sprites):
        owner[alpha(scene, sprite, k, frame, t0) > 0.5] = k + 1
        later.append(alpha(scene, sprite, k, frame, t1))
    flow = np.zeros((h, w, 2), np.float32)
    for k, (m0, m1) in enumerate(pairs):
        move = m1 @ np.linalg.inv(m0)
        mine = owner == k
        x, y = xs[mine], ys[mine]
        flow[mine, 0] = move[0, 0] * x + move[0, 1] * y + move[0, 2] - x
        flow[mine, 1] = move[1, 0] * x + move[1, 1] * y + move[1, 2] - y
    tx, ty = xs + flow[..., 0], ys + flow[..., 1]
    visible = (tx >= -0.5) & (tx <= w - 0.5) & (ty >= -0.5) & (ty <= h - 0.5)
    map_x, map_y = tx.astype(np.float32), ty.astype(np.float32)
    for k, front in enumerate(later):
        there = cv2.remap(front, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        visible &= ~((owner < k + 1) & (there > 0.5))  # hidden behind a nearer subject
    return flow, visible
