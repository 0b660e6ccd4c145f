"""Clips as they come: what else is in the file, and how its frames are timed."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import vidcascade
from tests.interpolation.conftest import SHARED, planes_of, scene, spoilt, times_of, write
from vidcascade.errors import UsageError
from vidcascade.interpolation.job import interpolate_file
from vidcascade.interpolation.preview import preview
from vidcascade.interpolation.settings import Settings
from vidcascade.interpolation.source import Source
from vidcascade.video import read_clip, write_clip

ODD = SHARED / "data" / "odd"
FAST = Settings(factor=2, quality="fast")


def sound_of(path: Path) -> list[tuple[Fraction, str]]:
    """Time and digest of every packet of sound."""
    with av.open(str(path)) as container:
        return [
            (p.pts * Fraction(p.time_base), hashlib.md5(bytes(p)).hexdigest())
            for p in container.demux(audio=0)
            if p.size and p.pts is not None
        ]


def seconds(path: Path) -> float:
    """How long the picture lasts."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
        return float(max(ends) * stream.time_base)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(25, 2)])
def test_sound_is_copied_in_sync_and_the_length_is_kept(
    tmp_path: Path, suffix: str, rate: Fraction
) -> None:
    source = write(tmp_path / "in.mp4", scene(24), rate=rate, audio=1.5, options={"bf": "2"})
    output = tmp_path / f"out{suffix}"
    report = interpolate_file(source, output, FAST)
    assert report.frames_out == 48
    assert seconds(output) == pytest.approx(24 / rate, abs=0.0011)
    before, after = sound_of(source), sound_of(output)
    assert [digest for _, digest in before] == [digest for _, digest in after]
    for (one, _), (other, _) in zip(before, after, strict=True):
        assert abs(one - other) < 0.001
    shown = times_of(output)
    np.testing.assert_allclose(shown, np.arange(48) / float(2 * rate), atol=0.0006)
    if suffix != ".mov":  # which has numbers for languages, and none for this spelling
        with av.open(str(output)) as container:
            assert container.streams.audio[0].metadata["language"] == "deu"


