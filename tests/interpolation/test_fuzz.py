"""Hostile files: hundreds of mutated ones, in processes with limits on time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.interpolation.conftest import scene, write
from vidcascade.video import write_clip

FILES = 520
_EACH = 40  # files for one process
_SECONDS = 10
_MEMORY = 3 << 30  # address space, of which libraries take most

# Reads every file named on its input as a job would, and tells what came of it.
_READER = f"""
import json, resource, sys, time
from pathlib import Path
import av, cv2, numpy
from vidcascade.errors import VidCascadeError
from vidcascade.interpolation.outputs import choose
from vidcascade.interpolation.joining import find_copies
from vidcascade.interpolation.planes import Canvas, is_supported
from vidcascade.interpolation.source import Source
av.logging.set_level(None)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {_MEMORY}, used + {_MEMORY}))
for line in sys.stdin:
    path = Path(line.strip())
    print(json.dumps({{"file": path.name, "began": True}}), flush=True)
    began = time.monotonic()
    said = ""
    try:
        source = Source.open(path)
        if is_supported(source.first.format.name):
            canvas = Canvas.of(source.first)
            find_copies(source, choose(".mkv", canvas, "ffv1"), ".mkv", True, True)
            for number, known in enumerate(source.frames()):
                canvas.rgb(known.frame)
        said = "read"
    except VidCascadeError as error:
        said = "refused"
        assert str(error).strip() and "\\n" not in str(error).strip()
    except BaseException as error:
        said = f"{{type(error).__name__}}: {{error}}"
    print(json.dumps({{"file": path.name, "said": said,
                       "seconds": time.monotonic() - began}}), flush=True)
"""


def originals(folder: Path) -> list[Path]:
    """One small file of each kind."""
    frames = scene(6)
    found = [
        write(folder / "a.mp4", frames, audio=0.2, options={"bf": "2"}),
        write(folder / "b.mkv", frames, codec="libx265", options={"x265-params": "log-level=none"}),
        write(folder / "c.webm", frames, codec="libvpx-vp9", options={"cpu-used": "8"}),
        write(folder / "d.avi", frames, codec="mpeg4"),
        write(folder / "e.mov", frames, rotation=90),
        write(folder / "f.mkv", frames, codec="ffv1"),
        write(folder / "g.ts", frames, codec="mpeg2video", rate=25),
        write_clip(folder / "h.gif", frames, 10),
        write_clip(folder / "i.webp", frames, 10),
        write(folder / "j.mkv", frames, codec="mjpeg", pixels="yuvj420p", colour=(6, 2, 1, 1)),
    ]
    Image.fromarray(frames[0]).save(folder / "k.png")
    return [*found, folder / "k.png"]


def mutations() -> list[Callable[[bytearray, np.random.Generator], bytearray]]:
    def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
        for place in rng.integers(0, len(data), int(rng.integers(1, 30))):
            data[place] ^= 1 << int(rng.integers(8))
        return data

    def head(data: bytearray, rng: np.random.Generator) -> bytearray:
        for place in rng.integers(0, min(len(data), 600), int(rng.integers(1, 12))):
            data[place] = int(rng.integers(256))
        return data

    def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
        return data[: int(rng.integers(1, len(data)))]

    def lose(data: bytearray, rng: np.random.Generator) -> bytearray:
        begin = int(rng.integers(len(data)))
        del data[begin : begin + int(rng.integers(1, 400))]
        return data

    def repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
        begin = int(rng.integers(len(data)))
        part = data[begin : begin + int(rng.integers(1, 800))]
        return data[:begin] + part * int(rng.integers(2, 6)) + data[begin:]

    def sizes(data: bytearray, rng: np.random.Generator) -> bytearray:
        for place in rng.integers(0, max(1, len(data) - 4), 3):
            value = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\0\0\0"]
            data[place : place + 4] = value[int(rng.integers(4))]
        return data

    return [flip, head, cut, lose, repeat, sizes]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's process limits")
def test_mutated_files_neither_crash_nor_hang_nor_fill_the_memory(tmp_path: Path) -> None:
    sources = originals(tmp_path)
    folder = tmp_path / "mutated"
    folder.mkdir()
    rng = np.random.default_rng(20)
    ways = mutations()
    files = []
    for number in range(FILES):
        source = sources[number % len(sources)]
        data = ways[number // len(sources) % len(ways)](bytearray(source.read_bytes()), rng)
        file = folder / f"{number:04d}{source.suffix}"
        file.write_bytes(data)
        files.append(file)
    said: dict[str, int] = {}
    for begin in range(0, len(files), _EACH):
        batch = files[begin : begin + _EACH]
        done = subprocess.run(
            [sys.executable, "-c", _READER], input="\n".join(map(str, batch)),
            capture_output=True, text=True, check=False, timeout=_SECONDS * _EACH,
        )  # fmt: skip
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0, (done.returncode, told[-1:], done.stderr[-2000:])
        for line in told:
            if "said" in line:
                assert line["said"] in ("read", "refused"), line
                assert line["seconds"] < _SECONDS, line
                said[line["said"]] = said.get(line["said"], 0) + 1
    assert sum(said.values()) == FILES
    assert min(said.values()) > 50, said  # mutations that change nothing would prove nothing
