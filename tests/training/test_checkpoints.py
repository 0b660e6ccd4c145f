"""Checkpoints are whole or absent, and what does not fit is refused in one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.training_utils import EMAModel

from tests.training.conftest import tiny
from vidcascade.cascade.registry import make_stage
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.training import checkpoints
from vidcascade.training.checkpoints import load_checkpoint, save_checkpoint
from vidcascade.training.optimisers import build_optimisers
from vidcascade.training.trainer import RunSettings, train_stage

Parts = tuple[SpaceTimeDenoiser, EMAModel, list[torch.optim.Optimizer]]


def parts(stage: str = "refiner", seed: int = 0, **recipe: Any) -> Parts:
    """A network with its average and optimisers, one step old."""
    spec = tiny(stage, **recipe)
    torch.manual_seed(seed)
    network = make_stage(spec.stage(stage)).build_network(None)
    ema = EMAModel(network.parameters(), decay=0.9)
    optimisers = build_optimisers(network, spec.stage(stage).training)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimiser in optimisers:
        optimiser.step()
    ema.step(network.parameters())
    return network, ema, optimisers


def test_everything_comes_back(tmp_path: Path) -> None:
    network, ema, optimisers = parts(seed=1)
    save_checkpoint(tmp_path, 7, network, ema, optimisers)
    other, average, fresh = parts(seed=2)
    assert load_checkpoint(tmp_path, other, average, fresh) == 7
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(ema.shadow_params, average.shadow_params, strict=True):
        assert torch.equal(ours, theirs)
    assert average.optimization_step == ema.optimization_step
    states = [o.state_dict()["state"] for o in (*optimisers, *fresh)]
    for ours, theirs in zip(states[: len(fresh)], states[len(fresh) :], strict=True):
        for key, state in ours.items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[key][name]))


def test_a_weight_decay_that_was_changed_stays_so(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, *parts())
    network, ema, optimisers = parts(weight_decay=0.25)
    load_checkpoint(tmp_path, network, ema, optimisers)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    assert [group["weight_decay"] for group in groups] == [0.25, 0.25]


def test_a_run_belongs_to_the_weights_that_it_began_with(tmp_path: Path) -> None:
    for seed in (1, 2):
        parts(seed=seed)[0].save_pretrained(tmp_path / str(seed))
    spec = tiny("refiner", steps=1)

    def run(init: Path | None) -> None:
        settings = RunSettings(tmp_path / "run", workers=0, save_every=0, init=init)
        train_stage(spec, "refiner", settings)

    run(tmp_path / "1")
    (tmp_path / "1" / "student.safetensors").touch()  # which is none of it
    run(tmp_path / "1")
    for other in (tmp_path / "2", None):
        with pytest.raises(UsageError, match="began with other weights: give the same --init"):
            run(other)
    # What was begun before runs said it goes on as it did.
    (tmp_path / "run" / "start.json").unlink()
    run(None)


def test_nothing_there_is_a_fresh_start(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, *parts()) == 0


@pytest.mark.parametrize("file", ["network.safetensors", "ema.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage"])
def test_a_damaged_checkpoint_is_refused(file: str, damage: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, *parts())
    path = tmp_path / "checkpoint" / file
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"cos\nsystem\n(S'true'\ntR." * 9)
    else:
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VidCascadeError, match="does not fit this run") as caught:
        load_checkpoint(tmp_path, *parts())
    assert "\n" not in str(caught.value)


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, *parts("refiner"))
    with pytest.raises(VidCascadeError, match=r"in the spec's network\): choose another --out"):
        load_checkpoint(tmp_path, *parts("bridge"))


def test_a_crash_while_saving_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 7, *parts())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(VidCascadeError, match="disk"):
        save_checkpoint(tmp_path, 8, *parts(seed=3))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert load_checkpoint(tmp_path, *parts()) == 7


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, *parts())
    shutil.move(tmp_path / "checkpoint", tmp_path / ".checkpoint.12345678.old")
    assert load_checkpoint(tmp_path, *parts()) == 7
