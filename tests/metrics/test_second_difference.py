"""The motion-compensated second difference and its causes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.flickering import brighter, measured, pan, still, texture, value
from vidcascade.metrics.compensation import connect
from vidcascade.metrics.frames import normalised_size, prepare
from vidcascade.metrics.second_difference import residual, split


def test_size_is_normalised_and_keeps_the_aspect():
    assert normalised_size(1080, 1920) == (256, 455)
    assert normalised_size(64, 64) == (256, 256)
    assert normalised_size(4320, 7680) == (256, 455)
    assert normalised_size(10, 4000) == (5, 2048)
    assert prepare(texture(33, 47)).lab.shape == (256, 365, 3)


def test_grey_ignores_brightness_and_contrast():
    frame = texture()
    darker = (frame * 0.8 + 10).astype(np.uint8)
    # Lightness is not linear in the grey values, so this holds only nearly.
    difference = prepare(frame).grey.astype(int) - prepare(darker).grey
    assert np.abs(difference).mean() < 2


def test_lightness_is_cielab():
    lab = prepare(np.full((256, 256, 3), 119, np.uint8)).lab
    assert lab[..., 0].mean() == pytest.approx(50.0, abs=0.2)
    assert np.abs(lab[..., 1:]).max() < 0.05


def _causes(frames, weights=(0.5, 0.5)):
    a, b, c = (prepare(frame) for frame in frames)
    rest = residual(b, a, c, connect(a, b), connect(b, c), weights)
    return rest, split(rest, b)


def test_still_and_fading_pictures_leave_nothing():
    _, steady = _causes(still(3, height=256, width=256))
    assert steady.global_luminance == 0
    assert steady.texture == 0
    assert steady.chroma == 0
    grey = [np.full((256, 256, 3), level, np.uint8) for level in (118, 119, 120)]
    rest, fading = _causes(grey)
    assert abs(fading.global_luminance) < 0.01
    assert rest.coverage == 1


def test_global_step_is_found_in_lightness_units():
    frames = brighter(still(3, height=256, width=256), [0, 6, 0])
    rest, causes = _causes(frames)
    expected = prepare(frames[1]).lab[..., 0].mean() - prepare(frames[0]).lab[..., 0].mean()
    assert causes.global_luminance == pytest.approx(expected, rel=0.05)
    assert causes.regional_luminance < 0.1 * causes.global_luminance
    assert rest.coverage > 0.95


def test_regions_that_cancel_are_regional():
    frames = still(3, height=256, width=256).astype(int)
    frames[1, :, :128] += 6
    frames[1, :, 128:] -= 6
    _, causes = _causes(np.clip(frames, 0, 255).astype(np.uint8))
    assert causes.regional_luminance > 5 * abs(causes.global_luminance)
    assert causes.regional_luminance > 3 * causes.texture


def test_noise_is_texture_and_tint_is_chroma():
    rng = np.random.default_rng(1)
    clean = still(3, height=256, width=256)
    noisy = clean.astype(int)
    noisy[1] += rng.normal(scale=12, size=noisy[1].shape).astype(int)
    _, causes = _causes(np.clip(noisy, 0, 255).astype(np.uint8))
    assert causes.texture > 3 * causes.regional_luminance
    tinted = clean.astype(int)
    tinted[1] += np.array([8, -3, -6])
    _, causes = _causes(np.clip(tinted, 0, 255).astype(np.uint8))
    assert causes.chroma > 3 * abs(causes.global_luminance)


def test_moving_picture_leaves_little():
    _, causes = _causes(pan(3, 3, 256, 256))
    assert abs(causes.global_luminance) < 0.02
    assert causes.texture < 0.2


def test_uneven_steps_are_weighted_by_time():
    # Frame 2 comes late: a linear fade still cancels.
    frames = [np.full((256, 256, 3), level, np.uint8) for level in (100, 101, 104)]
    _, even = _causes(frames)
    _, timed = _causes(frames, (0.75, 0.25))
    assert abs(timed.global_luminance) < 0.02 < abs(even.global_luminance)


@pytest.mark.parametrize("motion", [still, pan])
def test_flicker_rises_with_brightness_flicker_only(motion):
    clean = motion(7)
    steps = np.random.default_rng(0).normal(size=len(clean))
    values = [value(brighter(clean, strength * steps)) for strength in (0, 1, 4)]
    assert values[0] < 0.1
    assert values == sorted(values)
    assert values[-1] > 1


def test_a_cut_is_left_out():
    frames = np.concatenate((still(8), still(8, seed=5)))
    result = measured(frames)
    assert result.measures["flicker"].value < 0.05
    assert np.isnan(result.measures["flicker"].series[7:9]).all()


def test_no_number_where_nothing_can_be_followed():
    frames = np.stack([texture(seed=s) for s in range(6)])
    found = measured(frames).measures["flicker"]
    assert found.value is None
    assert "followed" in found.note
    assert found.coverage < 0.5
