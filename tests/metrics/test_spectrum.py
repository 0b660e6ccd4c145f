"""The spectrum in Hz and the eye's gain."""

from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.flickering import brighter, measured, still
from vidcascade.metrics.spectrum import Welch, eye_gain, sensitivity, visibility


def _spectrum(hz: float, fps: float, seconds: float = 4.0, amplitude: float = 1.0):
    count = round(seconds * fps)
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(count) / fps)
    second = wave[1:-1] - (wave[2:] + wave[:-2]) / 2
    welch = Welch(1, fps)
    for value in second:
        welch.add(np.array([value]))
    return welch.finish(), second


def test_sensitivity_peaks_where_eyes_do():
    hz = np.linspace(0.5, 60, 1000)
    curve = sensitivity(hz)
    assert 7 < hz[curve.argmax()] < 11
    assert curve.max() == pytest.approx(172, abs=3)
    assert sensitivity(np.array([60.0]))[0] < 1.5


def test_power_is_the_mean_square():
    result, second = _spectrum(6, 24)
    assert result.power.sum() == pytest.approx(np.mean(second**2), rel=0.05)
    assert result.strongest() == pytest.approx(6, abs=0.5)


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 120])
def test_the_same_flicker_at_any_frame_rate(fps):
    result, second = _spectrum(6, fps)
    seen = eye_gain(result) * np.sqrt(np.mean(second**2))
    expected = sensitivity(np.array([6.0]))[0] / 172.3 / np.sqrt(2)
    assert seen == pytest.approx(expected, rel=0.06)


def test_amplitude_undoes_the_difference():
    result, _ = _spectrum(8, 48, amplitude=2.0)
    near = np.abs(result.hz - 8) < 2
    assert np.sqrt(np.square(result.amplitude()[near]).sum()) == pytest.approx(np.sqrt(2), rel=0.1)


def test_visibility_is_one_at_the_threshold():
    # At L* = 50 a contrast of 1/172 is an amplitude of (50 + 16) / 3 / 172 L*.
    result, _ = _spectrum(9, 60, seconds=8, amplitude=66 / 3 / 172)
    assert visibility(result, 50.0) == pytest.approx(1.0, rel=0.1)


def test_columns_without_values_are_left_out():
    both, one = Welch(2, 24), Welch(1, 24)
    for value in np.random.default_rng(0).normal(size=60):
        both.add(np.array([value, np.nan]))
        one.add(np.array([value]))
    np.testing.assert_allclose(both.finish().power, one.finish().power)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_short_series_have_a_defined_gain(count):
    welch = Welch(1, 24)
    for index in range(count):
        welch.add(np.array([float(index % 2)]))
    assert 0 < eye_gain(welch.finish()) < 10
    assert visibility(welch.finish(), 50.0) >= 0


def test_memory_does_not_grow():
    welch = Welch(3, 24)
    size = welch._rows.nbytes
    for index in range(2000):
        welch.add(np.full(3, np.sin(index)))
    assert welch._rows.nbytes == size


def test_a_clip_says_its_frequency_and_compares_across_frame_rates():
    found = {}
    for fps in (24, 48):
        clean = still(fps)
        wave = 5 * np.sin(2 * np.pi * 6 * np.arange(fps) / fps)
        found[fps] = measured(brighter(clean, wave), fps)
        assert found[fps].peak_hz == pytest.approx(6, abs=1.1)
    slow, fast = (found[fps].measures["flicker"].value for fps in (24, 48))
    assert fast == pytest.approx(slow, rel=0.1)
