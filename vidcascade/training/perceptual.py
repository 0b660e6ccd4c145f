"""Teaching a student's last step on true clips, as the eye sees them.

Learnt from its teacher alone, a student has its teacher's faults: guidance's gaudy colours, rims
about the subject, a blur in which an average hides. Here its last step, at which all but the detail
is settled, is taught on true clips that its own steps have led there, by LPIPS (Zhang et al. 2018)
beside the squared error. What the levels above decide, subject and motion, stays as it was.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.distillation import jump
from vidcascade.diffusion.flow_matching import add_noise, velocity_loss
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.teaching import Teaching

# Of the examples: those that hold the levels above the last where they were; and those whose way
# to the last begins two levels above it, one above it, or there.
HELD, WAYS = 0.25, (0.15, 0.4, 0.2)
# What counts how much: LPIPS 1, squared errors in v, those of what is held, and absolute errors of
# steps from pixel to pixel and from frame to frame. LPIPS hardly minds a faint grid in flat areas,
# which there is nothing else to tell of.
SQUARED, HOLDING, STEPS = 0.5, 3.0, 0.5
# Squares that are looked at in each clip, their sides in shares of the picture's, and the size that
# they are brought to. Places and sizes are drawn: AlexNet's first layer has a stride of 4, and in a
# picture that always lies alike it misses the same pixels.
SQUARES, SIDES, SEEN = 4, (0.45, 1.0), 112
AT_SUBJECT = 0.7  # share of squares about the subject, where it is known


class Perceptual(Teaching):
    """The last of a student's levels, on its own way there, towards true clips.

    Raises:
        ValueError: a student of one step, which has no levels above the last, or no eye.
    """

    def __init__(
        self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache, eye: LPIPS | None = None
    ) -> None:
        super().__init__(rule, teacher, text, eye)
        if eye is None:
            raise ValueError("there is nothing to see with: give LPIPS")
        if self.about.steps < 2:
            raise ValueError(
                "one step settles everything at once, and leaves none for detail: describe a "
                "student of at least 2 steps"
            )

    def begin(self) -> None:
        """See :meth:`Teaching.begin`."""
        self.frozen.append(copy.deepcopy(self.student).requires_grad_(False).eval())

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        device = batch.target.device
        last = self.about.steps - 1
        chance, other = draws.uniform(), draws.uniform()
        held = chance < HELD
        ends = torch.tensor(WAYS).cumsum(0) / sum(WAYS)
        above = 2 - torch.bucketize(other, ends[:2], right=True)
        # Nothing of a clip is left at the highest level, so no way begins there.
        level = torch.where(held, (other * last).long(), (last - above).clamp(min=1))
        levels = torch.tensor(self.levels)
        noise = draws.normal(*batch.target.shape[1:]).to(batch.target)
        words = self.read(batch.captions, batch.target)
        point = add_noise(batch.target, noise, levels[level].to(device))
        target = batch.target.clone()

        def ask(network: SpaceTimeDenoiser, rows: Tensor) -> Tensor:
            sigma = levels[level[rows]].to(device)
            there = rows.to(device)
            part = replace(batch, positions=batch.positions[there])
            x = self.ask(network, point[there], sigma, part, (words[0][there], words[1][there]))
            return x.to(target)

        with torch.no_grad():
            rows = held.nonzero().flatten()
            if len(rows):
                target[rows.to(device)] = ask(self.frozen[-1], rows)
            for now in (last - 2, last - 1):
                rows = (~held & (level == now)).nonzero().flatten()
                if len(rows):
                    there = rows.to(device)
                    high, low = (levels[k].expand(len(rows)).to(device) for k in (now, now + 1))
                    x = ask(self.student, rows).clamp(-1, 1)
                    point[there] = jump(point[there], x, high, low)
                    level[rows] += 1
        sigma = levels[level].to(device)
        x = self.ask(self.student, point, sigma, batch, words)
        squared = velocity_loss(x, target, sigma, batch.weight)
        loss = torch.where(held.to(device), HOLDING, SQUARED) * squared
        rows = (~held).nonzero().flatten()
        if len(rows):
            there = rows.to(device)
            weight = None if batch.weight is None else batch.weight[there]
            seen = self._seen(x[there], target[there], weight, draws.part(rows.tolist()))
            seen = seen + STEPS * _steps(x[there], target[there])
            loss = loss.index_add(0, there, seen)
        return loss, sigma

    def _seen(self, x: Tensor, truth: Tensor, weight: Tensor | None, draws: Draws) -> Tensor:
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
                pairs.append(
                    F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
                )
        distances = self.eyes[0](torch.cat(pairs[::2]), torch.cat(pairs[1::2]))
        return distances.view(SQUARES, count).mean(0)


def _steps(x: Tensor, truth: Tensor) -> Tensor:
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
