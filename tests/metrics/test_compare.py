"""Comparing clips, and measures against a reference."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.metrics.flickering import GOLDEN, brighter, measured, needs_golden, pan, still, timed
from vidcascade.cli.flicker import _lpips
from vidcascade.errors import UsageError
from vidcascade.metrics.compare import compare
from vidcascade.metrics.reference import (
    against_reference,
    farneback_difference,
    lpips_difference,
    teco_crop,
    teco_psnr,
)
from vidcascade.metrics.source import open_source
from vidcascade.metrics.statistics import bootstrap_rms, paired_rms_difference

WEIGHTS = GOLDEN.parent / "data" / "lpips_alex.safetensors"
STEPS = np.random.default_rng(5).normal(size=24)


@pytest.fixture(scope="module")
def clips():
    base = still(24)
    return {
        "calm": measured(brighter(base, 2 * STEPS), name="calm"),
        "wild": measured(brighter(base, 6 * STEPS), name="wild"),
        "moving": measured(pan(24), name="moving"),
        "fast": measured(base, 48.0, name="fast"),
        "short": measured(base[:12], name="short"),
    }


def test_says_which_flickers_less_and_that_it_is_no_chance(clips):
    found = compare(clips["calm"], clips["wild"])
    flicker = found.differences["flicker"]
    assert flicker.certain
    assert flicker.low > 0
    assert flicker.second == pytest.approx(3 * flicker.first, rel=0.15)
    assert found.verdict.startswith("calm flickers less than wild")
    assert "more than chance" in found.verdict
    back = compare(clips["wild"], clips["calm"])
    assert back.verdict.startswith("calm flickers less")
    assert back.differences["flicker"].mean == pytest.approx(-flicker.mean)


def test_equal_clips_cannot_be_told_apart(clips):
    found = compare(clips["calm"], clips["calm"])
    assert "cannot be told apart" in found.verdict
    assert not found.differences["flicker"].certain


def test_different_motion_or_rate_is_not_comparable_unless_forced(clips):
    for other, why in (("moving", "move differently"), ("fast", "frame rates differ")):
        found = compare(clips["calm"], clips[other])
        assert "not comparable" in found.verdict
        assert why in found.verdict
        assert found.differences == {}
        forced = compare(clips["calm"], clips[other], force=True)
        assert forced.differences
        assert "Read with care" in forced.verdict


def test_different_length_or_size_needs_align(clips):
    with pytest.raises(UsageError, match="--align"):
        compare(clips["calm"], clips["short"])
    assert compare(clips["calm"], clips["short"], align=True).differences
    other = measured(still(24)[:, :48], name="cropped")
    with pytest.raises(UsageError, match="64 × 48"):
        compare(clips["calm"], other)


def test_paired_intervals_are_narrower_than_unpaired_ones():
    rng = np.random.default_rng(0)
    common = rng.normal(size=200) * 3
    first = np.abs(common) + 1
    second = first * 1.05
    paired = paired_rms_difference(first, second, block=8)
    assert paired.low > 0
    alone = bootstrap_rms(first, block=8)
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)
    assert bootstrap_rms([3.0, 3.0]).mean == pytest.approx(3.0)
    with pytest.raises(UsageError):
        paired_rms_difference(first[:1], second[:1])


def test_reference_measures_of_equal_and_flickering_clips():
    clean = still(8)
    same = against_reference(timed(clean), timed(clean), 24.0)
    assert same["tof"].value == 0
    assert same["temporal_difference"].value == 0
    assert same["psnr"].value == 100
    assert same["ssim"].value == pytest.approx(1)
    assert "tlp" not in same
    worse = against_reference(timed(brighter(clean, 4 * STEPS[:8])), timed(clean), 24.0)
    assert worse["temporal_difference"].value > 1
    assert worse["psnr"].value < 50


def test_reference_of_another_length_or_size():
    clean = still(6)
    with pytest.raises(UsageError, match="--align"):
        against_reference(timed(clean), timed(clean[:4]), 24.0)
    with pytest.raises(UsageError, match="--align"):
        against_reference(timed(clean), timed(clean[:, :32]), 24.0)
    aligned = against_reference(timed(clean), timed(clean[:4, :32]), 24.0, align=True)
    assert len(aligned["psnr"].series) == 4
    with pytest.raises(UsageError, match="two frames"):
        against_reference(timed(clean[:1]), timed(clean[:1]), 24.0)


def test_crop_is_the_scripts():
    # From the logs of the unmodified script: 192 × 256 leaves a border of 16 each way.
    assert teco_crop(192) == (16, 160)
    assert teco_crop(256) == (16, 224)
    assert teco_crop(20) == (0, 20)


def _frames(name):
    return [frame.pixels for frame in open_source(GOLDEN / "clips" / f"{name}.mp4").frames()]


@needs_golden
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no LPIPS weights in shared/data")
@pytest.mark.parametrize(
    "name", ["syn_pan_noise_4", pytest.param("syn_static_swim_1p0", marks=pytest.mark.slow)]
)
def test_tlp_agrees_with_the_reference(name):
    distance = _lpips(WEIGHTS)
    ours, theirs = _frames(name)[2:5], _frames("_".join((*name.split("_")[:2], "none_0")))[2:5]
    text = (GOLDEN / "values" / "tecogan" / name / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.split("\n,")[0].splitlines()))
    for index in range(2):
        steps = (ours[index], ours[index + 1]), (theirs[index], theirs[index + 1])
        # The script's first row is the third frame; a row's tLP is of the step after it.
        expected = float(rows[index]["tLP100_00"])
        assert lpips_difference(*steps, distance) == pytest.approx(expected, abs=2e-3)


@needs_golden
@pytest.mark.parametrize("name", ["syn_pan_judder_0p25", "syn_static_swim_1p0"])
def test_tof_agrees_with_the_reference(name):
    clean = "_".join((*name.split("_")[:2], "none_0"))
    ours, theirs = _frames(name)[:8], _frames(clean)[:8]
    text = (GOLDEN / "values" / "tecogan" / name / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.split("\n,Avg")[0].splitlines()))
    for index in range(5):
        # The script's first row is the third frame; a row's tOF is of the step after it.
        if index + 3 < len(ours):
            steps = (ours[index + 2], ours[index + 3]), (theirs[index + 2], theirs[index + 3])
            assert farneback_difference(*steps) == pytest.approx(
                float(rows[index]["tOF_00"]), rel=1e-3, abs=1e-5
            )
        if rows[index]["PSNR_00"] not in ("", "inf"):
            psnr = teco_psnr(ours[index + 2], theirs[index + 2])
            assert psnr == pytest.approx(float(rows[index]["PSNR_00"]), abs=0.01)
    pairs = json.loads((GOLDEN / "values" / "reference_pairs_tof.json").read_text())
    whole = [
        farneback_difference((ours[i], ours[i + 1]), (theirs[i], theirs[i + 1]), crop=False)
        for i in range(5)
    ]
    np.testing.assert_allclose(whole, pairs[f"{clean} -> {name}"]["first5"], rtol=1e-3, atol=1e-5)
