"""Inputs made over by the stage before still show the clip, and the target stays."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.conftest import tiny
from vidcascade.cascade.recipe import StudentSpec
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import STUDENT_FILE, joined, save_student
from vidcascade.diffusion.distillation import student_levels
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.low_rank import add_low_rank, fingerprint, low_rank_state
from vidcascade.training.dataset import Example, StageDataset, collate
from vidcascade.training.draws import Draws
from vidcascade.training.regenerate import Regenerator
from vidcascade.training.sources import WorldSource
from vidcascade.training.trainer import RunSettings, train_stage


class Text:
    """Token states of nothing, of the encoder's width; notes the captions."""

    def __init__(self) -> None:
        self.captions: list[str] = []

    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        self.captions += captions
        return torch.zeros(len(captions), 2, 384), torch.ones(len(captions), 2, dtype=torch.bool)


def made(stage: str, share: float, **recipe: Any) -> tuple[Regenerator, Example, Text]:
    """An untrained stage before (a bridge then interpolates, a base paints grey)."""
    spec: CascadeSpec = tiny(stage, **recipe)
    part = spec.stage(stage)
    before = spec.stages[spec.stages.index(part) - 1]
    torch.manual_seed(0)
    network = make_stage(before).build_network(384)
    text = Text()
    regenerate = Regenerator(spec, stage, network, share, text)  # type: ignore[arg-type]
    data = StageDataset(spec, part, WorldSource(spec, part), 4, keep_previous=True)
    return regenerate, collate([data[k] for k in range(4)]), text


def seeded(seed: int = 0) -> Draws:
    return Draws.of(seed, range(4))


@pytest.mark.parametrize("stage", ["bridge", "refiner"])
@pytest.mark.parametrize("frames", [None, 3])
def test_only_the_given_changes(stage: str, frames: int | None) -> None:
    regenerate, batch, text = made(stage, 1.0, frames=frames, crop=16, augmentation=(0.1, 0.3))
    new = regenerate(batch, seeded())
    assert new.target is batch.target
    assert new.augmentation is batch.augmentation
    assert new.given is not None
    assert batch.given is not None
    assert new.given.video.shape == batch.given.video.shape
    for k in range(4):
        assert not torch.equal(new.given.video[k], batch.given.video[k])
    assert text.captions == batch.captions  # both stages before read text
    again = regenerate(batch, seeded())
    assert again.given is not None
    assert torch.equal(again.given.video, new.given.video)


def test_a_share_is_a_probability() -> None:
    regenerate, batch, _ = made("refiner", 0.0)
    assert regenerate(batch, seeded()) is batch
    regenerate.share = 0.5
    changed = 0
    for seed in range(5):
        new = regenerate(batch, seeded(seed))
        assert new.given is not None
        assert batch.given is not None
        changed += sum(
            not torch.equal(a, b) for a, b in zip(new.given.video, batch.given.video, strict=True)
        )
    assert 4 <= changed <= 16


