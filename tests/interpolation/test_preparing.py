"""Frames on their way to the encoder: untouched where it takes them, honest where it does not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.interpolation.conftest import scene, write
from vidcascade.interpolation.outputs import Format, choose
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.preparing import canvas_for, prepared
from vidcascade.interpolation.source import Source, SourceFrame
from vidcascade.video import read_clip, write_clip

FULL = (1, 2, 1, 1)  # BT.709 of full range


def form_for(source: Source, suffix: str, codec: str | None = None) -> Format:
    return choose(suffix, Canvas.of(source.first), codec)


def changed(source: Source, form: Format) -> list[SourceFrame]:
    return list(prepared(source.frames(), source, form))


def planes(frame: Any) -> list[NDArray[Any]]:
    return [plane.copy() for plane in Canvas.of(frame).planes(frame)]


def half_seen(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames with an opacity that rises from left to right."""
    alpha = np.broadcast_to(np.linspace(0, 255, frames.shape[2]), frames.shape[:3])
    return np.concatenate((frames, alpha.astype(np.uint8)[..., None]), axis=3)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_very_frame_is_handed_on_where_the_encoder_takes_it(
    tmp_path: Path, pixels: str, suffix: str
) -> None:
    source = Source.open(write(tmp_path / "in.mkv", scene(3), pixels=pixels))
    form = form_for(source, suffix)
    assert (form.pixels, form.exact) == (pixels, True)
    items = list(source.frames())
    for before, after in zip(items, prepared(items, source, form), strict=True):
        assert after.frame is before.frame
        assert (after.index, after.time) == (before.index, before.time)
    assert canvas_for(source, form) == Canvas.of(source.first)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", None), (".mkv", "ffv1"), (".mov", "prores"), (".webm", "vp9")]
)
@pytest.mark.parametrize("pixels", ["yuv420p", "rgb24", "yuv420p10le"])
@pytest.mark.parametrize("colour", [(6, 1, 6, 6), FULL], ids=["BT.601", "full BT.709"])
def test_the_canvas_is_that_of_the_frames(
    tmp_path: Path, suffix: str, codec: str | None, pixels: str, colour: tuple[int, int, int, int]
) -> None:
    encoder = "libx264rgb" if pixels == "rgb24" else "libx264"
    path = write(tmp_path / "in.mkv", scene(2), codec=encoder, pixels=pixels, colour=colour)
    source = Source.open(path)
    form = form_for(source, suffix, codec)
    canvas = canvas_for(source, form)
    assert canvas.name == form.pixels
    for item in changed(source, form):
        found = Canvas.of(item.frame)
        if canvas.name in ("gbrp", "rgb24", "bgr0"):
            # RGB has no matrix and no footroom, whatever the tags of a converted frame.
            found = replace(found, colorspace=0, color_range=2)
        assert found == canvas


def test_depth_is_kept_or_reduced_by_rounding(tmp_path: Path) -> None:
    """8 bits in 10 are the same numbers times four."""
    source = Source.open(write(tmp_path / "in.mkv", scene(2)))
    form = form_for(source, ".mov", "prores")
    assert (form.pixels, form.exact) == ("yuv422p10le", False)
    for item, before in zip(changed(source, form), source.frames(), strict=True):
        luma, old = planes(item.frame)[0], planes(before.frame)[0]
        np.testing.assert_array_equal(luma, old.astype(int) * 4)
        assert (int(item.frame.colorspace), int(item.frame.color_range)) == (1, 1)


@pytest.mark.parametrize(
    "colour", [(1, 1, 1, 1), FULL, (5, 1, 5, 6)], ids=["limited", "full", "BT.470"]
)
def test_range_and_tags_survive_a_conversion(
    tmp_path: Path, colour: tuple[int, int, int, int]
) -> None:
    source = Source.open(write(tmp_path / "in.mkv", scene(2), pixels="yuv444p", colour=colour))
    form = replace(form_for(source, ".mp4"), pixels="yuv420p")
    for item, before in zip(changed(source, form), source.frames(), strict=True):
        luma, old = planes(item.frame)[0], planes(before.frame)[0]
        np.testing.assert_array_equal(luma, old)
        frame = item.frame
        tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        assert tuple(map(int, tags)) == colour


