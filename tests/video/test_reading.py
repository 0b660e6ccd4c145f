"""Reading: exact frames and times, the same frame by number, one-sentence errors."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.video.conftest import SHARED, decode_barcode, encode
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import count_frames, random_access, read_clip, read_frames, write_clip

ODD = SHARED / "data" / "odd"
needs_odd = pytest.mark.skipif(not ODD.is_dir(), reason=f"test files {ODD} are not here")
SHUFFLED = [59, 0, 17, 17, 30, 58, 1, 42, 29, 31]

SOURCES: dict[str, dict[str, Any]] = {
    "gop12.mp4": {"options": {"g": "12"}},
    "open.mp4": {"options": {"g": "12", "x264-params": "open-gop=1:bframes=3:scenecut=0"}},
    "open.mkv": {"options": {"g": "12", "x264-params": "open-gop=1:bframes=3:scenecut=0"}},
    "intra.mkv": {"options": {"g": "1"}},
    "variable.mp4": {"options": {"g": "12"}, "step": 7},
    "stream.ts": {"options": {"g": "12"}},
    "old.avi": {"options": {"g": "12", "bf": "0"}, "codec": "mpeg4"},
    "old.mp4": {"options": {"g": "12", "bf": "2"}, "codec": "mpeg4"},
    "vp9.webm": {"options": {"g": "12", "cpu-used": "8"}, "codec": "libvpx-vp9"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_reader_returns_the_frame_asked_for(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / name, 60, **SOURCES[name])
    clip = read_clip(path)
    assert [decode_barcode(f) for f in clip.frames] == list(range(60))
    assert count_frames(path) == 60
    with_decord = read_frames(path, SHUFFLED)
    assert [decode_barcode(f) for f in with_decord] == SHUFFLED
    small = read_frames(path, np.array(SHUFFLED), size=(24, 32))
    assert small.shape == (len(SHUFFLED), 24, 32, 3)
    assert [decode_barcode(f) for f in small] == SHUFFLED
    monkeypatch.setattr(random_access, "_decord_reader", lambda *_: None)
    with_pyav = read_frames(path, SHUFFLED)
    assert np.array_equal(with_pyav, clip.frames[SHUFFLED])
    assert np.abs(with_pyav.astype(int) - with_decord).mean() < 2


def test_decord_is_kept_from_what_it_gets_wrong(tmp_path: Path) -> None:
    verdicts = {
        name: random_access.index_of(encode(tmp_path / name, 60, **SOURCES[name])).decord
        for name in ("gop12.mp4", "open.mp4", "stream.ts")
    }
    assert verdicts == {"gop12.mp4": True, "open.mp4": False, "stream.ts": False}


def test_variable_times(tmp_path: Path) -> None:
    clip = read_clip(encode(tmp_path / "v.mp4", 60, {"g": "12"}, step=7))
    expected = (np.arange(60) + np.arange(60) // 5 * 6) / 25
    assert np.allclose(clip.times, expected, atol=1e-6)


def test_trimmed_by_an_edit_list(tmp_path: Path) -> None:
    """Frames before the edit must not be shown, and must not shift the numbering."""
    import av

    whole = encode(tmp_path / "whole.mp4", 60, {"g": "30", "bf": "0"})
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(whole)) as source, av.open(str(trimmed), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        base = source.streams.video[0].time_base
        assert base is not None
        shift = int(10 / 25 / base)
        for packet in source.demux(video=0):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = stream
            out.mux(packet)
    clip = read_clip(trimmed)
    shown = [decode_barcode(f) for f in clip.frames]
    assert shown == list(range(shown[0], 60))
    assert count_frames(trimmed) == len(shown)
    picks = [0, len(shown) - 1, 5, 30]
    assert np.array_equal(read_frames(trimmed, picks), clip.frames[picks])


def test_max_frames_and_ranges(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = write_clip(tmp_path / "c.mp4", frames, 24)
    assert len(read_clip(path, max_frames=5)) == 5
    assert read_frames(path, []).shape == (0, 48, 64, 3)
    for wrong in (12, -1):
        with pytest.raises(IndexError, match="12 frames"):
            read_frames(path, [wrong])
    with pytest.raises(ValueError, match="max_frames"):
        read_clip(path, max_frames=0)
    with pytest.raises(ValueError, match="size"):
        read_frames(path, [0], size=(0, 3))


@pytest.mark.parametrize("name", ["c.gif", "c.webp", "c"])
def test_frames_by_number_of_pictures(tmp_path: Path, frames: NDArray[np.uint8], name: str) -> None:
    path = write_clip(tmp_path / name, frames, 24)
    assert np.array_equal(read_frames(path, [7, 2]), read_clip(path).frames[[7, 2]])
    assert read_frames(path, [7], size=(12, 16)).shape == (1, 12, 16, 3)


def test_a_changed_file_is_read_again(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = write_clip(tmp_path / "c.mp4", frames, 24)
    assert count_frames(path) == 12
    write_clip(path, frames[:4], 24, overwrite=True)
    assert count_frames(path) == 4
    assert len(read_frames(path, [3])) == 1


def test_one_sentence_errors(tmp_path: Path) -> None:
    import av

    with pytest.raises(UsageError, match="does not exist"):
        read_clip(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UsageError, match="is empty"):
        read_clip(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    with pytest.raises(UsageError, match="not a video"):
        read_clip(tmp_path / "text.mp4")
    (tmp_path / "bad.webp").write_bytes(b"RIFF\0\0\0\0WEBPxx")
    with pytest.raises(UsageError, match="WebP"):
        read_clip(tmp_path / "bad.webp")
    with pytest.raises(UsageError, match="holds no PNG frames"):
        read_clip(tmp_path)
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream: Any = out.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    for read in (read_clip, count_frames):
        with pytest.raises(UsageError, match="no video stream"):
            read(tmp_path / "sound.mp4")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.webm", "c.gif", "c.webp"])
def test_truncated_files_are_not_taken_for_whole(tmp_path: Path, name: str, share: float) -> None:
    """A cut-off file is refused, or read as far as it goes; never padded, never a traceback."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
    path = write_clip(tmp_path / name, noise, 24)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clip = read_clip(path)
        except VidCascadeError:
            return
    assert len(clip) < 40 or np.abs(clip.frames[-1].astype(int) - noise[-1]).mean() > 5
    if name == "c.mp4":
        assert caught, "an mp4 declares its frames, so a missing one must be told"


@needs_odd
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotation_is_applied(turn: int) -> None:
    path = ODD / f"decord_rot{turn}.mov"
    shape = (568, 320) if turn in (90, 270) else (320, 568)
    clip = read_clip(path)
    assert clip.frames.shape[1:3] == shape
    assert np.array_equal(read_frames(path, [1])[0], clip.frames[1])
    assert read_frames(path, [0], size=(50, 40)).shape == (1, 50, 40, 3)
    decord = pytest.importorskip("decord")
    theirs = decord.VideoReader(str(path))[0].asnumpy()
    assert np.abs(theirs.astype(int) - clip.frames[0]).mean() < 1


@needs_odd
@pytest.mark.parametrize("name", sorted(p.name for p in ODD.glob("torchcodec_*")))
def test_odd_pixel_formats(name: str) -> None:
    clip = read_clip(ODD / name, max_frames=8)
    picks = [6, 0, 3]
    assert np.abs(read_frames(ODD / name, picks).astype(int) - clip.frames[picks]).max() <= 2
