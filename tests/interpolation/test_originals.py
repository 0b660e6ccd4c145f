"""Every original frame reaches the encoder bit for bit, and made ones match them in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidcascade
from tests.interpolation.conftest import SHARED, planes_of, scene, write
from vidcascade.interpolation.job import interpolate_file
from vidcascade.interpolation.settings import Settings
from vidcascade.video import read_clip

ODD = SHARED / "data" / "odd"
TEN_BIT: dict[str, Any] = {"pixels": "yuv420p10le"}
CASES: dict[str, dict[str, Any]] = {
    "limited": {},
    "full": {"pixels": "yuvj420p", "colour": (1, 2, 1, 1)},
    "bt601": {"colour": (6, 1, 6, 6)},
    "ten-bit": TEN_BIT,
    "ten-bit hevc": {**TEN_BIT, "codec": "libx265", "options": {"x265-params": "log-level=error"}},
    "4:4:4": {"pixels": "yuv444p"},
    "4:2:2": {"pixels": "yuv422p"},
    "nv12 mpeg4": {"codec": "mpeg4"},
    "rgb": {"codec": "libx264rgb", "pixels": "rgb24", "options": {"crf": "0"}},
}


@pytest.mark.parametrize("case", CASES)
def test_originals_are_exact_in_ffv1(tmp_path: Path, case: str) -> None:
    source = write(tmp_path / "in.mp4", scene(9), **CASES[case])
    output = tmp_path / "out.mkv"
    settings = Settings(factor=4, quality="fast", codec="ffv1")
    report = interpolate_file(source, output, settings)
    assert (report.frames_in, report.frames_out) == (9, 36)
    before, after = planes_of(source), planes_of(output)
    assert len(after) == 36
    if case == "rgb":  # the same numbers in another order of planes
        before, after = [list(f) for f in read_clip(source).frames], []
        after = [list(f) for f in read_clip(output).frames]
    for number, planes in enumerate(before):
        for one, other in zip(planes, after[4 * number], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not ODD.is_dir(), reason=f"test files {ODD} are not here")
@pytest.mark.parametrize(
    "name",
    ["torchcodec_h264_10bits.mp4", "torchcodec_h265_10bits.mp4", "torchcodec_bt709_full_range.mp4"],
)
def test_originals_of_real_files_are_exact(tmp_path: Path, name: str) -> None:
    output = tmp_path / "out.mkv"
    settings = Settings(factor=2, quality="fast", codec="ffv1", end=1 / 3)  # type: ignore[arg-type]
    interpolate_file(ODD / name, output, settings)
    before, after = planes_of(ODD / name), planes_of(output)
    assert len(after) == 20
    for number in range(10):
        for one, other in zip(before[number], after[2 * number], strict=True):
            np.testing.assert_array_equal(one, other)


def test_originals_are_exact_in_png(tmp_path: Path, clip: Path) -> None:
    vidcascade.interpolate(clip, tmp_path / "frames/", factor=2, quality="fast")
    before, after = read_clip(clip), read_clip(tmp_path / "frames")
    assert len(after) == 20
    np.testing.assert_array_equal(after.frames[::2], before.frames)
    assert after.fps == 48


def test_ten_bit_png_keeps_sixteen_bits(tmp_path: Path) -> None:
    import cv2

    source = write(tmp_path / "in.mkv", scene(3), **TEN_BIT)
    vidcascade.interpolate(source, tmp_path / "out/", factor=2, quality="fast")
    picture = cv2.imread(str(tmp_path / "out" / "00001.png"), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.dtype == np.uint16
    assert len(np.unique(picture)) > 256


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (6, 1, 6, 6), (1, 2, 1, 1)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_brightness_does_not_alternate(
    tmp_path: Path, pixels: str, colour: tuple[int, int, int, int]
) -> None:
    """Flicker at half the frame rate: the mean of made frames against that of their neighbours."""
    source = write(tmp_path / "in.mp4", scene(8, step=1), pixels=pixels, colour=colour,
                   options={"crf": "4"})  # fmt: skip
    output = tmp_path / "out.mkv"
    interpolate_file(source, output, Settings(factor=2, quality="fast", codec="ffv1"))
    for plane in range(3):
        means = np.array([planes[plane].mean() for planes in planes_of(output)[:-1]])
        nyquist = means[1:-1:2] - (means[:-2:2] + means[2::2]) / 2
        scale = 4 if "10" in pixels else 1
        assert np.abs(nyquist).max() < 0.15 * scale  # levels: nobody sees that little


def test_whiter_than_white_survives(tmp_path: Path) -> None:
    """Limited-range video may hold values that RGB cannot: no flicker there either."""
    import av

    from vidcascade.interpolation.planes import Canvas

    for value, chroma in ((250, 128), (5, 128), (235, 20), (16, 240)):
        frame = av.VideoFrame(32, 32, "yuv420p")
        for plane, level in zip(frame.planes, (value, chroma, 255 - chroma), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        frame.color_range = 1

        class Near:
            pass

        canvas = Canvas.of(frame)
        near = Near()
        rgb, _ = canvas.rgb(frame)
        near.frame, near.lost = frame, canvas.lost(frame, rgb)  # type: ignore[attr-defined]
        out = canvas.frame(rgb, None, (near, near))  # type: ignore[arg-type]
        for one, other in zip(canvas.planes(frame), canvas.planes(out), strict=True):
            np.testing.assert_array_equal(one, other)


def test_colour_tags_are_kept(tmp_path: Path) -> None:
    import av

    for name, colour in (("a", (6, 1, 6, 6)), ("b", (1, 2, 1, 1)), ("c", (9, 1, 9, 16))):
        pixels = "yuv420p10le" if name == "c" else "yuv420p"
        source = write(tmp_path / f"{name}.mp4", scene(3), colour=colour, pixels=pixels)
        output = tmp_path / f"{name}-out.mp4"
        interpolate_file(source, output, Settings(factor=2, quality="fast"))
        found = []
        for path in (source, output):
            with av.open(str(path)) as container:
                frame = next(container.decode(video=0))
                found.append((int(frame.colorspace), int(frame.color_range),
                              int(frame.color_primaries), int(frame.color_trc)))  # fmt: skip
                assert frame.format.name.replace("yuvj", "yuv") == pixels
        assert found[0] == found[1] == colour
