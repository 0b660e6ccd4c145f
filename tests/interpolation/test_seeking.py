"""Reading from the middle of a clip gives the very frames that reading all of it gives."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interpolation.conftest import scene, write
from vidcascade.errors import UsageError
from vidcascade.interpolation import source as module
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.seeking import Seeks, decode, video_frames
from vidcascade.interpolation.source import Source, SourceFrame
from vidcascade.video.decoding import open_video

B_FRAMES = {"bf": "3", "g": "8", "x264-params": "b-pyramid=normal:scenecut=0"}
OPEN = {"bf": "3", "g": "8", "x264-params": "open-gop=1:scenecut=0"}
REFRESH = {"g": "8", "x264-params": "intra-refresh=1:scenecut=0"}
CLIPS: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": B_FRAMES},
    "open.mp4": {"options": OPEN},
    "open.mkv": {"options": OPEN},
    "refresh.mkv": {"options": REFRESH},
    "stream.ts": {"options": B_FRAMES, "rate": 25},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=8:log-level=none"}},
    "part4.avi": {"codec": "mpeg4", "options": {"g": "8", "bf": "2"}, "rate": 25},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime"}},
    "uneven.mkv": {
        "options": B_FRAMES,
        "tick": Fraction(1, 1000),
        "stamps": [40 * k + (17 if k % 3 else 0) for k in range(48)],
    },
}


def planes(item: SourceFrame) -> list[np.ndarray]:
    return [plane.copy() for plane in Canvas.of(item.frame).planes(item.frame)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("name", CLIPS)
def test_the_same_frames_as_from_the_beginning(folder: Path, name: str) -> None:
    source = Source.open(write(folder / name, scene(48), **CLIPS[name]))
    plainly = replace(source, seeks=None)
    everything = [(item.index, item.time, planes(item)) for item in plainly.frames()]
    assert len(everything) == 48
    for first in (1, 17, 23, 24, 25, 40, 47):
        start = everything[first][1]
        found = [(item.index, item.time, planes(item)) for item in source.frames(start)]
        wanted = everything[first:]
        assert [f[:2] for f in found] == [w[:2] for w in wanted]
        for (*_, one), (*_, other) in zip(found, wanted, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not source.warnings


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "vp9.webm", "uneven.mkv"])
def test_what_lies_before_is_not_decoded(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.open(write(folder / f"again_{name}", scene(48), **CLIPS[name]))
    real, seen = module.video_frames, []

    def counted(path: Path, place: int | None = None) -> Any:
        for frame in real(path, place):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(module, "video_frames", counted)
    kept = list(source.frames(Fraction(45, 25)))
    assert 0 < len(kept) <= len(seen) <= 24


def test_a_demuxer_that_lands_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong promises about key frames cost time and nothing else."""
    source = Source.open(write(folder / "liar.mp4", scene(48), options=B_FRAMES))
    assert source.seeks is not None
    wrong = replace(source, seeks=replace(source.seeks, keys=source.seeks.stamps))
    for start in (Fraction(13, 24), Fraction(30, 24)):
        found = [(item.index, item.time, planes(item)) for item in wrong.frames(start)]
        wanted = [(i.index, i.time, planes(i)) for i in replace(source, seeks=None).frames(start)]
        assert [f[:2] for f in found] == [w[:2] for w in wanted]
        assert all(np.array_equal(f[2][0], w[2][0]) for f, w in zip(found, wanted, strict=True))


def seeks_of(stamps: list[int], keys: list[int], tick: Fraction = Fraction(1, 1000)) -> Seeks:
    return Seeks(np.array(stamps, np.int64), np.array(keys, np.int64), tick)


@settings(deadline=None)
@given(
    stamps=st.lists(st.integers(-500, 5000), min_size=1, max_size=40, unique=True).map(sorted),
    data=st.data(),
    tick=st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 24_000)]),
)
def test_decoding_begins_at_the_key_frame_before_the_last(
    stamps: list[int], data: st.DataObject, tick: Fraction
) -> None:
    keys = sorted(data.draw(st.sets(st.sampled_from(stamps))))
    asked = data.draw(st.integers(-600, 6000))
    place = seeks_of(stamps, keys, tick).before(asked * tick)
    passed = [key for key in keys if key < asked]  # at least a tick before it
    assert place == (passed[-2] if len(passed) > 2 else None)


@settings(deadline=None)
@given(st.lists(st.integers(-500, 500), min_size=1, max_size=40, unique=True).map(sorted))
def test_frames_are_numbered_by_their_times(stamps: list[int]) -> None:
    seeks = seeks_of(stamps, [])
    assert [seeks.number(stamp) for stamp in stamps] == list(range(len(stamps)))
    assert seeks.number(stamps[-1] + 1) == len(stamps)


