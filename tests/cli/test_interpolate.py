"""``vidcascade interpolate`` as a person meets it: what it writes, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.interpolation.conftest import scene, spoilt, write
from vidcascade.video import read_clip

Run = Callable[..., tuple[int, str, str]]
FAST = ("--quality", "fast")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """10 frames at 24 fps with sound."""
    folder = tmp_path / "in"
    folder.mkdir()
    return write(folder / "clip.mp4", scene(10), audio=0.4)


def test_a_clip_becomes_a_smoother_one(command: Run, tmp_path: Path, clip: Path) -> None:
    out = tmp_path / "out.mp4"
    code, text, errors = command("interpolate", clip, out, "--factor", 4, *FAST)
    assert code == 0, errors
    assert len(read_clip(out)) == 40
    assert "10 frames at 24 fps became 40 at 96 fps, 0.417 s of 64 × 48, h264 yuv420p" in text
    assert "10 originals, 27 made, 3 held" in text
    assert "peak memory" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.mp4"]


def test_rates_json_and_cuts(command: Run, tmp_path: Path) -> None:
    frames = np.concatenate([scene(8, seed=1), scene(8, seed=2)])
    source = write(tmp_path / "cut.mp4", frames)
    args = ("interpolate", source, tmp_path / "out.mkv", "--fps", "59.94", "--json", *FAST)
    code, text, errors = command(*args)
    assert code == 0, errors
    told = json.loads(text)
    (report,) = told["clips"]
    assert report["fps_out"] == pytest.approx(60000 / 1001)
    assert report["cuts"] == [pytest.approx(1 / 3)]
    assert told["peak_memory_bytes"] > 1e7
    code, text, _ = command("interpolate", source, tmp_path / "again.mkv", *FAST)
    assert "scene cuts at 0.33 s" in text
    assert len(read_clip(tmp_path / "again.mkv")) == 32  # the factor is 2 unasked


def test_a_folder(command: Run, tmp_path: Path, clip: Path) -> None:
    (clip.parent / "bad.mp4").write_bytes(b"nothing")
    code, text, errors = command("interpolate", clip.parent, tmp_path / "out", *FAST)
    assert code == 1
    assert "clip.mp4: 10 frames" in text
    assert "1 of the clips failed" in errors
    assert "bad.mp4 is not a video" in errors
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["clip.mp4"]


def test_preview(command: Run, tmp_path: Path, clip: Path) -> None:
    code, text, errors = command("interpolate", clip, tmp_path / "p.mp4", "--preview", *FAST)
    assert code == 0, errors
    assert "ours on the right" in text
    assert read_clip(tmp_path / "p.mp4").frames.shape[1:] == (48, 128, 3)


def test_a_preview_says_what_is_wrong_with_the_clip(command: Run, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mkv", scene(8, 96, 128), options={"bf": "0", "crf": "5"})
    source = spoilt(whole, tmp_path / "in.mkv")
    args = ("interpolate", source, tmp_path / "p.mp4", "--preview")
    code, text, errors = command(*args, "--steps", 2)  # of which the network takes one
    assert code == 0, errors
    assert "ours on the right" in text
    assert "vidcascade: warning: The interpolation network" in errors
    assert f"vidcascade: note: {source} is damaged at frame 5." in errors


def test_encoder_options(command: Run, tmp_path: Path, clip: Path) -> None:
    sizes = []
    for crf in (10, 40):
        out = tmp_path / f"{crf}.mp4"
        args = ("--codec", "hevc", "--crf", crf, "--encoder", "preset=ultrafast", "--no-audio")
        code, _, errors = command("interpolate", clip, out, *args, *FAST)
        assert code == 0, errors
        with av.open(str(out)) as container:
            assert [s.type for s in container.streams] == ["video"]
            assert container.streams.video[0].codec_context.name == "hevc"
        sizes.append(out.stat().st_size)
    assert sizes[0] > 1.2 * sizes[1]


BAD: list[tuple[list[str], int, str]] = [
    (["{in}/text.mp4", "{in}/o.mp4"], 2, "not a video"),
    (["{in}/cut.mp4", "{in}/o.mp4"], 2, "not a video"),
    (["{in}/sound.m4a", "{in}/o.mp4"], 2, "no video stream"),
    (["{in}/one.mp4", "{in}/o.mp4"], 2, "one frame only"),
    (["{in}/empty.mp4", "{in}/o.mp4"], 2, "empty"),
    (["{in}/still.png", "{in}/o.mp4"], 2, "one frame only"),
    (["{in}/still.jpg", "{in}/o.mp4"], 2, "one frame only"),
    (["{in}/nothing.mp4", "{in}/o.mp4"], 2, "does not exist"),
    (["{in}/none", "{in}/o.mp4"], 2, "holds no clips"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--factor", "0"], 2, "whole number"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--factor", "-3"], 2, "whole number"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--factor", "2.5"], 2, "--fps"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--factor", "many"], 2, "whole number"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--factor", "2", "--fps", "60"], 2, "either"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--fps", "0"], 2, "above zero"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--fps", "fast"], 2, "not a number"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--fps", "100000"], 2, "at most 1000"),
    (["{in}/clip.mp4", "{in}/o.avi"], 2, "Cannot write .avi"),
    (["{in}/clip.mp4", "{in}/o.webm"], 2, "cannot hold the sound"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--codec", "ffv1"], 2, "cannot hold ffv1"),
    (["{in}/clip.mp4", "{in}/o.webm", "--codec", "h264"], 2, "cannot hold h264"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--codec", "divx"], 2, "unknown"),
    (["{in}/clip.mp4", "{in}/o.gif", "--codec", "h264"], 2, "no effect"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--crf", "99"], 2, "from 0 to 51"),
    (["{in}/clip.mp4", "{in}/o.mkv", "--codec", "ffv1", "--crf", "3"], 2, "no effect"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--encoder", "preset"], 2, "preset=slow"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--encoder", "preset=warp9"], 2, "encoder refuses"),
    (["{in}/clip.mp4", "{in}/clip.mp4", "--force"], 2, "the input itself"),
    (["{in}/clip.mp4", "{in}/link.mp4", "--force"], 2, "the input itself"),
    (["{in}/clip.mp4", "{in}/text.mp4"], 2, "--force"),
    (["{in}/clip.mp4", "{in}/none", "--force"], 0, ""),
    (["{in}/clip.mp4", "{in}/other", "--force"], 2, "not a PNG frame"),
    (["{in}/clip.mp4", "{in}/no/folder/o.mp4"], 2, "does not exist"),
    (["{in}/clip.mp4", "/proc/o.mp4"], 2, "cannot be written to"),
    (["{in}/clip.mp4", ""], 2, "not a name"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--quality", "superb"], 2, "fast, balanced, best"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--steps", "0"], 2, "at least 1"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--duplicates", "burn"], 2, "keep or replace"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--on-interrupt", "cry"], 2, "--on-interrupt"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--start", "soon"], 2, "--start"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--start", "99"], 2, "behind the end"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--start", "2", "--end", "1"], 2, "after --start"),
    (["{in}/sizes.mkv", "{in}/o.mp4"], 2, "changes its picture size"),
    (["{in}", "{in}"], 2, "the input itself"),
    (["{in}", "{in}/text.mp4"], 2, "is a file"),
    (["{in}", "{in}/../outs", "--preview"], 2, "one clip"),
    (["{in}/clip.mp4", "{in}/o.gif", "--factor", "8"], 2, "at most 100 frames per second, not 192"),
    (["{in}/clip.mp4", "{in}/o.gif", "--fps", "120", "--preview"], 2, "at most 100"),
    (["{in}/text.mp4", "{in}/o.mov", "--preview"], 2, "Cannot write .mov"),  # before it is read
    (["{in}/text.mp4", "{in}/o.m4v", "--preview"], 2, "Cannot write .m4v"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--preview", "--json"], 2, "--json has no effect"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--preview", "--crf", "0"], 2, "--crf has no effect"),
    (
        ["{in}/clip.mp4", "{in}/o.mp4", "--preview", "--resume", "--codec", "av1"],
        2,
        "--codec, --resume have no effect together with --preview",
    ),
    (["{in}/clip.mp4", "{in}/o.mp4", "--preview", "--encoder", "preset=fast"], 2, "--encoder has"),
    (["{in}/clip.mp4", "{in}/o.mp4", "--preview", "--on-interrupt", "keep"], 2, "--on-interrupt"),
]


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that is wrong."""
    folder = tmp_path_factory.mktemp("odd")
    clip = write(folder / "clip.mp4", scene(6), audio=0.4)
    (folder / "text.mp4").write_text("I am not a video. " * 40)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    write(folder / "one.mp4", scene(1))
    Image.fromarray(scene(1)[0]).save(folder / "still.png")
    Image.fromarray(scene(1)[0]).save(folder / "still.jpg")
    (folder / "none").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "letter.txt").write_text("dear")
    (folder / "link.mp4").symlink_to(clip)
    with av.open(str(folder / "sound.m4a"), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000)
        for place in range(0, 9600, 1024):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.pts, samples.sample_rate = place, 48000
            out.mux(stream.encode(samples))
        out.mux(stream.encode(None))
    # An MJPEG stream may change its size from frame to frame.
    with av.open(str(folder / "sizes.mkv"), "w") as out:
        video = None
        for number in range(4):
            size = (48, 64) if number < 2 else (32, 32)
            coder = av.CodecContext.create("mjpeg", "w")
            coder.width, coder.height, coder.pix_fmt = size[1], size[0], "yuvj420p"
            coder.time_base, coder.framerate = Fraction(1, 24), 24
            frame = av.VideoFrame.from_ndarray(scene(1, *size)[0]).reformat(format="yuvj420p")
            if video is None:
                video = out.add_stream("mjpeg", rate=24)
                video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
            for packet in [*coder.encode(frame), *coder.encode(None)]:
                packet.pts = packet.dts = number
                packet.time_base = Fraction(1, 24)
                packet.stream = video
                out.mux(packet)
    return folder