@pytest.mark.parametrize("fps", ["60", "59.94", 48, Fraction(120), 10])
def test_any_rate_from_23_976(tmp_path: Path, fps: Any) -> None:
    source = write(tmp_path / "in.mkv", scene(24), rate=Fraction(24000, 1001))
    output = tmp_path / "out.mp4"
    report = interpolate_file(source, output, Settings(fps=fps, quality="fast"))
    exact = vidcascade.video.as_fps(fps)
    wanted = -(-24 * Fraction(1001, 24000) * exact // 1)
    assert report.frames_out == len(times_of(output)) == wanted
    assert report.duration == 24 * Fraction(1001, 24000)
    np.testing.assert_allclose(times_of(output), np.arange(wanted) / float(exact), atol=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_times_are_kept(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 40, 80, 200, 240, 280, 290, 400]
    source = write(tmp_path / "in.mp4", scene(8), stamps=stamps, tick=Fraction(1, 1000), rate=25)
    assert not Source.open(source).steady
    output = tmp_path / f"out{suffix}"
    report = interpolate_file(source, output, Settings(factor=4, quality="fast"))
    assert report.frames_out == 32
    shown = np.array(times_of(output)) * 1000
    np.testing.assert_allclose(shown[::4], stamps, atol=0.6)
    np.testing.assert_allclose(shown[8:13], [80, 110, 140, 170, 200], atol=0.6)
    again = interpolate_file(
        source, tmp_path / "cfr.mkv", Settings(fps=50, quality="fast", codec="ffv1")
    )
    assert again.frames_out == len(times_of(tmp_path / "cfr.mkv"))
    before, after = planes_of(source), planes_of(tmp_path / "cfr.mkv")
    np.testing.assert_array_equal(before[3][0], after[10][0])  # 200 ms is on the grid


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_that_a_picture_file_cannot_tell_apart_are_left_out(
    tmp_path: Path, suffix: str
) -> None:
    """Half of a stay of 4 ms is 2 ms, and less than 1 ms of one of 1 ms: the step of each file."""
    short = 4 if suffix == ".gif" else 1
    stamps = [0, short, 2 * short, 100, 200, 300]
    source = write(tmp_path / "in.mkv", scene(6), stamps=stamps, tick=Fraction(1, 1000), rate=25)
    assert not Source.open(source).steady
    output = tmp_path / f"out{suffix}"
    report = interpolate_file(source, output, FAST)
    left_out = 12 - report.frames_out
    assert left_out > 0
    assert [n for n in report.notes if n.startswith(f"{left_out} of the frames are left out")]
    times = read_clip(output).times
    assert (np.diff(times) > 0).all()
    assert len(times) in (report.frames_out, report.frames_out - 1)  # WebP joins the held one
    np.testing.assert_allclose([t for t in times if t > 0.09][::2], [0.1, 0.2, 0.3], atol=0.011)


@pytest.mark.parametrize("rate", [25, Fraction(25, 2)])
def test_a_gif_of_as_many_frames_as_it_can_time(tmp_path: Path, rate: Fraction | int) -> None:
    source = write(tmp_path / "in.mp4", scene(3), rate=rate)
    fitting = int(100 / rate)
    report = interpolate_file(source, tmp_path / "o.gif", Settings(factor=fitting, quality="fast"))
    assert report.frames_out == len(read_clip(tmp_path / "o.gif")) == 3 * fitting
    for settings in (Settings(factor=fitting + 1, quality="fast"), Settings(fps="100.5")):
        for work in (interpolate_file, preview):
            with pytest.raises(UsageError, match=r"at most 100 frames.*--factor or --fps"):
                work(source, tmp_path / "more.gif", settings)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "o.gif"]


@pytest.mark.parametrize("angle", [90, -90, 180])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_rotation_is_kept(tmp_path: Path, angle: int, suffix: str) -> None:
    source = write(tmp_path / "in.mp4", scene(4), rotation=angle)
    turned = Source.open(source).rotation
    assert turned % 360 != 0
    output = tmp_path / f"out{suffix}"
    interpolate_file(source, output, FAST)
    assert (Source.open(output).rotation - turned) % 360 == 0
    assert read_clip(output).frames.shape == read_clip(source).frames.repeat(2, 0).shape
    vidcascade.interpolate(source, tmp_path / "png/", factor=2, quality="fast")
    np.testing.assert_array_equal(read_clip(tmp_path / "png").frames[::2], read_clip(source).frames)


@pytest.mark.skipif(not ODD.is_dir(), reason=f"test files {ODD} are not here")
@pytest.mark.parametrize("name", ["decord_rot90.mov", "decord_rot180.mov", "decord_rot270.mov"])
def test_phone_clips(tmp_path: Path, name: str) -> None:
    output = tmp_path / "out.mp4"
    interpolate_file(ODD / name, output, FAST)
    one, other = read_clip(ODD / name).frames, read_clip(output).frames
    assert other.shape == (6, *one.shape[1:])
    assert np.abs(one.astype(int) - other[::2]).mean() < 2


@pytest.mark.skipif(not ODD.is_dir(), reason=f"test files {ODD} are not here")
def test_av1(tmp_path: Path) -> None:
    settings = Settings(factor=2, quality="fast", end=Fraction(1, 2))
    report = interpolate_file(ODD / "torchcodec_av1_video.mkv", tmp_path / "out.webm", settings)
    assert report.frames_out == 26


@pytest.mark.parametrize(("height", "width"), [(47, 63), (3, 5), (1, 1), (48, 63)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_odd_sizes(tmp_path: Path, height: int, width: int, suffix: str) -> None:
    frames = scene(3, height, width)
    source = write(tmp_path / "in.nut", frames, codec="rawvideo", pixels="yuv420p")
    output = tmp_path / f"out{suffix}"
    report = interpolate_file(source, output, FAST)
    assert read_clip(output).frames.shape == (6, height, width, 3)
    assert bool(report.notes) == (suffix != ".webm")  # H.264 cannot hold them: it is said


def moving_disc(count: int) -> np.ndarray:
    """RGBA: a half-transparent red disc on nothing."""
    out = np.zeros((count, 48, 64, 4), np.uint8)
    y, x = np.mgrid[:48, :64]
    for i in range(count):
        inside = (x - 20 - 3 * i) ** 2 + (y - 24) ** 2 < 144
        out[i][inside] = (200, 30, 30, 180)
    return out


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".webp", ".gif", "/"])
def test_alpha_goes_in_and_comes_out(tmp_path: Path, suffix: str) -> None:
    frames = moving_disc(4)
    folder = tmp_path / "in"
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
    output = f"{tmp_path}/out{suffix}"
    codec = {".mkv": "ffv1"}.get(suffix)
    interpolate_file(folder, output, Settings(factor=2, quality="fast", codec=codec))
    made = list(Source.open(output.rstrip("/")).frames())
    assert len(made) >= 7  # the held last frame is joined by WebP
    opacity = made[1].frame.to_ndarray(format="rgba")[..., 3].astype(int)
    wanted = moving_disc(1)[0, ..., 3]
    wanted = np.roll(wanted, 1, axis=1).astype(int)  # half way from 0 to 3, rounded down
    assert np.abs(opacity - wanted).mean() < (30 if suffix == ".gif" else 6)
    assert opacity[:4].max() == 0


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_in_and_out(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    write_clip(source, scene(6), 20)
    output = tmp_path / f"out{suffix}"
    report = interpolate_file(source, output, FAST)
    assert report.frames_out == 12
    clip = read_clip(output)
    assert clip.frames.shape[1:] == (48, 64, 3)
    assert len(clip) in (11, 12)
    assert clip.times[2] == pytest.approx(0.05, abs=0.011)


def test_tags_and_chapters(tmp_path: Path) -> None:
    chapters = [
        {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000),
         "metadata": {"title": "one"}},
        {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000),
         "metadata": {"title": "two"}},
    ]  # fmt: skip
    source = write(tmp_path / "in.mkv", scene(24), metadata={"title": "A", "mood": "blue"},
                   chapters=chapters)  # fmt: skip
    for suffix in (".mkv", ".mp4"):
        output = tmp_path / f"out{suffix}"
        interpolate_file(source, output, FAST)
        with av.open(str(output)) as container:
            tags = {k.lower(): v for k, v in container.metadata.items()}
            found = container.chapters()
        assert (tags["title"], tags["mood"]) == ("A", "blue")
        assert [c["metadata"]["title"] for c in found] == ["one", "two"]
        assert float(found[1]["start"] * found[1]["time_base"]) == 0.5
    interpolate_file(source, tmp_path / "part.mkv", Settings(
        factor=2, quality="fast", start=Fraction(3, 4)))  # fmt: skip
    with av.open(str(tmp_path / "part.mkv")) as container:
        found = container.chapters()
    assert [c["metadata"]["title"] for c in found] == ["two"]
    assert float(found[0]["end"] * found[0]["time_base"]) == 0.25


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (None, "0.7", [("one", 0, 0.5), ("two", 0.5, 0.7)]),
        (None, "0.5", [("one", 0, 0.5)]),
        ("0.3", "0.7", [("one", 0, 0.2), ("two", 0.2, 0.4)]),
        ("0.3", None, [("one", 0, 0.2), ("two", 0.2, 0.7), ("three", 0.7, 1.7)]),
    ],
)
def test_chapters_end_with_the_part_that_is_taken(
    tmp_path: Path, start: str | None, end: str | None, wanted: list[tuple[str, float, float]]
) -> None:
    chapters: list[dict[str, Any]] = [
        {"id": number, "start": begin, "end": stop, "time_base": Fraction(1, 1000),
         "metadata": {"title": title}}
        for number, (title, begin, stop) in enumerate(
            [("one", 0, 500), ("two", 500, 1000), ("three", 1000, 2000)], 1)
    ]  # fmt: skip
    source = write(tmp_path / "in.mkv", scene(20), rate=10, chapters=chapters)
    settings = Settings(
        factor=2, quality="fast", start=Fraction(start or 0), end=Fraction(end) if end else None
    )
    interpolate_file(source, tmp_path / "out.mkv", settings)
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = [
            (c["metadata"]["title"], *(float(c[k] * c["time_base"]) for k in ("start", "end")))
            for c in container.chapters()
        ]
    assert found == wanted