def test_rgb_becomes_what_players_expect(tmp_path: Path) -> None:
    """BT.709 of limited range: white is 235, and green is the brightest of the three."""
    colours = np.array([[255] * 3, [0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    frames = np.repeat(np.repeat(colours[None, None], 32, axis=1), 16, axis=2)
    path = write_clip(tmp_path / "in", np.concatenate((frames, frames)), 24)
    source = Source.open(path)
    form = form_for(source, ".mp4")
    assert form.pixels == "yuv420p"
    canvas = canvas_for(source, form)
    assert (canvas.colorspace, canvas.color_range, canvas.primaries, canvas.trc) == (1, 1, 1, 1)
    for item in changed(source, form):
        luma, u, v = planes(item.frame)
        middles = np.s_[16, 8::16]
        wanted = [235, 16, 16 + 219 * 0.2126, 16 + 219 * 0.7152, 16 + 219 * 0.0722]
        np.testing.assert_allclose(luma[middles], wanted, atol=1)
        np.testing.assert_allclose(v[8, 4::8][:3], [128, 128, 240], atol=1)
        np.testing.assert_allclose(u[8, 4::8][[0, 1, 4]], [128, 128, 240], atol=1)


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), FULL], ids=["limited", "full"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_pictures_are_upright_and_those_of_read_clip(
    tmp_path: Path, suffix: str, rotation: int, colour: tuple[int, int, int, int]
) -> None:
    path = write(tmp_path / "in.mp4", scene(3), rotation=rotation, colour=colour)
    source = Source.open(path)
    form = form_for(source, suffix)
    assert form.pixels == "bgr0"
    canvas = canvas_for(source, form)
    turned = rotation in (90, 270)
    assert (canvas.width, canvas.height) == ((48, 64) if turned else (64, 48))
    assert (canvas.colorspace, canvas.color_range) == (0, 2)
    for item, wanted in zip(changed(source, form), read_clip(path).frames, strict=True):
        np.testing.assert_array_equal(canvas.rgb(item.frame)[0], wanted)


@pytest.mark.parametrize(
    ("rows", "red"), [(48, 0.299), (718, 0.299), (720, 0.2126)], ids=["small", "nearly HD", "HD"]
)
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv444p10le"])
def test_colours_that_say_nothing_are_guessed_by_size(
    tmp_path: Path, pixels: str, rows: int, red: float
) -> None:
    """As players do, and alike at 8 and at 16 bits: BT.709 from 720 rows on, BT.601 below."""
    frames = np.empty((2, rows, 32, 3), np.uint8)
    frames[:] = (200, 60, 30)
    path = write(tmp_path / "in.mkv", frames, codec="ffv1", pixels=pixels, colour=(2, 0, 2, 2))
    source = Source.open(path)
    form = form_for(source, ".png")
    (item, _) = changed(source, form)
    canvas = canvas_for(source, form)
    found = canvas.rgb(item.frame)[0][0, 0, 0] / np.iinfo(canvas.dtype).max
    step = 4 if "10" in pixels else 1
    luma, _, v = (float(plane[0, 0]) / step for plane in planes(source.first))
    assert found == pytest.approx((luma - 16) / 219 + 2 * (1 - red) * (v - 128) / 224, abs=0.004)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_deep_pictures_keep_their_depth_and_stand_upright(tmp_path: Path, rotation: int) -> None:
    frames = scene(2)
    path = write(tmp_path / "in.mp4", frames, pixels="yuv444p10le", rotation=rotation)
    source = Source.open(path)
    form = form_for(source, ".png")
    assert form.pixels == "rgb48le"
    (item, _) = changed(source, form)
    canvas = canvas_for(source, form)
    picture = canvas.rgb(item.frame)[0]
    assert (canvas.dtype, picture.shape) == (np.uint16, (canvas.height, canvas.width, 3))
    wanted = read_clip(path).frames[0]
    assert picture.shape == wanted.shape
    np.testing.assert_allclose(picture / 257, wanted, atol=1.5)
    assert (picture % 257 != 0).mean() > 0.5


@pytest.mark.parametrize("turn", [0, 90, -90, 180])
def test_opacity_is_kept_in_pictures(tmp_path: Path, turn: int) -> None:
    rgba = half_seen(scene(2))
    path = write(tmp_path / "in.mkv", rgba, codec="ffv1", pixels="bgra")
    source = replace(Source.open(path), rotation=turn)
    form = form_for(source, ".webp")
    assert form.pixels == "bgra"
    canvas = canvas_for(source, form)
    for item, before in zip(changed(source, form), rgba, strict=True):
        rgb, alpha = canvas.rgb(item.frame)
        upright = np.rot90(before, turn // 90)
        np.testing.assert_array_equal(rgb, upright[..., :3])
        assert alpha is not None
        np.testing.assert_array_equal(alpha, upright[..., 3])


def test_deep_opacity_is_kept_in_pictures(tmp_path: Path) -> None:
    rgba = half_seen(scene(2))
    path = write(tmp_path / "in.mkv", rgba, codec="ffv1", pixels="yuva444p10le")
    source = Source.open(path)
    form = form_for(source, ".png")
    assert form.pixels == "rgba64le"
    (item, _) = changed(source, form)
    rgb, alpha = canvas_for(source, form).rgb(item.frame)
    assert alpha is not None
    np.testing.assert_allclose(alpha / 257, rgba[0, ..., 3], atol=1)
    assert rgb.dtype == np.uint16


def test_frames_are_prepared_one_at_a_time(tmp_path: Path) -> None:
    source = Source.open(write(tmp_path / "in.mp4", scene(6)))
    drawn: list[int] = []

    def counted() -> Any:
        for item in source.frames():
            drawn.append(item.index)
            yield item

    stream = prepared(counted(), source, form_for(source, ".gif"))
    assert drawn == []
    assert (next(stream).index, next(stream).time) == (0, Fraction(1, 24))
    assert drawn == [0, 1]


def test_no_frames_are_no_frames(tmp_path: Path) -> None:
    source = Source.open(write(tmp_path / "in.mp4", scene(2)))
    assert list(prepared([], source, form_for(source, ".mp4"))) == []


def test_sources_of_pictures_stay_exact_without_loss(tmp_path: Path) -> None:
    frames = scene(2)
    source = Source.open(write_clip(tmp_path / "in", frames, 24))
    form = form_for(source, ".mkv", "ffv1")
    assert form.exact
    canvas = canvas_for(source, form)
    for item, before in zip(changed(source, form), frames, strict=True):
        assert isinstance(item.frame, av.VideoFrame)
        np.testing.assert_array_equal(canvas.rgb(item.frame)[0], before)