@pytest.mark.parametrize(("args", "code", "words"), BAD, ids=lambda v: str(v)[:60])
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(
    command: Run, oddities: Path, args: list[str], code: int, words: str
) -> None:
    def inventory() -> list[tuple[str, int]]:
        return sorted((str(p), p.stat().st_size) for p in oddities.rglob("*") if p.is_file())

    before = inventory()
    filled = [a.replace("{in}", str(oddities)) for a in args]
    quality = () if "--quality" in filled or "--steps" in filled else FAST
    got, text, errors = command("interpolate", *filled, *quality)
    assert got == code, errors
    assert "Traceback" not in errors
    if code == 0:  # an empty folder may become one of frames
        for file in (oddities / "none").iterdir():
            file.unlink()
        return
    assert words in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert text == ""
    assert inventory() == before
    assert not list(oddities.glob(".*"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder closed to root, too")
def test_a_read_only_folder(command: Run, tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root may write anywhere but into the kernel's own folders
        folder = Path("/proc")
    code, _, errors = command("interpolate", clip, folder / "o.mp4", *FAST)
    assert code == 2
    assert "cannot be written to" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize("limit", [600, 40000])
@pytest.mark.parametrize("name", ["o.mkv", "o.mp4", "o.webp", "o.gif", "frames"])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, clip: Path, limit: int, name: str
) -> None:
    """A file size limit stands in for the disk: writes fail half-way with a real error."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 96, 128, 3), np.uint8)
    source = write(clip.parent / "noise.mkv", frames, options={"crf": "10"})
    output = tmp_path / "out"
    output.mkdir()
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from vidcascade.cli.main import main; main()"
    )
    codec = ["--codec", "ffv1"] if name == "o.mkv" else []
    done = subprocess.run(
        [sys.executable, "-c", code, "interpolate", str(source), str(output / name), *FAST, *codec],
        capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(output.iterdir()) == []


def test_nothing_is_overwritten_unasked(command: Run, tmp_path: Path, clip: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    code, _, errors = command("interpolate", clip, out, *FAST)
    assert (code, out.read_bytes()) == (2, b"mine")
    assert "--force" in errors
    assert command("interpolate", clip, out, "--force", *FAST)[0] == 0
    assert len(read_clip(out)) == 20


def interrupted(source: Path, output: Path, *options: str) -> tuple[int, str]:
    """Exit code and stderr of a run that is sent Ctrl-C while ``o.mp4`` in ``output`` is made."""
    import signal
    import time

    command = [sys.executable, "-m", "vidcascade", "interpolate", str(source), *options, *FAST]
    # Where the tests are run in the background it is ignored, which the child would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if list(output.glob(".o.mp4.vidcascade/*.part")):
            break
        time.sleep(0.05)
    else:
        running.kill()
        pytest.fail("nothing was begun that could be interrupted")
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert "Traceback" not in errors
    return running.returncode, errors


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("choice", "left"), [("discard", []), ("keep", ["o.mp4"]), ("resumable", [".o.mp4.vidcascade"])]
)
def test_ctrl_c(tmp_path: Path, choice: str, left: list[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = write(folder / "in.mp4", scene(150, 96, 128, step=1))
    output = tmp_path / "out"
    output.mkdir()
    options = ("--factor", "8", "--on-interrupt", choice)
    code, errors = interrupted(source, output, str(output / "o.mp4"), *options)
    assert code == 130, errors
    assert [p.name for p in output.iterdir()] == left
    if choice == "keep":
        assert 0 < len(read_clip(output / "o.mp4")) < 1200


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_stops_a_folder_whatever_it_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "o.mp4", scene(150, 96, 128, step=1))
    write(folder / "p.mp4", scene(4))
    output = tmp_path / "out"
    options = ("--factor", "8", "--on-interrupt", "keep")
    code, errors = interrupted(folder, output, str(output), *options)
    assert code == 130, errors
    assert "add --resume" in errors
    assert [p.name for p in output.iterdir()] == ["o.mp4"]
    assert 0 < len(read_clip(output / "o.mp4")) < 1200
