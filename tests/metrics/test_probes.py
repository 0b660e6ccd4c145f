"""Series for the spectra: what is probed, where, and on which grid of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcascade.metrics.probes import Probes
from vidcascade.metrics.second_difference import Causes
from vidcascade.metrics.spectrum import Periodogram, Welch
from vidcascade.metrics.swimming import Swim

HEIGHT, WIDTH = 96, 128
SMALL = (HEIGHT // 4, WIDTH // 4)
CAUSES = ("global_luminance", "cells", "regional_luminance", "chroma", "texture", "swimming")
FPS = 24.0
SEEN = np.ones((HEIGHT, WIDTH), bool)
STILL = Swim(0.0, 0.0, np.zeros((HEIGHT, WIDTH, 2), np.float32))
Array = NDArray[Any]


def causes(**changes: Any) -> Causes:
    """A residual in which nothing flickers, but for what is changed."""
    nothing = np.zeros(SMALL, np.float32)
    plain: dict[str, Any] = {
        "global_luminance": 0.0, "regional_luminance": 0.0, "texture": 0.0, "chroma": 0.0,
        "regions": nothing, "colours": np.zeros((*SMALL, 2), np.float32),
        "shares": np.ones(SMALL, np.float32), "fine": np.zeros((HEIGHT, WIDTH), np.float32),
        "hiding": np.ones(SMALL, np.float32),
    }  # fmt: skip
    return Causes(**(plain | changes))


def probe(
    rows: Sequence[Causes | None], times: Sequence[float] | None = None, fps: float = FPS,
    swims: Sequence[Swim] | None = None, seen: Array = SEEN,
) -> dict[str, Periodogram]:  # fmt: skip
    """The spectra of frames, at a steady rate unless times are given; None has no residual."""
    probes = Probes((HEIGHT, WIDTH), fps)
    for number, row in enumerate(rows):
        time = number / fps if times is None else times[number]
        if row is None:
            probes.skip(time)
        else:
            probes.add(time, row, STILL if swims is None else swims[number], seen)
    return probes.finish()


def welch(values: Sequence[float], columns: int = 1, fps: float = FPS) -> Periodogram:
    """The spectrum of a series that is the same in every column."""
    made = Welch(columns, fps)
    for value in values:
        made.add(np.full(columns, value))
    return made.finish()


def same(found: Periodogram, wanted: Periodogram) -> None:
    np.testing.assert_array_equal(found.hz, wanted.hz)
    np.testing.assert_allclose(found.power, wanted.power, rtol=1e-5, atol=1e-12)
    assert found.fps == wanted.fps


def steps(count: int, seed: int = 0) -> list[float]:
    return [float(v) for v in np.random.default_rng(seed).normal(size=count)]


@settings(deadline=None, max_examples=20)
@given(
    values=st.lists(st.floats(-50, 50), min_size=2, max_size=60),
    fps=st.sampled_from([8.0, 24.0, 59.94]), begin=st.floats(0, 1000),
)  # fmt: skip
def test_at_a_steady_rate_every_frame_counts_once(
    values: list[float], fps: float, begin: float
) -> None:
    times = [begin + number / fps for number in range(len(values))]
    found = probe([causes(global_luminance=v) for v in values], times, fps)
    same(found["global_luminance"], welch(values, fps=fps))


def test_every_cause_has_its_spectrum_and_nothing_flickers_in_nothing() -> None:
    found = probe([causes()] * 30)
    assert tuple(found) == CAUSES
    assert all(not spectrum.power.any() for spectrum in found.values())


def test_a_flicker_is_found_where_it_is_and_nowhere_else() -> None:
    wave = np.sin(2 * np.pi * 6 * np.arange(96) / FPS).astype(np.float32)
    one = np.ones(SMALL, np.float32)
    pictures: dict[str, list[Causes]] = {
        "chroma": [causes(colours=np.dstack((one * v, one * 0))) for v in wave],
        "texture": [causes(fine=np.full((HEIGHT, WIDTH), v, np.float32)) for v in wave],
        "global_luminance": [causes(global_luminance=float(v), regions=one * v) for v in wave],
    }
    for name, rows in pictures.items():
        found = probe(rows)
        loud = {cause for cause, spectrum in found.items() if spectrum.power.sum() > 1e-6}
        also = {"cells"} if name == "global_luminance" else set()
        assert loud == {name} | also
        assert found[name].strongest() == pytest.approx(6.0, abs=0.5)
    # All of its places flicker alike, in one of the two colours.
    same(probe(pictures["texture"])["texture"], welch(wave.tolist()))
    half = probe(pictures["chroma"])["chroma"].power
    np.testing.assert_allclose(half, welch(wave.tolist()).power / 2, rtol=1e-5, atol=1e-12)


def test_regions_are_told_from_the_whole() -> None:
    """Left and right in turn: cells see both, and each its own share of the whole."""
    values = np.array(steps(40))
    left = np.zeros(SMALL, np.float32)
    left[:, : SMALL[1] // 2] = 1
    rows = [causes(global_luminance=v / 2, regions=(v * left).astype(np.float32)) for v in values]
    found = probe(rows)
    np.testing.assert_allclose(
        found["cells"].power, welch(values.tolist()).power / 2, rtol=1e-5, atol=1e-12
    )
    same(found["regional_luminance"], welch((values / 2).tolist()))


@pytest.mark.parametrize("axis", [0, 1])
def test_both_directions_of_swimming_count(axis: int) -> None:
    values = steps(40)
    swims = []
    for value in values:
        field = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        field[..., axis] = value
        swims.append(Swim(0.0, 0.0, field))
    found = probe([causes()] * 40, swims=swims)
    power = found["swimming"].power
    np.testing.assert_allclose(power, welch(values).power / 2, rtol=1e-4, atol=1e-12)
    assert not found["texture"].power.any()


def test_what_is_not_seen_is_left_out() -> None:
    """Garbage under an unseen half changes nothing; a half that is seen goes on being probed."""
    values = steps(40)
    rng = np.random.default_rng(1)
    seen = SEEN.copy()
    seen[:, WIDTH // 2 :] = False
    shares = np.ones(SMALL, np.float32)
    shares[:, SMALL[1] // 2 :] = 0.25
    rows = []
    for value in values:
        fine = np.full((HEIGHT, WIDTH), value, np.float32)
        fine[~seen] = rng.normal(scale=99, size=(~seen).sum())
        regions = np.full(SMALL, value, np.float32)
        regions[:, SMALL[1] // 2 :] = rng.normal(scale=99, size=(SMALL[0], SMALL[1] // 2))
        colours = np.dstack((regions, regions))
        rows.append(causes(fine=fine, regions=regions, colours=colours, shares=shares))
    swims = [Swim(0.0, 0.0, np.dstack((row.fine, row.fine))) for row in rows]
    found = probe(rows, swims=swims, seen=seen)
    for name in ("texture", "swimming", "cells", "chroma"):
        same(found[name], welch(values))


def test_half_seen_is_enough_and_less_is_not() -> None:
    for share, loud in ((0.5, True), (0.49, False)):
        shares = np.full(SMALL, share, np.float32)
        values = steps(20)
        rows = [causes(shares=shares, regions=np.full(SMALL, v, np.float32)) for v in values]
        assert probe(rows)["cells"].power.any() == loud


def test_a_frame_without_a_residual_leaves_a_gap_and_no_zero() -> None:
    values = [*steps(30), float("nan"), *steps(9, seed=1)]
    rows = [None if np.isnan(v) else causes(global_luminance=v) for v in values]
    same(probe(rows)["global_luminance"], welch(values))
    assert not probe([None] * 30)["cells"].power.any()


def test_a_frame_that_was_dropped_is_filled_in_from_its_neighbours() -> None:
    values = steps(40)
    kept = [k for k in range(40) if k not in (7, 20, 21)]
    rows = [causes(global_luminance=values[k]) for k in kept]
    filled = values.copy()
    filled[7] = (values[6] + values[8]) / 2
    filled[20] = (2 * values[19] + values[22]) / 3
    filled[21] = (values[19] + 2 * values[22]) / 3
    found = probe(rows, [k / FPS for k in kept])
    same(found["global_luminance"], welch(filled))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-0.2, 0.2), min_size=30, max_size=30))
def test_times_that_are_a_little_off_are_on_the_grid(jitter: list[float]) -> None:
    values = steps(30)
    times = [(k + (off if k else 0)) / FPS for k, off in enumerate(jitter)]
    found = probe([causes(global_luminance=v) for v in values], times)
    same(found["global_luminance"], welch(values))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.3, 3.0), min_size=10, max_size=25))
def test_between_frames_that_come_unevenly_the_series_is_straight(gaps: list[float]) -> None:
    """A ramp in time stays that ramp, but for the quarter of a frame that is as good as on time."""
    places = np.concatenate(([0.0], np.cumsum(gaps)))
    fed: list[float] = []

    class Noted(Probes):
        def _feed(self, row: Array) -> None:
            fed.append(float(row[0]))

    probes = Noted((HEIGHT, WIDTH), FPS)
    for place in places:
        probes.add(5 + place / FPS, causes(global_luminance=float(place)), STILL, SEEN)
    assert len(fed) == int(np.floor(places[-1] + 0.25 + 1e-9)) + 1
    np.testing.assert_allclose(fed, np.arange(len(fed)), atol=0.2500001)


def test_twice_the_rate_that_was_said_is_thinned_out() -> None:
    values = steps(60)
    rows = [causes(global_luminance=v) for v in values]
    found = probe(rows, [k / (2 * FPS) for k in range(60)])
    same(found["global_luminance"], welch(values[::2]))


def test_the_same_clip_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    rows = [causes(fine=rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)) for _ in range(12)]
    first, second = probe(rows)["texture"].power, probe(rows)["texture"].power
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [(256, 455), (256, 256), (5, 2048), (400, 8), (1, 1)])
def test_pictures_of_any_shape_are_probed(size: tuple[int, int]) -> None:
    small = (max(size[0] // 4, 1), max(size[1] // 4, 1))
    probes = Probes(size, FPS)
    values = steps(20)
    for number, value in enumerate(values):
        row = causes(
            global_luminance=value, regions=np.full(small, value, np.float32),
            colours=np.full((*small, 2), value, np.float32), shares=np.ones(small, np.float32),
            fine=np.full(size, value, np.float32),
        )  # fmt: skip
        field = np.full((*size, 2), value, np.float32)
        probes.add(number / FPS, row, Swim(0.0, 0.0, field), np.ones(size, bool))
    found = probes.finish()
    for name in CAUSES:
        if name != "regional_luminance":
            same(found[name], welch(values))
    assert found["regional_luminance"].power.max() < 1e-9
