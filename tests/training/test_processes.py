"""Two processes on half a batch each learn what one learns on the whole of it, sharded or not."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs" / "accelerate"
CONFIG_NAMES = ("node", "fsdp")
COMMAND = [
    "-m", "vidcascade", "train", "base", "--spec", "tiny", "--batch", "4", "--set", "warmup=2",
    "--set", "repeats=2", "--log-every", "1", "--sheet-every", "0", "--workers", "0",
]  # fmt: skip


def launch(
    out: Path, processes: int, steps: int, *more: str, config: str = "node"
) -> subprocess.Popen[bytes]:
    """The same command, alone or under ``accelerate launch``."""
    front = [sys.executable]
    if processes > 1:
        front += [
            "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / f"{config}.yaml"),
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
    for config in CONFIG_NAMES:
        finish(launch(tmp_path / config, 2, 5, config=config), 2)
        assert losses(tmp_path / config) == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
        for name in ("checkpoint/network", "checkpoint/ema", "network/diffusion_pytorch_model"):
            one, two = (
                load_file(tmp_path / run / "base" / f"{name}.safetensors")
                for run in ("one", config)
            )
            torch.testing.assert_close(two, one, rtol=0, atol=1e-4)


@pytest.mark.parametrize("config", CONFIG_NAMES)
def test_a_killed_worker_costs_the_steps_since_the_checkpoint(config: str, tmp_path: Path) -> None:
    steps = 24
    process = launch(tmp_path / "parts", 2, steps, "--save-every", "3", config=config)
    clock = tmp_path / "parts" / "base" / "checkpoint" / "clock.json"
    end = time.monotonic() + 200
    while not clock.is_file() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    process.communicate(timeout=100)
    assert process.returncode != 0
    state = torch.load(clock.with_name("state.pt"), weights_only=True)
    assert 0 < state["step"] < steps
    shutil.copytree(tmp_path / "parts", tmp_path / "alone")
    finish(launch(tmp_path / "parts", 2, steps, "--save-every", "3", config=config), 2)
    finish(launch(tmp_path / "alone", 1, steps, "--save-every", "0"), 1)
    finish(launch(tmp_path / "whole", 2, steps, "--save-every", "0", config=config), 2)
    for run in ("parts", "alone"):
        assert losses(tmp_path / run) == pytest.approx(losses(tmp_path / "whole"), rel=1e-3), run


def worker_of(launcher: int) -> int:
    """One of the processes that the launcher's torchrun started to train."""
    found = [
        child.pid
        for child in psutil.Process(launcher).children(recursive=True)
        if "RANK" in child.environ() and "train" in child.cmdline()
    ]
    assert len(found) == 2
    return found[1]
