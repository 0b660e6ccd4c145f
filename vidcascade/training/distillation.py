"""Distilling a stage into a student that needs few steps and no guidance.

The student is low-rank changes of its teacher's network; :mod:`vidcascade.training.teaching` and
:mod:`vidcascade.training.perceptual` have the ways to teach it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.spec import CascadeSpec, SpecWarning, StageSpec
from vidcascade.cascade.students import (
    STUDENT_FILE,
    joined,
    last_level,
    load_student,
    parted,
    save_student,
)
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import allow_compiling, fingerprint, set_low_rank
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.averages import averaged_changes
from vidcascade.training.dataset import Example
from vidcascade.training.draws import Draws
from vidcascade.training.logs import Progress
from vidcascade.training.perceptual import Perceptual
from vidcascade.training.sources import ClipSource
from vidcascade.training.teaching import Consistency, Matching, Teaching
from vidcascade.training.trainer import RunSettings, SheetMaker, StageRun
from vidcascade.video.atomic import atomic_path

METHODS: dict[str, type[Teaching]] = {
    "consistency": Consistency,
    "matching": Matching,
    "perceptual": Perceptual,
}


def distil_stage(
    spec: CascadeSpec,
    stage_name: str,
    method: str,
    teacher: Path,
    settings: RunSettings,
    report: Callable[[Progress], None] = lambda line: None,
    sheet: SheetMaker | None = None,
    source: ClipSource | None = None,
    lpips: Path | None = None,
) -> Path:
    """Distil one stage; returns the file that holds its student (``out/student.safetensors``).

    Args:
        spec: the cascade, whose stage describes its student.
        stage_name: which of its stages; one that reads text and starts from noise.
        method: ``consistency``, ``matching`` or ``perceptual``.
        teacher: folder of the stage's network.
        settings: of the run; ``init`` is a student's file to start from, and ``keep`` the share of
            that student in the result. The perceptual method leaves that student's steps as they
            are, but for the last; the others leave a last step that has changes of its own.
        report, sheet, source: as for :func:`~vidcascade.training.trainer.train_stage`.
        lpips: file of LPIPS weights, for the method that needs them.

    Raises:
        UsageError: a stage that has no student to be distilled, a method that is none, or one that
            needs LPIPS weights or a student to start from, without them, and weights for one that
            does not.
        VidCascadeError: a file that holds no LPIPS weights, and as
            :func:`~vidcascade.training.trainer.train_stage`.
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
    if stage.student.training.lpips > 0.0:
        raise UsageError(
            "A student looks by the perceptual method (--method perceptual), and not by a setting: "
            "leave lpips out of its training."
        )
    if method == "perceptual" and settings.init is None:
        raise UsageError(
            "The perceptual method goes on from a student: name the student's file with init "
            "(--init)."
        )
    if method == "perceptual" and lpips is None:
        raise UsageError(
            "The perceptual method looks with LPIPS: name its weights, in safetensors, with lpips "
            "(--lpips)."
        )
    if method != "perceptual" and lpips is not None:
        raise UsageError(
            "LPIPS weights are for the perceptual method: leave lpips (--lpips) out, or choose it."
        )
    if method == "matching" and stage.student.training.huber > 0.0:
        warnings.warn(
            f"stages.{stage_name}.student.training.huber has no effect on matching, which follows "
            "squared errors: leave it out",
            SpecWarning,
            stacklevel=2,
        )
    eye = None if lpips is None else LPIPS(lpips)
    taught = stage.student
    run = _Distillation(spec, stage, taught, METHODS[method], teacher, settings, source, eye)
    return run.complete(report, sheet)


