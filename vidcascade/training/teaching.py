"""How a student is taught by its teacher.

Each way is a module whose parameters are what is trained and whose call is the loss; the
mathematics is in :mod:`vidcascade.diffusion.distillation`. The student is a low-rank change of its
teacher's network.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidcascade.cascade.stage import Stage
from vidcascade.diffusion.distillation import (
    consistent_x,
    jump,
    matched_x,
    segment_levels,
    student_levels,
)
from vidcascade.diffusion.flow_matching import add_noise, training_sigmas, velocity_loss
from vidcascade.diffusion.guidance import Guidance
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import add_low_rank
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache


class Teaching(nn.Module):
    """What all ways share: the teacher with its guidance, and the student.

    Args:
        rule: of the stage.
        teacher: its network; a copy of it becomes the student.
        text: encodes captions.
        eye: tells pictures apart, for a way of teaching that needs it.

    Attributes:
        LAST_ALONE: whether the last step is taught changes of its own, and the others stay.
        frozen: networks that are asked and not trained, the teacher first.

    Raises:
        ValueError: a student that cannot be taught that way.
    """

    LAST_ALONE: ClassVar[bool] = False

    def __init__(
        self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache, eye: LPIPS | None = None
    ) -> None:
        super().__init__()
        assert rule.spec.student is not None
        self.rule, self.text, self.about = rule, text, rule.spec.student
        self.student = self.learner(teacher)
        # In lists, so that they are no part of what is trained and saved.
        self.frozen = [teacher.requires_grad_(False)]
        self.eyes = [] if eye is None else [eye]
        guide = rule.spec.guidance
        self.guidance = Guidance(guide.scale, *guide.interval, guide.dynamic_threshold)
        self.levels = student_levels(self.about.steps, self.about.shift)

    @property
    def teacher(self) -> SpaceTimeDenoiser:
        """The teacher's network."""
        return self.frozen[0]

    def learner(self, teacher: SpaceTimeDenoiser) -> SpaceTimeDenoiser:
        """A copy that can learn a low-rank change."""
        network = copy.deepcopy(teacher)
        add_low_rank(network, self.about.rank)
        return network

    def place(self, device: torch.device) -> None:
        """Bring to the device what is not trained; the trainer brings what is."""
        for module in (*self.frozen, *self.eyes):
            module.to(device)

    def begin(self, last: Mapping[str, Tensor]) -> None:
        """Called once, when the student is what the run starts from.

        Args:
            last: changes of its own that its last step has, if any. A student that is taught as a
                whole begins without them.
        """

    def read(self, captions: list[str], like: Tensor) -> tuple[Tensor, Tensor]:
        """Captions → token states and mask on the device of ``like``."""
        states, mask = self.text(captions)
        return states.to(like.device), mask.to(like.device)

    def ask(
        self, network: SpaceTimeDenoiser, point: Tensor, sigma: Tensor, batch: Example,
        words: tuple[Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        """A network's x̂ at points (B, …) and σ (B,), with a prompt."""
        # Autocast keeps casts of weights, and of some versions those made without a gradient.
        torch.clear_autocast_cache()
        return self.rule.predict(
            network, point, sigma, None, None, words[0], words[1], batch.positions
        )

    @torch.no_grad()
    def ask_teacher(
        self, point: Tensor, sigma: Tensor, batch: Example, words: tuple[Tensor, Tensor]
    ) -> Tensor:
        """The teacher's guided x̂, as in its sampling loop."""
        x = self.ask(self.teacher, point, sigma, batch, words)
        empty = self.read([""] * len(point), point)
        plain = self.ask(self.teacher, point, sigma, batch, empty)
        acts = torch.tensor([self.guidance.acts(float(s)) for s in sigma], device=x.device)
        guided = self.guidance.combine(x, plain)
        return self.guidance.limit(torch.where(acts.view(-1, *[1] * (x.ndim - 1)), guided, x))


class Consistency(Teaching):
    """Multistep consistency distillation on noised clips.

    Song et al. 2023 and Heek et al. 2024, with the student's own levels as the segments' ends and
    the teacher's path in ``parts`` steps between them. The target's network is the student as it
    is: averaged targets help no more (Song & Dhariwal 2024).
    """

    def __init__(
        self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache, eye: LPIPS | None = None
    ) -> None:
        super().__init__(rule, teacher, text, eye)
        parts, shift = self.about.parts, rule.spec.shift
        rows = []
        for high, low in pairwise(self.levels):
            inner = segment_levels(high, low, parts, shift)
            rows += [(now, later, low) for now, later in pairwise(inner)]
        self.rows = torch.tensor(rows)

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        chosen = (draws.uniform() * len(self.rows)).long().clamp(max=len(self.rows) - 1)
        sigma, later, end = self.rows[chosen].to(batch.target.device).unbind(1)
        noise = draws.normal(*batch.target.shape[1:]).to(batch.target)
        point = add_noise(batch.target, noise, sigma)
        words = self.read(batch.captions, point)
        led = self.ask_teacher(point, sigma, batch, words)
        with torch.no_grad():
            further = jump(point, led, sigma, later)
            # Where the segment ends there is nothing left to predict; any σ > 0 will do there.
            again = self.ask(self.student, further, later.clamp(min=1e-3), batch, words)
            target = consistent_x(led, again.clamp(-1, 1), sigma, later, end)
        x = self.ask(self.student, point, sigma, batch, words)
        recipe = self.about.training
        return velocity_loss(x, target, sigma, batch.weight, recipe.huber), sigma


class Matching(Teaching):
    """Distribution matching distillation without data.

    Yin et al. 2024 (DMD2): the student samples from noise with its own steps, and its last x̂ is
    moved to where the teacher finds it likelier than a model of the student's samples does. That
    model, another low-rank change of the teacher, learns beside it on the same samples.
    """

    def __init__(
        self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache, eye: LPIPS | None = None
    ) -> None:
        super().__init__(rule, teacher, text, eye)
        self.fake = self.learner(teacher)

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        words = self.read(batch.captions, batch.target)
        x, level = self._sample(batch, draws, words)
        recipe = self.about.training
        sigma = training_sigmas(draws.normal(), recipe.shift, std=recipe.sigma_std).to(x.device)
        point = add_noise(x.detach(), draws.normal(*x.shape[1:]).to(x), sigma)
        likely = self.ask_teacher(point, sigma, batch, words)
        # The fake's own training pair is the one that it is asked about, which saves a pass.
        fake = self.ask(self.fake, point, sigma, batch, words)
        target = matched_x(x, likely, fake)
        moved = (x - target).square().flatten(1).mean(1) / 2
        learnt = velocity_loss(fake, x.detach(), sigma)
        return moved + learnt, level

    def _sample(
        self, batch: Example, draws: Draws, words: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The student's x̂ at one of its levels on its own path, (B, …), and that level, (B,).

        All examples of a batch share the level, so that those above it cost no more than they must,
        whichever process works on them.
        """
        steps = len(self.levels) - 1
        last = int(draws.common * steps)
        draws.uniform()  # of which the first example's is the common one
        point = draws.normal(*batch.target.shape[1:]).to(batch.target)
        like = torch.ones(len(point), device=point.device)
        with torch.no_grad():
            for now, later in zip(self.levels[:last], self.levels[1:], strict=False):
                x = self.ask(self.student, point, now * like, batch, words)
                point = jump(point, x.clamp(-1, 1), now * like, later * like)
        level = self.levels[last] * like
        return self.ask(self.student, point, level, batch, words), level
