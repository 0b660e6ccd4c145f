"""The timeline: exact numbers and times, whatever the clip."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade.errors import UsageError
from vidcascade.interpolation.plan import HELD, MADE, ORIGINAL, Known, Slot, planned
from vidcascade.interpolation.source import SourceFrame
from vidcascade.interpolation.timeline import FactorGrid, RateGrid, check_factor, parse_time

RATES = [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60),
         Fraction(25, 2), Fraction(179, 6)]  # fmt: skip


def known(time: Fraction, index: int, **marks: bool) -> Known:
    nothing: Any = None
    return Known(SourceFrame(index, time, nothing), nothing, **marks)


def slots_of(frames: list[Known], grid: Any, stop: Fraction, replace: bool = False) -> list[Slot]:
    return [s for work in planned(frames, grid, lambda: stop, replace) for s in work.slots]


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(1, 90), min_size=1, max_size=30),
    marks=st.lists(st.sampled_from(["", "cut", "duplicate"]), min_size=31, max_size=31),
    factor=st.integers(2, 9),
    replace=st.booleans(),
)
def test_a_factor_gives_exactly_as_many_frames_and_keeps_the_times(
    gaps: list[int], marks: list[str], factor: int, replace: bool
) -> None:
    times = [Fraction(0)]
    for gap in gaps[:-1]:
        times.append(times[-1] + Fraction(gap, 1000))
    stop = times[-1] + Fraction(gaps[-1], 1000)
    frames = [
        known(t, i, new_scene=m == "cut" and i > 0, duplicate=m == "duplicate" and i > 0)
        for i, (t, m) in enumerate(zip(times, marks, strict=False))
    ]
    slots = slots_of(frames, FactorGrid(factor), stop, replace)
    assert len(slots) == factor * len(frames)
    assert [s.time for s in slots[::factor]] == times
    assert all(a.time < b.time for a, b in pairwise(slots))
    assert slots[-1].time < stop
    for number, slot in enumerate(slots):
        source = frames[number // factor]
        if slot.kind == MADE:
            assert 0 < slot.t < 1
        else:
            # What is shown was there before or is there now, never what is still to come.
            assert slot.known is not None
            assert slot.known.time <= slot.time
        if number % factor == 0 and not (replace and source.duplicate):
            assert slot.kind == ORIGINAL
            assert slot.known is source


@settings(deadline=None)
@given(
    count=st.integers(1, 200),
    rate=st.sampled_from(RATES),
    wanted=st.sampled_from([*RATES, Fraction(120), Fraction(10), Fraction(144)]),
)
def test_a_rate_gives_the_clips_length_times_the_rate(
    count: int, rate: Fraction, wanted: Fraction
) -> None:
    frames = [known(i / rate, i) for i in range(count)]
    slots = slots_of(frames, RateGrid(wanted), count / rate)
    assert len(slots) == ceil(count / rate * wanted)
    assert [s.time for s in slots] == [m / wanted for m in range(len(slots))]
    for slot in slots:
        on_the_grid = (slot.time * rate).denominator == 1
        last = slot.time >= (count - 1) / rate
        assert slot.kind == (ORIGINAL if on_the_grid else HELD if last else MADE)


def test_rounded_times_show_the_originals() -> None:
    """24 fps in Matroska: 42 ms is frame 1, and no frame made 0.3 ms beside it."""
    stamps = [Fraction(round(i * 1000 / 24), 1000) for i in range(24)]
    frames = [known(t, i) for i, t in enumerate(stamps)]
    grid = RateGrid(Fraction(48), Fraction(0), Fraction(1, 1000))
    slots = slots_of(frames, grid, Fraction(1))
    assert len(slots) == 48
    assert [s.known for s in slots[::2]] == frames


def test_nothing_is_made_across_a_cut_or_between_duplicates() -> None:
    frames = [known(Fraction(i), i, new_scene=i == 2, duplicate=i == 4) for i in range(6)]
    slots = slots_of(frames, FactorGrid(2), Fraction(6))
    kinds = [s.kind for s in slots[1::2]]
    assert kinds == [MADE, HELD, MADE, HELD, MADE, HELD]
    assert slots[3].known is frames[1]


def test_replaced_duplicates_are_made_at_their_own_time() -> None:
    frames = [known(Fraction(i), i, duplicate=i % 2 == 1) for i in range(6)]
    slots = slots_of(frames, FactorGrid(2), Fraction(6), replace=True)
    assert [s.kind for s in slots[:4]] == [ORIGINAL, MADE, MADE, MADE]
    assert [s.t for s in slots[1:4]] == [0.25, 0.5, 0.75]


def test_a_long_still_is_left_alone() -> None:
    """Ten repeats are a picture that stands, not animation on elevens."""
    frames = [known(Fraction(i), i, duplicate=0 < i < 11) for i in range(12)]
    slots = slots_of(frames, FactorGrid(2), Fraction(12), replace=True)
    assert len(slots) == 24
    made = [s.time for s in slots if s.kind == MADE]
    assert min(made) > 6


@pytest.mark.parametrize("factor", [0, 1, -2, 2.5, "abc", "", 65, None, float("nan")])
def test_wrong_factors(factor: object) -> None:
    with pytest.raises(UsageError, match="whole number"):
        check_factor(factor)


def test_times() -> None:
    assert parse_time("1:02:03.5", "--start") == Fraction(7447, 2)
    assert parse_time(2.5, "start") == Fraction(5, 2)
    assert parse_time(None, "--start") is None
    for wrong in ("x", "1:2:3:4", "-1", "1:75", "1/0"):
        with pytest.raises(UsageError, match="--end"):
            parse_time(wrong, "--end")
