"""Frames out of containers: what kind a source is, which way is up, and which colours are meant."""

from __future__ import annotations

import warnings
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.video.conftest import barcode, decode_barcode, encode
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import read_clip, write_clip
from vidcascade.video.decoding import (
    DEFAULT_FPS,
    folder_fps,
    frame_files,
    iterate,
    nominal_fps,
    open_video,
    pixels,
    source_kind,
)

Array = NDArray[np.uint8]
NOISE = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)


def save(path: Path, picture: Array, **notes: str) -> Path:
    """A PNG with text chunks."""
    info = PngInfo()
    for key, value in notes.items():
        info.add_itxt(key, value)
    Image.fromarray(picture).save(path, pnginfo=info)
    return path


def animated(path: Path, durations: list[int]) -> Path:
    """An animated WebP without loss, whose frames last so many milliseconds."""
    frames = [Image.fromarray(barcode(k)) for k in range(len(durations))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, lossless=True)
    return path


def frame_of(rgb: Array, name: str = "rgb24", matrix: int = 2) -> Any:
    """A picture as a decoded frame."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    if name != "rgb24":
        frame = frame.reformat(format=name, dst_colorspace=matrix)
    frame.colorspace = matrix
    return frame


class TestKind:
    def test_by_content_and_not_by_name(self, tmp_path: Path) -> None:
        webp = animated(tmp_path / "a.webp", [40, 40]).rename(tmp_path / "b.mp4")
        (tmp_path / "c.webp").write_bytes(b"RIFF0000AVI something")
        for path, kind in ((tmp_path, "folder"), (webp, "webp"), (tmp_path / "c.webp", "video")):
            assert source_kind(path) == kind

    def test_short_files_are_for_the_demuxer_to_judge(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        for length in (1, 4, 11):
            path.write_bytes(b"RIFF0000WEBP"[:length])
            assert source_kind(path) == "video"

    def test_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"a\.mp4 does not exist; check the name"):
            source_kind(tmp_path / "a.mp4")
        (tmp_path / "a.mp4").touch()
        with pytest.raises(UsageError, match="is empty; give a video file"):
            source_kind(tmp_path / "a.mp4")


class TestFolder:
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sets(st.integers(0, 10**6), min_size=1, max_size=12), st.integers(0, 7))
    def test_frames_are_in_order_of_their_numbers(
        self, tmp_path: Path, numbers: set[int], digits: int
    ) -> None:
        for old in tmp_path.iterdir():
            old.unlink()
        for number in numbers:
            (tmp_path / f"{number:0{digits}d}.png").touch()
        assert [int(p.stem) for p in frame_files(tmp_path)] == sorted(numbers)

    def test_other_files_are_passed_over(self, tmp_path: Path) -> None:
        for name in ("2.png", "10.png", "a1.png", "1.jpg", "-1.png", "1.5.png", "².png", ".png"):
            (tmp_path / name).touch()
        assert [p.name for p in frame_files(tmp_path)] == ["2.png", "10.png"]

    def test_a_folder_without_frames(self, tmp_path: Path) -> None:
        (tmp_path / "².png").touch()
        with pytest.raises(UsageError, match="holds no PNG frames named by number"):
            frame_files(tmp_path)

    @pytest.mark.parametrize(
        ("note", "rate"),
        [
            ("25", Fraction(25)),
            ("30000/1001", Fraction(30000, 1001)),
            ("12.5", Fraction(25, 2)),
            (" 16 ", Fraction(16)),
        ],
    )
    def test_a_noted_rate_gives_the_times(self, tmp_path: Path, note: str, rate: Fraction) -> None:
        for number, picture in enumerate(NOISE):
            save(tmp_path / f"{number}.png", picture, vidcascade_fps=note)
        assert folder_fps(tmp_path / "0.png") == rate
        found = list(iterate(tmp_path, "folder"))
        assert [timed.time for timed in found] == [float(k / rate) for k in range(3)]
        np.testing.assert_array_equal([timed.pixels for timed in found], NOISE)

    @pytest.mark.parametrize(
        "note",
        ["", "0", "0/5", "-5", "1/0", "nan", "inf", "fast", "1e400", "1e-400", "1e999999999",
         "9" * 5000, "1/" + "9" * 400],
    )  # fmt: skip
    def test_a_note_that_is_no_rate_is_none(self, tmp_path: Path, note: str) -> None:
        save(tmp_path / "0.png", NOISE[0], vidcascade_fps=note)
        save(tmp_path / "1.png", NOISE[1])
        assert folder_fps(tmp_path / "0.png") == DEFAULT_FPS == 24
        assert [timed.time for timed in iterate(tmp_path, "folder")] == [0.0, 1 / 24]

    def test_no_note_and_no_picture(self, tmp_path: Path) -> None:
        assert folder_fps(save(tmp_path / "0.png", NOISE[0])) == 24
        (tmp_path / "1.png").write_bytes(b"no picture")
        for name in ("1.png", "2.png"):
            assert folder_fps(tmp_path / name) == 24

    def test_grey_of_sixteen_bits_is_not_washed_out(self, tmp_path: Path) -> None:
        grey = np.linspace(0, 65535, 24 * 32).round().astype(np.uint16).reshape(24, 32)
        Image.fromarray(grey).save(tmp_path / "0.png")
        (found,) = iterate(tmp_path, "folder")
        assert found.pixels.dtype == np.uint8
        np.testing.assert_array_equal(found.pixels, np.dstack([grey >> 8] * 3))

    @pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA"])
    def test_every_kind_of_png_becomes_rgb(self, tmp_path: Path, mode: str) -> None:
        image = Image.fromarray(NOISE[0]).convert(mode)
        image.save(tmp_path / "0.png")
        (found,) = iterate(tmp_path, "folder")
        np.testing.assert_array_equal(found.pixels, np.array(image.convert("RGB")))

    def test_a_damaged_frame_is_named(self, tmp_path: Path) -> None:
        for number in range(2):
            save(tmp_path / f"{number}.png", NOISE[number])
        path = tmp_path / "1.png"
        path.write_bytes(path.read_bytes()[:-40])
        stream = iterate(tmp_path, "folder")
        np.testing.assert_array_equal(next(stream).pixels, NOISE[0])
        with pytest.raises(UsageError, match=r"1\.png is not a PNG image that can be read"):
            next(stream)

    def test_hostile_frames_end_in_a_sentence(self, tmp_path: Path) -> None:
        """Chunks that lie, with checksums that do not."""
        whole = save(tmp_path / "0.png", NOISE[0]).read_bytes()

        def chunk(kind: bytes, body: bytes) -> bytes:
            sum_ = zlib.crc32(kind + body).to_bytes(4, "big")
            return len(body).to_bytes(4, "big") + kind + body + sum_

        huge = (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
        for bad in (
            whole[:8] + chunk(b"IHDR", huge) + whole[33:],  # a picture of 10 GB
            whole[:8] + chunk(b"IHDR", b"\0\0") + whole[33:],
            whole[:33] + b"\0\0\0\x04\xd7z\x99D" + whole[33:],
            whole[:33] + chunk(b"IDAT", b"no zlib") + whole[-12:],
        ):
            (tmp_path / "0.png").write_bytes(bad)
            with pytest.raises(UsageError, match="is not a PNG image"):
                list(iterate(tmp_path, "folder"))
            assert folder_fps(tmp_path / "0.png") == 24


class TestWebP:
    def test_frames_appear_when_those_before_them_have_lasted(self, tmp_path: Path) -> None:
        path = animated(tmp_path / "a.webp", [10, 200, 30, 40])
        found = list(iterate(path, "webp"))
        assert [timed.time for timed in found] == [0.0, 0.01, 0.21, 0.24]
        assert [decode_barcode(timed.pixels) for timed in found] == [0, 1, 2, 3]

    def test_a_picture_that_stands_still_is_one_frame(self, tmp_path: Path) -> None:
        Image.fromarray(NOISE[0]).save(tmp_path / "a.webp", lossless=True)
        (found,) = iterate(tmp_path / "a.webp", "webp")
        assert found.time == 0.0
        np.testing.assert_array_equal(found.pixels, NOISE[0])

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
    def test_a_truncated_file_ends_in_a_sentence(self, tmp_path: Path, share: float) -> None:
        path = write_clip(tmp_path / "a.webp", NOISE, 24)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(UsageError, match="is not a WebP that can be read"):
            list(iterate(path, "webp"))

    def test_a_picture_too_large_ends_in_a_sentence(self, tmp_path: Path) -> None:
        path = animated(tmp_path / "a.webp", [40, 40])
        data = bytearray(path.read_bytes())
        assert data[12:16] == b"VP8X"
        data[24:30] = b"\xff\xff\0" * 2  # 65536 × 65536
        path.write_bytes(data)
        with pytest.raises(UsageError, match="is not a WebP that can be read"):
            list(iterate(path, "webp"))


class TestVideo:
    def test_every_frame_with_its_time(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", 20, {"g": "6", "bf": "2"})
        found = list(iterate(path, "video"))
        assert [decode_barcode(timed.pixels) for timed in found] == list(range(20))
        assert [timed.time for timed in found] == [pytest.approx(k / 25) for k in range(20)]

    def test_frames_without_times_are_frames_all_the_same(self, tmp_path: Path) -> None:
        """A bare stream of H.264 says nothing of time but what its decoder can guess."""
        path = encode(tmp_path / "a.h264", 10, {"bf": "0"})
        found = list(iterate(path, "video"))
        assert [decode_barcode(timed.pixels) for timed in found] == list(range(10))
        times = [timed.time for timed in found if timed.time is not None]
        assert all(a < b for a, b in pairwise(times))

    def test_a_clip_cut_short_is_told_and_read_as_far_as_it_goes(self, tmp_path: Path) -> None:
        frames = [barcode(number) for number in range(60)]
        path = write_clip(tmp_path / "a.mp4", frames, 25)  # its index comes first
        with open_video(path) as (container, stream):
            packets = [p for p in container.demux(stream) if p.size]
            cut = [p.pos for p in packets if p.is_keyframe][1]
            before = sum(p.pos < cut for p in packets)
        path.write_bytes(path.read_bytes()[:cut])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = list(iterate(path, "video"))
        assert len(found) == before == 32  # a key frame stands where the bars change most
        assert [decode_barcode(timed.pixels) for timed in found] == list(range(len(found)))
        (told,) = caught
        assert f"declares 60 frames but only {len(found)} could be decoded" in str(told.message)

    def test_a_single_frame_that_is_missing_at_the_end_is_no_news(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", [barcode(number) for number in range(60)], 25)
        with open_video(path) as (container, stream):
            last = max(p.pos for p in container.demux(stream) if p.size)
        path.write_bytes(path.read_bytes()[:last])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(list(iterate(path, "video"))) == 59

    def test_a_whole_clip_is_read_in_silence(self, tmp_path: Path) -> None:
        for name, step in (("a.mp4", 1), ("variable.mp4", 7)):
            path = encode(tmp_path / name, 30, {"g": "12"}, step=step)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert len(list(iterate(path, "video"))) == 30

    @pytest.mark.parametrize(("fps", "rate"), [(25, 25), (Fraction(30000, 1001),) * 2, (12.5,) * 2])
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
    def test_the_nominal_rate(self, tmp_path: Path, suffix: str, fps: Any, rate: Any) -> None:
        path = write_clip(tmp_path / f"a{suffix}", NOISE, fps)
        with open_video(path) as (_, stream):
            found = nominal_fps(stream)
        assert isinstance(found, Fraction)
        assert found == pytest.approx(Fraction(rate), rel=1e-3)

    def test_the_nominal_rate_of_uneven_frames_is_their_mean(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", 50, {"bf": "0"}, step=6)
        with open_video(path) as (_, stream):
            # Fifty frames of a tick each, and nine gaps of five more.
            assert nominal_fps(stream) == pytest.approx(25 * 50 / 95, rel=0.02)

    def test_what_is_no_video(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(b"nothing to see " * 99)
        for wrong in (path, tmp_path / "none.mp4", tmp_path):
            with (
                pytest.raises(UsageError, match="is not a video that can be read"),
                open_video(wrong),
            ):
                pass

    def test_sound_alone_is_no_video(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("pcm_s16le", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            sound.sample_rate = 8000
            out.mux(stream.encode(sound))
            out.mux(stream.encode(None))
        with pytest.raises(UsageError, match="has no video stream"), open_video(path):
            pass

    def test_failures_inside_are_told_with_the_file_s_name(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", 3, {})
        told = r"a\.mp4 is damaged and cannot be decoded to its end \(Invalid data\)"
        with pytest.raises(VidCascadeError, match=told) as caught, open_video(path):
            raise av.error.InvalidDataError(1094995529, "Invalid data")
        assert not isinstance(caught.value, UsageError)
        with pytest.raises(KeyError), open_video(path):
            raise KeyError("the caller's own")

    @pytest.mark.parametrize("matrix", [8, 14], ids=["YCgCo", "ICtCp"])
    def test_colours_that_cannot_be_converted_are_not_called_damage(
        self, tmp_path: Path, matrix: int
    ) -> None:
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.colorspace = matrix
            for number in range(3):
                frame = frame_of(barcode(number), "yuv420p", 1)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                frame.colorspace = matrix
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        with pytest.raises(UsageError, match=r"convert it to BT\.709 first"):
            read_clip(path)


class TestPixels:
    def test_rgb_is_handed_on_as_it_is(self) -> None:
        found = pixels(frame_of(NOISE[0]))
        assert (found.dtype, found.shape) == (np.uint8, (24, 32, 3))
        np.testing.assert_array_equal(found, NOISE[0])

    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 70), st.integers(1, 70))
    def test_any_size_is_reached(self, height: int, width: int) -> None:
        frame = frame_of(np.full((24, 32, 3), (200, 100, 50), np.uint8))
        found = pixels(frame, (height, width))
        assert found.shape == (height, width, 3)
        np.testing.assert_allclose(found, np.broadcast_to((200, 100, 50), found.shape), atol=2)

    def test_shrinking_averages(self) -> None:
        fine = np.zeros((24, 32, 3), np.uint8)
        fine[:, ::2] = 200
        np.testing.assert_allclose(pixels(frame_of(fine), (12, 8)), 100, atol=2)

    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    def test_pictures_stand_upright_at_any_size(self, tmp_path: Path, rotation: int) -> None:
        stored = np.zeros((48, 64, 3), np.uint8)
        stored[:24, :32] = 230  # the corner tells which way is up
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.set_display_rotation(rotation)
            out.mux(stream.encode(frame_of(stored, "yuv420p", 6)))
            out.mux(stream.encode(None))
        with open_video(path) as (container, stream):
            frame = next(container.decode(stream))
        assert round(frame.rotation) % 360 == rotation
        wanted = np.rot90(stored, rotation // 90)
        found = pixels(frame)
        assert found.shape == wanted.shape
        assert found.flags.c_contiguous
        assert np.abs(found.astype(int) - wanted).mean() < 8
        for size in ((20, 30), (90, 80)):
            resized = pixels(frame, size)
            assert resized.shape == (*size, 3)
            bright = resized.mean(axis=2) > 115
            rows, columns = (size[0] // 4, 3 * size[0] // 4), (size[1] // 4, 3 * size[1] // 4)
            corners = [[bool(bright[r, c]) for c in columns] for r in rows]
            places = (wanted.shape[0] // 4, 3 * wanted.shape[0] // 4)
            across = (wanted.shape[1] // 4, 3 * wanted.shape[1] // 4)
            assert corners == [[bool(wanted[r, c, 0]) for c in across] for r in places]

    @pytest.mark.parametrize(
        ("rows", "matrix", "means"),
        [(718, 2, 6), (720, 2, 1), (720, 6, 6), (718, 1, 1), (720, 1, 1)],
    )
    def test_the_matrix_is_the_one_told_or_else_goes_by_size(
        self, rows: int, matrix: int, means: int
    ) -> None:
        colour = np.broadcast_to(np.array([200, 60, 30], np.uint8), (rows, 32, 3))
        frame = frame_of(colour, "yuv444p", means)
        frame.colorspace = matrix
        np.testing.assert_allclose(pixels(frame), colour, atol=2)
        other = frame_of(colour, "yuv444p", 7 - means)
        other.colorspace = matrix
        assert np.abs(pixels(other).astype(int) - colour).max() > 8
