"""Distilling a stage into a student that needs few steps and no guidance.

The student is a low-rank change of its teacher's network. Two ways to teach it are here, each a
module whose parameters are what is trained and whose call is the loss; the mathematics is in
:mod:`vidcascade.diffusion.distillation`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.stage import Stage
from vidcascade.cascade.students import STUDENT_FILE, load_student, save_student
from vidcascade.cascade.weights import load_network
from vidcascade.diffusion.distillation import (
    consistent_x,
    jump,
    matched_x,
    segment_levels,
    student_levels,
)
from vidcascade.diffusion.flow_matching import add_noise, training_sigmas, velocity_loss
from vidcascade.diffusion.guidance import Guidance
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import add_low_rank, allow_compiling, fingerprint, set_low_rank
from vidcascade.training.averages import averaged_changes
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.logs import Progress
from vidcascade.training.objective import TextCache
from vidcascade.training.sources import ClipSource
from vidcascade.training.trainer import RunSettings, SheetMaker, StageRun
from vidcascade.video.atomic import atomic_path


class Teaching(nn.Module):
    """What both methods share: the teacher with its guidance, and the student.

    Args:
        rule: of the stage.
        teacher: its network; a copy of it becomes the student.
        text: encodes captions.
    """

    def __init__(self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache) -> None:
        super().__init__()
        assert rule.spec.student is not None
        self.rule, self.text, self.about = rule, text, rule.spec.student
        self.student = self.learner(teacher)
        # In a list, so that it is no part of what is trained and saved.
        self._teacher = [teacher.requires_grad_(False)]
        guide = rule.spec.guidance
        self.guidance = Guidance(guide.scale, *guide.interval, guide.dynamic_threshold)
        self.levels = student_levels(self.about.steps, self.about.shift)

    @property
    def teacher(self) -> SpaceTimeDenoiser:
        """The teacher's network."""
        return self._teacher[0]

    def learner(self, teacher: SpaceTimeDenoiser) -> SpaceTimeDenoiser:
        """A copy that can learn a low-rank change."""
        network = copy.deepcopy(teacher)
        add_low_rank(network, self.about.rank)
        return network

    def place(self, device: torch.device) -> None:
        """Bring the teacher to the device; what is trained is brought by the trainer."""
        self.teacher.to(device)

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

    def __init__(self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache) -> None:
        super().__init__(rule, teacher, text)
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

    def __init__(self, rule: Stage, teacher: SpaceTimeDenoiser, text: TextCache) -> None:
        super().__init__(rule, teacher, text)
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

        All examples share the level, so that those above it cost no more than they must.
        """
        steps = len(self.levels) - 1
        last = int(float(draws.uniform()[0]) * steps)
        point = draws.normal(*batch.target.shape[1:]).to(batch.target)
        like = torch.ones(len(point), device=point.device)
        with torch.no_grad():
            for now, later in zip(self.levels[:last], self.levels[1:], strict=False):
                x = self.ask(self.student, point, now * like, batch, words)
                point = jump(point, x.clamp(-1, 1), now * like, later * like)
        level = self.levels[last] * like
        return self.ask(self.student, point, level, batch, words), level


METHODS: dict[str, type[Teaching]] = {"consistency": Consistency, "matching": Matching}


def distil_stage(
    spec: CascadeSpec,
    stage_name: str,
    method: str,
    teacher: Path,
    settings: RunSettings,
    report: Callable[[Progress], None] = lambda line: None,
    sheet: SheetMaker | None = None,
    source: ClipSource | None = None,
) -> Path:
    """Distil one stage; returns the file that holds its student (``out/student.safetensors``).

    Args:
        spec: the cascade, whose stage describes its student.
        stage_name: which of its stages; one that reads text and starts from noise.
        method: ``consistency`` or ``matching``.
        teacher: folder of the stage's network.
        settings: of the run; ``init`` is a student's file to start from, and ``keep`` the share of
            that student in the result.
        report, sheet, source: as for :func:`~vidcascade.training.trainer.train_stage`.

    Raises:
        UsageError: a stage that has no student to be distilled, or a method that is none.
        VidCascadeError: as :func:`~vidcascade.training.trainer.train_stage`.
    """
    stage = spec.stage(stage_name)
    if stage.kind != "base" or not stage.network.text:
        raise UsageError(
            f"{stage_name} is no base with text: bridges and refiners need few steps as they are."
        )
    if stage.student is None:
        raise UsageError(f"The spec has no student for {stage_name}: describe it there.")
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r}: choose from {', '.join(METHODS)}.")
    run = _Distillation(spec, stage, stage.student, METHODS[method], teacher, settings, source)
    return run.complete(report, sheet)


class _Distillation(StageRun):
    RESULT = STUDENT_FILE

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, student: StudentSpec, method: type[Teaching],
        teacher: Path, settings: RunSettings, source: ClipSource | None,
    ) -> None:  # fmt: skip
        self.method, self.folder = method, teacher
        self.first: dict[str, Tensor] = {}
        # The student's recipe, where the trainer looks for one.
        taught = stage.model_copy(update={"training": student.training})
        stages = tuple(taught if s is stage else s for s in spec.stages)
        if settings.compile:
            allow_compiling()
        super().__init__(spec.model_copy(update={"stages": stages}), stage.name, settings, source)
        self.teaching.place(self.accelerator.device)
        if self.is_main:
            self._claim()

    def _claim(self) -> None:
        """A run's folder belongs to one teacher and one method.

        Raises:
            UsageError: it holds a run with others.
        """
        mark = self.settings.out / "distillation.json"
        own = json.dumps({"teacher": self.fingerprint, "method": self.method.__name__})
        if not mark.exists():
            with atomic_path(mark) as temporary:
                temporary.write_text(own, encoding="utf-8")
        elif mark.read_text(encoding="utf-8", errors="replace") != own:
            raise UsageError(
                f"{self.settings.out} holds a run on other weights or by another method: choose "
                "another --out, or remove it."
            )

    @property
    def teaching(self) -> Teaching:
        """What is trained."""
        assert isinstance(self.network, Teaching)
        return self.network

    def build(self) -> nn.Module:
        """See :meth:`StageRun.build`."""
        assert self.text is not None
        network = load_network(self.folder, self.rule, self.text_width)
        self.fingerprint = fingerprint(network)
        try:
            teaching = self.method(self.rule, network, self.text)
        except ValueError as error:
            raise UsageError(f"stages.{self.rule.spec.name}.student: {error}.") from None
        if self.settings.init is not None:
            state, teacher = load_student(self.settings.init)
            if teacher != self.fingerprint:
                raise UsageError(
                    f"{self.settings.init} is the student of other weights than {self.folder}: "
                    "start without it."
                )
            try:
                set_low_rank(teaching.student, state)
            except ValueError as error:
                raise UsageError(
                    f"{self.settings.init} does not fit the student that the spec describes "
                    f"({error}): start without it, or change the spec."
                ) from None
            self.first = state
        return teaching

    def denoisers(self) -> list[SpaceTimeDenoiser]:
        """See :meth:`StageRun.denoisers`."""
        return [*super().denoisers(), self.teaching.teacher]

    def loss(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """See :meth:`StageRun.loss`."""
        loss, sigma = self.model(batch, draws)
        return loss, sigma

    def untrained(self, batch: Example, sigma: Tensor) -> Tensor | None:
        """A student starts as its teacher, and its loss says little about how far it is off."""
        return None

    def averaged(self) -> SpaceTimeDenoiser:
        """The student with the moving average of its changes, for the sheets."""
        twin = copy.deepcopy(self.teaching.student)
        set_low_rank(twin, self._averages())
        return twin.eval()

    def write(self, path: Path) -> None:
        """See :meth:`StageRun.write`."""
        save_student(path, self._averages(), self.fingerprint)

    def _averages(self) -> dict[str, Tensor]:
        state = averaged_changes(self.teaching.student, self.ema, self.trained)
        keep = self.settings.keep
        if keep == 0.0:
            return state
        return {
            name: torch.lerp(tensor, self.first[name].to(tensor), keep)
            for name, tensor in state.items()
        }
