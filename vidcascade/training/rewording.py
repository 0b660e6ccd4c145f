"""Teaching a student to understand other words than those that its teacher learnt.

A network that has learnt from captions in a few wordings hears little in others. Here a student
reads a caption told otherwise and is taught to predict what it predicted, before this, for the
caption itself, at each of its levels: what it makes stays as it was, and only the text's meaning
is widened. It costs two passes of the network an example, and one of the text encoder.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.rewordings import reword
from vidcascade.diffusion.flow_matching import add_noise, velocity_loss
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.teaching import Teaching

PLAIN = 0.25  # share of captions that stay as they are, so that those are held
# Share of examples at the highest level, where subject, motion and place are begun; any level else.
HIGHEST = 0.35


class Rewording(Teaching):
    """The student that it begins with is its teacher, in the captions' own words."""

    def begin(self) -> None:
        """See :meth:`Teaching.begin`."""
        self.frozen.append(copy.deepcopy(self.student).requires_grad_(False).eval())

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        levels = torch.tensor(self.levels[:-1])
        chance, where, chosen = draws.uniform(), draws.uniform(), draws.uniform()
        level = (where * len(levels)).long().clamp(max=len(levels) - 1)
        level = torch.where(draws.uniform() < HIGHEST, 0, level)
        sigma = levels[level].to(batch.target.device)
        noise = draws.normal(*batch.target.shape[1:]).to(batch.target)
        point = add_noise(batch.target, noise, sigma)
        with torch.no_grad():
            words = self.read(batch.captions, point)
            target = self.ask(self.frozen[-1], point, sigma, batch, words)
        said = [
            caption if plain else reword(caption, np.random.default_rng(int(2**24 * seed)))
            for caption, plain, seed in zip(
                batch.captions, (chance < PLAIN).tolist(), chosen.tolist(), strict=True
            )
        ]
        x = self.ask(self.student, point, sigma, batch, self.read(said, point))
        return velocity_loss(x, target, sigma, batch.weight), sigma


def with_rewordings(spec: CascadeSpec) -> CascadeSpec:
    """The spec, whose world knows that prompts may be told in these words."""
    if spec.world is None:
        return spec
    return spec.model_copy(update={"world": spec.world.model_copy(update={"rewordings": True})})
