"""Folders of other people's videos: what is used, what is refused, and which frames come out."""

from __future__ import annotations

import itertools
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.training import conftest as training
from tests.training.conftest import counting_frames, write_metadata
from vidcascade.data import folder as folder_module
from vidcascade.data.folder import VideoFolder, frame_numbers, frame_times
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import random_access, read_clip, write_clip

clips = training.clips


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def levels(frames: np.ndarray) -> list[int]:
    """Which frames of :func:`counting_frames` these are."""
    return [round(float(frame.mean()) / 4) for frame in frames]


def only(tmp_path: Path, count: int, fps: float, frames: int) -> VideoFolder:
    """A folder with one video."""
    write_clip(tmp_path / "one.mp4", counting_frames(count), fps)
    return VideoFolder(write_metadata(tmp_path, [{"file_name": "one.mp4", "text": "t"}]), frames)


def test_a_videofolder_is_read(clips: Path) -> None:
    found = VideoFolder(clips, frames=8)
    assert [entry.caption for entry in found.entries] == [
        "a fast clip", "a slow clip", "a short clip",
    ]  # fmt: skip
    assert not found.skipped
    frames, caption = found.window(16, [k / 8 for k in range(8)], 8.0, 8, rng())
    assert frames.shape == (8, 16, 16, 3)
    assert frames.dtype == np.uint8
    assert caption in {"a fast clip", "a slow clip", "a short clip"}
    # The centre crop has lost the white bar at the left, and every pixel is the same grey.
    assert frames.reshape(8, -1).std(axis=1).max() < 2
    copy = pickle.loads(pickle.dumps(found))
    again, _ = copy.window(16, [k / 8 for k in range(8)], 8.0, 8, rng())
    np.testing.assert_array_equal(frames, again)


