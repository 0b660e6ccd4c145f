"""Reading from the middle of a clip gives the very frames that reading all of it gives."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interpolation.conftest import scene, write
from vidcascade.interpolation import source as module
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.source import Source, SourceFrame

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
