"""What the interpolation network is given: flows, where they fail, and what else might be true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["OFFSETS", "Prior", "enlarged", "flows_of", "prior_of", "sample", "search"]

_STEPS = (-4, -2, -1, 0, 1, 2, 4)
# Where the prior may have missed a motion: offsets tried, in pixels at 1/4 of the size, and how
# sharply the best of them is chosen, in units of the frames.
OFFSETS = tuple((x, y) for y in _STEPS for x in _STEPS)
SHARPNESS = 0.03


@dataclass(frozen=True, eq=False)
class Prior:
    """What the network is given to correct, from optical flow between its two frames.

    Attributes:
        flows: from the missing frame to the first and to the second frame, (B, 4, H, W), x then y
            each, in pixels, as :func:`vidcascade.flow.midpoint.intermediate_flows`. At a moving
            edge one neighbour has the thing and the other what is behind it, and these flows are
            a mean of both motions, which is neither.
        miss: how far, in pixels, a round trip from each neighbour fails to come back, seen from
            the missing frame, (B, 2, H/2, W/2). What is seen in one neighbour alone has a large
            miss there.
        followed: the motion, in pixels from the first frame to the second, of what the first
            frame's flow brings here, and of what the second frame's flow does, (B, 4, H/2, W/2).
            At a moving edge these are the two motions themselves.
    """

    flows: Tensor
    miss: Tensor
    followed: Tensor


def flows_of(motion: Tensor, time: Tensor) -> Tensor:
    """Flows (B, 4, ·, ·) to both neighbours from the motion between them (B, 2, ·, ·)."""
    t = time[:, None, None, None]
    return torch.cat((motion * -t, motion * (1 - t)), dim=1)


@torch.no_grad()
def prior_of(ahead: Tensor, back: Tensor, time: Tensor, rounds: int = 3) -> Prior:
    """What the network is given to correct.

    Args:
        ahead: flow from the first frame to the second, (B, 2, H, W) in pixels, even sides.
        back: from the second to the first.
        time: of the missing frame, 0 to 1, (B,).
        rounds: fixed-point steps that follow each flow to the missing frame.
    """
    t = time[:, None, None, None]
    flows = flows_of(ahead * (1 - t) - back * t, time)
    one, two, half = (F.avg_pool2d(flow, 2) * 0.5 for flow in (ahead, back, flows))
    first = (one + sample(two, one)).square().sum(1, keepdim=True).sqrt()
    second = (two + sample(one, two)).square().sum(1, keepdim=True).sqrt()
    miss = 2 * torch.cat((sample(first, half[:, :2]), sample(second, half[:, 2:])), dim=1)
    forth = back_again = half[:, 2:] - half[:, :2]
    for _ in range(rounds):
        forth = sample(one, forth * -t)
        back_again = -sample(two, back_again * (1 - t))
    return Prior(flows, miss, 2 * torch.cat((forth, back_again), dim=1))


@torch.no_grad()
def search(first: Tensor, second: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Motions, symmetric about the missing frame, that would make the warped neighbours agree.

    A bilateral cost volume (Park et al. 2020, *BMBC*, arXiv:2007.12622) of plain colour
    differences: it finds small things that move fast, which the flow's pyramid loses.

    Args:
        first: the first neighbour at half size, warped by the prior, (B, 3, h, w).
        second: the second one.
        time: of the missing frame, (B,).

    Returns:
        At a quarter of the given size: costs relative to no offset (B, offsets, ·, ·), and the
        change of both flows to the best offset, (B, 4, ·, ·) in pixels of full size.
    """
    reach = max(abs(step) for step in _STEPS)
    pair = [F.avg_pool2d(x, 2) for x in (first, second)]
    height, width = pair[0].shape[-2:]
    one, two = (F.pad(x, (reach,) * 4, mode="replicate") for x in pair)
    costs = []
    for x, y in OFFSETS:
        a = one[..., reach - y : reach - y + height, reach - x : reach - x + width]
        b = two[..., reach + y : reach + y + height, reach + x : reach + x + width]
        costs.append((a - b).abs().mean(1))
    cost = F.avg_pool2d(torch.stack(costs, dim=1), 4, stride=2, padding=1)
    cost = F.avg_pool2d(cost, 3, stride=1, padding=1)
    cost = cost - cost[:, len(OFFSETS) // 2, None]
    chance = torch.softmax(cost / -SHARPNESS, dim=1)
    steps = torch.tensor(OFFSETS, dtype=cost.dtype, device=cost.device) * 4
    best = torch.einsum("bnhw,nc->bchw", chance, steps)
    t = time[:, None, None, None]
    return cost, torch.cat((best * (-2 * t), best * (2 * (1 - t))), dim=1)


def sample(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """``out(p) = image(p + flow(p))``, clamped to the border; differentiable in the flow.

    Faster than :func:`vidcascade.flow.warp.warp`, and exact only to rounding.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, x then y.
        mode: ``"bilinear"`` or ``"bicubic"``.
    """
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=torch.float32) + flow[:, 0].float()
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None] + flow[:, 1].float()
    grid = torch.stack((x * (2 / width) + (1 / width - 1), y * (2 / height) + (1 / height - 1)), -1)
    return F.grid_sample(image.float(), grid, mode=mode, padding_mode="border", align_corners=False)


def enlarged(flow: Tensor, size: Sequence[int]) -> Tensor:
    """A field on the pixel grid of a larger size; its values, in pixels of that size, stay."""
    return F.interpolate(flow, size=tuple(size), mode="bilinear", align_corners=False)
