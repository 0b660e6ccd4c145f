"""Students of a cascade's stages: low-rank changes of their networks that need few steps.

They lie beside the weights that they change, as ``<stage>/student.safetensors``, and know those
weights by their fingerprint. One may have changes of its own for its last step, which draws the
detail and should not move what the steps above it settle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.spec import CascadeSpec, GuidanceSpec, StageSpec
from vidcascade.diffusion.distillation import student_levels
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import fingerprint, merge_low_rank

STUDENT_FILE = "student.safetensors"
_LAST = "last."  # begins the names of the last step's own changes
_MOST, _LARGEST = 100_000, 2**31  # tensors, and numbers in all
_TEACHER = "teacher"  # the key of the metadata that holds the fingerprint


def with_students(spec: CascadeSpec, folder: Path | None = None) -> CascadeSpec:
    """A copy in which every stage that has a student runs it: its steps, and no guidance.

    Stages that run theirs already are left as they are, and so are those that the weights in
    ``folder``, if one is given, have no student for.
    """

    def run(stage: StageSpec, student: StudentSpec) -> StageSpec:
        if folder is not None and not (folder / stage.name / STUDENT_FILE).is_file():
            return stage
        changes = {
            "distilled": True,
            "steps": student.steps,
            "shift": student.shift,
            "scheduler": "flow_euler",
            "guidance": GuidanceSpec(),
        }
        return stage.model_copy(update=changes)

    return _map(spec, run, distilled=False)


def with_students_fused(spec: CascadeSpec) -> CascadeSpec:
    """A copy in which students that run are the stages' own networks, and nobody's students."""
    changes = {"distilled": False, "student": None}
    return _map(spec, lambda stage, _: stage.model_copy(update=changes), distilled=True)


def without_students(spec: CascadeSpec, kept: Mapping[str, object]) -> CascadeSpec:
    """A copy in which only the stages named in ``kept`` have a student."""
    return _map(
        spec,
        lambda stage, _: (
            stage if stage.name in kept else stage.model_copy(update={"student": None})
        ),
        distilled=False,
    )


def _map(
    spec: CascadeSpec, change: Callable[[StageSpec, StudentSpec], StageSpec], distilled: bool
) -> CascadeSpec:
    """A copy with those stages changed that have a student and run it, or do not."""
    stages = tuple(
        change(stage, stage.student) if stage.student and stage.distilled is distilled else stage
        for stage in spec.stages
    )
    return spec.model_copy(update={"stages": stages})


def save_student(path: Path, state: Mapping[str, Tensor], teacher: str) -> None:
    """Write a student's changes; ``teacher`` is the fingerprint of the weights that they change."""
    # Clones: a last step may share tensors with the others, which safetensors would refuse.
    whole = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    save_file(whole, path, metadata={_TEACHER: teacher})


def load_student(path: Path) -> tuple[dict[str, Tensor], str]:
    """A student's changes, and the fingerprint of the weights that they change.

    Raises:
        UsageError: there is no such file.
        VidCascadeError: a file that is damaged or no student.
    """
    if not path.is_file():
        raise UsageError(f"There is no student in {path}: give the file that distil wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            sizes = [file.get_slice(name).get_shape() for name in names]
            # Before anything is read: ranks are small, so a student is smaller than its teacher.
            if len(names) > _MOST or sum(math.prod(size) for size in sizes) > _LARGEST:
                raise ValueError("too large for a student")
            state = {name: file.get_tensor(name) for name in names}
            return state, str((file.metadata() or {})[_TEACHER])
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise VidCascadeError(
            f"{path} is damaged, or no student that vidcascade distilled: get it again."
        ) from error


def joined(state: Mapping[str, Tensor], last: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Changes for the steps above the last and for the last, in one student."""
    return dict(state) | {f"{_LAST}{name}": tensor for name, tensor in last.items()}


def parted(student: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A student's changes, and those of its last step; none if that is as the others."""
    last = {k.removeprefix(_LAST): v for k, v in student.items() if k.startswith(_LAST)}
    return {k: v for k, v in student.items() if not k.startswith(_LAST)}, last


def last_level(about: StudentSpec) -> float:
    """Up to where a network for the last step predicts: σ between the last two that are visited.

    It is of the number of steps that the student was taught: run in fewer it may not be reached,
    and in more it is used for several. A student of one step is all last step.
    """
    lowest = student_levels(about.steps, about.shift)[-3:-1]
    return sum(lowest) / len(lowest)


def merge_student(network: SpaceTimeDenoiser, path: Path, about: StudentSpec) -> dict[str, Tensor]:
    """Turn a teacher's network into its student, in place; returns the changes.

    Args:
        network: the teacher's.
        path: of the student's file.
        about: the student, as the spec has it.

    Raises:
        UsageError: there is no such file.
        VidCascadeError: it is damaged, or the student of other weights.
    """
    state, teacher = load_student(path)
    if fingerprint(network) != teacher:
        raise VidCascadeError(
            f"{path} is the student of other weights than these: distil it again from these, or "
            "run them without it (--teacher)."
        )
    changes, last = parted(state)
    try:
        if last:
            merge_low_rank(network.split(last_level(about)), last)
        merge_low_rank(network, changes)
    except (ValueError, RuntimeError) as error:
        raise VidCascadeError(
            f"{path} does not fit the network ({error}): get it again."
        ) from error
    return state
