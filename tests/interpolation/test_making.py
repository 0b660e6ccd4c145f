"""Pixels of planned frames: the makers' where there is motion, the decoder's where there is not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.interpolation.conftest import scene
from vidcascade.interpolation.between import FlowBetween
from vidcascade.interpolation.making import (
    Made,
    _divided,
    _in_between,
    _times,
    blended,
    finished,
    make,
)
from vidcascade.interpolation.plan import HELD, MADE, ORIGINAL, Known, Slot, Work
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.source import SourceFrame

Array = NDArray[Any]
FLOW = FlowBetween()
OPAQUE = {"yuva420p": 255, "rgba": 255, "yuva444p10le": 65472, "gbrap12le": 65520}


def known(rgba: Array, name: str, index: int = 0) -> Known:
    """An RGB or RGBA picture (uint8) as a decoded frame of format ``name``."""
    given_ = "rgba" if rgba.shape[2] == 4 else "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format=given_)
    frame = frame.reformat(format=name)
    return Known(SourceFrame(index, Fraction(index, 24), frame), Canvas.of(frame))


def pair(name: str, alpha: Array | None = None) -> tuple[Known, Known]:
    """Two frames of a moving texture, under the same opacity."""
    frames: Any = scene(2)
    if alpha is not None:
        frames = [np.dstack((frame, alpha)) for frame in frames]
    return known(frames[0], name), known(frames[1], name, 1)


def mixing(first: Array, second: Array, times: Sequence[float]) -> list[Array]:
    """The simplest maker there is: no motion, only a mix."""
    return [
        np.rint(first * (1 - t) + second.astype(np.float64) * t).astype(first.dtype) for t in times
    ]


def test_slots_are_filled_in_order() -> None:
    first, second = pair("yuv420p")
    slots = (
        Slot(Fraction(0), ORIGINAL, first),
        Slot(Fraction(1, 96), MADE, t=0.25),
        Slot(Fraction(1, 48), HELD, first),
        Slot(Fraction(3, 96), MADE, t=0.75),
    )
    work = Work(first, second, slots)
    made = make(work, FLOW)
    assert [m.slot for m in made] == list(slots)
    assert all(m.work is work and m.alpha is None for m in made)
    assert [m.rgb is None for m in made] == [True, False, True, False]
    wanted = FLOW(first.colours[0], second.colours[0], [0.25, 0.75])
    for found, one in zip((made[1].rgb, made[3].rgb), wanted, strict=True):
        assert found is not None
        np.testing.assert_array_equal(found, one)


def test_without_motion_nothing_is_made() -> None:
    (first, _), calls = pair("yuv420p"), []

    def count(*given_: Any) -> list[Array]:
        calls.append(given_)
        return []

    slots = (Slot(Fraction(0), ORIGINAL, first), Slot(Fraction(1, 48), HELD, first))
    made = make(Work(first, None, slots), count)
    assert [(m.slot, m.rgb, m.alpha) for m in made] == [(slot, None, None) for slot in slots]
    assert make(Work(first, None, ()), count) == []
    assert calls == []


@pytest.mark.parametrize("name", OPAQUE)
def test_an_opaque_clip_is_made_as_one_without_opacity(name: str) -> None:
    first, second = pair(name, np.full((48, 64), 255, np.uint8))
    calls = []

    def counted(*given_: Any) -> list[Array]:
        calls.append(given_)
        return FLOW(*given_)

    found = _in_between(first, second, [0.25, 0.5], counted)
    assert len(calls) == 1  # opacity of its own would take as long again
    wanted = FLOW(first.colours[0], second.colours[0], [0.25, 0.5])
    for (rgb, alpha), one in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(rgb, one)
        assert alpha is not None
        assert alpha.dtype == rgb.dtype
        assert np.unique(alpha).tolist() == [OPAQUE[name]]


@pytest.mark.parametrize("name", ["rgba", "gbrap10le"])
def test_one_frame_that_shows_through_is_enough(name: str) -> None:
    rgba = np.dstack((scene(1)[0], np.full((48, 64), 255, np.uint8)))
    through = rgba.copy()
    through[..., 3] = 51
    for pictures in ((rgba, through), (through, rgba)):
        first, second = (known(picture, name) for picture in pictures)
        ((_, alpha),) = _in_between(first, second, [0.5], mixing)
        assert alpha is not None
        np.testing.assert_allclose(alpha / np.iinfo(alpha.dtype).max, 0.6, atol=0.003)


def test_what_hides_under_transparency_does_not_move_out() -> None:
    """A red square over a hidden green: half a way into its shadow it is red, not olive."""
    first, second = np.zeros((2, 40, 40, 4), np.uint8)
    for picture, left in ((first, 10), (second, 20)):
        picture[..., 1] = 255
        picture[10:30, left : left + 10] = (200, 0, 0, 255)
    before, after = known(first, "rgba"), known(second, "rgba")
    ((rgb, alpha),) = _in_between(before, after, [0.5], mixing)
    assert alpha is not None
    seen = alpha > 0
    assert np.unique(alpha[seen]).tolist() == [128]
    assert seen.sum() == 400
    np.testing.assert_allclose(rgb[seen], [[200, 0, 0]] * 400, atol=2)


@settings(deadline=None)
@given(data=st.data(), deep=st.booleans())
def test_weighing_by_opacity_can_be_undone(data: st.DataObject, deep: bool) -> None:
    kind = np.uint16 if deep else np.uint8
    top = int(np.iinfo(kind).max)
    rgb = data.draw(arrays(kind, (3, 4, 3)))
    alpha = data.draw(arrays(kind, (3, 4)))
    weighed = _times(rgb, alpha)
    assert weighed.dtype == kind
    # A colour never counts for more than its opacity, and for all of it where it is opaque.
    assert (weighed <= alpha[..., None]).all()
    np.testing.assert_array_equal(weighed[alpha == top], rgb[alpha == top])
    assert not weighed[alpha == 0].any()
    back = _divided(weighed, alpha)
    assert back.dtype == kind
    # Half a step of rounding grows as the opacity shrinks.
    allowed = np.ceil(0.5 * top / np.maximum(alpha, 1)) + 1
    visible = alpha > 0
    error = np.abs(back.astype(int) - rgb)[visible]
    assert (error <= allowed[visible][:, None]).all()
    np.testing.assert_array_equal(back[alpha == top], rgb[alpha == top])


def test_a_colour_brighter_than_its_opacity_is_cut_off() -> None:
    rgb, alpha = np.full((1, 2, 3), 200, np.uint8), np.array([[100, 0]], np.uint8)
    assert _divided(rgb, alpha).tolist() == [[[255] * 3, [255] * 3]]


@settings(deadline=None)
@given(arrays(np.uint8, (2, 2, 3, 3)), st.floats(0, 1, width=32))
def test_a_blend_is_the_mean_by_time(pictures: Array, t: float) -> None:
    first, second = (known(picture, "rgb24") for picture in pictures)
    found = blended(Work(first, second, ()), t)
    assert found.dtype == np.uint8
    exact = pictures[0] * (1 - t) + pictures[1] * float(t)
    np.testing.assert_allclose(found, exact, atol=0.501)


def test_a_blend_begins_and_ends_with_its_neighbours_at_any_depth() -> None:
    for name in ("rgb24", "gbrp10le"):
        first, second = pair(name)
        work = Work(first, second, ())
        np.testing.assert_array_equal(blended(work, 0.0), first.colours[0])
        np.testing.assert_array_equal(blended(work, 1.0), second.colours[0])
        assert blended(work, 0.5).dtype == first.colours[0].dtype


def test_originals_are_finished_as_they_were_decoded() -> None:
    first, second = pair("yuv420p")
    for kind in (ORIGINAL, HELD):
        slot = Slot(Fraction(0), kind, second)
        assert finished(Made(slot, Work(first, second, (slot,))), first.canvas) is second.frame


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "rgb24"])
def test_made_frames_are_finished_on_the_canvas(name: str) -> None:
    first, second = pair(name)
    slot = Slot(Fraction(1, 48), MADE, t=0.5)
    work = Work(first, second, (slot,))
    (made,) = make(work, FLOW)
    frame = finished(made, first.canvas)
    assert Canvas.of(frame) == first.canvas
    assert made.rgb is not None
    wanted = first.canvas.frame(made.rgb, None, (first, second), 0.5)
    for found, one in zip(first.canvas.planes(frame), first.canvas.planes(wanted), strict=True):
        np.testing.assert_array_equal(found, one)


def test_made_opacity_reaches_the_frame() -> None:
    alpha = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8), (48, 64))
    first, second = pair("rgba", alpha)
    slot = Slot(Fraction(1, 48), MADE, t=0.5)
    (made,) = make(Work(first, second, (slot,)), mixing)
    (stored,) = first.canvas.planes(finished(made, first.canvas))
    np.testing.assert_array_equal(stored[..., 3], alpha)
