"""Teaching a student's last step on true clips, as the eye sees them.

Learnt from its teacher alone, a student has its teacher's faults: guidance's gaudy colours, rims
about the subject, a blur in which an average hides. Here its last step, at which all but the detail
is settled, is taught on true clips that its own steps have led there, by LPIPS (Zhang et al. 2018)
beside the squared error. It gets changes of its own: what the steps above decide, subject and
motion, stays as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.distillation import jump
from vidcascade.diffusion.flow_matching import add_noise, velocity_loss
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import set_low_rank
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.seeing import neighbour_steps, seen
from vidcascade.training.teaching import Teaching

# Shares of examples whose way to the last level begins two above it, one above it, or there.
WAYS = (0.2, 0.53, 0.27)
# What counts how much: LPIPS 1, squared errors in v, and absolute errors of steps between
# neighbours.
SQUARED, STEPS = 0.5, 0.5


class Perceptual(Teaching):
    """The last of a student's levels, on its own way there, towards true clips.

    Raises:
        ValueError: a student of one step, which has no levels above the last, or no eye.
    """

    LAST_ALONE = True

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
        self.taught = self.levels[-2:-1]

    def begin(self, above: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> None:
        """See :meth:`Teaching.begin`."""
        set_low_rank(self.student, above)
        self.frozen.append(copy.deepcopy(self.student).requires_grad_(False).eval())
        if last:
            set_low_rank(self.student, last)

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        device = batch.target.device
        last = self.about.steps - 1
        ends = torch.tensor(WAYS).cumsum(0)
        above = 2 - torch.bucketize(draws.uniform(), ends[:2], right=True)
        # Nothing of a clip is left at the highest level, so no way begins there.
        level = (last - above).clamp(min=1)
        levels = torch.tensor(self.levels)
        noise = draws.normal(*batch.target.shape[1:]).to(batch.target)
        words = self.read(batch.captions, batch.target)
        point = add_noise(batch.target, noise, levels[level].to(device))
        with torch.no_grad():
            for now in (last - 2, last - 1):
                rows = (level == now).nonzero().flatten()
                if not len(rows):
                    continue
                there = rows.to(device)
                high, low = (levels[k].expand(len(rows)).to(device) for k in (now, now + 1))
                part = replace(batch, positions=batch.positions[there])
                said = (words[0][there], words[1][there])
                x = self.ask(self.frozen[-1], point[there], high, part, said)
                point[there] = jump(point[there], x.to(point).clamp(-1, 1), high, low)
                level[rows] += 1
        sigma = levels[level].to(device)
        x = self.ask(self.student, point, sigma, batch, words)
        huber = self.about.training.huber
        loss = SQUARED * velocity_loss(x, batch.target, sigma, batch.weight, huber)
        loss = loss + seen(self.eyes[0], x, batch.target, batch.weight, draws)
        return loss + STEPS * neighbour_steps(x, batch.target), sigma
