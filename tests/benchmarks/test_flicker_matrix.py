"""Every measure of the suite rises with its own fault and stays calm under motion."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.flicker.clips import FAULTS, MOTIONS, canvas, inject, moving
from benchmarks.flicker.fit_composite import OTHERS, fit, flicker, load, report, spearman
from benchmarks.flicker.matrix import SUITE, draw, run, table
from benchmarks.flicker.rating import others
from vidcascade.metrics.composite import fit_report, weights


@pytest.fixture(scope="module")
def small():
    """Two strengths of every fault on one pan: what fits into the default run."""
    return run(("gravel",), ("pan", "cut"), steps=(0, 2), frames=18, published=False)


@pytest.mark.parametrize("measure", SUITE)
def test_measure_belongs_in_the_suite(small, measure):
    assert small.problems(measure) == []


@pytest.mark.slow
@pytest.mark.parametrize("texture", ["clouds", "shapes"])
def test_the_whole_matrix(texture, tmp_path):
    matrix = run((texture,), frames=24, published=False)
    assert {m: matrix.problems(m) for m in SUITE} == {m: [] for m in SUITE}


def test_table_and_picture(small, tmp_path):
    text = table(small, SUITE)
    assert text.count("\n| flicker |") == 2
    assert "| nan" not in text
    draw(small, SUITE, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").stat().st_size > 10_000


def test_a_measure_that_does_not_rise_is_named(small):
    from benchmarks.flicker.matrix import Cell, Matrix

    flat = [
        Cell(c.texture, c.motion, c.fault, c.strength, dict(c.values) | {"texture": 1.0})
        for c in small.cells
    ]
    found = Matrix(tuple(flat)).problems("texture")
    assert any("does not rise" in line for line in found)
    assert any("clean" in line for line in found)


def test_no_number_is_a_refusal_only_where_little_was_seen():
    from benchmarks.flicker.matrix import Cell, Matrix

    def matrix(coverage):
        steps = [(0, "none", 0.1), (2, "noise", 0.2), (4, "noise", 0.3), (8, "noise", None)]
        return Matrix(
            tuple(
                Cell("shapes", "pan", fault, strength, {"texture": value, "coverage": coverage})
                for strength, fault, value in steps
            )
        )

    assert matrix(0.3).problems("texture") == []
    assert any("does not rise" in line for line in matrix(0.9).problems("texture"))


def test_clips_are_what_they_say():
    picture = canvas("shapes")
    for motion in MOTIONS:
        clip = moving(picture, motion, 4)
        assert clip.dtype == np.uint8
        assert len(clip) == 4
        still = np.array_equal(clip[0], clip[1])
        assert still == (motion in ("static", "cut"))
    clean = moving(picture, "static", 9)
    for fault, strengths in FAULTS.items():
        if fault == "judder":
            continue
        worse = [np.abs(inject(clean, fault, s).astype(int) - clean).mean() for s in strengths]
        assert worse == sorted(worse)
        assert worse[0] > 0
    assert inject(clean, "none", 0) is clean


def test_the_fit_repeats_and_finds_weights_that_were_there():
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(size=(120, 6)))
    truth = np.array([2.0, 1.0, 0.25, 0.0, 0.5, 0.1]) ** 2
    found = fit(values, flicker(values, truth))
    np.testing.assert_allclose(np.sqrt(found), np.sqrt(truth), atol=0.08)
    assert spearman(np.array([1.0, 2, 2, 9]), np.array([1.0, 4, 4, 5])) == pytest.approx(1)


def test_measures_that_saw_less_of_the_clips_are_called_so():
    seen = []
    others(np.zeros((20, 32, 32, 3), np.uint8), lambda frames: seen.append(len(frames)) or 0.0)
    assert seen == [6]
    assert OTHERS["tlpips"] == "tLPIPS (first five steps)"


@pytest.mark.slow
def test_stored_weights_are_those_of_the_script():
    found = report(load())
    assert found["weights"] == weights()
    assert found["fit"] == fit_report()
