"""The mathematics of few-step sampling, on paths that are known exactly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidcascade.diffusion.distillation import (
    consistent_x,
    jump,
    matched_x,
    segment_levels,
    student_levels,
)
from vidcascade.diffusion.flow_matching import add_noise
from vidcascade.diffusion.sampling import sample
from vidcascade.diffusion.schedules import Schedule

levels = st.floats(0.0, 1.0)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(levels, levels, st.integers(0, 99))
def test_a_jump_with_the_right_x_stays_on_the_path(a: float, b: float, seed: int) -> None:
    end, sigma = sorted((a, b))
    if sigma < 1e-3:
        return
    generator = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(2, 1, 3, generator=generator, dtype=torch.float64)
    there = jump(add_noise(x, noise, column(sigma)), x, column(sigma), column(end))
    torch.testing.assert_close(there, add_noise(x, noise, column(end)))


@given(levels, levels, levels, st.integers(0, 99))
def test_one_step_with_the_consistent_x_lands_where_two_do(
    a: float, b: float, c: float, seed: int
) -> None:
    end, later, sigma = sorted((a, b, c))
    if sigma - end < 1e-3 or sigma < 1e-3 or 0 < later < 1e-3:
        return
    generator = torch.Generator().manual_seed(seed)
    point, led, again = torch.randn(3, 1, 5, generator=generator, dtype=torch.float64)
    s, t, e = column(later), column(sigma), column(end)
    two = jump(point, led, t, s)
    if later > end:
        two = jump(two, again, s, e)
    one = jump(point, consistent_x(led, again, t, s, e), t, e)
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("steps", "shift"), [(1, 1.0), (4, 5.0), (16, 20.0)])
def test_the_levels_are_those_that_the_sampler_visits(steps: int, shift: float) -> None:
    levels = student_levels(steps, shift)
    assert levels[:-1] == pytest.approx(Schedule("flow_euler", steps, shift).sigmas, abs=1e-6)
    assert levels[-1] == 0.0
    for high, low in pairwise(levels):
        inner = segment_levels(high, low, 5, 10.0)
        assert len(inner) == 6
        assert (inner[0], inner[-1]) == pytest.approx((high, low), abs=1e-5)
        assert all(a > b for a, b in pairwise(inner))


def test_a_student_that_is_consistent_everywhere_samples_like_its_teacher() -> None:
    # Data is N(0.3, 0.2²), whose best x̂ is known, and so is the end of the exact path.
    mean, spread = 0.3, 0.2

    def teacher(point: torch.Tensor, sigma: torch.Tensor, conditional: bool = True) -> torch.Tensor:
        s = sigma.view(-1, 1)
        gain = (1 - s) * spread**2 / (((1 - s) * spread) ** 2 + s**2)
        return mean + gain * (point - (1 - s) * mean)

    noise = torch.randn(4, 1, generator=torch.Generator().manual_seed(0))
    parts, shift = 400, 3.0
    levels = student_levels(2, 2.0)

    def student(point: torch.Tensor, sigma: torch.Tensor, conditional: bool = True) -> torch.Tensor:
        """Consistent by construction: walks the teacher's path to the segment's end, and back."""
        at = float(sigma[0])
        high, low = next((a, b) for a, b in pairwise(levels) if a >= at - 1e-6 > b)
        inner = segment_levels(high, low, parts, shift)
        moved = point
        for now, later in pairwise(inner):
            t, s = torch.tensor([now]), torch.tensor([later])
            moved = jump(moved, teacher(moved, t), t, s)
        ratio = low / at
        return (moved - ratio * point) / (1 - ratio)

    few = sample(student, noise, Schedule("flow_euler", 2, 2.0))
    many = sample(teacher, noise, Schedule("flow_euler", 400, 2.0))
    torch.testing.assert_close(few, many, atol=5e-3, rtol=0)
    torch.testing.assert_close(many, (mean + spread * noise).clamp(-1, 1), atol=5e-3, rtol=0)
    # Two of the teacher's own steps fall far short of that.
    assert (sample(teacher, noise, Schedule("flow_euler", 2, 2.0)) - many).abs().max() > 0.05


def test_matching_moves_towards_the_teacher_and_away_from_the_fake() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    teacher, fake = torch.full((2, 3), 0.5), torch.full((2, 3), -0.5)
    target = matched_x(x, teacher, fake)
    assert not target.requires_grad
    ((x - target).square().sum() / 2).backward()
    assert x.grad is not None
    assert (x.grad < 0).all()  # a step down the gradient raises x
    # A sample that both find equally likely stays.
    assert torch.equal(matched_x(x, teacher, teacher), x)