def test_rounding_of_a_tick_does_not_skip_a_frame() -> None:
    seeks = seeks_of(list(range(0, 500, 10)), list(range(0, 500, 100)))
    # A time that rounding put just after the key frame at 400 may still mean that frame.
    for time, place in ((400, 200), (401, 300), (301, 200), (300, 100), (201, 100), (200, None)):
        assert seeks.before(Fraction(time, 1000)) == place
    assert seeks.before(Fraction(4009, 10_000)) == 200
    assert seeks.before(Fraction(-1)) is None


def marks(frames: Any) -> list[tuple[int, bytes]]:
    """Time and luma of each frame."""
    return [(f.pts, bytes(Canvas.of(f).planes(f)[0])) for f in frames]


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "vp9.webm"])
def test_decoding_from_a_key_frame_gives_the_rest(folder: Path, name: str) -> None:
    path = write(folder / f"rest_{name}", scene(48), **CLIPS[name])
    whole = marks(video_frames(path))
    assert len(whole) == 48
    seeks = Source.open(path).seeks
    assert seeks is not None
    assert [stamp for stamp, _ in whole] == seeks.stamps.tolist()
    assert len(seeks.keys) >= 3
    for key in seeks.keys[1:-1]:
        assert marks(video_frames(path, int(key))) == whole[seeks.number(key) :]


def test_a_container_without_an_index_gives_the_rest_or_everything(folder: Path) -> None:
    path = write(folder / "guessed.ts", scene(48), **CLIPS["stream.ts"])
    whole = marks(video_frames(path))
    seeks = Source.open(path).seeks
    assert seeks is not None
    for key in seeks.keys[1:-1]:
        assert marks(video_frames(path, int(key))) in (whole, whole[seeks.number(key) :])


@pytest.mark.parametrize("shift", [1, -1, 10**9])
def test_a_place_that_is_no_key_frame_gives_everything(folder: Path, shift: int) -> None:
    path = write(folder / f"no_key{shift}.mp4", scene(24), **CLIPS["closed.mp4"])
    seeks = Source.open(path).seeks
    assert seeks is not None
    place = int(seeks.keys[1]) + shift
    assert marks(video_frames(path, place)) == marks(video_frames(path))


def test_a_reader_that_stops_early_lets_go_of_the_file(folder: Path) -> None:
    path = write(folder / "early.mp4", scene(24), **CLIPS["closed.mp4"])
    seeks = Source.open(path).seeks
    assert seeks is not None
    for place in (None, int(seeks.keys[1])):
        frames: Any = video_frames(path, place)
        next(frames)
        frames.close()
        assert list(frames) == []


def test_what_is_no_video_is_told(folder: Path) -> None:
    broken = folder / "text.mp4"
    broken.write_text("nothing to see " * 99)
    for place in (None, 5):
        with pytest.raises(UsageError, match="is not a video"):
            next(video_frames(broken, place))


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_opacity_is_decoded_where_the_file_has_it(folder: Path, codec: str) -> None:
    """FFmpeg's own decoders of both would give frames that are opaque."""
    alpha = np.zeros((12, 48, 64, 1), np.uint8)
    alpha[:, 12:36, 16:48] = 255
    rgba = np.concatenate((scene(12), alpha), axis=3)
    fast = {"deadline": "realtime", "g": "4", "auto-alt-ref": "0"}
    seen = write(folder / f"{codec}_alpha.webm", rgba, codec=codec, pixels="yuva420p", options=fast)
    with open_video(seen) as (container, stream):
        frames = list(decode(container, stream))
    assert [frame.format.name for frame in frames] == ["yuva420p"] * 12
    for frame in frames:
        found = Canvas.of(frame).planes(frame)[3].astype(int)
        assert np.abs(found - alpha[0, ..., 0])[14:34, 18:46].max() < 30
        assert found[:10].max() < 30
    assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)
    solid = write(folder / f"{codec}.webm", scene(4), codec=codec, options=fast)
    with open_video(solid) as (container, stream):
        assert {frame.format.name for frame in decode(container, stream)} == {"yuv420p"}


def test_opacity_is_the_same_from_the_middle(folder: Path) -> None:
    rgba = np.concatenate((scene(24), np.full((24, 48, 64, 1), 128, np.uint8)), axis=3)
    options = {"deadline": "realtime", "g": "4", "auto-alt-ref": "0"}
    path = write(
        folder / "middle.webm", rgba, codec="libvpx-vp9", pixels="yuva420p", options=options
    )
    whole = marks(video_frames(path))
    seeks = Source.open(path).seeks
    assert seeks is not None
    key = int(seeks.keys[2])
    assert marks(video_frames(path, key)) == whole[seeks.number(key) :]
