"""With the exact denoiser of a Gaussian, every schedule must reach that Gaussian."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade.diffusion.flow_matching import (
    add_noise,
    shift_sigma,
    training_sigmas,
    unshift_sigma,
    velocity,
    velocity_loss,
)
from vidcascade.diffusion.guidance import Guidance
from vidcascade.diffusion.sampling import sample
from vidcascade.diffusion.schedules import SCHEDULERS, Schedule

MEAN, STD = 0.3, 0.2


def posterior_mean(z: torch.Tensor, sigma: torch.Tensor, conditional: bool) -> torch.Tensor:
    s = sigma[:, None]
    gain = STD**2 * (1 - s) / (STD**2 * (1 - s) ** 2 + s**2)
    return MEAN + gain * (z - (1 - s) * MEAN)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_reach_the_distribution(name: str) -> None:
    noise = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    steps = 40 if name in ("unipc", "dpmpp") else 200  # first-order rules converge slowly
    out = sample(posterior_mean, noise, Schedule(name, steps, shift=2.0))
    assert out.mean() == pytest.approx(MEAN, abs=0.01)
    assert out.std() == pytest.approx(STD, abs=0.01)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_truncated_schedules_start_where_told(name: str) -> None:
    schedule = Schedule(name, 4, start=0.5)
    assert schedule.sigmas[0] == pytest.approx(0.5, abs=0.01)
    assert all(a > b for a, b in zip(schedule.sigmas, schedule.sigmas[1:], strict=False))
    x = torch.full((1, 20_000), 0.8)
    noise = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(0))
    kept = sample(lambda z, s, c: x, noise, schedule, start=x)
    torch.testing.assert_close(kept, x, atol=1e-3, rtol=0)


@given(shift=st.floats(0.2, 8), sigma=st.floats(0, 1))
def test_shift_inverts_and_keeps_the_ends(shift: float, sigma: float) -> None:
    moved = float(shift_sigma(torch.tensor(sigma, dtype=torch.float64), shift))
    assert unshift_sigma(moved, shift) == pytest.approx(sigma, abs=1e-6)


@settings(max_examples=25)
@given(sigma=st.floats(0.06, 1.0))
def test_velocity_is_noise_minus_x(sigma: float) -> None:
    x, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    level = torch.full((2,), sigma)
    z = add_noise(x, noise, level)
    torch.testing.assert_close(velocity(z, x, level), noise - x, atol=1e-4, rtol=1e-4)
    guess = x + 0.1
    in_v = (velocity(z, guess, level) - (noise - x)).square().flatten(1).mean(1)
    torch.testing.assert_close(velocity_loss(guess, x, level), in_v, atol=1e-4, rtol=1e-3)


@given(scale=st.floats(1e-4, 1.0), c=st.floats(1e-3, 1e-1))
def test_pseudo_huber_is_squared_below_c_and_absolute_above(scale: float, c: float) -> None:
    x, one = torch.zeros(1, 8), torch.ones(1)
    guess = torch.full((1, 8), scale)
    found = float(velocity_loss(guess, x, one, huber=c))
    assert found == pytest.approx(2 * c * ((scale**2 + c**2) ** 0.5 - c), rel=2e-3)
    assert found <= float(velocity_loss(guess, x, one)) * (1 + 1e-5)
    if scale < 0.05 * c:
        assert found == pytest.approx(scale**2, rel=0.01)
    if scale > 20 * c:
        assert found == pytest.approx(2 * c * scale, rel=0.06)


def test_training_sigmas_shift_to_the_noisy_side() -> None:
    draws = [
        training_sigmas(torch.randn(4000, generator=torch.Generator().manual_seed(1)), s).mean()
        for s in (1, 3)
    ]
    assert draws[0] == pytest.approx(0.5, abs=0.02)
    assert draws[1] > 0.65


def test_guidance_interval_and_thresholding() -> None:
    calls: list[tuple[float, bool]] = []

    def predict(z: torch.Tensor, sigma: torch.Tensor, conditional: bool) -> torch.Tensor:
        calls.append((float(sigma[0]), conditional))
        return torch.zeros_like(z)

    sample(predict, torch.randn(1, 8), Schedule("flow_euler", 4), Guidance(2.0, 0.3, 0.8))
    assert [round(s, 2) for s, conditional in calls if not conditional] == [0.75, 0.5]
    x = torch.tensor([[0.0, 1.0, 2.0, -4.0]])
    assert Guidance(threshold=None).limit(x).tolist() == [[0, 1, 1, -1]]
    assert Guidance(threshold=0.99).limit(x).tolist() == [[0, 0.25, 0.5, -1]]


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="flow_euler"):
        Schedule("nothing", 4)
    with pytest.raises(ValueError, match="at least 1"):
        Schedule("ddim", 0)
