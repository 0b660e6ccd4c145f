"""Students beside their teachers' weights: found, checked, run, saved."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import (
    STUDENT_FILE,
    joined,
    last_level,
    load_student,
    save_student,
    with_students,
    with_students_fused,
    without_students,
)
from vidcascade.cascade.weights import load_network
from vidcascade.diffusion.distillation import student_levels
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.low_rank import add_low_rank, fingerprint, low_rank_state


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cascade with a base that predicts something, and a student that differs from it."""
    folder = tmp_path_factory.mktemp("students")
    spec = CascadeSpec.load("tiny")
    torch.manual_seed(3)
    network = make_stage(spec.stage("base")).build_network(384)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    network.save_pretrained(folder / "base")
    mark = fingerprint(network)
    add_low_rank(network, 4)
    state = {k: 0.2 * torch.randn(v.shape) for k, v in low_rank_state(network).items()}
    save_student(folder / STUDENT_FILE, state, mark)
    out = folder / "cascade"
    assemble_cascade(spec, {"base": folder / "base"}, out, students={"base": folder / STUDENT_FILE})
    return out


def frames(pipeline: VidCascadePipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    result = pipeline("a red ball", generator=1, output_type="np", stop_after="base")
    return np.asarray(result.frames)


def test_the_student_runs_unless_the_teacher_is_asked_for(cascade: Path) -> None:
    student = VidCascadePipeline.from_pretrained(cascade)
    teacher = VidCascadePipeline.from_pretrained(cascade, teacher=True)
    base = student.spec.stage("base")
    assert (base.steps, base.shift, base.guidance.scale, base.distilled) == (1, 2.0, 1.0, True)
    full = teacher.spec.stage("base")
    assert (full.steps, full.guidance.scale, full.distilled) == (2, 2.0, False)
    assert not np.allclose(frames(student), frames(teacher), atol=0.01)
    # A spec says itself what it runs, so what a manifest keeps is run again.
    with pytest.raises(UsageError, match="runs students"):
        VidCascadePipeline.from_pretrained(cascade, spec=student.spec, teacher=True)
    again = VidCascadePipeline.from_pretrained(cascade, spec=student.spec)
    assert np.array_equal(frames(again), frames(student))
    other = VidCascadePipeline.from_pretrained(cascade, spec=teacher.spec)
    assert np.array_equal(frames(other), frames(teacher))


def test_a_student_is_saved_as_the_network_that_it_is(cascade: Path, tmp_path: Path) -> None:
    student = VidCascadePipeline.from_pretrained(cascade)
    student.save_pretrained(tmp_path / "fused")
    fused = VidCascadePipeline.from_pretrained(tmp_path / "fused")
    base = fused.spec.stage("base")
    assert (base.steps, base.student, base.distilled) == (1, None, False)
    assert not (tmp_path / "fused" / "base" / STUDENT_FILE).exists()
    # Products depend in their last bits on where in memory the weights are.
    np.testing.assert_allclose(frames(fused), frames(student), atol=1e-5)


def test_a_last_step_of_its_own_is_run_and_saved(cascade: Path, tmp_path: Path) -> None:
    spec = CascadeSpec.load(str(cascade / "spec.yaml"))
    base = spec.stage("base")
    assert base.student is not None
    student = base.student.model_copy(update={"steps": 2})
    spec = spec.model_copy(
        update={"stages": (base.model_copy(update={"student": student}), *spec.stages[1:])}
    )
    state, mark = load_student(cascade / "base" / STUDENT_FILE)
    other = {name: -tensor for name, tensor in state.items() if name.endswith(".up")}
    made = {}
    for name, changes in (("one", state), ("two", joined(state, state | other))):
        file = tmp_path / f"{name}.safetensors"
        save_student(file, changes, mark)
        networks = {s.name: cascade / s.name for s in spec.stages}
        assemble_cascade(spec, networks, tmp_path / name, students={"base": file})
        pipeline = VidCascadePipeline.from_pretrained(tmp_path / name)
        seen: list[torch.Tensor] = []
        pipeline.set_progress_bar_config(disable=True)
        pipeline(
            "a red ball", generator=1, stop_after="base", output_type="pt",
            callback_on_step_end=lambda p, i, s, about, seen=seen: seen.append(about["x"]),
        )  # fmt: skip
        made[name] = seen
        pipeline.save_pretrained(tmp_path / f"fused {name}")
        fused = VidCascadePipeline.from_pretrained(tmp_path / f"fused {name}")
        np.testing.assert_allclose(frames(fused), frames(pipeline), atol=1e-5)
    fused_base = tmp_path / "fused two" / "base"
    with pytest.raises(VidCascadeError, match="which only runs"):
        load_network(fused_base, make_stage(spec.stage("base")), 384)
    torch.testing.assert_close(made["one"][0], made["two"][0])
    assert not torch.allclose(made["one"][1], made["two"][1], atol=1e-3)


def test_up_to_where_a_last_step_predicts() -> None:
    for steps in (1, 2, 4):
        levels = student_levels(steps, 5.0)
        below = last_level(StudentSpec(steps=steps, shift=5.0))
        assert [level for level in levels[:-1] if level <= below] == [levels[-2]]


def test_a_teacher_that_is_saved_has_no_student_to_look_for(cascade: Path, tmp_path: Path) -> None:
    teacher = VidCascadePipeline.from_pretrained(cascade, teacher=True)
    teacher.save_pretrained(tmp_path / "plain")
    again = VidCascadePipeline.from_pretrained(tmp_path / "plain")
    assert np.array_equal(frames(again), frames(teacher))


def test_specs_with_and_without_students() -> None:
    spec = CascadeSpec.load("tiny")
    run = with_students(spec)
    assert with_students(run) == run
    assert [stage.distilled for stage in run.stages] == [True, False, False]
    assert with_students_fused(run).stage("base").steps == 1
    assert with_students_fused(spec) == spec
    assert without_students(spec, {}).stage("base").student is None
    assert without_students(spec, {"base": 1}) == spec
    with pytest.raises(UsageError, match="only a base that reads text can have a student"):
        CascadeSpec.from_dict(
            spec.model_dump(mode="json")
            | {"stages": [s.model_dump(mode="json") | ({} if k == 0 else {"student": {}})
                          for k, s in enumerate(spec.stages)]}
        )  # fmt: skip
    with pytest.raises(UsageError, match="distilled needs a student"):
        CascadeSpec.from_dict(
            {"name": "x", "stages": [{"name": "base", "kind": "base", "frames": 4, "size": 64,
                                      "distilled": True}]}
        )  # fmt: skip


def damaged(cascade: Path, folder: Path, how: str) -> Path:
    shutil.copytree(cascade, folder)
    (folder / "checksums.json").unlink()
    file = folder / "base" / STUDENT_FILE
    state, mark = load_student(file)
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-9])
    elif how == "garbage":
        file.write_bytes(b"not tensors")
    elif how == "anonymous":
        save_file(state, file)
    elif how == "other":
        save_student(file, state, "0" * 64)
    elif how == "last":
        save_student(file, joined(state, {k: v[:1] for k, v in state.items()}), mark)
    else:
        save_student(file, {k: v[:1] for k, v in state.items()}, mark)
    return folder


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "no student in"),
        ("truncated", "damaged, or no student"),
        ("garbage", "damaged, or no student"),
        ("anonymous", "damaged, or no student"),
        ("other", "student of other weights"),
        ("shape", "does not fit"),
        ("last", "does not fit"),
    ],
)
def test_students_that_are_not_theirs_are_refused(
    cascade: Path, tmp_path: Path, how: str, words: str
) -> None:
    folder = damaged(cascade, tmp_path / "bad", how)
    with pytest.raises(VidCascadeError, match=words):
        VidCascadePipeline.from_pretrained(folder)
    # The teacher needs no student.
    VidCascadePipeline.from_pretrained(folder, teacher=True)


