"""Training on the previous stage's own work: re-generations of clips whose truth is known.

In a cascade a bridge or refiner is fed what the stage before makes, with that network's own
mistakes, and one that has only seen shrunken truth passes them on. Its samples from noise cannot
teach better, since no target belongs to them. So the truth is shrunk to the previous stage's size,
noised to a middling σ and denoised again by that stage's network (Meng et al. 2022, "SDEdit"): the
result has the network's handwriting and still shows the clip, and the target fits it. A student,
which is what runs in the end, goes the last of its own steps to it. A bridge or
refiner is simply run: its input keeps its output to the clip. Its own input may be made over too,
so that a refiner learns on what base and bridge together make.

It is done while training, with a fixed network, for a share of each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import Conditioning, Stage, resize
from vidcascade.cascade.students import STUDENT_FILE, merge_student
from vidcascade.cascade.weights import load_network
from vidcascade.diffusion.distillation import jump, student_levels
from vidcascade.diffusion.flow_matching import add_noise
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache

# Below, nothing would change; above, the clip becomes another one. Few-step samplers end up here.
SIGMAS = (0.3, 0.75)
MAX_STEPS = 3
# A student begins at one of the last levels that it visits: these are below 1, and above 0.
STUDENT_STEPS = 2


class Regenerator:
    """Replaces the input of some examples of a batch by the previous stage's re-generation.

    Args:
        spec: the cascade.
        stage_name: the stage in training, a bridge or refiner.
        network: of the stage before.
        share: probability that an example is replaced, in [0, 1].
        text: captions to token states, for a previous network that reads text.
        earlier: re-generates what the stage before is given; None gives it the truth.
        distilled: ``network`` is the student that the spec describes, of two steps or more.
    """

    def __init__(
        self,
        spec: CascadeSpec,
        stage_name: str,
        network: SpaceTimeDenoiser,
        share: float,
        text: TextCache | None = None,
        earlier: Regenerator | None = None,
        distilled: bool = False,
    ) -> None:
        index = _index_with_previous(spec, stage_name)
        self.rule = make_stage(spec.stages[index])
        self.before = make_stage(spec.stages[index - 1])
        self.older = spec.stages[index - 2] if index > 1 else None
        self.network = network.eval().requires_grad_(False)
        self.share, self.earlier = share, earlier
        self.levels: list[float] | None = None
        student = self.before.spec.student
        if distilled:
            assert student is not None
            self.levels = student_levels(student.steps, student.shift)
        self.text = text if self.before.spec.network.text else None

    @classmethod
    def open(
        cls,
        spec: CascadeSpec,
        stage_name: str,
        folders: Sequence[Path],
        share: float,
        text: TextCache | None,
        text_width: int | None,
        device: torch.device,
    ) -> Regenerator:
        """Load networks from folders that their training wrote, or of an assembled cascade.

        Args:
            folders: of the stage before, the last one; of the stages before that, in the cascade's
                order, if their work is to be what it is given. A student that lies there, and that
                the spec describes, is what runs; one of a single step begins at noise, where
                nothing of a clip is left, and its teacher runs instead.
            spec, stage_name, share, text: see the class.
            text_width: of the text encoder's states.
            device: where the networks run.

        Raises:
            UsageError: more networks than there are stages before this one, or a bridge of
                several rounds.
            VidCascadeError: weights that are damaged or of another network.
        """
        before = make_stage(spec.stages[_index_with_previous(spec, stage_name) - 1])
        earlier = None
        if len(folders) > 1:
            # What is given to a stage is its own affair: all of it is made over.
            earlier = cls.open(
                spec, before.spec.name, folders[:-1], 1.0, text, text_width, device
            )  # fmt: skip
        network = load_network(folders[-1], before, text_width, running=True)
        student = folders[-1] / STUDENT_FILE
        about = before.spec.student
        distilled = about is not None and about.steps > 1 and student.is_file()
        if distilled:
            assert about is not None
            try:
                merge_student(network, student, about)
            except VidCascadeError as error:
                raise type(error)(
                    f"The student in {folders[-1]} does not fit the network beside it or the spec: "
                    "name the folder that training wrote (--previous runs/base/network), which has "
                    "none, or assemble it again."
                ) from error
        return cls(spec, stage_name, network.to(device), share, text, earlier, distilled)

    @torch.no_grad()
    def __call__(self, batch: Example, draws: Draws) -> Example:
        """The batch, which needs ``previous`` and ``corner``, with some of ``given`` replaced.

        Targets and noise augmentation stay. All randomness comes from ``draws``.
        """
        assert batch.previous is not None
        assert batch.corner is not None
        assert batch.given is not None
        chosen = draws.uniform() < self.share
        rows = [k for k, taken in enumerate(chosen.tolist()) if taken]
        if not rows:
            return batch
        draws = draws.part(rows)
        made = self.regenerate(
            batch.previous[rows],
            [batch.captions[k] for k in rows],
            self._previous_positions(batch.positions[rows].cpu()),
            draws,
        )
        levels = batch.augmentation[rows].cpu()
        noise = draws.normal(*made.shape[1:]).to(made.device)
        fresh = self.rule.condition(made, levels, noise)
        height, width = batch.target.shape[-2:]
        device = batch.target.device
        parts = [batch.given.part(slice(k, k + 1)) for k in range(len(batch.captions))]
        for i, k in enumerate(rows):
            top, left = (int(v) for v in batch.corner[k])
            parts[k] = fresh.part(slice(i, i + 1)).crop(top, left, height, width).to(device)
        return replace(batch, given=Conditioning.stack(parts))

    def _previous_positions(self, positions: Tensor) -> Tensor:
        if self.rule.spec.kind != "bridge":
            return positions
        return positions[:, ::2] / 2**self.rule.spec.rounds

    def regenerate(
        self, truth: Tensor, captions: list[str], positions: Tensor, draws: Draws
    ) -> Tensor:
        """Clips as the previous stage makes them: a base's are noised and denoised, unguided.

        Args:
            truth: (B, n, 3, h, w) in [-1, 1] at the previous stage's size, on the CPU.
            captions: one for each.
            positions: of the frames in the previous stage's clip, (B, n).
            draws: for the noise, and a base's σ and number of steps.

        Returns:
            The same shape in [-1, 1], on the CPU.
        """
        device, count, frames = self.network.device, *truth.shape[:2]
        given: Conditioning | None = None
        level = torch.full((count,), self.before.spec.noise_augmentation)
        if self.older is not None:
            truth, positions = _whole_timeline(truth, positions, self.before)
            given = self._given(truth, captions, positions, level, draws).to(device)
        states = mask = None
        if self.text is not None:
            states, mask = (tensor.to(device) for tensor in self.text(captions))
        noise = draws.normal(*truth.shape[1:]).to(device)
        start = truth.to(device) if given is None else self.before.start(given)
        levels = self._levels(given is None, start is not None, count, draws).to(device)
        current = noise if start is None else add_noise(start, noise, levels[:, 0])
        level, positions = level.to(device), positions.to(device)
        for here, there in pairwise(levels.unbind(1)):
            rows = torch.nonzero(here > 0)[:, 0]  # those that are not at their end
            if not len(rows):
                break
            x = self.before.predict(
                self.network, current[rows], here[rows],
                None if given is None else given.part(rows), level[rows],
                None if states is None else states[rows], None if mask is None else mask[rows],
                positions[rows],
            )  # fmt: skip
            if self.levels is not None:
                x = x.clamp(-1, 1)  # as in its sampling loop
            current[rows] = jump(current[rows], x, here[rows], there[rows])
        return current[:, :frames].float().clamp(-1, 1).cpu()

    def _levels(self, from_truth: bool, started: bool, count: int, draws: Draws) -> Tensor:
        """The σ that each clip visits, falling, with 0 where it ends and from then on: (B, n)."""
        if not from_truth:
            start = torch.full((count,), self.before.spec.start_sigma if started else 1.0)
            steps = torch.full((count,), min(self.before.spec.steps, MAX_STEPS))
        elif self.levels is not None:
            visited = torch.tensor(self.levels[1:])[-STUDENT_STEPS - 1 :]
            last = len(visited) - 1
            first = (last * draws.uniform()).long()
            later = first[:, None] + torch.arange(last + 1)
            return visited[later.clamp(max=last)]
        else:
            low, high = SIGMAS
            start = low + (high - low) * draws.uniform()
            steps = 1 + (MAX_STEPS * draws.uniform()).long()
        share = 1 - torch.arange(MAX_STEPS + 1) / steps[:, None]
        return start[:, None] * share.clamp(min=0)

    def _given(
        self, truth: Tensor, captions: list[str], positions: Tensor, level: Tensor, draws: Draws
    ) -> Conditioning:
        """What the stage before is given where it makes ``truth``, a whole timeline."""
        assert self.older is not None
        source = truth[:, ::2] if self.before.spec.kind == "bridge" else truth
        source = resize(source, self.older.size, "area")
        if self.earlier is not None:
            places = self.earlier._previous_positions(positions)
            source = self.earlier.regenerate(source, captions, places, draws)
        return self.before.condition(
            source, level, draws.normal(*source.shape[1:]).to(source.device)
        )


def _whole_timeline(truth: Tensor, positions: Tensor, before: Stage) -> tuple[Tensor, Tensor]:
    """Repeat the last frame where a bridge's timeline would not come out at the clip's length."""
    if before.spec.kind != "bridge":
        return truth, positions
    # `extend` fills an even number of slots, `between` an odd one.
    if truth.shape[1] % 2 == (1 if before.spec.fill == "extend" else 0):
        truth = torch.cat((truth, truth[:, -1:]), dim=1)
        positions = torch.cat((positions, positions[:, -1:] + 1), dim=1)
    return truth, positions


def _index_with_previous(spec: CascadeSpec, stage_name: str) -> int:
    index = spec.stages.index(spec.stage(stage_name))
    if index == 0:
        raise UsageError(
            f"There is no stage before {stage_name} to take inputs from: leave out --previous."
        )
    for stage in spec.stages[index - 1 : index + 1]:
        if stage.kind == "bridge" and stage.rounds > 1:
            raise UsageError(
                f"{stage.name} works in {stage.rounds} rounds, whose inputs cannot be made over: "
                "leave out --previous."
            )
    return index
