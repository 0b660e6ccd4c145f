"""Flash counts equal EA IRIS's, and what its global mean misses."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.metrics.flickering import GOLDEN, needs_golden
from vidcascade.metrics.flashes import FlashCounter, verdict
from vidcascade.metrics.source import open_source

IRIS = ["2Hz_5s", "2Hz_6s", "3Hz_6s", "GradualRedIncrease", "extendedFLONG", "flashStripes"]
IRIS += ["gray", "intermitentEF"]
OURS = ["flash_area30_4hz", "flash_counter_halves_4hz", "flash_full_12hz", "flash_full_2hz"]
OURS += ["flash_full_4hz", "flash_red_4hz"]


SYNTHETIC = [
    "syn_object_none_0",
    "syn_pan_bright_rand_4",
    "syn_static_bright_sine_8",
    "syn_static_colour_8",
    "syn_static_counter_8",
]


@needs_golden
@pytest.mark.parametrize(
    "name", [*IRIS, *OURS, *(pytest.param(n, marks=pytest.mark.slow) for n in SYNTHETIC)]
)
def test_agrees_with_iris_frame_by_frame(name):
    folder = "clips/iris" if name in IRIS else "clips"
    source = open_source(GOLDEN / folder / f"{name}.mp4")
    text = (GOLDEN / "values" / "iris" / f"{name}.framedata.csv").read_text().replace("\0", "")
    rows = list(csv.DictReader(text.splitlines()))
    counter = FlashCounter(source.fps)
    counted = [counter.add(frame.pixels, frame.time) for frame in source.frames()]
    assert len(counted) == len(rows)
    for found, row in zip(counted, rows, strict=True):
        assert found.luminance == pytest.approx(float(row["AverageLuminance"]), abs=2e-6)
        assert found.red == pytest.approx(float(row["AverageRed"]), rel=1e-5, abs=1e-4)
        # IRIS cuts its percentages off after two digits.
        area = float(row["FlashAreaLuminance"].rstrip("%")) / 100
        assert found.luminance_area == pytest.approx(area, abs=1.01e-4)
        assert found.general == int(row["LuminanceTransitions"])
        assert found.red_transitions == int(row["RedTransitions"])
        assert found.general_result == int(row["LuminanceFrameResult"])
        assert found.red_result == int(row["RedFrameResult"])
    summary = json.loads((GOLDEN / "values" / "iris_summary.json").read_text())[name]
    flashes = counter.finish()
    assert flashes.general == summary["max_lum_transitions_in_1s"]
    assert flashes.red == summary["max_red_transitions"]
    words = {"Pass": "pass", "PassWithWarning": "pass with warning", "Fail": "fail"}
    assert flashes.global_verdict == words[summary["overall"]]


@needs_golden
@pytest.mark.parametrize("name", IRIS)
def test_agrees_with_what_iris_expects_of_its_own_clips(name):
    source = open_source(GOLDEN / "clips" / "iris" / f"{name}.mp4")
    text = (GOLDEN / "values" / "iris_expected" / f"{name}_RELATIVE.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    counter = FlashCounter(source.fps)
    counted = [counter.add(frame.pixels, frame.time) for frame in source.frames()]
    assert len(counted) == len(rows)
    assert [f.general for f in counted] == [int(row["LuminanceTransitions"]) for row in rows]
    assert [f.red_transitions for f in counted] == [int(row["RedTransitions"]) for row in rows]
    if "AverageLuminance" in rows[0]:
        means = [[f.luminance, f.red] for f in counted]
        expected = [[float(row["AverageLuminance"]), float(row["AverageRed"])] for row in rows]
        np.testing.assert_allclose(means, expected, rtol=1e-5, atol=2e-6)


def count(frames, fps=24.0):
    counter = FlashCounter(fps)
    for index, frame in enumerate(frames):
        counter.add(frame, index / fps)
    return counter.finish()


def halves(count_frames=72, hz=4, fps=24):
    frames = np.zeros((count_frames, 64, 64, 3), np.uint8)
    for index, frame in enumerate(frames):
        on = int(2 * hz * index / fps) % 2
        frame[:, :32], frame[:, 32:] = (200, 40) if on else (40, 200)
    return frames


def test_halves_that_flash_in_turn_are_caught():
    found = count(halves())
    assert found.general == 0
    assert found.global_verdict == "pass"
    assert found.local > 6
    assert found.verdict == "fail"


def test_a_small_corner_is_no_flash():
    frames = halves()
    frames[:, 12:] = 128
    frames[:, :, 12:52] = 128
    assert count(frames).verdict == "pass"


def test_black_and_still_pictures_pass():
    black = np.zeros((50, 32, 48, 3), np.uint8)
    found = count(black)
    assert (found.general, found.red, found.local, found.local_red) == (0, 0, 0, 0)
    assert found.verdict == "pass"


def test_counts_go_by_time():
    # The same flashes at half the frame rate take twice as long: half as many in each second.
    frames = halves(hz=3)
    frames[:, :, 32:] = frames[:, :, :32]
    fast, slow = count(frames, 24), count(frames, 12)
    assert fast.general == 6
    assert slow.general == 3


def test_large_pictures_are_thinned_without_changing_the_counts():
    small = halves(24)
    small[:, :, 32:] = small[:, :, :32]
    large = small.repeat(20, axis=1).repeat(20, axis=2)
    assert count(large) == count(small)


def test_tiny_pictures_count_too():
    frames = np.zeros((24, 1, 1, 3), np.uint8)
    frames[::3] = 255
    assert count(frames).general > 6


def test_verdicts_have_words():
    assert [verdict(i) for i in range(4)] == ["pass", "pass with warning", "fail", "fail"]
