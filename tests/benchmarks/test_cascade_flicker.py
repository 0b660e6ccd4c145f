"""The sweep behind the cascade's defaults: settings, clips, verdicts and the drawing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cascade_flicker import STEADY_MOTIONS, steady_clips
from benchmarks.flicker.sweep import SAMPLED, TRUE, Setting, settings
from benchmarks.flicker.sweep_plot import draw
from benchmarks.flicker.sweep_verdict import change, judge, on_noise
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.config import WorldConfig
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.composite import CAUSES

SPEC = CascadeSpec.load("stickers")
BRIDGE, REFINER = SPEC.stages[1:]
CLIPS = 8

Columns = dict[str, dict[str, dict[str, list[float]]]]


def group(name: str) -> list[Setting]:
    return [s for s in settings(BRIDGE, REFINER, everything=True) if s.group.name == name]


def invented(members: Sequence[Setting], **shifts: Sequence[float]) -> Columns:
    """Values of clips that differ a lot from each other, and settings that differ a little.

    ``shifts`` gives for each measure what each member adds to the clips' own values.
    """
    rng = np.random.default_rng(0)
    clips = {m: 5 + 3 * rng.random(CLIPS) for m in ("flicker", "sharpness", "psnr", *CAUSES)}
    wobble = 0.01 * rng.normal(size=(len(members), CLIPS))
    return {
        source: {
            s.name: {
                m: list(own + wobble[k] + shifts.get(m, [0.0] * len(members))[k])
                for m, own in clips.items()
            }
            for k, s in enumerate(members)
        }
        for source in (TRUE, SAMPLED)
    }


def test_settings_change_one_thing_and_hold_the_default_once() -> None:
    chosen = settings(BRIDGE, REFINER, everything=True)
    assert set(settings(BRIDGE, REFINER)) < set(chosen)
    assert len({s.name for s in chosen}) == len(chosen)
    for setting in chosen:
        for stage in (BRIDGE, REFINER):
            changed = setting.of(stage).model_dump()
            own = stage.model_dump()
            if setting.default or stage.kind != setting.group.kind:
                assert changed == own
            else:
                assert setting.group.of(setting.of(stage)) == setting.value
                assert sum(changed[k] != own[k] for k in own) == 1
    for name in {s.group.name for s in chosen}:
        members = group(name)
        assert sum(s.default for s in members) == 1
        assert [s.value for s in members] == sorted(s.value for s in members)
    assert [s.value for s in group("bridge noise augmentation σ")] == [0, 0.05, 0.1, 0.2, 0.3]


def test_a_steadier_setting_is_recommended_unless_it_costs_something() -> None:
    members = group("smoothing strength")
    better = [0.0, 0.0, -0.5]
    assert [s.default for s in members] == [False, True, False]
    found = judge(members, invented(members, flicker=better))
    assert (found.default, found.best) == (0.5, 1)
    assert found.why.startswith("1 changes flicker by -0.49")
    for measure in ("sharpness", "psnr"):
        values = invented(members, flicker=better, **{measure: [0.0, 0.0, -0.2]})
        kept = judge(members, values)
        assert kept.best == 0.5
        assert "but costs" in kept.why
        # What is gained is no loss.
        values = invented(members, flicker=better, **{measure: [0.0, 0.0, 0.2]})
        assert judge(members, values).best == 1


def test_chance_seldom_recommends_anything() -> None:
    members = group("bridge steps")
    values = invented(members)
    changed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for columns in values[SAMPLED].values():
            columns["flicker"] = list(5 + rng.normal(size=CLIPS))
        found = judge(members, values)
        changed += found.best != found.default
        if found.best == found.default:
            assert "no other value lowers flicker by more than chance" in found.why
    # Of 60, 1.5 are to be expected (one side of 5 %), and 7 would be one in a thousand.
    assert changed < 7


def test_few_clips_prove_nothing() -> None:
    members = group("smoothing strength")
    values = invented(members, flicker=[0.0, 0.0, -0.5])
    for source in values.values():
        for columns in source.values():
            for measure in columns:
                columns[measure] = columns[measure][:3]
    found = change(values, SAMPLED, "flicker", members[2], members[1])
    assert found is not None
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert judge(members, values).best == 0.5


def test_clips_without_a_number_are_left_out_in_pairs() -> None:
    members = group("smoothing strength")
    values = invented(members, flicker=[0.0, 0.0, -0.5])
    values[SAMPLED][members[2].name]["flicker"][0] = float("nan")
    values[SAMPLED][members[1].name]["flicker"][0] = 1000.0
    found = change(values, SAMPLED, "flicker", members[2], members[1])
    assert found is not None
    assert found.mean == pytest.approx(-0.5, abs=0.05)
    for columns in values[SAMPLED].values():
        columns["flicker"] = [float("nan")] * CLIPS
    assert judge(members, values).why.startswith("too few clips to say more")


def test_noise_is_answered_plainly_and_with_the_cause() -> None:
    members = group("bridge noise augmentation σ")
    down = [0.0, -0.1, -0.2, -0.3, -0.4]
    lines = on_noise(members, invented(members, flicker=down, swimming=down))
    assert lines[0].startswith("On the base's samples it lowers flicker against σ 0 (σ 0.05: -0.")
    assert any(re.search(r"σ 0\.3 moves .*swimming -0\.[34]", line) for line in lines)
    up = [0.0, 0.1, 0.2, 0.3, 0.4]
    lines = on_noise(members, invented(members, flicker=up))
    assert lines[0] == (
        "On the base's samples no σ lowers flicker by more than chance against σ 0."
    )
    assert "it raises flicker" in lines[1]


def test_small_multiples_show_every_group(tmp_path: Path) -> None:
    chosen = settings(BRIDGE, REFINER)
    truths = {"flicker": [0.1, 0.2], "sharpness": [2.0, 2.5]}
    draw(chosen, invented(chosen), truths, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 20_000


def test_clips_move_steadily() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = StickerWorld(SPEC.world)
        found = steady_clips(world, 6)
        assert len({seed for seed, _ in found}) == 6
        for _, described in found:
            assert set(described.motions) <= set(STEADY_MOTIONS)
            assert world.is_held_out(described)
        restless = StickerWorld(WorldConfig(motions=("bounce", "shake")))
        with pytest.raises(UsageError, match="too few steady motions"):
            steady_clips(restless, 2)
