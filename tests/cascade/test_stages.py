"""Stages before any training already give a sensible frame, and keep their promises on shapes."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from vidcascade.cascade.augment import augment, frame_noise, unscale
from vidcascade.cascade.bridge import BridgeStage
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.smoothing import TemporalSmoother
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.stage import Conditioning, resize

TINY = CascadeSpec.load("tiny")


def moving_square(frames: int, side: int = 64, speed: float = 2.0) -> torch.Tensor:
    """A textured square moving right: (1, T, 3, side, side) in [-1, 1]."""
    grid = torch.arange(side, dtype=torch.float32)
    out = []
    for t in range(frames):
        x = grid[None, :] - speed * t
        texture = torch.sin(x * 0.5)[None] * torch.sin(grid[:, None] * 0.4)[None] * 0.8
        out.append(texture.expand(3, side, side))
    return torch.stack(out)[None]


@pytest.mark.parametrize("fill", ["extend", "between"])
def test_an_untrained_bridge_is_a_flow_interpolator(fill: Literal["extend", "between"]) -> None:
    spec = StageSpec(
        name="bridge",
        kind="bridge",
        frames=8 if fill == "extend" else 7,
        size=64,
        fill=fill,
        network=TINY.stages[1].network,
    )
    truth = moving_square(8 if fill == "extend" else 7)
    known = truth[:, ::2]
    stage = BridgeStage(spec)
    network = stage.build_network(None)
    zero = torch.zeros(1)
    given = stage.condition(known, zero, torch.zeros_like(known))
    with torch.no_grad():
        x = stage.predict(network, torch.randn(truth.shape), torch.ones(1), given, zero)
    assert x.shape == truth.shape
    torch.testing.assert_close(x[:, ::2], known)
    inner = (..., slice(8, -8), slice(8, -8))
    ours = (x - truth)[inner][:, 1:-1:2].square().mean()
    blend = ((known[:, 1:] + known[:, :-1]) / 2 - truth[:, 1 : 2 * 4 - 1 : 2])[inner]
    assert ours < 0.2 * blend.square().mean()
    if fill == "extend":
        held = (known[:, -1] - truth[:, -1])[inner].square().mean()
        assert (x - truth)[:, -1][inner].square().mean() < 0.3 * held


def test_a_bridge_can_hold_a_single_frame() -> None:
    stage = BridgeStage(StageSpec(name="b", kind="bridge", frames=2, size=32))
    one = torch.rand(1, 1, 3, 32, 32) * 2 - 1
    given = stage.condition(one, torch.zeros(1), torch.zeros_like(one))
    torch.testing.assert_close(given.video, one.expand(-1, 2, -1, -1, -1))
    assert given.other is not None
    torch.testing.assert_close(given.other, given.video)


def test_an_untrained_refiner_is_bicubic() -> None:
    stage = make_stage(TINY.stages[2])
    low = moving_square(3, 32)
    zero = torch.zeros(1)
    given = stage.condition(low, zero, torch.zeros_like(low))
    with torch.no_grad():
        sample = torch.randn(1, 3, 3, 64, 64)
        x = stage.predict(stage.build_network(None), sample, torch.ones(1), given, zero)
    torch.testing.assert_close(x, resize(low, 64))
    assert stage.start(given) is not None


def test_a_stage_works_the_same_on_a_crop() -> None:
    stage = make_stage(TINY.stages[2])
    network = stage.build_network(None).eval()
    torch.nn.init.normal_(network.head.weight, std=0.05)
    low = moving_square(2, 32)
    zero = torch.zeros(1)
    given = stage.condition(low, zero, torch.zeros_like(low))
    sample = torch.randn(1, 2, 3, 64, 64)
    with torch.no_grad():
        whole = stage.predict(network, sample, torch.ones(1), given, zero)
        part = stage.predict(
            network, sample[..., 8:56, 8:56], torch.ones(1), given.crop(8, 8, 48, 48), zero
        )
    # Four 3 × 3 convolutions on 4-pixel tokens reach 16 pixels in from the border.
    torch.testing.assert_close(
        whole[..., 24:40, 24:40], part[..., 16:32, 16:32], atol=1e-5, rtol=1e-4
    )


def test_noise_augmentation_preserves_variance_and_the_mean() -> None:
    x, noise = torch.randn(2, 4, 3, 32, 32), torch.randn(2, 4, 3, 32, 32)
    sigma = torch.tensor([0.0, 0.6])
    mixed = augment(x, noise, sigma)
    torch.testing.assert_close(mixed[0], x[0])
    assert mixed[1].std() == pytest.approx(1.0, abs=0.02)
    assert (unscale(mixed, sigma) - x)[1].mean() == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_frame_noise_has_the_asked_correlation(rho: float) -> None:
    noise = frame_noise((2, 3, 100, 100), torch.Generator().manual_seed(0), rho)
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    assert (noise[0] * noise[1]).mean() == pytest.approx(rho, abs=0.02)


def test_smoothing_removes_noise_and_keeps_motion() -> None:
    clean = moving_square(5)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    smooth = TemporalSmoother(clean, 1.0)(noisy, 0.5)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (smooth - clean)[inner].std() < 0.75 * (noisy - clean)[inner].std()
    assert torch.equal(TemporalSmoother(clean, 0.0)(noisy, 0.5), noisy)


def test_conditionings_stack_and_part() -> None:
    stage = make_stage(TINY.stages[1])
    low = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    given = stage.condition(low, torch.zeros(2), torch.zeros_like(low))
    again = Conditioning.stack([given.part(slice(0, 1)), given.part(slice(1, 2))])
    for name in ("video", "other", "flow", "known"):
        torch.testing.assert_close(getattr(again, name), getattr(given, name))
