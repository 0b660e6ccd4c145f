"""Swimming, judder, repeated frames, seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.metrics.flickering import brighter, measured, pan, still, value
from vidcascade.errors import UsageError
from vidcascade.metrics.seams import borders_from, seam_flicker
from vidcascade.metrics.suite import evaluate
from vidcascade.metrics.swimming import duplicates


def wobbling(frames: np.ndarray, strength: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    height, width = frames.shape[1:3]
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    out = []
    for frame in frames:
        shift = rng.normal(size=(height, width, 2)).astype(np.float32)
        shift = cv2.GaussianBlur(shift, (0, 0), 5)
        shift *= strength / shift.std()
        out.append(cv2.remap(frame, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC))
    return np.stack(out)


def test_swimming_rises_and_steady_motion_does_not_swim():
    assert value(still(4), "swimming") < 0.02
    assert value(pan(6), "swimming") < 0.1
    values = [value(wobbling(still(6), s), "swimming") for s in (0.1, 0.2, 0.4)]
    assert values == sorted(values)
    assert values[0] > 0.3


def test_judder_and_duplicates():
    clean = pan(17)
    stuttering = clean[[i - (i % 4 == 3) for i in range(17)]]
    result = measured(stuttering)
    assert result.measures["duplicates"].value == pytest.approx(100 * 4 / 16)
    assert result.measures["judder"].value > 10 * value(clean, "judder")
    assert value(clean, "duplicates") == 0


def test_a_still_clip_has_no_duplicates_but_is_frozen():
    result = measured(still())
    assert result.measures["duplicates"].value == 0
    assert result.measures["frozen"].value == 100
    assert result.measures["motion"].value == pytest.approx(0, abs=0.1)


def test_a_slow_clip_held_twice_is_not_all_duplicates():
    change = np.array([1.0, 0.0] * 10)
    times = np.arange(20) / 24
    found = duplicates(change, np.full(20, 1.0), times)
    assert found.tolist() == [False, True] * 10
    assert not duplicates(change, np.full(20, 0.01), times).any()


def test_borders_are_read():
    assert borders_from("16, 8,16") == ([8, 16], 0)
    assert borders_from("every:4") == ([], 4)
    for text in ("", "a", "0", "every:0", "every:x", "-3", "4,0"):
        with pytest.raises(UsageError, match="Window borders"):
            borders_from(text)


def test_seams_are_told_from_the_interior():
    levels = np.where(np.arange(20) // 8 % 2 == 0, -4, 4)
    stepped = measured(brighter(still(20), levels)).scan
    result = evaluate(stepped, "clip", ([], 8))
    assert result.seams.excess > 5 * result.seams.interior
    assert result.measures["seams"].value == result.seams.excess
    wrong = evaluate(stepped, "clip", ([4, 12], 0))
    assert wrong.seams.excess < 0
    steady = evaluate(measured(still(20)).scan, "clip", ([], 8))
    assert steady.seams.excess == 0


def test_borders_outside_of_the_clip_measure_nothing():
    assert seam_flicker(np.ones(10), [40]) is None
    assert seam_flicker(np.full(10, np.nan), [4]) is None
    missing = evaluate(measured(still(6)).scan, "clip", ([40], 0))
    assert missing.measures["seams"].value is None
    assert missing.measures["seams"].note


def test_borders_stand_out_only_where_they_do_more_than_by_chance():
    rng = np.random.default_rng(0)
    values = 1 + 0.3 * rng.random(64)
    assert not seam_flicker(values, [], 16).certain
    values[[15, 16, 31, 32, 47, 48]] += 1
    found = seam_flicker(values, [], 16)
    assert found.certain
    assert found.excess == pytest.approx(1, abs=0.15)
    # One border frame alone may be high by chance.
    values[:] = np.nan
    values[5:12] = [1.0, 1.1, 0.9, 9.0, 1.0, 1.1, 0.9]
    values[7] = np.nan
    assert not seam_flicker(values, [8]).certain
