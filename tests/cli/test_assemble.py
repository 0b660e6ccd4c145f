"""``vidcascade assemble``: stages into one folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from vidcascade.cascade.pipeline import VidCascadePipeline

Command = Callable[..., tuple[int, str, str]]


def test_networks_become_a_cascade(command: Command, tiny_cascade: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("What it is.\n")
    out = tmp_path / "made"
    code, text, errors = command(
        "assemble", out, "--spec", "tiny", "--card", card,
        *(f"--network={name}={tiny_cascade / name}" for name in ("base", "refiner")),
    )  # fmt: skip
    assert code == 0, errors
    assert str(out) in text
    weights = load_file(out / "base" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    # Nobody's folders are told of.
    for config in (*out.glob("*/config.json"), out / "model_index.json"):
        assert str(tiny_cascade.parent) not in config.read_text()
    pipeline = VidCascadePipeline.from_pretrained(out)
    was = VidCascadePipeline.from_pretrained(tiny_cascade)
    for ours, theirs in zip(pipeline.base.parameters(), was.base.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-2)
    assert (out / "README.md").read_text() == "What it is.\n"
    # Again: only when asked, and the card is kept.
    again = ("assemble", out, "--spec", "tiny", f"--network=base={tiny_cascade / 'base'}")
    assert command(*again)[0] == 2
    assert command(*again, "--force")[0] == 0
    assert (out / "README.md").read_text() == "What it is.\n"


def test_only_a_cascade_is_ever_replaced(
    command: Command, tiny_cascade: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "runs"
    mine.mkdir()
    (mine / "checkpoint").write_text("dear")
    base = f"--network=base={tiny_cascade / 'base'}"
    code, _, errors = command("assemble", mine, "--spec", "tiny", base, "--force")
    assert code == 2
    assert "holds other things" in errors
    assert (mine / "checkpoint").read_text() == "dear"
    (mine / "checkpoint").unlink()  # an empty folder costs nobody anything
    assert command("assemble", mine, "--spec", "tiny", base, "--force")[0] == 0


def test_what_cannot_be_assembled(command: Command, tiny_cascade: Path, tmp_path: Path) -> None:
    base = f"base={tiny_cascade / 'base'}"
    cases: list[tuple[list[str], int, str]] = [
        (["--network", "base"], 2, "stage=folder"),
        (["--network", f"decoder={tmp_path}"], 2, "base, bridge, refiner"),
        (["--network", f"bridge={tiny_cascade / 'bridge'}"], 2, "no weights for base"),
        (["--network", f"base={tiny_cascade / 'bridge'}"], 1, "do not match the spec"),
        (["--network", f"base={tmp_path}"], 1, "incomplete or damaged"),
        (["--network", f"base={tmp_path}/typo"], 2, "There is no folder"),
        (["--network", base, "--dtype", "int8"], 2, "float32"),
        (["--network", base, "--card", str(tmp_path / "none")], 2, "model card"),
    ]
    for args, code, words in cases:
        got, _, errors = command("assemble", tmp_path / "out", "--spec", "tiny", *args)
        assert (got, words in errors) == (code, True), errors
        assert not (tmp_path / "out").exists()