def test_a_changed_student_is_noticed_by_its_checksum(cascade: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(cascade, folder)
    file = folder / "base" / STUDENT_FILE
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(bytes(whole))
    with pytest.raises(VidCascadeError, match=r"base/student.safetensors is truncated or was"):
        VidCascadePipeline.from_pretrained(folder)


def test_only_students_of_the_weights_are_assembled(cascade: Path, tmp_path: Path) -> None:
    spec = CascadeSpec.load("tiny")
    torch.manual_seed(9)
    make_stage(spec.stage("base")).build_network(384).save_pretrained(tmp_path / "base")
    student = {"base": cascade / "base" / STUDENT_FILE}
    with pytest.raises(VidCascadeError, match="student of other weights"):
        assemble_cascade(spec, {"base": tmp_path / "base"}, tmp_path / "a", students=student)
    assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError, match="runs students"):
        assemble_cascade(with_students(spec), {"base": cascade / "base"}, tmp_path / "d")
    with pytest.raises(UsageError, match="bfloat16 or wider"):
        assemble_cascade(
            spec, {"base": cascade / "base"}, tmp_path / "d", torch.float16, students=student
        )
    with pytest.raises(UsageError, match="no student for bridge"):
        assemble_cascade(
            spec, {"base": cascade / "base"}, tmp_path / "b", students={"bridge": student["base"]}
        )
    assemble_cascade(spec, {"base": cascade / "base"}, tmp_path / "c")
    assert CascadeSpec.load(tmp_path / "c" / "spec.yaml").stage("base").student is None
