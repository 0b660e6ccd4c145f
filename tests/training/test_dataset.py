"""Examples are pure functions of (seed, index), and damage their input but never the target."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.conftest import STAGES, tiny
from vidcascade.cascade.spec import CascadeSpec, SpecWarning, StageSpec, TextSpec
from vidcascade.cascade.stage import resize
from vidcascade.errors import UsageError
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import (
    MEAN_OF,
    Example,
    StageDataset,
    WorldDataset,
    collate,
    to_video,
)
from vidcascade.training.degrade import degrade
from vidcascade.training.health import TrainingWarning
from vidcascade.training.sources import (
    Drawn,
    FolderSource,
    MixedSource,
    WorldSource,
    warn_of_length,
)
from vidcascade.training.trainer import RunSettings, train_stage


def tensors(example: Example) -> dict[str, Tensor]:
    """Everything in an example, by name."""
    found = {f.name: getattr(example, f.name) for f in fields(example)}
    if example.given is not None:
        found |= {f"given.{f.name}": getattr(example.given, f.name) for f in fields(example.given)}
    return {k: v for k, v in found.items() if isinstance(v, Tensor)}


def assert_equal(first: Example, second: Example) -> None:
    ours, theirs = tensors(first), tensors(second)
    assert ours.keys() == theirs.keys()
    assert first.captions == second.captions
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("stage", STAGES)
def test_examples_depend_on_seed_and_number_alone(stage: str, clips: Path) -> None:
    spec = tiny(stage, augmentation=(0.0, 0.5), degradation=0.5, frames=2)
    part = spec.stage(stage)
    for source in (WorldSource(spec, part, 3), FolderSource.open(spec, stage, clips)):
        whole = StageDataset(spec, part, source, 10, seed=3)
        late = StageDataset(spec, part, source, 6, seed=3, first=4)
        assert_equal(late[1], whole[5])
        assert_equal(whole[5], whole[5])
        other = StageDataset(spec, part, source, 10, seed=4)
        assert not torch.equal(other[5].target, whole[5].target)


def test_the_world_data_set_is_the_world_as_a_source() -> None:
    spec = tiny("bridge")
    part = spec.stage("bridge")
    ours = WorldDataset(spec, part, 4, seed=2, first=1)
    theirs = StageDataset(spec, part, WorldSource(spec, part, 2), 4, seed=2, first=1)
    assert_equal(ours[2], theirs[2])


@pytest.mark.parametrize("stage", ["bridge", "refiner"])
def test_degradation_changes_the_input_and_nothing_else(stage: str) -> None:
    clean = tiny(stage, augmentation=(0.0, 0.3), crop=16, frames=2)
    damaged = clean.with_recipe(stage, degradation=1.0, crop=16)
    first = WorldDataset(clean, clean.stage(stage), 2, seed=1)[1]
    second = WorldDataset(damaged, damaged.stage(stage), 2, seed=1)[1]
    ours, theirs = tensors(first), tensors(second)
    for name in ("target", "positions", "augmentation"):
        assert torch.equal(ours[name], theirs[name]), name
    change = (ours["given.video"] - theirs["given.video"]).abs()
    assert 0 < change.mean() < 0.25
    assert first.captions == second.captions


def test_degradation_happens_as_often_as_asked() -> None:
    clean = tiny("refiner", frames=1)
    some = clean.with_recipe("refiner", degradation=0.4)
    changed = 0
    for number in range(60):
        pair = [
            WorldDataset(spec, spec.stage("refiner"), 1, first=number)[0] for spec in (clean, some)
        ]
        assert pair[0].given is not None
        assert pair[1].given is not None
        changed += not torch.equal(pair[0].given.video, pair[1].given.video)
    assert 12 <= changed <= 36


def test_degrading_is_mild_repeatable_and_the_same_for_all_frames() -> None:
    picture = torch.rand(1, 1, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    smooth = torch.nn.functional.avg_pool3d(picture, (1, 5, 5), 1, (0, 2, 2))
    video = smooth.expand(-1, 3, -1, -1, -1)
    kinds = set()
    for seed in range(24):
        out = degrade(video, np.random.default_rng(seed))
        assert out.shape == video.shape
        assert out.abs().max() <= 1
        assert torch.equal(out, degrade(video, np.random.default_rng(seed)))
        assert torch.equal(out[:, 0], out[:, 2])
        error = float((out - video).abs().mean())
        assert 0.001 < error < 0.3
        kinds.add(round(error, 4))
    assert len(kinds) > 20


def test_what_came_before_is_kept_when_asked() -> None:
    spec = tiny("bridge", crop=16, frames=2)
    part = spec.stage("bridge")
    source = WorldSource(spec, part)
    plain = StageDataset(spec, part, source, 3)
    rich = StageDataset(spec, part, source, 3, keep_previous=True)
    example = rich[1]
    assert example.previous is not None
    assert example.corner is not None
    assert example.previous.shape == (1, 2, 3, 16, 16)
    assert plain[1].previous is None
    batch = collate([rich[k] for k in range(3)])
    assert batch.previous is not None
    assert batch.previous.shape == (3, 2, 3, 16, 16)
    assert batch.corner is not None
    assert batch.corner.shape == (3, 2)
    for name in ("target", "given.video"):
        assert torch.equal(tensors(plain[1])[name], tensors(example)[name])


def test_the_subject_weighs_more_where_it_is_known(clips: Path) -> None:
    spec = tiny("base", subject_weight=3.0)
    part = spec.stage("base")
    weight = WorldDataset(spec, part, 1)[0].weight
    assert weight is not None
    assert weight.shape == (1, 4, 1, 16, 16)
    assert weight.mean() == pytest.approx(1.0, abs=1e-5)
    folder = StageDataset(spec, part, FolderSource.open(spec, "base", clips), 1)[0]
    assert folder.weight is not None
    assert (folder.weight == 1).all()  # so that both can share a batch
    assert collate([WorldDataset(spec, part, 1)[0], folder]).weight is not None
    assert folder.captions[0].endswith("clip")


def test_at_pure_noise_the_target_is_the_mean_of_the_captions_clips() -> None:
    spec, other = tiny("base"), tiny("base", pure_noise=1.0)
    plain = spec.stage("base")
    one = WorldDataset(spec, plain, 4, seed=3)[2]
    mean = WorldDataset(other, other.stage("base"), 4, seed=3)[2]
    assert one.captions == mean.captions
    assert (bool(one.pure), bool(mean.pure)) == (False, True)
    source = WorldSource(spec, plain, 3)
    rng = np.random.default_rng((3, 2, 1))
    times = [k / spec.fps for k in range(plain.frames)]
    clips = [to_video(source.draw(2, plain.size, times, rng).frames) for _ in range(MEAN_OF)]
    torch.testing.assert_close(mean.target, torch.stack(clips).mean(0))
    assert torch.equal(one.target, clips[0])


def test_the_error_to_the_mean_is_the_mean_error() -> None:
    """Its gradient, that is: what is weighed in each clip is weighed in their mean."""
    spec = tiny("base", pure_noise=1.0, subject_weight=3.0)
    part = spec.stage("base")
    mean = WorldDataset(spec, part, 1)[0]
    source, rng = WorldSource(spec, part), np.random.default_rng((0, 0, 1))
    times = [k / spec.fps for k in range(part.frames)]
    guess = torch.zeros_like(mean.target).requires_grad_()
    total = torch.zeros(())
    for _ in range(MEAN_OF):
        drawn = source.draw(0, part.size, times, rng)
        assert drawn.cover is not None
        weight = 1 + 3 * torch.from_numpy(drawn.cover)[None, :, None]
        weight = weight / weight.mean()
        total = total + (weight * (guess - to_video(drawn.frames)).square()).sum() / MEAN_OF
    (wanted,) = torch.autograd.grad(total, guess)
    assert mean.weight is not None
    ((mean.weight * (guess - mean.target).square()).sum()).backward()
    torch.testing.assert_close(guess.grad, wanted)


def test_a_share_of_the_worlds_examples_is_of_pure_noise(clips: Path) -> None:
    spec = tiny("base", pure_noise=0.4, subject_weight=1.0)
    part = spec.stage("base")
    found = [bool(WorldDataset(spec, part, 100)[k].pure) for k in range(100)]
    assert 25 <= sum(found) <= 55
    other = tiny("base", subject_weight=1.0)
    plain = WorldDataset(other, other.stage("base"), 100)
    k = found.index(False)
    assert torch.equal(plain[k].target, WorldDataset(spec, part, 100)[k].target)
    folder = FolderSource.open(spec, "base", clips)
    assert not any(StageDataset(spec, part, folder, 9)[k].pure for k in range(9))
    mixed = MixedSource(folder, WorldSource(spec, part), 0.5)
    examples = [StageDataset(spec, part, mixed, 40)[k] for k in range(40)]
    assert any(e.pure for e in examples)
    assert not any(e.pure and not e.old for e in examples)
    assert collate(examples).pure is not None


def test_only_a_base_has_pure_noise() -> None:
    data = tiny("bridge").model_dump(mode="json")
    data["stages"][1]["training"]["pure_noise"] = 1.0
    with pytest.warns(SpecWarning, match=r"pure_noise has no effect on a bridge"):
        spec = CascadeSpec.from_dict(data)
    assert not WorldDataset(spec, spec.stage("bridge"), 1)[0].pure


def test_windows_of_a_bridge_begin_with_a_known_frame() -> None:
    spec = tiny("bridge", frames=2)
    for number in range(8):
        example = WorldDataset(spec, spec.stage("bridge"), 8)[number]
        positions = example.positions[0]
        assert positions[0] % 2 == 0  # a window begins with a known frame
        assert torch.equal(positions, positions[0] + torch.arange(4))


def rewired(frames: int, **bridge: Any) -> CascadeSpec:
    """The tiny cascade of base and bridge, the latter changed."""
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    data["stages"] = data["stages"][:2]
    data["stages"][1] |= {"frames": frames, "noise_augmentation": 0.0} | bridge
    data["topology"] = "recursive" if bridge.get("rounds", 1) > 1 else "linear"
    data["stages"][1]["training"] |= {"batch": 2, "warmup": 2, "augmentation": [0.0, 0.0]}
    return CascadeSpec.from_dict(data)


@pytest.mark.parametrize("frames", [2, 3, None])
def test_a_window_of_what_lies_between_ends_with_a_known_frame(
    frames: int | None, tmp_path: Path
) -> None:
    spec = rewired(7, fill="between").with_recipe("bridge", frames=frames, steps=1)
    part = spec.stage("bridge")
    starts = set()
    data = WorldDataset(spec, part, 16)
    for number in range(16):
        example = data[number]
        assert example.given is not None
        assert example.target.shape[1] == example.given.video.shape[1] == 2 * (frames or 4) - 1
        starts.add(int(example.positions[0, 0]))
    assert starts == {k for k in (0, 2, 4) if k + 2 * (frames or 4) - 1 <= 7}
    train_stage(spec, "bridge", RunSettings(tmp_path, workers=0, save_every=0, sheet_every=0))


class Noting(WorldSource):
    """Notes which moments were asked for."""

    def draw(
        self, number: int, size: int, times: Sequence[float], rng: np.random.Generator
    ) -> Drawn:
        self.times = list(times)
        return super().draw(number, size, times, rng)


@pytest.mark.parametrize(("fill", "total"), [("extend", 16), ("between", 13)])
@pytest.mark.parametrize("frames", [2, None])
def test_each_round_of_a_bridge_is_taught_on_its_own_input(
    fill: str, total: int, frames: int | None
) -> None:
    spec = rewired(total, rounds=2, fill=fill).with_recipe("bridge", frames=frames)
    part = spec.stage("bridge")
    source = Noting(spec, part)
    data = StageDataset(spec, part, source, 12)
    seen = set()
    examples = [data[number] for number in range(12)]
    for number, example in enumerate(examples):
        assert_equal(data[number], example)
        assert example.given is not None
        places = example.positions[0]
        assert places[0] % 2 == 0  # a known frame of its round
        assert torch.equal(places, places[0] + torch.arange(len(places)))
        known, truth = example.given.video[:, ::2], example.target[:, ::2]
        first = not torch.equal(known, truth)
        if first:  # it is given what the base makes, at the base's size
            torch.testing.assert_close(known, resize(resize(truth, 16, "area"), 32))
        seen.add((first, len(places)))
        # 32 frames a second in the end, and half as many after the first round.
        step = 2 if first else 1
        assert source.times == [step * int(k) / 32 for k in places]
        assert places[-1] < (total + 1) // step
    length = 2 * (frames or 4) - (fill == "between")
    assert seen == {(True, length), (False, length)}
    collate(examples)


def test_a_bridge_of_several_rounds_trains_alone(tmp_path: Path) -> None:
    spec = rewired(16, rounds=2).with_recipe("bridge", steps=2)
    run: dict[str, Any] = {"workers": 0, "save_every": 0, "sheet_every": 0}
    train_stage(spec, "bridge", RunSettings(tmp_path / "a", **run))
    with pytest.raises(UsageError, match=r"bridge works in 2 rounds, .* leave out --previous"):
        train_stage(spec, "bridge", RunSettings(tmp_path / "b", previous=(tmp_path,), **run))


def test_what_is_described_and_what_is_damaged_are_drawn_apart() -> None:
    spec, stage = _with_emphasis(CascadeSpec.load("tiny"), {"left": 2.0})
    source = WorldSource(spec, stage, seed=1)
    world, split = source.world, source.world.training_split
    kept = []
    for number in range(120):
        drawn = world.describe(1_000_003 + number, split)
        kept.append(source._describe(number) == drawn if "left" not in drawn.motions else None)
    assert 30 < kept.count(True) < 90  # half of those without emphasis are drawn anew
    for purpose in range(4):
        chance = [np.random.default_rng((1, n, purpose)).random() < 0.5 for n in range(120)]
        same = sum(a == b for a, b in zip(kept, chance, strict=True))
        assert same < 90, purpose


def test_captions_that_are_cut_off_are_counted(clips: Path, tmp_path: Path) -> None:
    spec = tiny("base", steps=1)
    folder = FolderSource.open(spec, "base", clips)
    mixed = MixedSource(folder, WorldSource(spec, spec.stage("base")), 0.5)
    said = "3 of 3 captions are longer than the 4 tokens"
    for source in (folder, mixed):
        with pytest.warns(TrainingWarning, match=said):
            warn_of_length(source, build_text_encoder("minilm", 4))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_of_length(source, build_text_encoder("minilm", 5))
    short = spec.model_copy(update={"text": TextSpec(max_tokens=4)})
    with pytest.warns(TrainingWarning, match=said):
        train_stage(short, "base", RunSettings(tmp_path, workers=0), source=folder)


def _with_emphasis(spec: CascadeSpec, emphasis: dict[str, float]) -> tuple[CascadeSpec, StageSpec]:
    changed = spec.with_recipe("base", emphasis=emphasis)
    return changed, changed.stage("base")


def test_emphasis_shows_some_things_more_often_and_stays_a_pure_function() -> None:
    spec = CascadeSpec.load("stickers")

    def shown(**recipe: object) -> Counter[str]:
        changed = spec.with_recipe("base", captions=4096, **recipe)
        source = WorldSource(changed, changed.stage("base"), seed=1)
        described = [source._describe(number) for number in range(600)]
        assert described == [source._describe(number) for number in range(600)]
        subjects = [name for d in described for name, _, _ in d.subjects]
        motions = [name for d in described for name in d.motions]
        return Counter([*subjects, *motions, *(d.background for d in described)])

    plain = shown()
    # Without the stickers only solids are drawn.
    stickers = ("sunflower", "cat") if plain["sunflower"] else ("star", "ball")
    for name in ("spin", stickers[0], "cube", "snow"):
        more = shown(emphasis={name: 4.0})
        assert more[name] > 2 * plain[name]
        assert set(more) == set(plain)
    # What is two of them is drawn more often still, and the rest about as often as before.
    both = shown(emphasis={"spin": 4.0, "snow": 4.0})
    assert both["spin"] > 2 * plain["spin"]
    assert both["snow"] > 2 * plain["snow"]
    less = shown(emphasis={stickers[1]: 0.1})
    assert less[stickers[1]] < plain[stickers[1]] / 3
    # What is emphasised is not the same few captions again and again.
    changed = spec.with_recipe("base", captions=4096, emphasis={"spin": 20.0})
    source = WorldSource(changed, changed.stage("base"), seed=1)
    captions = [source._describe(number).caption for number in range(600)]
    assert sum(a == b for a, b in pairwise(captions)) < 12
    # The most that can be asked for is still quick to find.
    three = ("spin", "snow", stickers[0])
    many = shown(emphasis=dict.fromkeys(three, 100.0))
    assert all(many[name] > 1.5 * plain[name] for name in three)
    assert spec.world is not None
    with_solids_only = spec.world.model_copy(update={"solid_share": 1.0})
    bare = spec.model_copy(update={"world": with_solids_only})
    changed, stage = _with_emphasis(bare, {"cat": 4.0, "cube": 4.0})
    with pytest.warns(SpecWarning, match="'cat' is emphasised and never drawn"):
        WorldSource(changed, stage)
    with pytest.raises(UsageError, match="no subject, solid, motion or background 'dance' to"):
        shown(emphasis={"dance": 2.0})
    with pytest.raises(UsageError, match=r"emphasis must be from 0\.01"):
        shown(emphasis={"spin": 0.0})


@pytest.mark.parametrize("stage", STAGES)
def test_examples_are_repeated_in_a_row(stage: str) -> None:
    spec = tiny(stage, augmentation=(0.0, 0.5), subject_weight=1.0)
    part = spec.stage(stage)
    data = StageDataset(spec, part, WorldSource(spec, part, 3), 2, keep_previous=stage != "base")
    pair = [data[0], data[1]]
    batch = collate(pair)
    assert batch.repeated(1) is batch
    assert_equal(batch.repeated(3), collate([pair[0]] * 3 + [pair[1]] * 3))
