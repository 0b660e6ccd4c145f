"""The makers of frames: sizes, depths, brightness, overlays, what moves past."""

from __future__ import annotations

import numpy as np
import pytest

from tests.interpolation.conftest import scene
from vidcascade.errors import UsageError
from vidcascade.interpolation.between import FlowBetween, make_between
from vidcascade.interpolation.steady import standing_still


def test_the_middle_of_a_translation() -> None:
    frames = scene(3, 96, 128, step=3)
    made = FlowBetween()(frames[0], frames[2], [0.5])[0]
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(made[inner].astype(int) - frames[1][inner]).mean() < 0.6


def test_times_are_in_order() -> None:
    frames = scene(9, 96, 128, step=1)
    made = FlowBetween()(frames[0], frames[8], [k / 8 for k in range(1, 8)])
    for number, frame in enumerate(made, start=1):
        errors = [np.abs(frame[8:-8, 8:-8].astype(int) - f[8:-8, 8:-8]).mean() for f in frames]
        assert int(np.argmin(errors)) == number


def test_large_pictures_are_warped_in_bands() -> None:
    """Flow at a bounded size, bands of rows: no seams, and as good as at the small size."""
    frames = scene(3, 600, 640, step=4)
    made = FlowBetween(short_side=150)(frames[0], frames[2], [0.5])[0]
    error = np.abs(made.astype(int) - frames[1]).mean(axis=(1, 2))[8:-8]
    assert error.mean() < 0.7
    assert error.max() < 3


def test_equal_frames_stay_as_they_are() -> None:
    frame = scene(1, 50, 70)[0]
    for made in FlowBetween()(frame, frame, [0.25, 0.5]):
        np.testing.assert_array_equal(made, frame)


def test_sixteen_bits() -> None:
    frames = scene(2).astype(np.uint16) * 250
    made = FlowBetween()(frames[0], frames[1], [0.5])[0]
    assert made.dtype == np.uint16
    # Eight bits in between would leave multiples of one of these.
    for step in (250, 256, 257):
        assert (made % step != 0).mean() > 0.05  # what stands still is kept as it is


def test_a_thing_that_passes_is_not_an_overlay() -> None:
    """At the place where it is in between, both neighbours show the same background."""
    rng = np.random.default_rng(0)
    back = rng.integers(0, 255, (60, 120, 3), np.uint8)
    ball = np.full((60, 120, 3), 255, np.uint8)
    assert standing_still(back, back, ball, ball).max() == 0
    assert standing_still(back, back, back, 255 - back).min() > 0.9


def test_arguments() -> None:
    frame = scene(1)[0]
    for times in ([0.0], [1.0], [-0.5], [float("nan")]):
        with pytest.raises(UsageError, match="between 0 and 1"):
            FlowBetween()(frame, frame, times)
    with pytest.raises(UsageError, match="one size"):
        FlowBetween()(frame, frame[:-1], [0.5])
    with pytest.raises(UsageError, match="fast, balanced, best"):
        make_between("superb")
    with pytest.raises(UsageError, match="at least 1"):
        make_between("fast", steps=0)
