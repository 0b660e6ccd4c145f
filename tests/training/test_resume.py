"""A run that was interrupted ends as one that was not, to the last bit."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import STAGES, tiny
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.training.logs import Progress
from vidcascade.training.sources import Drawn, WorldSource
from vidcascade.training.trainer import RunSettings, train_stage


class Killed(Exception):
    """Stands for the end of the process."""


def run(spec: CascadeSpec, stage: str, out: Path, kill_at: int = 0, **settings: Any) -> None:
    def report(line: Progress) -> None:
        if line.step == kill_at:
            raise Killed

    given = RunSettings(out, save_every=3, log_every=1, workers=0, **settings)
    if kill_at:
        with pytest.raises(Killed):
            train_stage(spec, stage, given, report)
    else:
        train_stage(spec, stage, given, report)


def losses(out: Path) -> list[list[str]]:
    """All columns but the three that measure time."""
    with (out / "log.csv").open(encoding="utf-8") as file:
        return [[row[0], *row[2:8]] for row in csv.reader(file)]


def assert_same_weights(first: Path, second: Path) -> None:
    for name in ("checkpoint/ema", "checkpoint/network", "network/diffusion_pytorch_model"):
        ours, theirs = (load_file(f / f"{name}.safetensors") for f in (first, second))
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert torch.equal(tensor, theirs[key]), (name, key)


@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_repeats_an_uninterrupted_one(stage: str, tmp_path: Path) -> None:
    spec = tiny(stage, steps=6, degradation=0.5, augmentation=(0.0, 0.3))
    run(spec, stage, tmp_path / "whole")
    # Killed after the line of step 5, with a checkpoint of step 3.
    run(spec, stage, tmp_path / "parts", kill_at=5)
    assert len(losses(tmp_path / "parts")) == 6
    time.sleep(1.1)  # TensorBoard orders its files by the second they were begun in
    run(spec, stage, tmp_path / "parts")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert [row[0] for row in losses(tmp_path / "parts")] == ["step", *"123456"]
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert tensorboard_steps(tmp_path / "parts") == [1, 2, 3, 4, 5, 6]


def test_sheets_do_not_change_what_is_learnt(tmp_path: Path) -> None:
    spec = tiny("base", steps=3)
    run(spec, "base", tmp_path / "without")

    def sheet(network: SpaceTimeDenoiser, step: int) -> None:
        assert not network.training

    given = RunSettings(tmp_path / "with", sheet_every=1, save_every=1, log_every=1, workers=0)
    train_stage(spec, "base", given, sheet=sheet)
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    assert_same_weights(tmp_path / "with", tmp_path / "without")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    spec = tiny("refiner", steps=2)
    run(spec, "refiner", tmp_path)
    before = (tmp_path / "checkpoint" / "state.pt").stat().st_mtime_ns
    log = (tmp_path / "log.csv").read_text()
    run(spec, "refiner", tmp_path)
    assert (tmp_path / "checkpoint" / "state.pt").stat().st_mtime_ns == before
    assert (tmp_path / "log.csv").read_text() == log


@pytest.mark.slow
def test_workers_draw_the_same_examples(tmp_path: Path) -> None:
    spec = tiny("bridge", steps=3)
    run(spec, "bridge", tmp_path / "here")
    given = RunSettings(tmp_path / "there", save_every=0, log_every=1, workers=2)
    train_stage(spec, "bridge", given)
    assert losses(tmp_path / "there") == losses(tmp_path / "here")


def tensorboard_steps(out: Path) -> list[int]:
    """Steps of the loss that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars("loss/all")]


def test_a_clip_shown_several_times_is_noised_anew_each_time(tmp_path: Path) -> None:
    plain = tiny("base", steps=2, batch=4)
    spec = tiny("base", steps=2, batch=4, repeats=2)
    drawn: list[int] = []

    class Counting(WorldSource):
        def draw(self, number: int, *rest: Any) -> Drawn:
            drawn.append(number)
            return super().draw(number, *rest)

    source = Counting(spec, spec.stage("base"))
    train_stage(
        spec, "base", RunSettings(tmp_path / "twice", workers=0, log_every=1), source=source
    )
    # Two clips for four examples, and others in the next step.
    assert drawn == [0, 1, 2, 3]
    run(plain, "base", tmp_path / "once")
    # The noise levels are those of four examples, two of each clip's.
    twice, once = losses(tmp_path / "twice"), losses(tmp_path / "once")
    nan = [[cell == "nan" for cell in row] for row in once]
    assert [[cell == "nan" for cell in row] for row in twice] == nan
    assert twice != once
    run(spec, "base", tmp_path / "again")
    assert losses(tmp_path / "again") == twice


def test_a_batch_that_repeats_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="multiple of repeats"):
        tiny("base", batch=6, repeats=4)
