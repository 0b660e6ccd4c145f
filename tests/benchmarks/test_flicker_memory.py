"""Memory against length: clips are cut where they should be, and processes are watched."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.flicker import memory, speed
from tests.metrics.flickering import pan
from vidcascade.errors import UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are watched on POSIX")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with pictures that are stored out of order."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.options = {"bf": "3", "g": "12"}
        for picture in pan(36):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_cut_holds_the_first_frames_and_no_others(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut.mp4"
    assert memory.cut(clip, 1.0, out) == 12
    with av.open(str(clip)) as whole, av.open(str(out)) as part:
        frames = [f.to_ndarray(format="rgb24") for f in part.decode(video=0)]
        assert len(frames) == 12
        for ours, theirs in zip(frames, whole.decode(video=0), strict=False):
            np.testing.assert_array_equal(ours, theirs.to_ndarray(format="rgb24"))


def test_a_process_is_watched_to_its_end() -> None:
    code = "import time; held = bytearray(200_000_000); time.sleep(0.5)"
    found = memory.watch([sys.executable, "-c", code], every=0.05)
    # What this process holds itself is not counted.
    assert 200e6 < found.peak < 250e6
    assert max(found.resident) <= found.peak
    assert found.wall >= 0.5
    with pytest.raises(UsageError, match="no such thing"):
        memory.watch([sys.executable, "-c", "raise SystemExit('no such thing')"], every=0.05)


def test_too_short_a_clip_is_refused(clip: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        speed.main([str(clip), "--memory"])
    assert ended.value.code == 2
    assert "3 s long: give a clip of more than 60 s" in capsys.readouterr().err


@pytest.mark.slow
def test_both_lengths_are_measured_and_stored(clip: Path, tmp_path: Path) -> None:
    table = memory.measure(clip, tmp_path, seconds=1.0)
    stored = json.loads((tmp_path / "memory.json").read_text())
    assert [row[1] for row in table.rows] == ["12", "36"]
    short, whole = stored["data"].values()
    assert (short["frames"], whole["frames"]) == (12, 36)
    # Of processes of a few frames a third may be chance; frames that were kept would be more.
    assert 50 < whole["peak_mib"] < 1.6 * short["peak_mib"]
    assert whole["resident_mib_by_tenths"]
