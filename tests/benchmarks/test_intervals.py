"""Means over few clips: how wide their intervals are, and what counts as one clip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import comparisons
from benchmarks.comparisons import Comparison, Measure, difference, make_tables, mean_of
from benchmarks.intervals import (
    LEAST_CLIPS,
    by_source,
    few_interval,
    interval_note,
    sources,
    told,
)
from vidcascade.metrics.statistics import bootstrap_mean

PSNR = Measure("psnr", "PSNR", 1, 2)


def eight(mean: float) -> list[float]:
    """Eight clips like a normal distribution's, whose mean is so many standard errors from 0."""
    spread = stats.norm.ppf((np.arange(8) + 0.5) / 8)
    return list(spread / spread.std(ddof=1) + mean / np.sqrt(8))


def test_intervals_of_eight_clips_are_as_wide_as_those_of_t() -> None:
    values = eight(0)
    _, low, high = few_interval(values)
    wanted = stats.t.ppf(0.975, 7) / np.sqrt(8)
    assert (low, high) == pytest.approx((-wanted, wanted), rel=0.06)
    assert bootstrap_mean(values).high < 0.85 * high
    # Between what the plain percentiles and what t hold for more than chance: no verdict.
    assert bootstrap_mean(eight(2.1)).low > 0
    assert difference(PSNR, eight(2.1), [0.0] * 8).endswith(")")
    assert difference(PSNR, eight(3.0), [0.0] * 8).endswith(" better")
    assert mean_of(values, 2) == f"{np.mean(values):.2f} ({low:.2f} to {high:.2f})"


def test_fewer_than_six_have_no_interval_and_no_verdict() -> None:
    few = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert few_interval(few)[1:] == (-math.inf, math.inf)
    assert told(few, 1) == "3.0 [1.0 to 5.0]"
    assert told([2.0], 1, "+") == "+2.0"
    assert difference(PSNR, few, [0.0] * 5) == "+3.00 [+1.00 to +5.00]"
    ranges, bootstrap = (["a [b]", told(values, 1)] for values in (few, [*few, 6.0]))
    assert interval_note([ranges], "rooms").startswith("in square brackets: lowest and highest of")
    assert interval_note([bootstrap]).endswith("95 % (expanded percentiles)")
    both = interval_note([ranges, bootstrap])
    assert "bootstrap over clips" in both
    assert "square brackets" in both
    assert len(few) == LEAST_CLIPS - 1
    assert mean_of([*few, 9.0, math.nan, math.inf], 1).endswith("), 6 clips")


def test_clips_of_one_room_are_one_source() -> None:
    names = ["asl_yes", "asl_no", "sam2_01_dog", "sam2_02_cups", "friday", "asl", "a", "b"]
    assert sources(names) == ["asl", "asl", *names[2:]]
    values = [1.0, 3.0, 10.0, math.nan, 30.0, 5.0, 4.0, 4.0]
    assert by_source(values, sources(names)).tolist() == [3.0, 10.0, 30.0, 4.0, 4.0]
    assert by_source(values).tolist() == [1.0, 3.0, 10.0, 30.0, 5.0, 4.0, 4.0]


@given(st.lists(st.text("ab_", max_size=5), unique=True, max_size=8))
def test_sources_do_not_depend_on_the_order(names: list[str]) -> None:
    found = dict(zip(names, sources(names), strict=True))
    assert found == dict(zip(names[::-1], sources(names[::-1]), strict=True))
    for a in names:
        for b in names:
            beginning = a.rpartition("_")[0]
            if beginning and beginning == b.rpartition("_")[0]:
                assert found[a] == found[b]


def compared(names: list[str] | None) -> Comparison:
    found = Comparison("T", "ours", ("other",), "note", "real", names)
    for k in range(12):
        # Clips of the first source are all better, and alike; the others are not.
        better = 1.0 if k < 8 else 0.1 * (-1) ** k
        found.add("ours", {"psnr": 30 + better, "lpips": 0.1, "flicker": 1.0})
        found.add("other", {"psnr": 30.0, "lpips": 0.2, "flicker": 2.0})
        found.add("truth", {"flicker": 2.0 + 0.01 * k})
    return found


def test_verdicts_are_over_sources_and_never_against_the_truth() -> None:
    alone = make_tables(compared(None))[1]
    assert alone.rows[0][1].endswith(" better")
    assert alone.rows[0][3].endswith(" better")
    assert alone.rows[1][3].endswith(")")  # the truth's flicker is what a clip should have
    few = compared(["room"] * 8 + ["a", "b", "c", "d"])
    means, differences = make_tables(few)
    assert "12 real clips of 5 sources" in means.notes[0]
    assert "too few sources to tell" in differences.notes[0]
    assert not any("better" in cell for row in differences.rows for cell in row)
    assert means.rows[1][1] == "30.20 [29.90 to 31.00]"  # one mean for each source
    for table in (means, differences):
        assert comparisons.LEARNT_BY_LPIPS in table.notes
    six = make_tables(compared(["room"] * 7 + ["a", "b", "c", "d", "e"]))[1]
    assert six.rows[0][2].endswith(" better")
    assert "better" not in six.rows[0][1]
    assert "too few" not in six.notes[0]


def test_paired_differences_say_what_is_better() -> None:
    comparison = Comparison("T", "ours", ("other",), "note")
    for k in range(6):
        noise = 0.01 * k
        comparison.add("ours", {"psnr": 30 + noise, "warping": 2 + noise, "change": 1.0})
        comparison.add("other", {"psnr": 28.0, "warping": 1.0, "change": 0.5 + noise})
        comparison.add("truth", {"warping": 2.1 - noise, "change": 1.0})
    means, differences = make_tables(comparison)
    assert means.rows[1][1].startswith("30.03 (")
    against_other, against_truth = differences.rows
    assert against_other[1].endswith(" better")
    assert against_other[2].endswith(" worse")
    assert not against_other[3].endswith(("better", "worse"))
    assert against_truth[1] == "–"
