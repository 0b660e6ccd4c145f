"""``vidcascade.interpolate``: two frames, many frames, a file or a folder of files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vidcascade
from tests.interpolation.conftest import planes_of, scene, write
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation import api
from vidcascade.interpolation.api import interpolate
from vidcascade.interpolation.batch import BatchReport
from vidcascade.interpolation.between import FlowBetween
from vidcascade.interpolation.settings import Report

FRAMES = scene(4)
PAIR: Any = FRAMES[0], FRAMES[1]


def two_scenes(each: int, dtype: type = np.uint8) -> Any:
    """As many frames of one scene as of another."""
    frames = np.concatenate((scene(each), 255 - scene(each, seed=7, step=3)))
    return frames if dtype is np.uint8 else frames.astype(dtype) * 257


def test_it_is_the_package_s_own() -> None:
    assert vidcascade.interpolate is interpolate


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_two_frames_give_those_between_them(dtype: type) -> None:
    first, second = (frame.astype(dtype) for frame in PAIR)
    found = interpolate(first, second, [0.25, 0.75], quality="fast")
    wanted = FlowBetween()(first, second, [0.25, 0.75])
    assert isinstance(found, list)
    assert [(f.shape, f.dtype) for f in found] == [((48, 64, 3), dtype)] * 2
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_middle_unless_asked_otherwise() -> None:
    (found,) = interpolate(*PAIR, quality="fast")
    np.testing.assert_array_equal(found, FlowBetween()(*PAIR, [0.5])[0])
    assert interpolate(*PAIR, times=[], quality="fast") == []


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(2, 5), factor=st.integers(2, 4), seed=st.integers(0, 99), deep=st.booleans(),
    cuts=st.booleans(),
)  # fmt: skip
def test_every_frame_given_is_there_and_as_many_between(
    count: int, factor: int, seed: int, deep: bool, cuts: bool
) -> None:
    kind = np.uint16 if deep else np.uint8
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, np.iinfo(kind).max, (count, 9, 12, 3), kind, endpoint=True)
    found = interpolate(frames, factor=factor, quality="fast", cuts=cuts)
    assert found.shape == ((count - 1) * factor + 1, 9, 12, 3)
    assert found.dtype == kind
    np.testing.assert_array_equal(found[::factor], frames)


def test_what_is_between_is_made_of_each_pair() -> None:
    found = interpolate(FRAMES, factor=3, quality="fast")
    between = FlowBetween()
    for number in range(3):
        made = between(FRAMES[number], FRAMES[number + 1], [1 / 3, 2 / 3])
        np.testing.assert_array_equal(found[3 * number + 1 : 3 * number + 3], made)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_is_made_across_a_cut(dtype: type) -> None:
    frames = two_scenes(4, dtype)
    found = interpolate(frames, factor=3, quality="fast")
    np.testing.assert_array_equal(found[9:12], [frames[3]] * 3)  # held until the cut
    np.testing.assert_array_equal(found[12], frames[4])
    for place in (7, 13):
        assert not np.array_equal(found[place], found[place - 1])
    blended = interpolate(frames, factor=3, quality="fast", cuts=False)
    assert not np.array_equal(blended[10], frames[3])
    rest = [k for k in range(len(found)) if k not in (10, 11)]
    np.testing.assert_array_equal(blended[rest], found[rest])


def test_three_frames_are_too_few_to_tell_a_cut() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 48, 64, 3), np.uint8)
    for count, held in ((3, False), (4, True)):
        frames = np.concatenate((scene(count - 1), noise))
        assert api._scene_starts(frames) == {count - 1}
        found = interpolate(frames, factor=2, quality="fast")
        wanted = frames[-2] if held else FlowBetween()(frames[-2], frames[-1], [0.5])[0]
        np.testing.assert_array_equal(found[-2], wanted)


def test_the_maker_is_loaded_once_for_each_way_of_making() -> None:
    assert api._maker("fast", 1, "cpu") is api._maker("fast", 1, "cpu")
    assert api._maker("fast", 1, "cpu") is not api._maker("fast", 2, "cpu")


@pytest.mark.parametrize(
    ("given_", "options", "words"),
    [
        (PAIR, {"factor": 2}, "give times, not a factor"),
        (PAIR, {"fps": 60}, "give times, not a factor"),
        (PAIR, {"codec": "ffv1"}, "codec: only for files"),
        (PAIR, {"times": [1.0]}, "between 0 and 1"),
        (PAIR, {"times": [float("nan")]}, "between 0 and 1"),
        (PAIR, {"quality": "superb"}, "fast, balanced, best"),
        (PAIR, {"quality": "fast", "steps": 0}, "at least 1"),
        ((PAIR[0], PAIR[1][:-1]), {}, "one size"),
        ((PAIR[0], PAIR[1].astype(np.uint16)), {}, "one size"),
        ((PAIR[0], "out.mp4"), {}, "uint8 or uint16"),
        ((PAIR[0].astype(float), PAIR[1]), {}, "uint8 or uint16"),
        ((FRAMES,), {}, "give a factor"),
        ((FRAMES,), {"fps": 60}, "give a factor"),
        ((FRAMES,), {"factor": 2, "fps": 60}, "give a factor"),
        ((FRAMES,), {"factor": 2, "crf": 3, "codec": "av1"}, "crf, codec: only for files"),
        ((FRAMES,), {"factor": 1}, "factor"),
        ((FRAMES,), {"factor": 65}, "factor"),
        ((FRAMES,), {"factor": 2.5}, "factor"),
        ((FRAMES[:1],), {"factor": 2, "quality": "fast"}, r"T of 2 or more: got \(1, 48, 64, 3\)"),
        ((FRAMES[0],), {"factor": 2, "quality": "fast"}, r"T of 2 or more: got \(48, 64, 3\)"),
        ((FRAMES[..., :1],), {"factor": 2, "quality": "fast"}, "uint8 or uint16"),
        ((FRAMES.astype(np.float32),), {"factor": 2, "quality": "fast"}, "uint8 or uint16"),
        ((FRAMES[:, :0],), {"factor": 2, "quality": "fast"}, "one size"),
        (("in.mp4",), {"factor": 2}, "needs an output"),
        ((Path("in.mp4"), "out.mp4"), {"factor": 2, "colour": 1}, "Unknown option 'colour'; use"),
        (("in.mp4", "out.mp4"), {}, "Give either a factor"),
        (("in.mp4", "out.mp4"), {"factor": 2, "fps": 60}, "Give either a factor"),
        (("in.mp4", "out.mp4"), {"factor": 2, "start": "soon"}, "start 'soon' is not a time"),
        (("in.mp4", "out.mp4"), {"factor": 2, "end": -1}, "end -1 is not a time"),
        (("in.mp4", "out.mp4"), {"factor": 2, "start": 2, "end": 1}, "must lie after"),
        (("in.mp4", "out.mp4"), {"factor": 2}, "in.mp4 does not exist"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_: Any, options: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        interpolate(*given_, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_gives_a_report(tmp_path: Path, clip: Path, kind: Any) -> None:
    seen: list[tuple[int, int]] = []
    report = interpolate(
        kind(clip), kind(tmp_path / "out.mkv"), factor=2, quality="fast", codec="ffv1",
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert isinstance(report, Report)
    assert (report.frames_in, report.frames_out, report.fps_out) == (10, 20, 48)
    assert seen == [(k, 20) for k in range(1, 21)]
    before, after = planes_of(clip), planes_of(tmp_path / "out.mkv")
    for one, other in zip(before, after[::2], strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_options_reach_the_job(tmp_path: Path, clip: Path) -> None:
    report = interpolate(
        clip, tmp_path / "out.mkv", fps="60", quality="fast", start="0:00.125", end=0.25
    )
    assert isinstance(report, Report)
    assert (report.frames_in, report.fps_out, report.duration) == (3, 60, Fraction(1, 8))
    with pytest.raises(UsageError, match="exists already"):
        interpolate(clip, tmp_path / "out.mkv", factor=2, quality="fast")
    interpolate(clip, tmp_path / "out.mkv", factor=2, quality="fast", overwrite=True)
    assert len(planes_of(tmp_path / "out.mkv")) == 20


def test_cuts_in_a_file_are_looked_for_unless_not_wanted(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", two_scenes(6))
    held = {}
    for cuts in (True, False):
        report = interpolate(source, tmp_path / f"{cuts}.mkv", factor=2, quality="fast", cuts=cuts)
        assert isinstance(report, Report)
        held[cuts] = (len(report.cuts), report.held)
    assert held == {True: (1, 2), False: (0, 1)}


def test_every_file_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, count in (("a.mp4", 3), ("b.mkv", 4)):
        write(folder / name, scene(count))
    (folder / "c.mp4").write_text("no clip")
    (folder / "notes.txt").write_text("not asked")
    seen: list[tuple[int, int]] = []
    report = interpolate(
        folder, tmp_path / "out", factor=2, quality="fast",
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert isinstance(report, BatchReport)
    assert [r.frames_out for r in report.done] == [6, 8]
    assert [path.name for path, _ in report.failed] == ["c.mp4"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mkv"]
    assert seen == [(k, total) for total in (6, 8) for k in range(1, total + 1)]
    quiet = interpolate(folder, tmp_path / "again", factor=2, quality="fast")
    assert isinstance(quiet, BatchReport)
    assert len(quiet.done) == 2


def test_a_damaged_file_is_no_traceback(tmp_path: Path, clip: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 3])
    with pytest.raises(VidCascadeError) as caught:
        interpolate(clip, tmp_path / "out.mp4", factor=2, quality="fast")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [clip.name]
