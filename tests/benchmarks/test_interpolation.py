"""The benchmark of frame interpolation, on clips made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.interpolation import main
from tests.interpolation.conftest import scene, write


def test_it_measures_and_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for seed in (1, 2):
        write(clips / f"{seed}.mp4", scene(20, seed=seed, step=3), options={"crf": "5"})
    args = ["--clips", str(clips), "--each", "2", "--qualities", "fast", "--rife",
            str(tmp_path / "none"), "--results", str(tmp_path)]  # fmt: skip
    assert main(args) == 0
    told = json.loads((tmp_path / "interpolation.json").read_text())
    values = told["data"]["values"]
    methods = {"blend", "DIS warp", "ours, fast"}
    if shutil.which("ffmpeg"):
        methods.add("ffmpeg mci")
    assert set(values) == methods
    assert min(values["ours, fast"]["psnr"]) > max(values["blend"]["psnr"])
    assert "no RIFE in" in capsys.readouterr().out


def test_without_clips_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path / "none")]) == 0
    assert "left out" in capsys.readouterr().out
