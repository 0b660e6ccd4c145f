"""Which parameter goes to which optimiser, and how large a step each takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.conftest import tiny
from vidcascade.cascade.registry import make_stage
from vidcascade.training import muon
from vidcascade.training.muon import GramMuon, orthogonalise
from vidcascade.training.optimisers import build_optimisers, scheduled_rate


def names_by_optimiser(muon_lr: float = 0.01) -> list[set[str]]:
    spec = tiny("base", muon_lr=muon_lr).stage("base")
    network = make_stage(spec).build_network(384)
    names = {id(p): name for name, p in network.named_parameters()}
    return [
        {names[id(p)] for group in optimiser.param_groups for p in group["params"]}
        for optimiser in build_optimisers(network, spec.training)
    ]


def test_only_matrices_inside_the_blocks_go_to_muon() -> None:
    adam, muon = names_by_optimiser()
    network = make_stage(tiny("base").stage("base")).build_network(384)
    assert adam | muon == {name for name, _ in network.named_parameters()}
    assert not adam & muon
    shapes = dict(network.named_parameters())
    for name in muon:
        assert shapes[name].ndim == 2
        assert name.startswith(("trunk.", "down_blocks.", "up_blocks."))
    assert "trunk.0.conv.conv_in.weight" in muon
    for part in ("space", "text", "time"):
        assert any(f".{part}.attention." in name for name in muon), part
    for part in ("stem", "head", "noise_embedding", "text_pool", "skips", "ups", "downs"):
        assert any(name.startswith(part) for name in adam), part
    assert any(".modulation." in name for name in adam)
    assert not any(".modulation." in name or "norm" in name for name in muon)


def test_without_muon_everything_goes_to_adam() -> None:
    (adam,) = names_by_optimiser(muon_lr=0.0)
    assert "trunk.0.conv.conv_in.weight" in adam


@pytest.mark.parametrize("shape", [(32, 288), (64, 64), (288, 32), (128, 384)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_gram_muon_takes_torchs_steps(shape: tuple[int, int], nesterov: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator) * 0.1
    settings = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": nesterov}
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    one = GramMuon([ours], **settings)  # type: ignore[arg-type]
    other = torch.optim.Muon([theirs], **settings)  # type: ignore[arg-type]
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        before = ours.detach().clone()
        with torch.no_grad():
            theirs.copy_(ours)  # compare single steps, not how differences grow
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        one.step()
        other.step()
        step = theirs - before
        assert (ours - theirs).norm() < 0.03 * step.norm()


def test_orthogonalising_brings_singular_values_near_one() -> None:
    matrix = torch.randn(24, 80, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix, (3.4445, -4.775, 2.0315), 5))
    assert values.min() > 0.5
    assert values.max() < 1.5
    assert torch.isfinite(orthogonalise(torch.zeros(4, 4), (3.4445, -4.775, 2.0315), 5)).all()


@given(
    total=st.integers(1, 100_000),
    warmup=st.integers(0, 5_000),
    place=st.floats(0, 1, allow_nan=False),
)
@settings(max_examples=200, deadline=None)
def test_the_rate_rises_holds_and_falls(total: int, warmup: int, place: float) -> None:
    step = min(int(place * total), total - 1)
    rate = scheduled_rate(step, total, warmup)
    assert 0 < rate <= 1
    following = scheduled_rate(step + 1, total, warmup)
    if step + 1 < min(warmup, int(total * 0.8)):
        assert following > rate
    elif step >= warmup:
        assert following <= rate
        assert rate >= 0.05
    if warmup <= step < int(total * 0.8):
        assert rate == 1.0
    assert scheduled_rate(total, total, 0) == pytest.approx(0.05)
    assert scheduled_rate(step, total, warmup, progress=0.99) <= 0.05 + 1e-9
    assert scheduled_rate(step, total, 0, progress=0.9) <= 0.5 + 1e-9
    assert scheduled_rate(step, total, warmup, progress=place / 2) == rate


@pytest.mark.parametrize("shape", [(16, 144), (144, 16)])
def test_matrices_are_orthogonalised_together_as_they_are_alone(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    # Of very different sizes: each is scaled by its own norm.
    scales = torch.tensor([1e-3, 1.0, 50.0])[:, None, None]
    stacked = torch.randn(3, *shape, generator=generator) * scales
    together = orthogonalise(stacked, (3.4445, -4.775, 2.0315), 5)
    for matrix, found in zip(stacked, together, strict=True):
        torch.testing.assert_close(found, orthogonalise(matrix, (3.4445, -4.775, 2.0315), 5))


def test_every_matrix_gets_its_own_update_from_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    shapes = [(8, 24), (8, 24), (12, 12), (8, 24)]
    starts = [torch.randn(shape, generator=generator) for shape in shapes]
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]

    def stepped() -> list[torch.Tensor]:
        parameters = [torch.nn.Parameter(start.clone()) for start in starts]
        optimiser = GramMuon(parameters, lr=0.1)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
        return [parameter.detach() for parameter in parameters]

    alone = stepped()
    counted: list[torch.Size] = []
    plain = muon.orthogonalise

    def counting(matrix: torch.Tensor, *rest: Any) -> torch.Tensor:
        counted.append(matrix.shape)
        return plain(matrix, *rest)

    monkeypatch.setattr(muon, "stacks_pay", lambda device: True)
    monkeypatch.setattr(muon, "orthogonalise", counting)
    for one, other in zip(alone, stepped(), strict=True):
        torch.testing.assert_close(one, other)
    assert sorted(counted) == [(3, 8, 24), (12, 12)]
