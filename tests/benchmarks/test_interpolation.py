"""The benchmark of frame interpolation, on clips made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import interpolation_jobs as jobs
from benchmarks.interpolation import _parts, main, make_table
from tests.interpolation.conftest import scene, write
from vidcascade.interpolation.warp_network import WarpNetwork


def test_it_measures_and_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for seed in (1, 2):
        write(clips / f"{seed}.mp4", scene(30, seed=seed, step=2), options={"crf": "5"})
    args = ["--clips", str(clips), "--each", "2", "--qualities", "fast", "--rife",
            str(tmp_path / "none"), "--results", str(tmp_path), "--sizes", "full,48",
            "--chunks", "1"]  # fmt: skip
    assert main(args) == 0
    told = json.loads((tmp_path / "interpolation.json").read_text())
    values = told["data"]["values"]
    ours = "ours, fast (no network)"
    methods = {"blend", "DIS warp", ours}
    if shutil.which("ffmpeg"):
        methods.add("ffmpeg mci")
    assert set(values) == {"full", "48", "seven"}
    assert set(values["full"]) == set(values["48"]) == methods
    assert set(values["seven"]) == methods | {f"{ours}, recursive"}
    for found in (values["full"], values["48"]):
        assert min(found[ours]["psnr"]) > max(found["blend"]["psnr"])
    assert told["data"]["clips"]["full"] == ["1.mp4", "1.mp4", "2.mp4", "2.mp4"]
    assert told["data"]["clips"]["seven"] == ["1.mp4", "2.mp4"]
    assert told["command"] == (
        "python -m benchmarks.interpolation --clips clips --each 2 --steps 1 --sizes full,48 "
        "--largest 640 --chunks 1 --qualities fast --rife none"
    )
    assert len(values["full"][ours]["psnr"]) == 4
    assert len(values["seven"][ours]["psnr"]) == 2
    assert "no RIFE in" in capsys.readouterr().out


def test_a_clip_counts_once_however_many_samples_it_has() -> None:
    many = [30.0] * 20 + [20.0, 22.0, 21.0, 19.0, 23.0]
    clips = ["a"] * 20 + ["b", "c", "d", "e", "f:1-9"]
    values = {"blend": {"psnr": many, "seconds": [1.0] * 25}}
    table = make_table("T", values, clips, ("no RIFE",))
    assert table.rows[0][1].startswith("22.50 (")
    assert "25 samples of 6 clips" in table.notes[0]
    assert "bootstrap over clips" in table.notes[0]
    # Fewer clips have no interval, whatever the number of their samples.
    part = {"blend": {key: numbers[:-1] for key, numbers in values["blend"].items()}}
    few = make_table("T", part, clips[:-1], ())
    assert few.rows[0][1] == "22.40 [19.00 to 30.00]"
    assert "square brackets" in few.notes[0]


def test_without_clips_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path / "none")]) == 0
    assert "left out" in capsys.readouterr().out


def test_a_part_of_a_clip_and_other_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    WarpNetwork(coarse=(16, 16, 16), fine=16, bridge=8).save_pretrained(tmp_path / "weights")
    clip = write(tmp_path / "clip.mp4", scene(30, step=3), options={"crf": "5"})
    args = ["--clips", f"{clip}:5-20", "--each", "2", "--qualities", "balanced", "--weights",
            str(tmp_path / "weights"), "--rife", str(tmp_path / "none"), "--results",
            str(tmp_path)]  # fmt: skip
    assert main(args) == 0
    told = json.loads((tmp_path / "interpolation.json").read_text())
    assert told["data"]["clips"] == {"full": ["clip.mp4:5-20"] * 2}
    assert "--clips clip.mp4:5-20 " in told["command"]
    assert told["command"].endswith(" --qualities balanced --weights weights --rife none")
    values = told["data"]["values"]["full"]
    assert min(values["ours, balanced (network)"]["psnr"]) > max(values["blend"]["psnr"])
    whole, first, last = _parts("a:b.mp4")
    assert (whole, first, last) == (Path("a:b.mp4"), 0, None)


def test_jobs_are_timed(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", scene(30, step=2), options={"crf": "5"})
    args = ["--clip", str(clip), "--first", "2", "--seconds", "1,2", "--fps", "8", "--quality",
            "fast", "--qualities", "fast", "--calls", "2", "--results", str(tmp_path)]  # fmt: skip
    assert jobs.main(args) == 0
    told = json.loads((tmp_path / "interpolation_jobs.json").read_text())
    assert [one["frames"] for one in told["data"]["files"]] == [8, 16]
    assert set(told["data"]["calls"]["fast"]) == {"640 x 480", "256 x 256", "128 x 128"}
    assert jobs.main(["--clip", str(tmp_path / "none.mp4")]) == 0
