"""Low-rank changes: nothing at the start, the same merged as while learning, theirs alone."""

from __future__ import annotations

import copy

import pytest
import torch

from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import (
    add_low_rank,
    fingerprint,
    low_rank_state,
    merge_low_rank,
    set_low_rank,
)

RANK = 4


@pytest.fixture
def network() -> SpaceTimeDenoiser:
    torch.manual_seed(0)
    made = SpaceTimeDenoiser(channels=[16, 32], depths=[1, 1], head_dim=16, text_width=8)
    torch.nn.init.normal_(made.head.weight, std=0.1)
    return made.eval()


def answer(network: SpaceTimeDenoiser) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(2, 3, 3, 16, 16, generator=generator)
    text = torch.randn(2, 5, 8, generator=generator)
    with torch.no_grad():
        return network(
            sample, torch.tensor([0.3, 0.9]), text=text, text_mask=torch.ones(2, 5).bool()
        )


def random_changes(network: SpaceTimeDenoiser) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    state = low_rank_state(network)
    return {k: 0.1 * torch.randn(v.shape, generator=generator) for k, v in state.items()}


def test_it_starts_as_nothing_and_is_all_that_learns(network: SpaceTimeDenoiser) -> None:
    wide = copy.deepcopy(network)
    add_low_rank(wide, RANK)
    assert torch.equal(answer(wide), answer(network))
    learning = {name for name, p in wide.named_parameters() if p.requires_grad}
    assert learning
    assert all(name.endswith((".up", ".down")) for name in learning)
    assert len(learning) == len(low_rank_state(wide))


def test_merged_it_answers_as_it_did_while_learning(network: SpaceTimeDenoiser) -> None:
    wide = copy.deepcopy(network)
    add_low_rank(wide, RANK)
    changes = random_changes(wide)
    set_low_rank(wide, changes)
    plain = copy.deepcopy(network)
    merge_low_rank(plain, changes)
    torch.testing.assert_close(answer(plain), answer(wide))
    assert (answer(plain) - answer(network)).abs().max() > 0.01
    assert not any("parametrizations" in name for name in plain.state_dict())


@pytest.mark.parametrize("damage", ["unknown", "half", "shape", "rank", "nan"])
def test_changes_of_something_else_are_refused(network: SpaceTimeDenoiser, damage: str) -> None:
    wide = copy.deepcopy(network)
    add_low_rank(wide, RANK)
    changes = random_changes(wide)
    name = next(iter(changes)).removesuffix(".up")
    if damage == "unknown":
        changes["elsewhere.up"] = changes.pop(f"{name}.up")
        changes["elsewhere.down"] = changes.pop(f"{name}.down")
    elif damage == "half":
        del changes[f"{name}.down"]
    elif damage == "shape":
        changes[f"{name}.up"] = changes[f"{name}.up"][:-1]
    elif damage == "rank":
        changes[f"{name}.up"] = changes[f"{name}.up"][:, :-1]
    else:
        changes[f"{name}.up"][0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"no pairs|not a matrix|not finite"):
        merge_low_rank(network, changes)


def test_a_rank_below_1_and_changes_of_another_rank_are_refused(
    network: SpaceTimeDenoiser,
) -> None:
    with pytest.raises(ValueError, match="rank must be at least 1"):
        add_low_rank(copy.deepcopy(network), 0)
    small, large = copy.deepcopy(network), copy.deepcopy(network)
    add_low_rank(small, 2)
    add_low_rank(large, RANK)
    with pytest.raises(ValueError, match="another rank"):
        set_low_rank(large, low_rank_state(small))


def test_a_fingerprint_outlives_rounding_and_nothing_else(network: SpaceTimeDenoiser) -> None:
    narrow = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in narrow.parameters():
            parameter.copy_(parameter.bfloat16())
    assert fingerprint(narrow) == fingerprint(network)
    with torch.no_grad():
        next(narrow.parameters()).add_(0.5)
    assert fingerprint(narrow) != fingerprint(network)
