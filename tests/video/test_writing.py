"""Writing: every format comes back, and an output is complete or not there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import check_output, count_frames, read_clip, read_metadata, write_clip

NAMES = ["c.mp4", "c.webm", "c.mkv", "c.gif", "c.webp", "c"]
MANIFEST = json.dumps({"prompt": 'a "rocket" <at> night & é 火箭', "seeds": list(range(900))})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001)])
def test_round_trip(tmp_path: Path, frames: NDArray[np.uint8], name: str, fps: Fraction) -> None:
    tags = {"comment": MANIFEST, "vidcascade": "two words"}
    path = write_clip(tmp_path / name, frames, fps, metadata=tags)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    clip = read_clip(path)
    assert clip.frames.shape == frames.shape
    assert count_frames(path) == len(frames)
    error = np.abs(clip.frames.astype(int) - frames)
    assert error.mean() < 6  # colours right; a wrong matrix or range is off by much more
    # GIF keeps hundredths and WebP thousandths of a second.
    assert float(clip.fps) == pytest.approx(float(fps), abs=0.05)
    assert np.allclose(clip.times, np.arange(len(frames)) / float(fps), atol=0.011)
    assert read_metadata(path) == tags == clip.metadata


@pytest.mark.parametrize("name", ["c.mp4", "c.webm", "c.mkv", "c.webp", "c"])
@pytest.mark.parametrize("odd", [False, True])
def test_lossless_is_exact(tmp_path: Path, name: str, odd: bool) -> None:
    shape = (5, 33, 47, 3) if odd else (5, 32, 48, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = write_clip(tmp_path / name, noise, 10, lossless=True, metadata={"comment": "x"})
    assert np.array_equal(read_clip(path).frames, noise)


@pytest.mark.parametrize("name", NAMES)
def test_odd_size_and_single_frame(tmp_path: Path, frames: NDArray[np.uint8], name: str) -> None:
    path = write_clip(tmp_path / name, frames[:1, :47, :63], 8, metadata={"comment": MANIFEST})
    clip = read_clip(path)
    assert clip.frames.shape == (1, 47, 63, 3)
    assert clip.metadata == {"comment": MANIFEST}
    assert np.abs(clip.frames.astype(int) - frames[:1, :47, :63]).mean() < 6


@pytest.mark.parametrize("name", ["c.gif", "c.webp"])
def test_animations_loop_and_open_in_pillow(
    tmp_path: Path, frames: NDArray[np.uint8], name: str
) -> None:
    from PIL import Image

    path = write_clip(tmp_path / name, iter(frames), 20, metadata={"comment": MANIFEST})
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        assert getattr(image, "n_frames", 1) == len(frames)
        image.seek(len(frames) - 1)
        image.load()


def test_png_frames_names(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    for name in ("a/", "b/%05d.png", "c"):
        folder = write_clip(f"{tmp_path}/{name}", iter(frames), 24)
        assert [p.name for p in sorted(folder.iterdir())][-1] == "00011.png"
        assert np.array_equal(read_clip(folder).frames, frames)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), OSError("source")])
def test_nothing_is_left_after_an_error(
    tmp_path: Path, frames: NDArray[np.uint8], name: str, error: BaseException
) -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield from frames[:6]
        raise error

    with pytest.raises(type(error)) as caught:
        write_clip(tmp_path / name, failing(), 24, metadata={"comment": "x"})
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_overwriting_only_when_asked(tmp_path: Path, frames: NDArray[np.uint8], name: str) -> None:
    path = write_clip(tmp_path / name, frames[:3], 24)
    with pytest.raises(UsageError, match="--force"):
        write_clip(path, frames, 24)
    assert count_frames(path) == 3

    def failing() -> Iterator[NDArray[np.uint8]]:
        yield frames[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_clip(path, failing(), 24, overwrite=True)
    assert count_frames(path) == 3
    write_clip(path, frames, 24, overwrite=True)
    assert count_frames(path) == len(frames)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_with_other_things_is_never_replaced(
    tmp_path: Path, frames: NDArray[np.uint8]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        write_clip(tmp_path / "mine", frames, 24, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    (tmp_path / "d.mp4").mkdir()
    with pytest.raises(UsageError, match="folder already"):
        check_output(tmp_path / "d.mp4", overwrite=True)
    (tmp_path / "plain").write_text("x")
    with pytest.raises(UsageError, match="file already"):
        check_output(tmp_path / "plain", overwrite=True)


def test_a_link_keeps_pointing(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    real = write_clip(tmp_path / "real.mp4", frames[:2], 24)
    link = tmp_path / "link.mp4"
    link.symlink_to(real)
    write_clip(link, frames, 24, overwrite=True)
    assert link.is_symlink()
    assert count_frames(real) == len(frames)


def test_refusals_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.webm, \.mkv, \.gif, \.webp"):
        check_output(tmp_path / "c.avi")
    with pytest.raises(UsageError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "c.mp4")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="not a folder"):
        check_output(tmp_path / "file" / "c.mp4")
    for nothing in ("", " ", "..", "/"):
        with pytest.raises(UsageError):
            check_output(nothing)

    # A refusing system, and not chmod: tests may run as root, who may write anywhere.
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(tmp_path / "c.mp4")


def test_bad_arguments(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    path = tmp_path / "c.mp4"
    with pytest.raises(UsageError, match="no frames"):
        write_clip(path, [], 24)
    with pytest.raises(UsageError, match="above zero"):
        write_clip(path, frames, 0)
    with pytest.raises(UsageError, match="lossless"):
        write_clip(tmp_path / "c.gif", frames, 24, lossless=True)
    with pytest.raises(ValueError, match="uint8"):
        write_clip(path, frames / 255.0, 24)
    with pytest.raises(ValueError, match="Frame 1"):
        write_clip(path, [frames[0], frames[1, :20]], 24)
    with pytest.raises(ValueError, match="lower-case"):
        write_clip(path, frames, 24, metadata={"Comment": "x"})
    assert list(tmp_path.iterdir()) == []


_FULL_DISK = """
import os, resource, sys
import numpy as np
from vidcascade.errors import VidCascadeError
from vidcascade.video import write_clip
folder, limit = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
for name in ["c.mp4", "c.webm", "c.mkv", "c.gif", "c.webp", "c"]:
    try:
        write_clip(os.path.join(folder, name), noise, 24, metadata={"comment": "x" * 3000})
    except VidCascadeError as error:
        message = str(error)
        assert "full" in message and os.path.join(folder, name) + " " in message, message
        assert error.exit_code == 1
    else:
        raise AssertionError(f"{name}: no error")
    assert os.listdir(folder) == [], os.listdir(folder)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize("limit", [0, 4096])
def test_full_disk(tmp_path: Path, limit: int) -> None:
    """A file size limit stands in for a full disk: the write fails, and with the same path."""
    run = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr


def test_encoder_failure_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: NDArray[np.uint8]
) -> None:
    import av

    def refuse(*_: object, **__: object) -> None:
        raise av.error.InvalidDataError(1, "bad")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(VidCascadeError, match="encoder failed"):
        write_clip(tmp_path / "c.mp4", frames, 24)
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    # Smooth and moving, as clips are: x264 weighs what later frames take from earlier ones.
    rows, columns, times = np.ogrid[:64, :64, :8]
    shift = (rows / 7 + columns / 5 + times)[..., None] + np.arange(3)
    frames = (127.5 + 127 * np.sin(shift)).astype(np.uint8).transpose(2, 0, 1, 3)
    made = {write_clip(tmp_path / f"{k}.mp4", frames, 16).read_bytes() for k in range(40)}
    assert len(made) == 1
