"""A student's last step is taught by eye, and the others are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import load_student, merge_student
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError
from vidcascade.nn.lpips import LPIPS
from vidcascade.nn.text import build_text_encoder
from vidcascade.training import perceptual
from vidcascade.training.dataset import Example, WorldDataset, collate
from vidcascade.training.distillation import distil_stage
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.perceptual import Perceptual
from vidcascade.training.trainer import RunSettings


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that predicts something."""
    torch.manual_seed(5)
    network = make_stage(few_steps().stage("base")).build_network(384)
    torch.nn.init.normal_(network.head.weight, std=0.05)
    folder = tmp_path_factory.mktemp("teacher") / "base"
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """Its student, hardly taught."""
    out = tmp_path_factory.mktemp("student")
    return distil_stage(few_steps(training_steps=2), "base", "consistency", teacher, quick(out))


def few_steps(steps: int = 3, training_steps: int = 4, **recipe: object) -> CascadeSpec:
    """The tiny cascade of solids, whose base has a student of so many steps."""
    spec = CascadeSpec.load("tiny").with_student_recipe("base", steps=training_steps, **recipe)
    assert spec.world is not None
    base = spec.stage("base")
    assert base.student is not None
    changed = base.model_copy(update={"student": base.student.model_copy(update={"steps": steps})})
    world = spec.world.model_copy(update={"solid_share": 1.0})
    return spec.model_copy(update={"stages": (changed, *spec.stages[1:]), "world": world})


def quick(out: Path) -> RunSettings:
    return RunSettings(out, sheet_every=0, save_every=0, log_every=0, workers=0)


def taught(teacher: Path, eye: Path, student: Path | None = None) -> Perceptual:
    rule = make_stage(few_steps().stage("base"))
    text = TextCache(build_text_encoder("minilm", 48))
    teaching = Perceptual(rule, load_network(teacher, rule, 384), text, LPIPS(eye))
    if student is not None:
        teaching.student = load_network(teacher, rule, 384)
        merge_student(teaching.student, student)
    teaching.begin()
    return teaching


def batch(count: int, **recipe: object) -> Example:
    spec = few_steps(**{"subject_weight": 2.0} | recipe)
    base = spec.stage("base")
    assert base.student is not None
    base = base.model_copy(update={"training": base.student.training})
    spec = spec.model_copy(update={"stages": (base, *spec.stages[1:])})
    data = WorldDataset(spec, base, count)
    return collate([data[k] for k in range(count)])


def test_it_brings_the_last_step_nearer_to_true_clips(
    teacher: Path, student: Path, eye: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = few_steps(training_steps=60, adam_lr=1e-2, batch=4, subject_weight=2.0)
    run = replace(quick(tmp_path), init=student)
    after = distil_stage(spec, "base", "perceptual", teacher, run, lpips=eye)
    examples = batch(16)
    found: dict[tuple[str, float], float] = {}
    for name, file in (("before", student), ("after", after)):
        teaching = taught(teacher, eye, file)
        for held in (0.0, 1.0):
            monkeypatch.setattr(perceptual, "HELD", held)
            with torch.no_grad():
                # Held where they were: at the first student's, not this one's.
                teaching.frozen[-1] = taught(teacher, eye, student).student
                loss, sigma = teaching(examples, Draws.of(9, range(16)))
            assert (sigma == teaching.levels[-2]).all() if held == 0 else (sigma > 0.3).all()
            found[name, held] = float(loss.mean())
    assert found["after", 0.0] < 0.9 * found["before", 0.0]
    assert found["before", 1.0] == pytest.approx(0, abs=1e-9)
    # (HOLDING times a loss that is small beside what untrained levels would be off by.)
    assert 0 < found["after", 1.0] < 0.2 * found["before", 0.0]


def test_a_resumed_run_ends_with_the_same_student(
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    spec = few_steps(batch=4)
    run = replace(quick(tmp_path / "a"), init=student)
    straight = distil_stage(spec, "base", "perceptual", teacher, run, lpips=eye)
    stopped = replace(run, out=tmp_path / "b", save_every=2, log_every=3)

    def stop(line: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_stage(spec, "base", "perceptual", teacher, stopped, stop, lpips=eye)
    run = replace(run, out=tmp_path / "b")
    again = distil_stage(spec, "base", "perceptual", teacher, run, lpips=eye)
    first, second = load_student(straight)[0], load_student(again)[0]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_it_needs_is_asked_for(
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    run = replace(quick(tmp_path / "run"), init=student)
    with pytest.raises(UsageError, match="--lpips"):
        distil_stage(few_steps(), "base", "perceptual", teacher, run)
    with pytest.raises(UsageError, match="--init"):
        distil_stage(few_steps(), "base", "perceptual", teacher, quick(tmp_path), lpips=eye)
    with pytest.raises(UsageError, match="no LPIPS weights"):
        distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=tmp_path / "none")
    with pytest.raises(UsageError, match="are for the perceptual method"):
        distil_stage(few_steps(), "base", "matching", teacher, run, lpips=eye)
    other = distil_stage(
        few_steps(), "base", "matching", teacher, replace(quick(tmp_path / "other"), init=student)
    )
    distil_stage(few_steps(training_steps=1), "base", "perceptual", teacher, run, lpips=eye)
    begun = replace(run, init=other)
    with pytest.raises(UsageError, match="choose another --out"):
        distil_stage(few_steps(), "base", "perceptual", teacher, begun, lpips=eye)
    run = replace(run, out=tmp_path / "one")
    with pytest.raises(UsageError, match="one step settles everything at once"):
        distil_stage(few_steps(1), "base", "perceptual", teacher, run, lpips=eye)


def test_clips_whose_subjects_are_not_known_are_looked_at_anywhere(
    teacher: Path, eye: Path
) -> None:
    teaching = taught(teacher, eye)
    loss, _ = teaching(batch(4, subject_weight=0.0), Draws.of(1, range(4)))
    assert loss.isfinite().all()
    loss.mean().backward()
    assert any(p.grad is not None and p.grad.any() for p in teaching.student.parameters())


def test_examples_do_not_depend_on_their_neighbours(teacher: Path, eye: Path) -> None:
    teaching = taught(teacher, eye)

    def part(examples: Example, rows: list[int]) -> Example:
        assert examples.weight is not None
        return replace(
            examples, target=examples.target[rows], weight=examples.weight[rows],
            positions=examples.positions[rows], captions=[examples.captions[k] for k in rows],
            augmentation=examples.augmentation[rows], old=None,
        )  # fmt: skip

    def losses(rows: list[int]) -> Tensor:
        with torch.no_grad():
            return teaching(part(batch(6), rows), Draws.of(2, range(6)).part(rows))[0]

    torch.testing.assert_close(losses([0, 1, 2, 3, 4, 5])[[1, 4]], losses([1, 4]))
