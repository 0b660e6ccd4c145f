"""Distilling the tiny base: students learn what their teachers do, and only that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.running import TextStates, run_stage
from vidcascade.cascade.spec import CascadeSpec, SpecWarning, StageSpec
from vidcascade.cascade.students import load_student, merge_student, with_students
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import low_rank_state, set_low_rank
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import WorldDataset, collate
from vidcascade.training.distillation import distil_stage
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.teaching import Matching, coarse
from vidcascade.training.trainer import RunSettings


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that predicts something: an untrained one predicts grey."""
    torch.manual_seed(5)
    network = make_stage(CascadeSpec.load("tiny").stage("base")).build_network(384)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    folder = tmp_path_factory.mktemp("teacher") / "base"
    network.save_pretrained(folder)
    return folder


def settings(out: Path) -> RunSettings:
    return RunSettings(out, sheet_every=0, save_every=0, log_every=0, workers=0)


def kept(run: Path) -> Path:
    return run / "checkpoint" / "network.safetensors"


def spec_with(**recipe: object) -> CascadeSpec:
    return CascadeSpec.load("tiny").with_student_recipe("base", **recipe)


def made(stage: StageSpec, network: SpaceTimeDenoiser) -> torch.Tensor:
    encoder = build_text_encoder("minilm", 48)
    states, mask = encoder.encode(["a red ball"])
    no_states, no_mask = encoder.encode([""])
    text = TextStates(states, mask, no_states, no_mask)
    return torch.cat([run_stage(stage, network, [key], None, text) for key in range(4)])


def distance(spec: CascadeSpec, teacher: Path, student: Path | None) -> float:
    """Of a student's clips from what its teacher makes of the same noise in ``parts`` steps."""
    stage = spec.stage("base")
    rule = make_stage(stage)
    truth = made(stage.model_copy(update={"steps": 2}), load_network(teacher, rule, 384))
    network = load_network(teacher, rule, 384)
    if student is not None and stage.student is not None:
        merge_student(network, student, stage.student)
    clips = made(with_students(spec).stage("base"), network)
    return float((clips - truth).square().mean())


def test_consistency_brings_one_step_nearer_to_the_teachers_many(
    teacher: Path, tmp_path: Path
) -> None:
    spec = spec_with(steps=80, adam_lr=1e-2)
    student = distil_stage(spec, "base", "consistency", teacher, settings(tmp_path))
    assert student == tmp_path / "student.safetensors"
    assert distance(spec, teacher, student) < 0.7 * distance(spec, teacher, None)


def test_matching_changes_the_student_and_its_model_of_itself(
    teacher: Path, tmp_path: Path
) -> None:
    spec = spec_with(steps=3)
    student = distil_stage(spec, "base", "matching", teacher, settings(tmp_path))
    state, _ = load_student(student)
    assert max(float(v.abs().max()) for k, v in state.items() if k.endswith(".up")) > 0
    whole = load_file(kept(tmp_path))
    fakes = [v for k, v in whole.items() if k.startswith("fake.") and k.endswith(".up")]
    assert max(float(v.abs().max()) for v in fakes) > 0


def test_matching_is_the_same_for_parts_of_a_batch(teacher: Path) -> None:
    """Two processes on a half each do what one does, at the same of the student's levels."""
    spec = CascadeSpec.load("tiny")
    base = spec.stage("base")
    assert base.student is not None
    student = base.student.model_copy(update={"steps": 4})
    rule = make_stage(base.model_copy(update={"student": student}))
    text = TextCache(build_text_encoder("minilm", 48))
    matching = Matching(rule, load_network(teacher, rule, 384), text)
    data = WorldDataset(spec, base, 4)
    levels = set()
    for start in range(0, 24, 4):
        halves = [collate([data[k], data[k + 1]]) for k in (0, 2)]
        whole = collate([data[k] for k in range(4)])
        with torch.no_grad():
            loss, level = matching(whole, Draws.of(0, range(start, start + 4)))
            found = [
                matching(half, Draws.of(0, range(first, first + 2), first=start))
                for half, first in zip(halves, (start, start + 2), strict=True)
            ]
        torch.testing.assert_close(torch.cat([part[0] for part in found]), loss)
        assert torch.equal(torch.cat([part[1] for part in found]), level)
        levels.add(float(level[0]))
    assert len(levels) > 1


