"""Animations are read one frame at a time, however long they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidcascade.interpolation.source import Source

COUNT, SIDE = 300, 320

_SCRIPT = """
import resource, sys
from vidcascade.interpolation.source import Source
source = Source.open(sys.argv[1])
frames = source.frames()
next(frames)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 1 + sum(1 for _ in frames)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture(scope="module", params=["gif", "webp"])
def animation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many frames that are small in the file and large in memory."""
    path = tmp_path_factory.mktemp("animations") / f"long.{request.param}"
    frames = []
    for number in range(COUNT):
        picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
        picture[number % SIDE, :, number % 3] = 200
        frames.append(Image.fromarray(picture))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_memory_does_not_grow_with_length(animation: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(animation)], capture_output=True, text=True, check=True
    )
    count, grown = (int(word) for word in done.stdout.split())
    assert count == COUNT
    assert grown < COUNT * SIDE * SIDE * 3 / 1024 / 8


def test_all_frames_are_there_in_order(animation: Path) -> None:
    rows = []
    for item in Source.open(animation).frames():
        picture = item.frame.to_ndarray(format="rgb24").astype(int)
        rows.append(int(picture.max(axis=2).mean(axis=1).argmax()))
    assert rows == [number % SIDE for number in range(COUNT)]
