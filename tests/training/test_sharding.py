"""What each of two processes holds of a sharded network, and which runs are not sharded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.distributed.tensor import DTensor

from tests.training.conftest import tiny
from vidcascade.cascade.registry import make_stage
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import add_low_rank
from vidcascade.training.checkpoints import load_checkpoint, save_checkpoint
from vidcascade.training.optimisers import build_optimisers
from vidcascade.training.sharding import gather, gathered, own_part, shard, sharding_asked, whole

CPU = torch.device("cpu")
Parts = tuple[SpaceTimeDenoiser, EMAModel, list[torch.optim.Optimizer]]


def parts(sharded: bool, seed: int = 0) -> Parts:
    """A network, its average and its optimisers after one step, the same in every process."""
    stage = tiny("base").stage("base")
    torch.manual_seed(seed)
    network = make_stage(stage).build_network(32)
    torch.nn.init.normal_(network.head.weight, std=0.1)  # so that all gradients are something
    sample, text = torch.randn(2, 4, 3, 16, 16), torch.randn(2, 5, 32)
    if sharded:
        shard(network, CPU)
    ema = EMAModel(network.parameters(), decay=0.9)
    optimisers = build_optimisers(network, stage.training)
    mask = torch.ones(2, 5, dtype=torch.bool)
    network(sample, torch.rand(2), text=text, text_mask=mask).square().mean().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
    for optimiser in optimisers:
        optimiser.step()
    ema.step(network.parameters())
    return network, ema, optimisers


def kept(network: SpaceTimeDenoiser, ema: EMAModel, optimisers: list[torch.optim.Optimizer]) -> (
    dict[str, list[Tensor]]
):  # fmt: skip
    """All tensors that a run keeps, but for the optimisers' counts of steps."""
    states = [s for o in optimisers for s in o.state.values()]
    return {
        "weights": [p.detach() for p in network.parameters()],
        "gradients": [p.grad for p in network.parameters() if p.grad is not None],
        "averages": list(ema.shadow_params),
        "states": [t for s in states for name, t in sorted(s.items()) if name != "step"],
    }


def one_of_two(rank: int, folder: Path) -> None:
    """What one process does; torch.multiprocessing tells the test of its failures."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2
    )
    alone, half = parts(False), parts(True)
    everything, here = kept(*alone), kept(*half)
    for kind, tensors in here.items():
        assert len(tensors) == len(everything[kind]) > 0, kind
        local = sum(t.to_local().numel() for t in tensors if isinstance(t, DTensor))
        assert 0.45 < local / sum(t.numel() for t in everything[kind]) < 0.55, kind
        for mine, theirs in zip(tensors, everything[kind], strict=True):
            torch.testing.assert_close(whole(mine), theirs, rtol=1e-3, atol=2e-5)
    for weight in here["weights"]:
        part = own_part(whole(weight), weight)
        assert isinstance(part, DTensor)
        assert torch.equal(part.to_local(), weight.to_local())
    with gathered(half[1], keep=rank == 0):
        assert [t.shape for t in half[1].shadow_params] == (
            [t.shape for t in alone[1].shadow_params] if rank == 0 else []
        )
    assert all(isinstance(t, DTensor) for t in half[1].shadow_params)
    assert gather({"a": whole(weight)}, keep=rank == 0).keys() == ({"a"} if rank == 0 else set())

    # A checkpoint is that of a run in one process, and is read back to the last bit.
    save_checkpoint(folder, 7, *half, write=rank == 0)
    torch.distributed.barrier()
    for sharded in (True, False):
        other = parts(sharded, seed=1)
        assert load_checkpoint(folder, *other) == 7
        for kind, tensors in kept(*other).items():
            if kind != "gradients":
                for mine, theirs in zip(tensors, here[kind], strict=True):
                    assert torch.equal(whole(mine), whole(theirs)), kind
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_each_process_holds_its_half(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, (tmp_path,), nprocs=2)


def test_sharding_is_asked_for_by_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    assert not sharding_asked()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert sharding_asked()
    for name, value in (("FSDP_OFFLOAD_PARAMS", "true"), ("FSDP_VERSION", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(UsageError, match=r"fsdp\.yaml"):
                sharding_asked()


def test_networks_that_are_trained_in_part_are_refused() -> None:
    network = make_stage(tiny("base").stage("base")).build_network(32)
    with pytest.raises(UsageError, match=r"node\.yaml"):
        shard(torch.nn.Sequential(network), CPU)
    add_low_rank(network, 2)
    with pytest.raises(UsageError, match=r"node\.yaml"):
        shard(network, CPU)