def test_matching_minds_colours_that_drift_from_the_former_student_s(teacher: Path) -> None:
    spec = CascadeSpec.load("tiny")
    rule = make_stage(spec.stage("base"))
    text = TextCache(build_text_encoder("minilm", 48))
    network = load_network(teacher, rule, 384)
    examples = collate([WorldDataset(spec, spec.stage("base"), 4)[k] for k in range(4)])
    torch.manual_seed(3)

    def lost(matching: Matching) -> torch.Tensor:
        with torch.no_grad():
            return matching(examples, Draws.of(0, range(4)))[0]

    alone, going_on = (Matching(rule, network, text) for _ in range(2))
    first = {k: torch.randn_like(v) / 8 for k, v in low_rank_state(alone.student).items()}
    set_low_rank(alone.student, first)
    going_on.begin(first, {})
    assert torch.equal(lost(alone), lost(going_on))  # nothing has drifted yet
    later = {k: v + torch.randn_like(v) / 8 for k, v in first.items()}
    for matching in (alone, going_on):
        set_low_rank(matching.student, later)
    noise = torch.randn(4, 16, 3, 16, 16)
    parts = coarse(noise)
    assert parts.shape == (4, 3, 4, 4)
    torch.testing.assert_close(parts.mean((2, 3)), noise.mean((1, 3, 4)))
    assert (lost(going_on) > lost(alone) + 1e-4).all()


def test_a_huber_that_matching_cannot_heed_is_warned_of(teacher: Path, tmp_path: Path) -> None:
    with pytest.warns(SpecWarning, match=r"student\.training\.huber has no effect on matching"):
        distil_stage(spec_with(steps=1, huber=0.1), "base", "matching", teacher, settings(tmp_path))


class Interrupted(Exception):
    """As if somebody had pressed Ctrl-C."""


@pytest.mark.parametrize("method", ["consistency", "matching"])  # the third: test_perceptual
def test_a_resumed_run_ends_with_the_same_student(
    teacher: Path, tmp_path: Path, method: str
) -> None:
    whole = spec_with(steps=4)
    straight = distil_stage(whole, "base", method, teacher, settings(tmp_path / "a"))
    run = replace(settings(tmp_path / "b"), save_every=2, log_every=3)

    def stop(line: object) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):  # at step 3, and step 2 is kept
        distil_stage(whole, "base", method, teacher, run, stop)
    again = distil_stage(whole, "base", method, teacher, settings(tmp_path / "b"))
    assert not any("original" in name for name in load_file(kept(tmp_path / "b")))
    first, second = load_student(straight)[0], load_student(again)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_goes_on_from_its_checkpoint(teacher: Path, tmp_path: Path) -> None:
    run = settings(tmp_path)
    distil_stage(spec_with(steps=2), "base", "consistency", teacher, run)
    seen: list[int] = []
    log = replace(run, log_every=1)
    distil_stage(spec_with(steps=4), "base", "consistency", teacher, log,
                 lambda line: seen.append(line.step))  # fmt: skip
    assert seen == [3, 4]
    clock = json.loads((tmp_path / "checkpoint" / "clock.json").read_text())
    assert clock["minutes"] > 0


def test_a_student_can_be_the_start_of_another(teacher: Path, tmp_path: Path) -> None:
    spec = spec_with(steps=3, adam_lr=3e-3)
    first = distil_stage(spec, "base", "consistency", teacher, settings(tmp_path / "a"))
    still = spec_with(steps=1, adam_lr=1e-12)
    run = replace(settings(tmp_path / "b"), init=first)
    second = distil_stage(still, "base", "matching", teacher, run)
    before, after = load_student(first)[0], load_student(second)[0]
    for name in before:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