def test_every_hostile_line_is_skipped_with_a_reason(tmp_path: Path) -> None:
    inside, outside = tmp_path / "videos", tmp_path / "private"
    inside.mkdir()
    outside.mkdir()
    (inside / "sub").mkdir()
    write_clip(inside / "good.mp4", counting_frames(6), 8)
    write_clip(inside / "sub" / "deep.mp4", counting_frames(6), 8)
    write_clip(inside / "brief.mp4", counting_frames(3), 8)
    write_clip(outside / "secret.mp4", counting_frames(6), 8)
    (inside / "link.mp4").symlink_to(outside / "secret.mp4")
    (inside / "way").symlink_to(outside)
    (inside / "alias.mp4").symlink_to(inside / "good.mp4")
    (inside / "loop.mp4").symlink_to(inside / "loop.mp4")
    (inside / "empty.mp4").touch()
    (inside / "text.mp4").write_text("not a video at all, " * 50)
    whole = (inside / "good.mp4").read_bytes()
    (inside / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (inside / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    (inside / "concat.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    os.mkfifo(inside / "pipe.mp4")
    reasons = {
        "../private/secret.mp4": "out of the folder",
        "sub/../../private/secret.mp4": "out of the folder",
        "..\\private\\secret.mp4": "out of the folder",
        str(outside / "secret.mp4"): "out of the folder",
        "C:\\secret.mp4": "out of the folder",
        "\\\\server\\share\\secret.mp4": "out of the folder",
        "link.mp4": "out of the folder",
        "way/secret.mp4": "out of the folder",
        "loop.mp4": "",
        "http://127.0.0.1:9/a.mp4": "missing",
        "absent.mp4": "missing",
        "x" * 5000: "",
        "sub": "not a file",
        "pipe.mp4": "not a file",
        "": "not a file name",
        "good\0.mp4": "not a file name",
        "empty.mp4": "empty",
        "text.mp4": "not a video",
        "cut.mp4": "",
        "list.mp4": "playlist",
        "concat.mp4": "playlist",
        "brief.mp4": "too short: 3 frames, and 6 are needed",
    }
    lines: list[object] = [{"file_name": name, "text": "x"} for name in reasons]
    lines += [
        "{broken", "[1, 2]", "7", "null", b"\xff\xfe\x00", "[" * 100_000,
        {"text": "no name"}, {"file_name": 3, "text": "x"}, {"file_name": "good.mp4"},
        {"file_name": "good.mp4", "text": None}, "", "   ",
        '{"file_name": "good.mp4", "text": "half a \\ud83d"}',
        {"file_name": "good.mp4", "text": ""},
        {"file_name": "sub/deep.mp4", "text": "deep", "extra": [1]},
        {"file_name": "alias.mp4", "text": "alias"},
        {"file_name": "absent.mp4", "text": "again"},
    ]  # fmt: skip
    found = VideoFolder(write_metadata(inside, lines), frames=6)
    assert [entry.caption for entry in found.entries] == ["", "deep", "alias"]
    assert all(entry.path.is_relative_to(inside.resolve()) for entry in found.entries)
    told = dict(found.skipped)
    assert len(told) == len(found.skipped)  # each once
    for name, reason in reasons.items():
        assert name in told, name
        assert told[name], name
        assert reason in told[name], (name, told[name])
        assert "\n" not in told[name]
    assert sum(name.startswith("line ") for name in told) == 11
    assert "its text is not valid Unicode" in told.values()


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (None, UsageError, "cannot be read"),
        ([], VidCascadeError, "No video"),
        ([{"file_name": "absent.mp4", "text": ""}], VidCascadeError, "absent.mp4: missing"),
    ],
)
def test_a_folder_of_nothing_is_refused(
    lines: list[object] | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    if lines is not None:
        write_metadata(tmp_path, lines)
    with pytest.raises(error, match=message) as caught:
        VideoFolder(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="not a folder"):
        VideoFolder(tmp_path / "absent")


def test_huge_pictures_are_refused(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "MAX_SIDE", 32)
    with pytest.raises(VidCascadeError, match="64 × 48 pixels are more than 32"):
        VideoFolder(clips)
    write_clip(tmp_path / "a.webp", counting_frames(3), 8)
    write_metadata(tmp_path, [{"file_name": "a.webp", "text": ""}])
    with pytest.raises(VidCascadeError, match=r"a\.webp: 64 × 48 pixels are more than 32"):
        VideoFolder(tmp_path)


def test_time_is_resampled_to_the_rate(tmp_path: Path) -> None:
    found = only(tmp_path, 40, 30, frames=4)
    for seed in range(4):
        frames, _ = found.window(16, [0, 1 / 8, 2 / 8, 3 / 8], 8.0, 4, rng(seed))
        steps = np.diff(levels(frames))
        assert sorted(set(steps)) in ([3, 4], [4], [3])
        assert sum(steps) in (11, 12)  # 3/8 s at 30 frames per second
    starts = {levels(found.window(16, [0.0], 8.0, 4, rng(seed))[0])[0] for seed in range(20)}
    assert len(starts) > 8


def test_a_slow_video_is_sped_up_and_a_short_one_slowed_down(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "short").mkdir()
    times = [k / 16 for k in range(8)]
    slow, _ = only(tmp_path / "slow", 20, 8, 8).window(16, times, 16.0, 8, rng())
    assert list(np.diff(levels(slow))) == [1] * 7  # no frame twice
    short, _ = only(tmp_path / "short", 9, 60, 8).window(16, times, 16.0, 8, rng())
    assert levels(short)[0] == 0
    assert levels(short)[-1] == 8
    assert len(set(levels(short))) == 8


@example(count=46, fps=1.5, frames=3, rate=2.0, place=0.5)  # all midway between two frames
@given(
    count=st.integers(2, 200),
    fps=st.floats(1, 240),
    frames=st.integers(1, 64),
    rate=st.floats(1, 64),
    place=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=300, deadline=None)
def test_no_frame_is_shown_twice_or_out_of_order(
    count: int, fps: float, frames: int, rate: float, place: float
) -> None:
    frames = min(frames, count)
    shown = np.arange(count) / fps
    numbers = frame_numbers(shown, [k / rate for k in range(frames)], rate, frames, place)
    assert len(numbers) == frames
    assert min(numbers) >= 0
    assert max(numbers) < count
    assert all(a < b for a, b in itertools.pairwise(numbers))


def test_decord_and_pyav_read_the_same(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("decord")
    found = VideoFolder(clips, frames=8)
    used: list[object] = []
    original = random_access._decord_reader

    def reader(*given: Any) -> object:
        used.append(given)
        return original(*given)

    times = [k / 8 for k in range(8)]
    monkeypatch.setattr(random_access, "_decord_reader", reader)
    fast, _ = found.window(16, times, 8.0, 8, rng(1))
    assert used
    monkeypatch.setattr(random_access, "_decord_reader", lambda *_: None)
    exact, _ = found.window(16, times, 8.0, 8, rng(1))
    assert np.abs(fast.astype(int) - exact).max() <= 4


def test_a_video_that_breaks_later_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, counting_frames(6), 8)
    lines = [{"file_name": name, "text": name} for name in ("a.mp4", "b.mp4")]
    found = VideoFolder(write_metadata(tmp_path, lines), 4)
    frame_times.cache_clear()
    (tmp_path / "a.mp4").write_bytes(b"gone")
    with pytest.warns(UserWarning, match=r"a\.mp4 is passed over where it cannot") as told:
        captions = {found.window(8, [0.0, 0.1], 8.0, 4, rng(seed))[1] for seed in range(8)}
    assert captions == {"b.mp4"}
    assert len(told) == 1
    (tmp_path / "b.mp4").unlink()
    frame_times.cache_clear()
    with (
        pytest.warns(UserWarning, match=r"b\.mp4"),
        pytest.raises(VidCascadeError, match="cannot be read any more"),
    ):
        found.window(8, [0.0], 8.0, 4, rng())


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, counting_frames(6), 8)
    lines = [{"file_name": name, "text": name} for name in ("a.mp4", "b.mp4")]
    found = VideoFolder(write_metadata(tmp_path, lines), 4)
    fresh = pickle.loads(pickle.dumps(found))
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(b"gone")
    frame_times.cache_clear()
    with pytest.warns(UserWarning, match=r"a\.mp4 is passed over"):
        captions = [found.window(8, [0.0], 8.0, 4, rng(seed))[1] for seed in range(8)]
    assert set(captions) == {"b.mp4"}
    (tmp_path / "a.mp4").write_bytes(whole)
    again, anew = (
        [folder.window(8, [0.0], 8.0, 4, rng(seed))[1] for seed in range(8)]
        for folder in (found, fresh)
    )
    assert again == anew
    assert set(again) == {"a.mp4", "b.mp4"}


def test_times_of_a_webp_do_not_take_the_memory_of_its_frames(tmp_path: Path) -> None:
    frames = counting_frames(60, 96, 128)
    write_clip(tmp_path / "a.webp", frames, 10)
    frame_times.cache_clear()
    frame_times(tmp_path / "a.webp")  # once, so that all is imported
    frame_times.cache_clear()
    tracemalloc.start()
    try:
        times = frame_times(tmp_path / "a.webp")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < frames.nbytes / 4
    np.testing.assert_array_equal(times, read_clip(tmp_path / "a.webp").times)
    still = [Image.fromarray(frame) for frame in frames[:3]]
    still[0].save(tmp_path / "b.webp", save_all=True, append_images=still[1:], duration=0)
    np.testing.assert_array_equal(
        frame_times(tmp_path / "b.webp"), read_clip(tmp_path / "b.webp").times
    )


def test_a_gif_and_a_webp_are_videos_too(tmp_path: Path) -> None:
    lines = []
    for name in ("a.gif", "b.webp"):
        write_clip(tmp_path / name, counting_frames(8), 10)
        lines.append({"file_name": name, "text": ""})
    found = VideoFolder(write_metadata(tmp_path, lines), 8)
    assert not found.skipped
    for entry in found.entries:
        np.testing.assert_allclose(np.diff(frame_times(entry.path)), 0.1, atol=0.002)
