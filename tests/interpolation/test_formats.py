"""Other packings of the same numbers: every value arrives where it belongs, and none is changed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.interpolation.formats import MAX_PIXELS, check_size, plain
from vidcascade.interpolation.planes import Canvas, is_supported

Values = NDArray[Any]
SIZES = [(1, 1), (17, 9), (64, 48)]
ONE_TICK = Fraction(1, 25)

# Packed formats: type and number of the values of a pixel, what it becomes, and which values the
# channels of that are.
PACKED: dict[str, tuple[str, int, str, tuple[int, ...]]] = {
    "argb": ("u1", 4, "rgba", (1, 2, 3, 0)),
    "abgr": ("u1", 4, "rgba", (3, 2, 1, 0)),
    "0rgb": ("u1", 4, "rgb24", (1, 2, 3)),
    "rgb0": ("u1", 4, "rgb24", (0, 1, 2)),
    "0bgr": ("u1", 4, "rgb24", (3, 2, 1)),
    "bgr24": ("u1", 3, "rgb24", (2, 1, 0)),
    "bgr48le": ("<u2", 3, "rgb48le", (2, 1, 0)),
    "bgr48be": (">u2", 3, "rgb48le", (2, 1, 0)),
    "rgb48be": (">u2", 3, "rgb48le", (0, 1, 2)),
    "rgba64be": (">u2", 4, "rgba64le", (0, 1, 2, 3)),
    "ya8": ("u1", 2, "rgba", (0, 0, 0, 1)),
    "ya16be": (">u2", 2, "rgba64le", (0, 0, 0, 1)),
}
# Luma in a plane of its own and chroma in pairs: the type, how far values are shifted up, and
# which of a pair is U.
PAIRED: dict[str, tuple[str, int, str, int]] = {
    "nv12": ("u1", 0, "yuv420p", 0),
    "nv21": ("u1", 0, "yuv420p", 1),
    "nv16": ("u1", 0, "yuv422p", 0),
    "nv24": ("u1", 0, "yuv444p", 0),
    "p010le": ("<u2", 6, "yuv420p10le", 0),
    "p016le": ("<u2", 0, "yuv420p16le", 0),
    "p210le": ("<u2", 6, "yuv422p10le", 0),
}
# Two pixels in four bytes: where Y, U and V lie.
WOVEN = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}
# How many bits of red, green and blue, and where they begin.
FEW_BITS = {
    "rgb8": ((3, 5), (3, 2), (2, 0)),
    "bgr8": ((3, 0), (3, 3), (2, 6)),
    "rgb565le": ((5, 11), (6, 5), (5, 0)),
    "rgb555le": ((5, 10), (5, 5), (5, 0)),
}


def noise(name: str, size: tuple[int, int], tags: tuple[int, int] = (2, 0)) -> Any:
    """A frame whose every byte is drawn; ``tags``: matrix and range."""
    frame = av.VideoFrame(*size, name)
    rng = np.random.default_rng(0)
    for plane in frame.planes:
        values = np.frombuffer(plane, np.uint8)
        values[:] = rng.integers(0, 256, values.size, np.uint8)
    frame.pts, frame.time_base = 7, ONE_TICK
    frame.colorspace, frame.color_range = tags
    return frame


def rows(frame: Any, number: int, kind: str, count: int) -> Values:
    """The first ``count`` values of each row of a plane."""
    plane = frame.planes[number]
    return np.frombuffer(plane, kind).reshape(plane.height, -1)[:, :count]


def planes(frame: Any) -> list[Values]:
    return Canvas.of(frame).planes(frame)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PACKED)
def test_channels_are_put_in_order(name: str, size: tuple[int, int]) -> None:
    kind, each, target, order = PACKED[name]
    frame = noise(name, size)
    out = plain(frame)
    assert out.format.name == target
    stored = rows(frame, 0, kind, each * size[0]).reshape(size[1], size[0], each)
    np.testing.assert_array_equal(planes(out)[0], stored[..., list(order)])


@pytest.mark.parametrize("size", SIZES)
def test_sixteen_bits_of_blue_first_lose_none(size: tuple[int, int]) -> None:
    """The converter's way to packed RGBA leads over YUV, and costs the last bits."""
    frame = noise("bgra64le", size)
    out = plain(frame)
    stored = rows(frame, 0, "<u2", 4 * size[0]).reshape(size[1], size[0], 4)
    rgb, alpha = Canvas.of(out).rgb(out)
    np.testing.assert_array_equal(rgb, stored[..., 2::-1])
    assert alpha is not None
    np.testing.assert_array_equal(alpha, stored[..., 3])