class _Distillation(StageRun):
    RESULT = STUDENT_FILE

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, student: StudentSpec, method: type[Teaching],
        teacher: Path, settings: RunSettings, source: ClipSource | None, eye: LPIPS | None,
    ) -> None:  # fmt: skip
        self.method, self.folder, self.eye = method, teacher, eye
        # What learning starts from: changes for the steps above the last, and its own, if any.
        self.above: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}
        # The student's recipe, where the trainer looks for one; it learns at its own levels, from
        # clips as they are.
        recipe = student.training.model_copy(update={"pure_noise": 0.0})
        taught = stage.model_copy(update={"training": recipe})
        stages = tuple(taught if s is stage else s for s in spec.stages)
        if settings.compile:
            allow_compiling()
        super().__init__(spec.model_copy(update={"stages": stages}), stage.name, settings, source)
        self.teaching.place(self.accelerator.device)
        if self.is_main:
            self._claim()

    def _claim(self) -> None:
        """A run's folder belongs to one teacher and method, and to the student it goes on from.

        Raises:
            UsageError: it holds a run with others.
        """
        mark = self.settings.out / "distillation.json"
        about = {"teacher": self.fingerprint, "method": self.method.__name__}
        if self.method is Perceptual:
            about["last step"] = "alone"  # runs before this one was taught so held the others
        if self.settings.init is not None:
            about["from"] = hashlib.sha256(self.settings.init.read_bytes()).hexdigest()
        own = json.dumps(about)
        if not mark.exists():
            with atomic_path(mark) as temporary:
                temporary.write_text(own, encoding="utf-8")
        elif mark.read_text(encoding="utf-8", errors="replace") != own:
            raise UsageError(
                f"{self.settings.out} holds a run on other weights, by another method or from "
                "another student: choose another --out, or remove it."
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
            teaching = self.method(self.rule, network, self.text, self.eye)
        except ValueError as error:
            raise UsageError(f"stages.{self.rule.spec.name}.student: {error}.") from None
        if self.settings.init is not None:
            state, teacher = load_student(self.settings.init)
            if teacher != self.fingerprint:
                raise UsageError(
                    f"{self.settings.init} is the student of other weights than {self.folder}: "
                    "start without it."
                )
            self.above, self.last = parted(state)
        try:
            teaching.begin(self.above, self.last)
        except ValueError as error:
            raise UsageError(
                f"{self.settings.init} does not fit the student that the spec describes "
                f"({error}): start without it, or change the spec."
            ) from None
        return teaching

    def denoisers(self) -> list[SpaceTimeDenoiser]:
        """See :meth:`StageRun.denoisers`."""
        return [*super().denoisers(), *self.teaching.frozen]

    def loss(self, batch: Example, draws: Draws) -> tuple[Tensor, Tensor]:
        """See :meth:`StageRun.loss`."""
        loss, sigma = self.model(batch, draws)
        return loss, sigma

    def untrained(self, batch: Example, sigma: Tensor, draws: Draws) -> Tensor | None:
        """A student starts as its teacher, and its loss says little about how far it is off."""
        return None

    def averaged(self) -> SpaceTimeDenoiser:
        """The student with the moving average of its changes, for the sheets."""
        above, last = self._parts()
        network = copy.deepcopy(self.teaching.student)
        set_low_rank(network, above)
        if last:
            end = copy.deepcopy(self.teaching.student)
            set_low_rank(end, last)
            network.split(last_level(self.teaching.about), end)
        return network.eval()

    def write(self, path: Path) -> None:
        """See :meth:`StageRun.write`."""
        save_student(path, joined(*self._parts()), self.fingerprint)

    def _parts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Changes for the steps above the last, and its own: what was learnt, and what was held."""
        if self.teaching.LAST_ALONE:
            return self.above, self._averages(self.last or self.above)
        return self._averages(self.above), self.last

    def _averages(self, first: dict[str, Tensor]) -> dict[str, Tensor]:
        state = averaged_changes(self.teaching.student, self.ema, self.trained)
        keep = self.settings.keep
        if keep == 0.0:
            return state
        return {
            name: torch.lerp(tensor, first[name].to(tensor), keep) for name, tensor in state.items()
        }
