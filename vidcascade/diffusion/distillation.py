"""Few-step sampling: what a student should predict, given its teacher.

A student visits few levels σ₀ = 1 > σ₁ > … > 0 and goes from each to the next in one Euler step
with its own x̂. Between two of its levels lies a *segment* of the teacher's path.

Two ways to teach it. *Multistep consistency* (Song et al. 2023; Heek et al. 2024): from anywhere in
a segment one step must land where the teacher's path ends, which holds if it lands where a step
from a little further along the path lands. *Distribution matching* (Yin et al. 2024): what the
student makes should be as likely for the teacher as it is for a model of the student's own
samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidcascade.diffusion.flow_matching import per_sample, shift_sigma, unshift_sigma


def jump(sample: Tensor, x: Tensor, sigma: Tensor, end: Tensor) -> Tensor:
    """An Euler step along the path: sample (B, …) at ``sigma`` (B,) with predicted x → at ``end``.

    ``end`` (B,) is below ``sigma``.
    """
    ratio = per_sample(end / sigma, sample)
    return ratio * sample + (1 - ratio) * x


def student_levels(steps: int, shift: float) -> list[float]:
    """The levels that a student of so many steps visits, and the 0 where it ends."""
    return shift_sigma(torch.linspace(1, 0, steps + 1), shift).tolist()


def segment_levels(high: float, low: float, parts: int, shift: float) -> list[float]:
    """The teacher's levels from ``high`` down to ``low``, both included: ``parts + 1`` numbers.

    They are even before ``shift``, as a sampler's are.
    """
    ends = [unshift_sigma(level, shift) for level in (high, low)]
    return shift_sigma(torch.linspace(ends[0], ends[1], parts + 1), shift).tolist()


def consistent_x(
    teacher_x: Tensor, later_x: Tensor, sigma: Tensor, later: Tensor, end: Tensor
) -> Tensor:
    """The x̂ with which one step from ``sigma`` lands where two steps by way of ``later`` land.

    Args:
        teacher_x: the teacher's guided x̂ at ``sigma``, (B, …), which leads to ``later``.
        later_x: the student's x̂ there, (B, …), which leads to ``end``.
        sigma, later, end: falling levels, (B,); ``later`` may be ``end``.

    Returns:
        (B, …), a weighted mean of both predictions.
    """
    # The weight is σₑ(1/s - 1/t) / (1 - σₑ/t), written so that s = σₑ = 0 is no special case.
    share = torch.where(
        later <= end,
        torch.ones_like(end),
        end * (sigma - later) / (later * (sigma - end)).clamp(min=1e-9),
    )
    weight = per_sample(share, teacher_x)
    return weight * teacher_x + (1 - weight) * later_x


def matched_x(x: Tensor, teacher_x: Tensor, fake_x: Tensor) -> Tensor:
    """Where the student's sample should move to be likelier for the teacher, (B, …).

    The squared distance to it has the gradient of the divergence between the student's and the
    teacher's distributions (Yin et al. 2024, eq. 7 and 8), brought to one size for all noise
    levels by the teacher's distance from the sample.

    Args:
        x: what the student made, (B, …).
        teacher_x: the teacher's guided x̂ of the noised ``x``.
        fake_x: the same by a model of the student's samples.
    """
    size = (x - teacher_x).abs().flatten(1).mean(1).clamp(min=1e-3)
    return (x - (fake_x - teacher_x) / per_sample(size, x)).detach()