@pytest.mark.parametrize("tags", [(2, 0), (1, 1), (6, 2)], ids=["untold", "limited", "full"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAIRED)
def test_pairs_of_chroma_are_taken_apart(
    name: str, size: tuple[int, int], tags: tuple[int, int]
) -> None:
    kind, shift, target, first = PAIRED[name]
    frame = noise(name, size, tags)
    out = plain(frame)
    assert out.format.name == target
    luma, *chroma = planes(out)
    np.testing.assert_array_equal(luma, rows(frame, 0, kind, size[0]) >> shift)
    pairs = rows(frame, 1, kind, 2 * chroma[0].shape[1]) >> shift
    np.testing.assert_array_equal(chroma[0], pairs[:, first::2])
    np.testing.assert_array_equal(chroma[1], pairs[:, 1 - first :: 2])


@pytest.mark.parametrize("width", [2, 16, 17])
@pytest.mark.parametrize("name", WOVEN)
def test_woven_chroma_is_taken_apart(name: str, width: int) -> None:
    frame = noise(name, (width, 5))
    out = plain(frame)
    assert out.format.name == "yuv422p"
    stored = rows(frame, 0, "u1", frame.planes[0].line_size)
    for found, place, step in zip(planes(out), WOVEN[name], (2, 4, 4), strict=True):
        np.testing.assert_array_equal(found, stored[:, place::step][:, : found.shape[1]])


@pytest.mark.parametrize("name", ["monob", "monow"])
def test_black_and_white(name: str) -> None:
    frame = noise(name, (16, 9))
    out = plain(frame)
    assert out.format.name == "gray"
    lit = np.unpackbits(rows(frame, 0, "u1", 2), axis=1) == (name == "monob")
    np.testing.assert_array_equal(planes(out)[0], 255 * lit)


def test_sixteen_bits_of_grey() -> None:
    frame = noise("gray16be", (17, 9))
    out = plain(frame)
    assert out.format.name == "gray16le"
    np.testing.assert_array_equal(planes(out)[0], rows(frame, 0, ">u2", 17))


def test_a_palette_is_looked_up() -> None:
    frame = noise("pal8", (17, 9))
    out = plain(frame)
    assert out.format.name == "bgra"
    colours = np.frombuffer(frame.planes[1], np.uint8).reshape(256, 4)
    np.testing.assert_array_equal(planes(out)[0], colours[rows(frame, 0, "u1", 17)])


@pytest.mark.parametrize("name", FEW_BITS)
def test_few_bits_are_stretched_and_stay_apart(name: str) -> None:
    """There is no exact way; but black is black, white is nearly white, and more is more."""
    kind = "u1" if name.endswith("8") else "<u2"
    for channel, (bits, begin) in enumerate(FEW_BITS[name]):
        frame = av.VideoFrame(1 << bits, 1, name)
        frame.time_base = ONE_TICK
        levels = np.arange(1 << bits)
        np.frombuffer(frame.planes[0], kind)[: 1 << bits] = levels << begin
        out = plain(frame)
        assert out.format.name == "rgb24"
        found = planes(out)[0][0].astype(int)
        assert found[0, channel] == 0
        np.testing.assert_allclose(found[:, channel], levels * 255 / levels[-1], atol=3)
        assert (np.diff(found[:, channel]) > 0).all()
        assert not np.delete(found, channel, axis=1).any()


@pytest.mark.parametrize("name", ["yuvj420p", "yuvj422p", "yuvj444p"])
@pytest.mark.parametrize("size", SIZES)
def test_full_range_becomes_a_tag(name: str, size: tuple[int, int]) -> None:
    frame = noise(name, size, (6, 0))
    out = plain(frame)
    assert (out.format.name, int(out.color_range)) == (name.replace("yuvj", "yuv"), 2)
    assert (int(out.colorspace), out.pts, out.time_base) == (6, 7, ONE_TICK)
    for number, found in enumerate(planes(out)):
        np.testing.assert_array_equal(found, rows(frame, number, "u1", found.shape[1]))


@pytest.mark.parametrize("name", ["nv12", "p010le", "bgr24"])
@pytest.mark.parametrize("matrix", [0, 1, 2, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("span", [0, 1, 2])
def test_time_and_tags_are_kept(name: str, matrix: int, span: int) -> None:
    frame = noise(name, (4, 4), (matrix, span))
    frame.color_primaries, frame.color_trc = 9, 16
    out = plain(frame)
    assert (out.pts, out.time_base) == (7, ONE_TICK)
    assert (int(out.colorspace), int(out.color_range)) == (matrix, span)
    assert (int(out.color_primaries), int(out.color_trc)) == (9, 16)


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gbrp", "rgba", "gray", "bayer_rggb8"])
def test_all_other_frames_are_left_alone(name: str) -> None:
    frame = av.VideoFrame(8, 8, name)
    assert plain(frame) is frame


@pytest.mark.parametrize("name", [*PACKED, *PAIRED, *WOVEN, *FEW_BITS, "pal8", "monob", "bgra64le"])
def test_what_comes_out_can_be_worked_on(name: str) -> None:
    out = plain(noise(name, (16, 16)))
    assert is_supported(out.format.name)
    assert plain(out) is out


@settings(deadline=None)
@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_sizes_up_to_the_most_that_can_be_worked_on(width: int, height: int) -> None:
    if width * height <= MAX_PIXELS:
        check_size(Path("a.mkv"), width, height)
        return
    with pytest.raises(UsageError, match=rf"^a\.mkv is {width} × {height} pixels, more"):
        check_size(Path("a.mkv"), width, height)


def test_sizes_at_the_edge() -> None:
    check_size(Path("a"), MAX_PIXELS, 1)
    check_size(Path("a"), 1, 1)
    with pytest.raises(UsageError, match="scale it down"):
        check_size(Path("a"), MAX_PIXELS + 1, 1)
    for width, height in ((0, 5), (5, 0), (-1, -1)):
        with pytest.raises(UsageError, match="states no picture size"):
            check_size(Path("a"), width, height)
