"""A grown network predicts what the small one did, and all of it can learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.growing import can_grow, grow

SMALL: dict[str, Any] = {
    "patch": 2, "channels": [16, 32], "depths": [1, 2], "spatial_attention": [False, False],
    "temporal": ["none", "convolution"], "head_dim": 16, "cond_channels": 2,
}  # fmt: skip
LARGE = SMALL | {
    "channels": [16, 32, 48, 64], "depths": [1, 2, 1, 2],
    "spatial_attention": [False, False, False, True],
    "temporal": ["none", "convolution", "none", "joint"],
}  # fmt: skip


def build(seed: int, settings: dict[str, Any]) -> SpaceTimeDenoiser:
    torch.manual_seed(seed)
    return SpaceTimeDenoiser(**settings).eval()


def trained(settings: dict[str, Any]) -> SpaceTimeDenoiser:
    net = build(0, settings)
    for parameter in net.parameters():  # zero-initialised outputs would hide everything
        torch.nn.init.normal_(parameter, std=0.1) if not parameter.any() else None
    return net


def inputs(text_width: int | None) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    given = {
        "sample": torch.randn(2, 3, 3, 16, 16, generator=g),
        "sigma": torch.rand(2, generator=g),
        "cond": torch.randn(2, 3, 2, 16, 16, generator=g),
        "augmentation": torch.rand(2, generator=g),
    }
    if text_width:
        given["text"] = torch.randn(2, 5, text_width, generator=g)
        given["text_mask"] = torch.ones(2, 5, dtype=torch.bool)
    return given


@pytest.mark.parametrize(
    ("few", "many"),
    [
        ({}, {}),
        ({}, {"text_width": 8}),
        ({"coordinates": True, "frame_times": True}, {"coordinates": True, "frame_times": True}),
        ({"frame_times": True}, {"frame_times": True, "text_width": 8}),
    ],
)
def test_a_grown_network_predicts_the_same(few: dict[str, Any], many: dict[str, Any]) -> None:
    small, large = trained(SMALL | few), build(1, LARGE | many)
    assert can_grow(small, large)
    grow(small, large)
    with torch.no_grad():
        before = small(**inputs(None))
        after = large(**inputs(many.get("text_width")))
    assert before.abs().max() > 0.1
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_text_alone_may_be_added() -> None:
    small, large = trained(SMALL), build(1, SMALL | {"text_width": 8})
    grow(small, large)
    with torch.no_grad():
        torch.testing.assert_close(large(**inputs(8)), small(**inputs(None)), atol=1e-5, rtol=1e-4)


def test_what_is_new_learns() -> None:
    small, large = trained(SMALL), build(1, LARGE | {"text_width": 8})
    grow(small, large)
    given, optimiser = inputs(8), torch.optim.SGD(large.parameters(), lr=0.1)
    for _ in range(5):  # what lies behind zeros hears of the loss a few steps later
        loss = (large(**given) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    still = [
        name for name, p in large.named_parameters() if p.grad is None or not p.grad.any()
    ]  # fmt: skip
    assert not still


@pytest.mark.parametrize(
    "other",
    [
        {},  # the same
        {"channels": [16, 48]},
        {"depths": [1, 3]},
        {"cond_channels": 3},
        {"channels": [16, 32, 16], "depths": [1, 2, 1], "spatial_attention": [False] * 3,
         "temporal": ["none"] * 3},
        {"spatial_attention": [False, True]},
        {"patch": 4},
    ],
)  # fmt: skip
def test_what_is_no_part_is_refused(other: dict[str, Any]) -> None:
    small, large = build(0, SMALL), build(1, SMALL | other)
    assert not can_grow(small, large)
    with pytest.raises(ValueError, match="not part"):
        grow(small, large)


def test_text_that_was_learnt_is_not_regrouped() -> None:
    assert not can_grow(build(0, SMALL | {"text_width": 8}), build(1, LARGE | {"text_width": 8}))
