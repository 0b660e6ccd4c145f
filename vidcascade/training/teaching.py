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
from torch.nn.functional import adaptive_avg_pool2d

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
from vidcascade.nn.low_rank import add_low_rank, set_low_rank
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache

# How much colours count that drift from the former student's, and in how many parts of the frame.
COARSE, PARTS = 10.0, 4


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
        levels: that the student visits, and the 0 where it ends.
        taught: of these, the ones whose steps are taught.

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
        self.taught = self.levels[:-1]

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

    def begin(self, above: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> None:
        """Called once, with the student that the run starts from.

        Args:
            above: its changes; none for a student that begins as its teacher.
            last: changes of its own that its last step has, if any. They stay as they are, and only
                the steps above it are taught.

        Raises:
            ValueError: changes that do not fit, or there are no steps above the last.
        """
        if above:
            set_low_rank(self.student, above)
        if last and len(self.taught) < 2:
            raise ValueError("its only step has changes of its own")
        if last:
            self.taught = self.taught[:-1]

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
        self.rows = self._rows()

    def begin(self, above: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> None:
        """See :meth:`Teaching.begin`."""
        super().begin(above, last)
        self.rows = self._rows()

    def _rows(self) -> Tensor:
        """Every part of the taught segments: where it begins, where it ends, the segment's end."""
        parts, shift = self.about.parts, self.rule.spec.shift
        rows = []
        for high, low in zip(self.taught, self.levels[1:], strict=False):
            inner = segment_levels(high, low, parts, shift)
            rows += [(now, later, low) for now, later in pairwise(inner)]
        return torch.tensor(rows)

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

    The divergence that this follows forgives samples that resemble each other, and colours that
    captions leave open come to be a few. So a student that goes on from another keeps the colours
    that the other gave to the same noise: the first paper's regression, of what is coarse alone.
    """

    def __init__(
        self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache, eye: LPIPS | None = None
    ) -> None:
        super().__init__(rule, teacher, text, eye)
        self.fake = self.learner(teacher)
        self.former: list[SpaceTimeDenoiser] = []

    def begin(self, above: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> None:
        """See :meth:`Teaching.begin`."""
        super().begin(above, last)
        if above:
            self.former = [copy.deepcopy(self.student).requires_grad_(False).eval()]
            self.frozen += self.former

    def forward(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """Loss and σ of each example, (B,) both."""
        words = self.read(batch.captions, batch.target)
        x, level, drift = self._sample(batch, draws, words)
        recipe = self.about.training
        sigma = training_sigmas(draws.normal(), recipe.shift, std=recipe.sigma_std).to(x.device)
        point = add_noise(x.detach(), draws.normal(*x.shape[1:]).to(x), sigma)
        likely = self.ask_teacher(point, sigma, batch, words)
        # The fake's own training pair is the one that it is asked about, which saves a pass.
        fake = self.ask(self.fake, point, sigma, batch, words)
        target = matched_x(x, likely, fake)
        moved = (x - target).square().flatten(1).mean(1) / 2
        learnt = velocity_loss(fake, x.detach(), sigma)
        return moved + learnt + COARSE * drift, level

    def _sample(
        self, batch: Example, draws: Draws, words: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The student's x̂ (B, …) at one of its levels on its own path, that level (B,), and drift.

        That is how far (B,) its colours are from those that the student which the run goes on from
        makes of the same noise; 0 where there is none.

        All examples of a batch share the level, so that those above it cost no more than they must,
        whichever process works on them.
        """
        last = int(draws.common * len(self.taught))
        draws.uniform()  # of which the first example's is the common one
        noise = draws.normal(*batch.target.shape[1:]).to(batch.target)
        level = self.levels[last] * torch.ones(len(noise), device=noise.device)
        point = self._led(self.student, noise, last, batch, words)
        x = self.ask(self.student, point, level, batch, words)
        if not self.former:
            return x, level, torch.zeros_like(level)
        point = self._led(self.former[0], noise, last, batch, words)
        with torch.no_grad():
            was = self.ask(self.former[0], point, level, batch, words)
        return x, level, (coarse(x) - coarse(was)).square().flatten(1).mean(1) / 2

    @torch.no_grad()
    def _led(
        self, network: SpaceTimeDenoiser, noise: Tensor, steps: int, batch: Example,
        words: tuple[Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        """Where so many of the student's steps lead from noise, (B, …)."""
        point, like = noise, torch.ones(len(noise), device=noise.device)
        for now, later in zip(self.levels[:steps], self.levels[1:], strict=False):
            x = self.ask(network, point, now * like, batch, words)
            point = jump(point, x.clamp(-1, 1), now * like, later * like)
        return point


def coarse(clips: Tensor) -> Tensor:
    """Mean colours over time and over parts of the frame: (B, T, 3, H, W) → (B, 3, 4, 4)."""
    return adaptive_avg_pool2d(clips.float().mean(1), PARTS)
