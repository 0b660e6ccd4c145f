"""Whole jobs: cuts, duplicates, resuming, interrupts, memory, folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import vidcascade
from tests.interpolation.conftest import planes_of, scene, times_of, write
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation import batch, job
from vidcascade.interpolation.between import FlowBetween
from vidcascade.interpolation.job import interpolate_file
from vidcascade.interpolation.preview import preview
from vidcascade.interpolation.settings import Interrupted, Settings
from vidcascade.interpolation.unfinished import is_cut_short
from vidcascade.video import read_clip, write_clip

FAST = Settings(factor=2, quality="fast")
EXACT = Settings(factor=2, quality="fast", codec="ffv1")


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_cut_is_never_blended_across(tmp_path: Path) -> None:
    frames = np.concatenate([scene(8, seed=1), scene(8, seed=2)])
    source = write(tmp_path / "in.mkv", frames, options={"crf": "10"})
    output = tmp_path / "out.mkv"
    report = interpolate_file(source, output, Settings(factor=4, quality="fast", codec="ffv1"))
    assert report.cuts == [pytest.approx(8 / 24)]
    planes = planes_of(output)
    for slot in (29, 30, 31):
        np.testing.assert_array_equal(planes[slot][0], planes[28][0])
    assert (report.originals, report.held) == (16, 6)
    without = tmp_path / "without.mkv"
    blind = Settings(factor=4, quality="fast", codec="ffv1", cuts=False)
    assert interpolate_file(source, without, blind).cuts == []
    assert not np.array_equal(planes_of(without)[30][0], planes[30][0])


def on_twos(count: int) -> NDArray[np.uint8]:
    return scene(count, step=4).repeat(2, axis=0)


def test_duplicates_are_found_and_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", on_twos(8), options={"crf": "20"})
    kept = interpolate_file(source, tmp_path / "keep.mkv", EXACT)
    assert (kept.duplicates, kept.originals) == (8, 16)
    settings = Settings(factor=2, quality="fast", codec="ffv1", duplicates="replace")
    report = interpolate_file(source, tmp_path / "new.mkv", settings)
    assert (report.duplicates, report.frames_out) == (8, 32)

    def steps(path: Path) -> NDArray[Any]:
        luma = [planes[0].astype(float) for planes in planes_of(path)[:26]]
        return np.array([np.abs(b - a).mean() for a, b in pairwise(luma)])

    stutter, smooth = steps(tmp_path / "keep.mkv"), steps(tmp_path / "new.mkv")
    assert stutter.min() < 0.3 * stutter.max()  # it stands, and jumps
    assert smooth.min() > 0.5 * smooth.max()


def test_pulldown(tmp_path: Path) -> None:
    """24 in 30: every fifth frame repeats."""
    frames = scene(17, step=3)[[i - i // 5 for i in range(20)]]
    report = interpolate_file(
        write(tmp_path / "in.mp4", frames, rate=30, options={"crf": "12"}), tmp_path / "o.mp4", FAST
    )
    assert report.duplicates == 3


def test_a_logo_does_not_warp(tmp_path: Path) -> None:
    frames = scene(8, 96, 128, step=6).copy()
    frames[:, 70:90, 10:60] = 16
    frames[:, 74:86:4, 14:56] = 240
    frames[:, 74:86, 14:56:6] = 240
    made = vidcascade.interpolate(frames[3], frames[4], times=[0.5], quality="fast")[0]
    logo = np.s_[72:88, 12:58]
    assert np.abs(made[logo].astype(int) - frames[3][logo]).mean() < 2


class Stopping(FlowBetween):
    """Is interrupted after some pairs, as by Ctrl-C or by a crash."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        super().__init__()
        self.left, self.error = after, error

    def __call__(self, first: Any, second: Any, times: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().__call__(first, second, times)


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    folder = tmp_path / "long"
    folder.mkdir()
    return write(folder / "in.mp4", scene(80), rate=10, audio=8)


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_resuming_gives_the_same_file(
    tmp_path: Path, long_clip: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_SEGMENT_SECONDS", 1)
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    settings = {"factor": 2, "quality": "fast", "codec": codec, "on_interrupt": "resumable"}
    interpolate_file(long_clip, whole, Settings(**settings))  # type: ignore[arg-type]
    with pytest.raises(Interrupted, match="--resume"):
        interpolate_file(long_clip, output, Settings(**settings),  # type: ignore[arg-type]
                         between=Stopping(60, KeyboardInterrupt))  # fmt: skip
    assert ".out.mkv.vidcascade" in leftovers(tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        interpolate_file(long_clip, output, Settings(**settings))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="other settings"):
        interpolate_file(long_clip, output, Settings(
            **(settings | {"factor": 4}), resume=True))  # type: ignore[arg-type]  # fmt: skip
    steps: list[int] = []

    class Counting(FlowBetween):
        def __call__(self, first: Any, second: Any, times: Any) -> Any:
            steps.append(1)
            return super().__call__(first, second, times)

    report = interpolate_file(long_clip, output, Settings(**settings, resume=True),  # type: ignore
                              between=Counting())  # fmt: skip
    assert len(steps) < 50
    assert report.frames_out == 160
    assert times_of(whole) == times_of(output)
    for one, other in zip(planes_of(whole), planes_of(output), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert leftovers(tmp_path) == ["long", "out.mkv", "whole.mkv"]


def test_a_killed_job_can_be_resumed(tmp_path: Path, long_clip: Path) -> None:
    """kill -9 leaves the segments and nothing under the output's name."""
    output = tmp_path / "out.mkv"
    code = f"""
import os, sys
from vidcascade.interpolation import job
from vidcascade.interpolation.settings import Settings
job._SEGMENT_SECONDS = 1
def step(done, total):
    if done > 130: os.kill(os.getpid(), 9)
job.interpolate_file({str(long_clip)!r}, {str(output)!r},
                     Settings(factor=2, quality="fast", codec="ffv1"), step)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not output.exists()
    assert (tmp_path / ".out.mkv.vidcascade" / "000000.mkv").exists()
    settings = Settings(factor=2, quality="fast", codec="ffv1", resume=True)
    assert interpolate_file(long_clip, output, settings).frames_out == 160
    whole = tmp_path / "whole.mkv"
    interpolate_file(long_clip, whole, EXACT)
    for one, other in zip(planes_of(whole), planes_of(output), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_ctrl_c_leaves_nothing_or_what_is_done(tmp_path: Path, long_clip: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        interpolate_file(long_clip, output, FAST, between=Stopping(30, KeyboardInterrupt))
    assert leftovers(tmp_path) == ["long"]
    keep = Settings(factor=2, quality="fast", on_interrupt="keep")
    report = interpolate_file(long_clip, output, keep, between=Stopping(30, KeyboardInterrupt))
    assert report.interrupted
    assert 50 <= report.frames_out == len(times_of(output)) <= 60
    assert leftovers(tmp_path) == ["long", "out.mp4"]


@pytest.mark.parametrize("choice", ["resumable", "keep"])
@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_ctrl_c_while_the_output_is_written_costs_no_frame(
    tmp_path: Path, clip: Path, choice: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when all is made and the file is about to be renamed: at the disk's flush."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    settings = Settings(factor=2, quality="fast", on_interrupt=choice)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(Interrupted, match="--resume"):
            interpolate_file(clip, tmp_path / name, settings)
        assert leftovers(tmp_path) == [f".{name}.vidcascade", "clip.mp4"]
        with pytest.raises(KeyboardInterrupt):
            interpolate_file(clip, tmp_path / "other.mp4", FAST)
    report = interpolate_file(clip, tmp_path / name, replace(settings, resume=True),
                              between=Stopping(0, ZeroDivisionError))  # fmt: skip
    assert (report.frames_out, report.interrupted) == (20, False)
    assert leftovers(tmp_path) == ["clip.mp4", name]


def test_ctrl_c_while_finished_segments_are_passed_keeps_all_of_them(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_SEGMENT_SECONDS", 1)
    output = tmp_path / "out.mkv"
    settings = Settings(factor=2, quality="fast", on_interrupt="resumable")
    with pytest.raises(Interrupted):
        interpolate_file(long_clip, output, settings, between=Stopping(60, KeyboardInterrupt))

    resize, calls = cv2.resize, iter(range(40))

    def interrupted(*args: Any, **options: Any) -> Any:  # at some frame that needs no making
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return resize(*args, **options)

    monkeypatch.setattr(cv2, "resize", interrupted)
    keep = replace(settings, on_interrupt="keep", resume=True)
    report = interpolate_file(long_clip, output, keep, between=Stopping(0, ZeroDivisionError))
    shown = times_of(output)
    assert report.interrupted
    assert report.frames_out == len(shown) >= 96  # two segments at least
    assert float(report.duration) == pytest.approx(shown[-1] + 0.05)
    with av.open(str(output)) as container:
        ends = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
    assert max(ends) == pytest.approx(shown[-1], abs=0.1)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "webm", "gif", "webp"])
def test_ctrl_c_ends_a_folder_and_resume_goes_on_with_it(tmp_path: Path, kind: str) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number, stem in enumerate("abc"):
        if kind in ("mp4", "mkv"):
            write(folder / f"{stem}.{kind}", scene(30, seed=number))
        else:
            write_clip(folder / f"{stem}.{kind}", scene(30, seed=number), 24)

    def stop_in_b(path: Path, number: int, total: int) -> Any:
        def step(done: int, total: int) -> None:
            if path.stem == "b" and done > 20:
                raise KeyboardInterrupt

        return step

    keep = Settings(factor=2, quality="fast", on_interrupt="keep")
    report = batch.interpolate_folder(folder, output, keep, stop_in_b)
    assert report.interrupted
    assert [(r.source.stem, r.interrupted) for r in report.done] == [("a", False), ("b", True)]
    assert leftovers(output) == [f"a.{kind}", f"b.{kind}"]
    assert 0 < len(read_clip(output / f"b.{kind}")) < 40
    again = batch.interpolate_folder(folder, output, replace(keep, resume=True))
    assert not again.interrupted
    assert [r.source.stem for r in again.done] == ["b", "c"]
    assert leftovers(output) == [f"{stem}.{kind}" for stem in "abc"]
    assert len(read_clip(output / f"b.{kind}")) >= 59  # WebP joins the held one
    assert batch.interpolate_folder(folder, output, replace(keep, resume=True)).done == []


@pytest.mark.parametrize("name", ["again.mp4", "again.gif"])
def test_what_is_made_of_a_part_is_no_part(tmp_path: Path, clip: Path, name: str) -> None:
    """The note that a file is cut short is not copied with the other tags."""

    def step(done: int, total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    keep = Settings(factor=2, quality="fast", on_interrupt="keep")
    part = tmp_path / "part.mp4"
    assert interpolate_file(clip, part, keep, step).interrupted
    assert is_cut_short(part)
    interpolate_file(part, tmp_path / name, FAST)
    assert not is_cut_short(tmp_path / name)


def test_a_failure_leaves_nothing(tmp_path: Path, long_clip: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(ZeroDivisionError):
        interpolate_file(long_clip, output, FAST, between=Stopping(30, ZeroDivisionError))
    assert leftovers(tmp_path) == ["long"]
    output.write_bytes(b"mine")
    with pytest.raises(UsageError, match="--force"):
        interpolate_file(long_clip, output, FAST)
    again = Settings(factor=2, quality="fast", overwrite=True)
    with pytest.raises(ZeroDivisionError):
        interpolate_file(long_clip, output, again, between=Stopping(30, ZeroDivisionError))
    assert output.read_bytes() == b"mine"


def test_a_folder_goes_on_past_a_bad_clip(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clip, folder / "a.mp4")
    (folder / "b.mp4").write_bytes(b"not a video at all")
    write(folder / "c.avi", scene(4), codec="mpeg4")
    (folder / "notes.txt").write_text("x")
    found = vidcascade.interpolate(folder, tmp_path / "out", factor=2, quality="fast")
    assert isinstance(found, batch.BatchReport)
    assert [r.output.name for r in found.done] == ["a.mp4", "c.mkv"]
    assert [(p.name, "not a video" in why) for p, why in found.failed] == [("b.mp4", True)]
    assert leftovers(tmp_path / "out") == ["a.mp4", "c.mkv"]


def test_preview(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", scene(60))
    seen: list[tuple[int, int]] = []
    settings = Settings(fps=60, quality="fast")
    preview(source, tmp_path / "side.mp4", settings, lambda a, b: seen.append((a, b)))
    clip = read_clip(tmp_path / "side.mp4")
    assert clip.frames.shape == (120, 48, 128, 3)
    assert clip.fps == 60
    assert seen[-1] == (120, 120)


def test_arrays() -> None:
    frames = scene(5)
    out = vidcascade.interpolate(frames, factor=4, quality="fast")
    assert out.shape == (17, 48, 64, 3)
    np.testing.assert_array_equal(out[::4], frames)
    made = vidcascade.interpolate(frames[0], frames[1], times=[0.25, 0.5], quality="fast")
    np.testing.assert_array_equal(made[0], out[1])
    deep = frames.astype(np.uint16) * 257
    made16 = vidcascade.interpolate(deep[0], deep[1], quality="fast")[0]
    assert made16.dtype == np.uint16
    assert np.abs(made16 / 257 - made[1]).max() <= 1.5
    cut = np.concatenate([scene(3, seed=1), scene(3, seed=2)])
    out = vidcascade.interpolate(cut, factor=2, quality="fast")
    np.testing.assert_array_equal(out[5], cut[2])
    for size in ((1, 1), (1, 9), (7, 3), (33, 200)):
        pair = scene(2, *size)
        assert vidcascade.interpolate(*pair, quality="fast")[0].shape == (*size, 3)


def test_wrong_arrays() -> None:
    frames = scene(2)
    interpolate: Any = vidcascade.interpolate
    for args, options in [
        ((frames[0],), {"factor": 2}),
        ((frames[0], frames[1, :-1]), {}),
        ((frames[0], frames[1].astype(np.float32)), {}),
        ((frames[0], frames[1]), {"times": [1.0]}),
        ((frames[0], frames[1]), {"factor": 2}),
        ((frames,), {}),
        ((frames,), {"fps": 60}),
        ((frames,), {"factor": 1}),
        ((frames[:1],), {"factor": 2}),
        ((frames,), {"factor": 2, "codec": "h264"}),
        ((frames,), {"factor": 2, "quality": "superb"}),
        ((frames,), {"factor": 2, "steps": 0}),
        (("in.mp4",), {"factor": 2}),
        (("in.mp4", "out.mp4"), {"factor": 2, "speed": 3}),
        (("in.mp4", "out.mp4"), {"factor": 2, "fps": 60}),
        (("in.mp4", "out.mp4"), {}),
    ]:
        with pytest.raises(VidCascadeError):
            interpolate(*args, **options)


def test_the_report_is_plain(tmp_path: Path, clip: Path) -> None:
    report = interpolate_file(clip, tmp_path / "out.mp4", FAST)
    told = json.loads(json.dumps(report.as_dict()))
    assert (told["frames_in"], told["frames_out"], told["fps_out"]) == (10, 20, 48)
    assert told["duration"] == pytest.approx(10 / 24)
    assert "10 frames at 24 fps became 20 at 48 fps" in report.lines()[0]
    assert report.duration == Fraction(10, 24)
