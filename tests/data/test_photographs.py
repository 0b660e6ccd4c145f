"""Scenes made of photographs: what is rendered agrees with the flow that is promised."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidcascade.data.photographs import (
    Layer,
    Motion,
    PhotoScene,
    SceneSettings,
    draw_scene,
    photograph_triplets,
)
from vidcascade.errors import UsageError
from vidcascade.flow.warp import warp_np


def photograph(seed: int = 0, side: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(side, side, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def opaque(picture: np.ndarray) -> np.ndarray:
    return np.concatenate((picture, np.full((*picture.shape[:2], 1), 255, np.uint8)), axis=-1)


def test_a_pan_moves_the_picture_by_the_velocity():
    motion = Motion((40.0, 40.0), velocity=(8.0, -4.0))
    scene = PhotoScene((80, 80), (Layer(opaque(photograph()), motion),))
    before, after = scene.render(0.0), scene.render(1.0)
    assert np.abs(after[10:60, 20:70].astype(int) - before[14:64, 12:62]).max() <= 1
    np.testing.assert_allclose(scene.flow(0.0, 1.0), np.full((80, 80, 2), (8.0, -4.0)), atol=1e-4)


def test_flow_explains_rotation_zoom_tilt_and_a_piece_in_front():
    camera = Motion((48.0, 48.0), (3.0, 2.0), 0.1, 0.05, 0.1, 0.04, (2e-4, -1e-4))
    piece = Layer(opaque(photograph(1, 24)), Motion((30.0, 50.0), (10.0, -6.0)))
    scene = PhotoScene((96, 96), (Layer(opaque(photograph()), camera), piece))
    flow, back = scene.flow(0.0, 1.0), scene.flow(1.0, 0.0)
    returned = flow + warp_np(back, flow)
    seen = np.linalg.norm(returned, axis=-1) < 0.5
    assert seen.mean() > 0.8
    error = np.abs(warp_np(scene.render(1.0), flow).astype(int) - scene.render(0.0)).mean(-1)
    inside = np.zeros_like(seen)
    inside[16:-16, 16:-16] = True
    assert np.median(error[seen & inside]) < 4
    np.testing.assert_allclose(flow[50, 30], (10.0, -6.0), atol=1e-4)


def test_writing_stands_still():
    overlay = np.zeros((64, 64, 4), np.uint8)
    overlay[10:20, 10:30] = (250, 10, 60, 255)
    layer = Layer(opaque(photograph()), Motion((32.0, 32.0), (9.0, 0.0)))
    scene = PhotoScene((64, 64), (layer,), overlay=overlay)
    for time in (0.0, 0.3, 1.0):
        assert (scene.render(time)[10:20, 10:30] == (250, 10, 60)).all()
    assert not scene.flow(0.0, 1.0)[10:20, 10:30].any()


def test_drawn_scenes_differ_and_repeat_with_their_seed():
    settings = SceneSettings(size=64)
    photographs = [photograph(i) for i in range(3)]
    made = [
        draw_scene(photographs, settings, np.random.default_rng(seed)).render(0.5)
        for seed in (1, 1, 2)
    ]
    assert made[0].shape == (64, 64, 3)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_triplets_from_files(tmp_path):
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), photograph())
    rng = np.random.default_rng(0)
    found = list(photograph_triplets([file], 3, SceneSettings(size=48), rng, keep=1))
    assert [t.frames.shape for t in found] == [(3, 48, 48, 3)] * 3
    assert all(0 < t.time < 1 for t in found)


def test_errors_are_told(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="at least one photograph"):
        draw_scene([], SceneSettings(), rng)
    broken = tmp_path / "b.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"b\.png is not a picture"):
        list(photograph_triplets([broken], 1, SceneSettings(), rng))
