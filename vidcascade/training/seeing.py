"""How unlike two clips look, as a loss: LPIPS of drawn squares, and steps between neighbours.

LPIPS (Zhang et al. 2018) rewards detail where a squared error rewards the mean of all that may be.
It hardly minds a faint grid in flat areas, and looks at frames alone, so neither grid nor flicker
costs anything: both show in the steps from pixel to pixel and from frame to frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcascade.nn.lpips import LPIPS
from vidcascade.training.draws import Draws

# Squares that are looked at in each clip, their sides in shares of the picture's, and the size that
# they are brought to. Places and sizes are drawn: AlexNet's first layer has a stride of 4, and in a
# picture that always lies alike it misses the same pixels.
SQUARES, SIDES, SEEN = 4, (0.45, 1.0), 112
AT_SUBJECT = 0.7  # share of squares about the subject, where it is known


def seen(lpips: LPIPS, x: Tensor, truth: Tensor, weight: Tensor | None, draws: Draws) -> Tensor:
    """Mean LPIPS of squares of x̂ and of the truth, (B, T, 3, H, W) both: (B,)."""
    count, frames = x.shape[:2]
    first = draws.uniform() * frames / SQUARES
    places = _subjects(weight)
    each = torch.arange(count, device=x.device)
    pairs: list[Tensor] = []
    for k in range(SQUARES):
        chosen = (first + k * frames / SQUARES).long().clamp(max=frames - 1).to(x.device)
        side = SIDES[0] + (SIDES[1] - SIDES[0]) * draws.uniform()
        centre = torch.stack([draws.uniform(), draws.uniform()], 1)
        centre = (2 * centre - 1).to(x.device)  # across, down; the picture is from -1 to 1
        near = (draws.uniform() < AT_SUBJECT).to(x.device)
        if places is not None:
            subject = places[each, chosen]
            near = near & subject.isfinite().all(1)
            jitter = 0.1 * draws.normal(2).to(x.device)
            centre = torch.where(near[:, None], subject + jitter, centre)
        # The square lies within the picture.
        half = side.to(x.device)[:, None]
        centre = centre.clamp(half - 1, 1 - half)
        theta = torch.zeros(count, 2, 3, device=x.device)
        theta[:, 0, 0] = theta[:, 1, 1] = half[:, 0]
        theta[:, :, 2] = centre
        # In bfloat16 places would be rounded to a tenth of a pixel.
        with torch.autocast(x.device.type, enabled=False):
            grid = F.affine_grid(theta, [count, 3, SEEN, SEEN], align_corners=False)
        for video in (x, truth):
            pictures = video[each, chosen].float()
            pairs.append(F.grid_sample(pictures, grid, padding_mode="border", align_corners=False))
    distances = lpips(torch.cat(pairs[::2]), torch.cat(pairs[1::2]))
    return distances.view(SQUARES, count).mean(0)


def neighbour_steps(x: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of differences between neighbours, in space and time, summed: (B,)."""
    error = x.float() - truth.float()
    return sum(
        (
            error.diff(dim=dim).abs().flatten(1).mean(1)
            for dim in (1, -2, -1)
            if error.shape[dim] > 1
        ),
        start=error.new_zeros(len(error)),
    )


def _subjects(weight: Tensor | None) -> Tensor | None:
    """Where subjects are, told by the weight of their pixels: (B, T, 2), across and down.

    From -1 to 1; NaN where nothing weighs more than the rest.
    """
    if weight is None:
        return None
    height, width = weight.shape[-2:]
    least = weight.amin((2, 3, 4), keepdim=True)
    cover = (weight - least)[:, :, 0]
    mass = cover.sum((2, 3))
    mass = torch.where(mass > 1e-3, mass, torch.nan)
    across = (2 * torch.arange(width, device=weight.device) + 1) / width - 1
    down = (2 * torch.arange(height, device=weight.device) + 1) / height - 1
    return torch.stack(
        [(cover.sum(2) * across).sum(2) / mass, (cover.sum(3) * down).sum(2) / mass], 2
    )
