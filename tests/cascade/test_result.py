"""Stage results as files, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidcascade.cascade.result import StageResult
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError, VidCascadeError

TINY = CascadeSpec.load("tiny")


def result(frames: int = 4, size: int = 16) -> StageResult:
    video = torch.rand(2, frames, 3, size, size) * 2 - 1
    return StageResult("base", video, ["a", "ü"], ["", "b"], [1, 2**61])


def test_round_trip_is_exact(tmp_path: Path) -> None:
    made = result()
    made.save(tmp_path / "r.safetensors")
    read = StageResult.load(tmp_path / "r.safetensors")
    assert torch.equal(read.video, made.video)
    assert (read.stage, read.prompts, read.negative_prompts, read.keys) == (
        "base", ["a", "ü"], ["", "b"], [1, 2**61],
    )  # fmt: skip
    read.check(TINY)
    assert read.sample(1).keys == [2**61]
    with pytest.raises(UsageError, match="exists already"):
        made.save(tmp_path / "r.safetensors")


@pytest.mark.parametrize(("frames", "size"), [(5, 16), (4, 32)])
def test_another_shape_is_refused(frames: int, size: int) -> None:
    with pytest.raises(UsageError, match="4 frames of 16 × 16"):
        result(frames, size).check(TINY)


def test_nan_and_lost_prompts_are_refused() -> None:
    made = result()
    made.video[0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(UsageError, match="NaN"):
        made.check(TINY)
    with pytest.raises(UsageError, match="numbers of prompts"):
        StageResult("base", result().video, ["a"], ["", ""], [1, 2]).check(TINY)


def test_files_that_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no stage file"):
        StageResult.load(tmp_path / "nothing")
    save_file({"video": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="not a stage file"):
        StageResult.load(tmp_path / "other.safetensors")
    result().save(tmp_path / "r.safetensors")
    data = (tmp_path / "r.safetensors").read_bytes()
    for cut in (0, 5, 100, len(data) - 9):
        (tmp_path / "cut").write_bytes(data[:cut])
        with pytest.raises(VidCascadeError, match="truncated or damaged"):
            StageResult.load(tmp_path / "cut")