@pytest.mark.filterwarnings("ignore::vidcascade.cascade.spec.SpecWarning")
@pytest.mark.parametrize("stage", ["bridge", "refiner"])
def test_a_perfect_stage_before_gives_what_the_data_set_gives(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the crop, the order of the batch and the conditioning are the data set's own."""
    still = {"augmentation": (0.0, 0.0)}  # whose noise would be drawn anew
    regenerate, batch, _ = made(stage, 1.0, crop=16, frames=2, **still)
    monkeypatch.setattr(regenerate, "regenerate", lambda truth, *_: truth)
    new = regenerate(batch, seeded())
    assert new.given is not None
    assert batch.given is not None
    torch.testing.assert_close(new.given.video, batch.given.video)
    if stage == "bridge":
        torch.testing.assert_close(new.given.flow, batch.given.flow)


@pytest.mark.parametrize("frames", [2, 3, 8])
def test_an_untrained_bridge_shows_the_clip_again(frames: int) -> None:
    regenerate, batch, _ = made("refiner", 1.0, frames=frames)
    assert batch.previous is not None
    out = regenerate.regenerate(batch.previous, batch.captions, batch.positions, seeded())
    assert out.shape == batch.previous.shape == (4, frames, 3, 32, 32)
    error = (out - batch.previous).square().mean()
    assert 0 < error < 0.25 * batch.previous.var()


def test_what_the_stage_before_is_given_can_be_made_over_too() -> None:
    """An untrained base paints grey, and a bridge that is given grey makes grey."""
    regenerate, batch, text = made("refiner", 1.0)
    spec = tiny("refiner")
    torch.manual_seed(0)
    network = make_stage(spec.stages[0]).build_network(384)
    regenerate.earlier = Regenerator(spec, "bridge", network, 1.0, text)  # type: ignore[arg-type]
    assert batch.previous is not None
    shown = batch.previous.std()
    out = regenerate.regenerate(batch.previous, batch.captions, batch.positions, seeded())
    assert out.std() < 0.2 * shown
    regenerate.earlier = None
    out = regenerate.regenerate(batch.previous, batch.captions, batch.positions, seeded())
    assert out.std() > 0.7 * shown


def test_networks_of_all_stages_before_are_read(tmp_path: Path) -> None:
    spec = tiny("refiner")
    folders = []
    for stage in spec.stages[:2]:
        folders.append(tmp_path / stage.name)
        make_stage(stage).build_network(384).save_pretrained(folders[-1])
    where: tuple[Any, ...] = (None, 384, torch.device("cpu"))
    one = Regenerator.open(spec, "refiner", folders[1:], 0.5, *where)
    assert one.earlier is None
    both = Regenerator.open(spec, "refiner", folders, 0.5, *where)
    assert both.share == 0.5
    assert both.earlier is not None
    assert both.earlier.before.spec.name == "base"
    assert both.earlier.share == 1.0
    with pytest.raises(UsageError, match="no stage before base"):
        Regenerator.open(spec, "refiner", [folders[0], *folders], 0.5, *where)


def with_student(steps: int) -> CascadeSpec:
    spec: CascadeSpec = tiny("bridge")
    student = StudentSpec(steps=steps, shift=5.0, rank=4)
    base = spec.stages[0].model_copy(update={"student": student})
    return spec.model_copy(update={"stages": (base, *spec.stages[1:])})


def test_a_student_that_lies_there_makes_clips_over(tmp_path: Path) -> None:
    """It begins at one of its last levels, and visits those that are left of its own."""
    spec = with_student(4)
    network = make_stage(spec.stages[0]).build_network(384)
    network.save_pretrained(tmp_path)
    where: tuple[Any, ...] = ([tmp_path], 0.5, Text(), 384, torch.device("cpu"))
    assert Regenerator.open(spec, "bridge", *where).levels is None
    learnt = copy.deepcopy(network)
    add_low_rank(learnt, 4)
    with torch.no_grad():
        for name, parameter in learnt.named_parameters():
            if name.endswith(".up"):
                parameter.fill_(0.02)
    save_student(tmp_path / STUDENT_FILE, low_rank_state(learnt), fingerprint(network))
    over = Regenerator.open(spec, "bridge", *where)
    assert over.levels == student_levels(4, 5.0)
    same = [
        torch.equal(a, b)
        for a, b in zip(network.parameters(), over.network.parameters(), strict=True)
    ]
    assert not all(same)
    seen: list[Tensor] = []
    original = over.before.predict

    def predict(*args: Any) -> Tensor:
        seen.append(args[2])
        return original(*args)

    over.before.predict = predict  # type: ignore[method-assign]
    data = StageDataset(
        spec, spec.stage("bridge"), WorldSource(spec, spec.stage("bridge")), 16, keep_previous=True
    )
    batch = collate([data[k] for k in range(16)])
    assert batch.previous is not None
    places = over._previous_positions(batch.positions)
    alone = over.regenerate(batch.previous, batch.captions, places, Draws.of(0, range(16)))
    first, second = seen
    allowed = torch.tensor(student_levels(4, 5.0)[2:4])
    assert {round(float(s), 4) for s in first} == {round(float(s), 4) for s in allowed}
    # Those that began one level higher, and they alone, go on to the last.
    assert len(second) == (first > allowed[1] + 1e-4).sum()
    assert torch.allclose(second, allowed[1])
    # A last step of its own is used there, also where it stands beside others in a batch.
    state = low_rank_state(learnt)
    other = {k: -v if k.endswith(".up") else v for k, v in state.items()}
    for last, same_clips in ((state, True), (other, False)):
        save_student(tmp_path / STUDENT_FILE, joined(state, last), fingerprint(network))
        parted = Regenerator.open(spec, "bridge", *where)
        draws = Draws.of(0, range(16))
        clips = parted.regenerate(batch.previous, batch.captions, places, draws)
        assert torch.allclose(clips, alone, atol=1e-4) == same_clips
    # Of a student of one step, which begins at noise, the teacher runs.
    assert Regenerator.open(with_student(1), "bridge", *where).levels is None


def test_a_base_is_told_each_frames_place(monkeypatch: pytest.MonkeyPatch) -> None:
    regenerate, batch, _ = made("bridge", 1.0)
    seen: list[Tensor] = []
    original = type(regenerate.before).predict

    def predict(self: Any, *args: Any) -> Tensor:
        seen.append(args[-1])
        return original(self, *args)

    monkeypatch.setattr(type(regenerate.before), "predict", predict)
    regenerate(batch, seeded())
    assert torch.equal(seen[0], torch.arange(4.0).expand(4, -1))


def test_it_needs_a_stage_before_and_its_network(tmp_path: Path) -> None:
    settings = RunSettings(tmp_path / "run", workers=0, previous=(tmp_path,))
    with pytest.raises(UsageError, match="leave out --previous"):
        train_stage(tiny("base", steps=1), "base", settings)
    with pytest.raises(VidCascadeError, match="incomplete or damaged"):
        train_stage(tiny("refiner", steps=1), "refiner", settings)


def test_a_run_on_previous_work_repeats_itself(tmp_path: Path) -> None:
    quick = {"log_every": 1, "save_every": 0, "workers": 0}
    train_stage(tiny("bridge", steps=1), "bridge", RunSettings(tmp_path / "b", **quick))  # type: ignore[arg-type]
    texts = []
    for name in ("one", "two"):
        settings = RunSettings(tmp_path / name, previous=(tmp_path / "b" / "network",), **quick)  # type: ignore[arg-type]
        train_stage(tiny("refiner", steps=2), "refiner", settings)
        rows = (tmp_path / name / "log.csv").read_text().splitlines()[1:]
        texts.append([row.split(",")[2] for row in rows])
    assert texts[0] == texts[1]