def test_subtitles_are_copied(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.mkv", scene(24))
    lines = tmp_path / "lines.srt"
    lines.write_text("1\n00:00:00,100 --> 00:00:00,700\nHello\n\n", encoding="utf-8")
    source = tmp_path / "in.mkv"
    with (
        av.open(str(plain)) as video, av.open(str(lines)) as text,
        av.open(str(source), "w") as out,
    ):  # fmt: skip
        pairs = [(c, out.add_stream_from_template(c.streams[0])) for c in (video, text)]
        for container, stream in pairs:
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    output = tmp_path / "out.mkv"
    interpolate_file(source, output, FAST)
    with av.open(str(output)) as container:
        packets = [p for p in container.demux(subtitles=0) if p.size]
    assert [(float(p.pts * p.time_base), bytes(p)) for p in packets] == [(0.1, b"Hello")]
    with pytest.raises(UsageError, match=r"subtitles.*--no-subtitles"):
        interpolate_file(source, tmp_path / "out.mp4", FAST)
    interpolate_file(source, tmp_path / "out.mp4", Settings(
        factor=2, quality="fast", subtitles=False))  # fmt: skip


def test_a_part_of_a_clip(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", scene(48), audio=2.0)
    output = tmp_path / "out.mkv"
    settings = Settings(
        factor=2, quality="fast", codec="ffv1", start=Fraction(1, 2), end=Fraction(3, 2)
    )
    report = interpolate_file(source, output, settings)
    assert (report.frames_in, report.frames_out, report.duration) == (24, 48, 1)
    np.testing.assert_array_equal(planes_of(source)[12][0], planes_of(output)[0][0])
    sound, whole = sound_of(output), sound_of(source)
    assert 0 <= sound[0][0] < 0.022
    at = [digest for _, digest in whole].index(sound[0][1])
    assert abs(whole[at][0] - Fraction(1, 2) - sound[0][0]) < 0.001
    assert sound[-1][0] < 1


def test_late_sound_stays_late_and_a_late_file_begins_at_zero(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.mp4", scene(24), audio=1.0)
    late = tmp_path / "late.ts"
    with av.open(str(plain)) as container, av.open(str(late), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.size:
                index = packet.stream.index
                shift = round((10 if index == 0 else Fraction(41, 4)) / Fraction(packet.time_base))
                packet.pts += shift
                packet.dts += shift
                packet.stream = streams[index]
                out.mux(packet)
    output = tmp_path / "out.mkv"
    interpolate_file(late, output, FAST)
    assert times_of(output)[0] < 0.06
    gap = sound_of(output)[0][0] - Fraction(times_of(output)[0])
    first = sound_of(late)[0][0] - Fraction(times_of(late)[0])
    assert abs(gap - first) < 0.0011


def test_interlaced_is_refused_with_advice(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", scene(6), rate=25,
                   options={"flags": "+ilme+ildct", "x264-params": "tff=1"})  # fmt: skip
    with av.open(str(source)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    with pytest.raises(UsageError, match=r"interlaced.*bwdif"):
        interpolate_file(source, tmp_path / "out.mkv", FAST)


@pytest.mark.parametrize("range_", [1, 2], ids=["limited", "full"])
def test_damage_is_told(tmp_path: Path, range_: int) -> None:
    """Frames of full range are worked on under another name, which must not cost the flag."""
    whole = write(tmp_path / "whole.mkv", scene(12, 96, 128), colour=(1, range_, 1, 1),
                  options={"bf": "0", "g": "100", "crf": "5"})  # fmt: skip
    source = Source.open(spoilt(whole, tmp_path / "in.mkv"))
    assert len(list(source.frames())) == 12
    assert source.warnings == [f"{source.path} is damaged at frame 5."]


@pytest.mark.parametrize("range_", [1, 2], ids=["limited", "full"])
def test_fields_that_come_late_are_refused_as_well(tmp_path: Path, range_: int) -> None:
    """After the frames that are looked at before any work is done."""
    woven = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    parts = [
        write(tmp_path / f"{count}.ts", scene(count), rate=24, colour=(1, range_, 1, 1),
              options={"bf": "0"} | more)
        for count, more in ((60, {}), (6, woven))
    ]  # fmt: skip
    joined = tmp_path / "in.ts"
    stream: Any = None
    number = 0
    with av.open(str(joined), "w") as out:
        for part in parts:
            with av.open(str(part)) as container:
                stream = stream or out.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = 3750 * number  # of 90000 in a second
                        packet.stream = stream
                        out.mux(packet)
                        number += 1
    source = Source.open(joined)
    with pytest.raises(UsageError, match=r"interlaced.*bwdif"):
        list(source.frames())
