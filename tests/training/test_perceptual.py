"""A student's last step is taught by eye, and the others are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import load_student, merge_student, parted
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.low_rank import low_rank_state
from vidcascade.nn.lpips import LPIPS
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import Example, WorldDataset, collate
from vidcascade.training.distillation import distil_stage
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache
from vidcascade.training.perceptual import Perceptual
from vidcascade.training.teaching import Consistency, Matching, Teaching
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
    above, last = parted({} if student is None else load_student(student)[0])
    teaching.begin(above or low_rank_state(teaching.student), last)
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
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    spec = few_steps(training_steps=60, adam_lr=1e-2, batch=4, subject_weight=2.0)
    run = replace(quick(tmp_path), init=student)
    after = distil_stage(spec, "base", "perceptual", teacher, run, lpips=eye)
    examples = batch(16)
    found: dict[Path, float] = {}
    for file in (student, after):
        teaching = taught(teacher, eye, file)
        with torch.no_grad():
            loss, sigma = teaching(examples, Draws.of(9, range(16)))
        assert (sigma == teaching.levels[-2]).all()
        found[file] = float(loss.mean())
    assert found[after] < 0.9 * found[student]


def test_the_steps_above_stay_as_they_were(
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    run = replace(quick(tmp_path / "a"), init=student)
    first = distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=eye)
    was = load_student(student)[0]
    above, last = parted(load_student(first)[0])
    assert above.keys() == last.keys() == was.keys()
    assert all(torch.equal(above[name], was[name]) for name in was)
    assert any(not torch.equal(last[name], was[name]) for name in was)
    # Half of what that one's last step had is kept, and not of the steps above.
    run = replace(quick(tmp_path / "b"), init=first)
    whole = parted(load_student(
        distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=eye)
    )[0])  # fmt: skip
    run = replace(run, out=tmp_path / "c", keep=0.5)
    half = parted(load_student(
        distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=eye)
    )[0])  # fmt: skip
    for name in was:
        assert torch.equal(whole[0][name], was[name])
        torch.testing.assert_close(half[1][name], (last[name] + whole[1][name]) / 2)


@pytest.mark.parametrize("method", ["consistency", "matching"])
def test_the_other_ways_leave_a_last_step_of_its_own(
    teacher: Path, student: Path, eye: Path, tmp_path: Path, method: str
) -> None:
    run = replace(quick(tmp_path / "a"), init=student)
    first = distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=eye)
    was, last = parted(load_student(first)[0])
    run = replace(quick(tmp_path / "b"), init=first)
    whole = parted(load_student(distil_stage(few_steps(), "base", method, teacher, run))[0])
    assert whole[1].keys() == last.keys()
    assert all(torch.equal(whole[1][name], last[name]) for name in last)
    assert any(not torch.equal(whole[0][name], was[name]) for name in was)
    # The share that is kept is of the steps above.
    half = parted(load_student(
        distil_stage(few_steps(), "base", method, teacher, replace(run, keep=0.5))
    )[0])  # fmt: skip
    for name in was:
        torch.testing.assert_close(half[0][name], (was[name] + whole[0][name]) / 2)
        assert torch.equal(half[1][name], last[name])
    # Once taught from there, a run is no run from elsewhere.
    with pytest.raises(UsageError, match=r"from another student: .* another --out"):
        distil_stage(few_steps(), "base", method, teacher, replace(run, init=student))


@pytest.mark.parametrize("method", [Consistency, Matching])
def test_a_last_step_of_its_own_is_not_what_the_others_teach(
    teacher: Path, method: type[Teaching]
) -> None:
    rule = make_stage(few_steps(steps=4).stage("base"))
    text = TextCache(build_text_encoder("minilm", 48))
    teaching = method(rule, load_network(teacher, rule, 384), text)
    examples = batch(2)

    def visited() -> set[float]:
        draws = (Draws.of(3, range(start, start + 2)) for start in range(0, 80, 2))
        with torch.no_grad():
            return {float(level) for each in draws for level in teaching(examples, each)[1]}

    lowest = teaching.levels[-2]
    assert min(visited()) <= lowest + 1e-6
    state = low_rank_state(teaching.student)
    teaching.begin(state, state)
    assert min(visited()) > lowest + 1e-6
    assert teaching.taught == teaching.levels[:3]


def test_a_student_whose_only_step_is_its_own_is_no_start(
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    run = replace(quick(tmp_path / "a"), init=student)
    first = distil_stage(few_steps(), "base", "perceptual", teacher, run, lpips=eye)
    run = replace(quick(tmp_path / "b"), init=first)
    with pytest.raises(UsageError, match="its only step has changes of its own"):
        distil_stage(few_steps(steps=1), "base", "matching", teacher, run)


def test_what_is_shown_of_a_run_is_what_will_run(
    teacher: Path, student: Path, eye: Path, tmp_path: Path
) -> None:
    shown: list[Tensor] = []
    levels = torch.tensor([0.9, 0.01])  # above the last level, and below it

    def ask(network: SpaceTimeDenoiser) -> Tensor:
        states, mask = TextCache(build_text_encoder("minilm", 48))(["a ball", "a ball"])
        sample = torch.randn(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return network(sample, levels, text=states, text_mask=mask)

    spec = few_steps(training_steps=20, adam_lr=1e-2)
    run = replace(quick(tmp_path), init=student, sheet_every=20)
    after = distil_stage(
        spec, "base", "perceptual", teacher, run, lpips=eye,
        sheet=lambda network, step: shown.append(ask(network)),
    )  # fmt: skip
    rule = make_stage(spec.stage("base"))
    network = load_network(teacher, rule, 384)
    plain = ask(network)
    about = rule.spec.student
    assert about is not None
    merge_student(network, after, about)
    torch.testing.assert_close(ask(network), shown[0], atol=1e-4, rtol=1e-3)
    before = load_network(teacher, rule, 384)
    merge_student(before, student, about)
    above, last = (ask(network) - ask(before)).abs().amax((1, 2, 3, 4))
    assert above < 1e-6 < 1e-3 < last
    assert not torch.allclose(plain, ask(before))


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


def test_large_errors_count_less_where_the_recipe_says_so(teacher: Path, eye: Path) -> None:
    losses = []
    for huber in (0.0, 0.01):
        teaching = taught(teacher, eye)
        recipe = teaching.about.training.model_copy(update={"huber": huber})
        teaching.about = teaching.about.model_copy(update={"training": recipe})
        with torch.no_grad():
            losses.append(teaching(batch(2), Draws.of(1, range(2)))[0])
    assert (losses[1] < 0.9 * losses[0]).all()


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
