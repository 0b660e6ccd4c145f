"""The guess from which optical flow is searched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidcascade.flow.dis import dis_flow
from vidcascade.interpolation.matching import guess_motion
from vidcascade.interpolation.model import _watched
from vidcascade.interpolation.prior import flows_between


def texture(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(height, width, 3)).astype(np.float32)
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2.0, 5.0))
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def runner(x: int, size: int = 256) -> np.ndarray:
    """A small thing at a place before a still ground."""
    frame = texture(size, size, 0).copy()
    frame[100:140, x : x + 40] = texture(40, 40, 5)
    return frame


@pytest.mark.parametrize("step", [48, -72])
def test_small_things_that_move_far_are_found(step):
    start = 100
    first, second = runner(start), runner(start + step)
    inside = slice(110, 130), slice(start + 10, start + 30)
    plain = dis_flow(first, second)[inside] - (step, 0)
    found = flows_between(first, second)[0][inside] - (step, 0)
    assert np.abs(np.median(plain, (0, 1))).max() > 10  # what it is for
    assert np.abs(np.median(found, (0, 1))).max() < 0.5
    guess = guess_motion(first, second)
    assert np.abs(np.median(guess.flows(256, 256)[0][inside], (0, 1)) - (step, 0)).max() < 8
    assert 0.7 * abs(step) < guess.farthest(256, 256) < 1.2 * abs(step)


def test_the_way_back_is_the_way_there_of_the_swapped_pair():
    first, second = runner(60), runner(120)
    one, two = guess_motion(first, second), guess_motion(second, first)
    np.testing.assert_allclose(one.ahead, two.back, atol=1e-6)
    np.testing.assert_allclose(one.back, two.ahead, atol=1e-6)


def test_what_repeats_and_noise_do_not_move():
    tile = np.tile(texture(16, 16, 1), (12, 12, 1)).astype(np.float32)
    noise = np.random.default_rng(2).normal(0, 6, (2, *tile.shape))
    first, second = np.clip(tile + noise, 0, 255).astype(np.uint8)
    assert guess_motion(first, second).farthest(192, 192) < 8


@pytest.mark.parametrize("shape", [(1, 1), (2, 90), (48, 48), (300, 50), (97, 61)])
def test_any_size_will_do(shape):
    first = texture(*shape, 3)
    guess = guess_motion(first, first)
    for flow in guess.flows(*shape):
        assert flow.shape == (*shape, 2)
        assert flow.dtype == np.float32
        assert not flow.any()


def test_far_motion_is_watched_at_fewer_pixels():
    assert _watched(420_000, 39.0) == 420_000
    assert _watched(420_000, 41.0) == 105_000
    assert _watched(1_000_000, 60.0) == 250_000
    assert _watched(1_000_000, 300.0) == 105_000
    assert _watched(65_536, 300.0) == 65_536
