"""Two processes on half a batch each learn what one learns on the whole of it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parents[2] / "configs" / "accelerate" / "node.yaml"
COMMAND = [
    "-m", "vidcascade", "train", "base", "--spec", "tiny", "--batch", "4", "--set", "warmup=2",
    "--log-every", "1", "--sheet-every", "0", "--workers", "0",
]  # fmt: skip


def launch(out: Path, processes: int, steps: int, *more: str) -> subprocess.Popen[bytes]:
    """The same command, alone or under ``accelerate launch``."""
    front = [sys.executable]
    if processes > 1:
        front += [
            "-m", "accelerate.commands.launch", "--config_file", str(CONFIG),
            "--num_processes", str(processes), "--main_process_port", "0",
        ]  # fmt: skip
    arguments = [*COMMAND, "--out", str(out), "--steps", str(steps), *more]
    return subprocess.Popen(
        [*front, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes], processes: int) -> None:
    coded, _ = process.communicate(timeout=300)
    text = coded.decode()
    assert process.returncode == 0, text[-2000:]
    # accelerate falls back to one process where it finds no way to start several.
    assert text.count("Weights:") == 1
    assert (f"{processes} processes" in text) == (processes > 1)


def losses(out: Path) -> list[float]:
    with (out / "base" / "log.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    finish(launch(tmp_path / "one", 1, 5), 1)
    finish(launch(tmp_path / "two", 2, 5), 2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)


def test_a_killed_worker_costs_the_steps_since_the_checkpoint(tmp_path: Path) -> None:
    steps = 40
    process = launch(tmp_path / "parts", 2, steps, "--save-every", "3")
    clock = tmp_path / "parts" / "base" / "checkpoint" / "clock.json"
    end = time.monotonic() + 200
    while not clock.is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    process.communicate(timeout=100)
    assert process.returncode != 0
    state = torch.load(clock.with_name("state.pt"), weights_only=True)
    assert 0 < state["step"] < steps
    finish(launch(tmp_path / "parts", 2, steps, "--save-every", "3"), 2)
    finish(launch(tmp_path / "whole", 2, steps, "--save-every", "0"), 2)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)


def worker_of(launcher: int) -> int:
    """One of the processes that the launcher's torchrun started to train."""
    found = [
        child.pid
        for child in psutil.Process(launcher).children(recursive=True)
        if "RANK" in child.environ() and "train" in child.cmdline()
    ]
    assert len(found) == 2
    return found[1]
