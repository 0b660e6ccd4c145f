"""Operations are counted, and a trainer's share of the peak follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.training import throughput
from tests.training.conftest import tiny
from vidcascade.training.dataset import WorldDataset, collate


def test_twice_the_examples_are_twice_the_work() -> None:
    spec = tiny("refiner", crop=32)
    data = WorldDataset(spec, spec.stage("refiner"), 4)
    one, two = (
        throughput.count_flops(spec, "refiner", collate([data[k] for k in range(n)]))
        for n in (1, 2)
    )
    assert one > 1e6
    assert two == pytest.approx(2 * one, rel=0.05)  # a batch shares only its modulation


def test_the_peak_is_a_rate() -> None:
    found = throughput.peak_flops(torch.float32, torch.device("cpu"), 256)
    assert 1e8 < found < 1e15


@pytest.mark.slow
def test_a_stage_is_measured(tmp_path: Path) -> None:
    arguments = ["--spec", "tiny", "--stage", "refiner", "--minutes", "0.1", "--peak-side", "512"]
    assert throughput.main([*arguments, "--results", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "throughput.json").read_text())
    (stage,) = result["data"]["stages"]
    assert stage["utilisation"] == pytest.approx(
        stage["flops"] * stage["examples_per_second"] / result["data"]["peak"]
    )
    assert 0 < stage["utilisation"] < 1
    assert throughput.main([*arguments[:2], "--stage", "none", "--results", str(tmp_path)]) == 2
