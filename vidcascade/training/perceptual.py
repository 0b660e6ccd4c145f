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
from torch import Tensor

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.distillation import jump
from vidcascade.diffusion.flow_matching import add_noise, velocity_loss
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.seeing import neighbour_steps, seen
from vidcascade.training.teaching import Teaching

# Of the examples: those that hold the levels above the last where they were; and those whose way
# to the last begins two levels above it, one above it, or there.
HELD, WAYS = 0.25, (0.15, 0.4, 0.2)
# What counts how much: LPIPS 1, squared errors in v, those of what is held, and absolute errors of
# steps between neighbours.
SQUARED, HOLDING, STEPS = 0.5, 3.0, 0.5


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
            looks = seen(self.eyes[0], x[there], target[there], weight, draws.part(rows.tolist()))
            looks = looks + STEPS * neighbour_steps(x[there], target[there])
            loss = loss.index_add(0, there, looks)
        return loss, sigma
