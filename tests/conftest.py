"""Fixtures that many rooms share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained cascade of configs/tiny.yaml: real, small, and of no skill."""
    from vidcascade.cascade.pipeline import VidCascadePipeline

    folder = tmp_path_factory.mktemp("weights") / "tiny"
    VidCascadePipeline.from_spec("tiny").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LPIPS weights that nobody taught."""
    import torch
    from safetensors.torch import save_file

    shapes = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
    g = torch.Generator().manual_seed(0)
    state = {}
    for layer, (out, into, side) in enumerate(shapes):
        scale = (into * side**2) ** -0.5
        state[f"features.{layer}.weight"] = scale * torch.randn(out, into, side, side, generator=g)
        state[f"features.{layer}.bias"] = torch.zeros(out)
        state[f"lin.{layer}.weight"] = torch.ones(out)
    file = tmp_path_factory.mktemp("lpips") / "eye.safetensors"
    save_file(state, file)
    return file


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: (exit code, stdout, stderr)."""
    from vidcascade.cli.main import main

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vidcascade", *map(str, args)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