def test_a_folder_belongs_to_one_teacher_and_one_method(teacher: Path, tmp_path: Path) -> None:
    spec = spec_with(steps=1)
    run = settings(tmp_path / "run")
    distil_stage(spec, "base", "consistency", teacher, run)
    torch.manual_seed(1)
    make_stage(spec.stage("base")).build_network(384).save_pretrained(tmp_path / "other")
    with pytest.raises(UsageError, match="on other weights, by another method"):
        distil_stage(spec, "base", "consistency", tmp_path / "other", run)
    with pytest.raises(VidCascadeError, match=r"another method|does not fit this run"):
        distil_stage(spec, "base", "matching", teacher, run)


def test_ranks_that_cannot_be_are_refused(teacher: Path, tmp_path: Path) -> None:
    def ranked(rank: int) -> CascadeSpec:
        base = spec_with(steps=1).stage("base")
        assert base.student is not None
        student = base.student.model_copy(update={"rank": rank})
        spec = CascadeSpec.load("tiny")
        changed = base.model_copy(update={"student": student})
        return spec.model_copy(update={"stages": (changed, *spec.stages[1:])})

    with pytest.raises(UsageError, match="room for a change of rank 512"):
        distil_stage(ranked(512), "base", "consistency", teacher, settings(tmp_path / "a"))
    first = distil_stage(ranked(4), "base", "consistency", teacher, settings(tmp_path / "b"))
    run = replace(settings(tmp_path / "c"), init=first)
    with pytest.raises(UsageError, match="does not fit the student that the spec describes"):
        distil_stage(ranked(2), "base", "consistency", teacher, run)


def test_a_share_of_the_first_student_can_be_kept(teacher: Path, tmp_path: Path) -> None:
    spec = spec_with(steps=2, adam_lr=3e-3)
    first = distil_stage(spec, "base", "consistency", teacher, settings(tmp_path / "a"))
    run = replace(settings(tmp_path / "b"), init=first)
    whole = load_student(distil_stage(spec, "base", "matching", teacher, run))[0]
    # The run is over: asked again, it only writes its result.
    kept = replace(run, keep=0.25)
    mixed = load_student(distil_stage(spec, "base", "matching", teacher, kept))[0]
    was = load_student(first)[0]
    for name in whole:
        torch.testing.assert_close(mixed[name], 0.25 * was[name] + 0.75 * whole[name])
    for wrong in (1.0, -0.1):
        with pytest.raises(UsageError, match=r"share of old weights .* \[0, 1\)"):
            replace(run, keep=wrong)
    with pytest.raises(UsageError, match="no old weights to keep"):
        replace(settings(tmp_path / "c"), keep=0.5)


def test_what_cannot_be_distilled_is_refused(teacher: Path, tmp_path: Path) -> None:
    spec = CascadeSpec.load("tiny")
    run = settings(tmp_path)
    with pytest.raises(UsageError, match="few steps as they are"):
        distil_stage(spec, "refiner", "consistency", teacher, run)
    with pytest.raises(UsageError, match="no method 'magic'"):
        distil_stage(spec, "base", "magic", teacher, run)
    base = spec.stages[0].model_copy(update={"student": None})
    plain = spec.model_copy(update={"stages": (base, *spec.stages[1:])})
    with pytest.raises(UsageError, match="has no student"):
        distil_stage(plain, "base", "consistency", teacher, run)
    with pytest.raises(VidCascadeError, match="incomplete or damaged"):
        distil_stage(spec, "base", "consistency", tmp_path, run)


def test_a_student_of_other_weights_is_no_start(teacher: Path, tmp_path: Path) -> None:
    spec = spec_with(steps=1)
    first = distil_stage(spec, "base", "consistency", teacher, settings(tmp_path / "a"))
    other = make_stage(spec.stage("base")).build_network(384)
    other.save_pretrained(tmp_path / "other")
    run = replace(settings(tmp_path / "b"), init=first)
    with pytest.raises(UsageError, match="student of other weights"):
        distil_stage(spec, "base", "consistency", tmp_path / "other", run)
