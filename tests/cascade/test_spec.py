"""The spec refuses what cannot work and says where and what would be right."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade import CascadeSpec, UsageError
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import SpecWarning, bundled_configs

TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


def changed(stage: int | None, **keys: Any) -> dict[str, Any]:
    data = copy.deepcopy(TINY)
    (data if stage is None else data["stages"][stage]).update(keys)
    return data


def heads(head_dim: int, temporal: str, spatial: bool = False) -> dict[str, Any]:
    """A network of one level whose attention has heads of that size."""
    return {
        "channels": [72], "depths": [1], "head_dim": head_dim, "temporal": [temporal],
        "spatial_attention": [spatial],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["tiny", "stickers", "stickers150", "large"])
def test_bundled_specs_load_by_name_and_round_trip(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = CascadeSpec.load(name)
    assert CascadeSpec.from_dict(yaml.safe_load(spec.to_yaml())) == spec
    assert [stage.kind for stage in spec.stages] == ["base", "bridge", "refiner"]


@pytest.mark.parametrize(
    ("data", "path", "right"),
    [
        (changed(None, stepps=3), "stepps", "unknown key"),
        (changed(1, stepps=3), "stages.bridge.stepps", "unknown key"),
        (changed(1, steps=-1), "stages.bridge.steps", "greater than or equal to 1"),
        (changed(1, noise_augmentation=1.0), "stages.bridge.noise_augmentation", "less than 1"),
        (changed(1, noise_augmentation=-0.1), "noise_augmentation", "greater than or equal to 0"),
        (changed(1, frames=9), "stages.bridge.frames", "must be 8"),
        (changed(1, size=64), "stages.bridge.size", "16 or 32"),
        (changed(2, input_size=16), "stages.refiner.input_size", "32"),
        (changed(2, frames=16), "stages.refiner.frames", "adds no frames"),
        (changed(0, size=20), "stages.base", "multiple of 8"),
        (changed(1, name="reader"), "stages", "choose another name"),
        (changed(0, kind="refiner", student=None), "", "first stage must be a base"),
        (changed(None, topology="recursive"), "", "linear"),
        (changed(0, guidance={"interval": [0.9, 0.1]}), "guidance.interval", "rising"),
        (changed(0, network={"channels": [16]}), "network", "one for each level"),
        (changed(0, network={"head_dim": 48}), "network", "heads of 48"),
        (changed(0, network=heads(12, "joint")), "network", "multiple of 8 where"),
        (changed(0, network=heads(9, "attention")), "network", "multiple of 2 where"),
        (
            changed(1, training={"crop": 20}),
            "stages.bridge",
            "training.crop must be a multiple of 8",
        ),
        (
            changed(2, network={"coordinates": True}, training={"crop": 32}),
            "stages.refiner",
            "whole ones",
        ),
    ],
)
def test_wrong_specs_are_refused_with_path_and_advice(
    data: dict[str, Any], path: str, right: str
) -> None:
    with pytest.raises(UsageError) as caught:
        CascadeSpec.from_dict(data)
    assert path in str(caught.value)
    assert right in str(caught.value)


def test_a_setting_without_effect_is_warned_of() -> None:
    with pytest.warns(SpecWarning, match="stages.base.noise_augmentation has no effect"):
        CascadeSpec.from_dict(changed(0, noise_augmentation=0.1))


@pytest.mark.parametrize(
    ("head_dim", "temporal"), [(8, "joint"), (18, "attention"), (9, "convolution")]
)
def test_heads_that_are_accepted_can_attend(head_dim: int, temporal: str) -> None:
    spec = CascadeSpec.from_dict(changed(0, network=heads(head_dim, temporal, spatial=True)))
    network = make_stage(spec.stage("base")).build_network(None)
    sample = torch.zeros(1, 2, 3, 8, 8)
    assert network(sample, torch.ones(1)).shape == sample.shape


def test_a_noise_that_was_not_trained_is_warned_of() -> None:
    said = r"stages\.bridge\.training\.augmentation \[0\.0, 0\.05\] does not hold .* 0\.1,"
    with pytest.warns(SpecWarning, match=said):
        CascadeSpec.from_dict(changed(1, training={"augmentation": [0.0, 0.05]}))
    with pytest.warns(SpecWarning, match=said):
        CascadeSpec.load("tiny").with_recipe("bridge", augmentation=(0.0, 0.05))


def test_changed_settings_are_checked_with_their_stage() -> None:
    tiny = CascadeSpec.load("tiny")
    with pytest.raises(UsageError, match=r"^stages\.base: network\.coordinates .* whole ones"):
        tiny.with_recipe("base", crop=8)
    with pytest.raises(UsageError, match=r"^stages\.bridge: training\.crop .* multiple of 8"):
        tiny.with_recipe("bridge", crop=12)
    # One that is as large as the frames cuts nothing.
    assert tiny.with_recipe("bridge", crop=44).stage("bridge").training.crop == 44
    plain = changed(0, network=TINY["stages"][0]["network"] | {"coordinates": False})
    with pytest.warns(SpecWarning, match=r"stages\.base\.training\.crop has no effect"):
        cropped = CascadeSpec.from_dict(plain).with_recipe("base", crop=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cropped.with_recipe("base", batch=2)  # it was told already
    with pytest.warns(SpecWarning, match=r"stages\.base\.student\.training\.muon_lr has no effect"):
        tiny.with_student_recipe("base", muon_lr=0.02)
    with pytest.warns(SpecWarning, match=r"student\.training\.pure_noise has no effect"):
        tiny.with_student_recipe("base", pure_noise=0.2)


@settings(deadline=None)
@given(frames=st.integers(1, 40), rounds=st.integers(1, 4), extend=st.booleans())
def test_only_the_doubled_timeline_is_accepted(frames: int, rounds: int, extend: bool) -> None:
    want = frames
    for _ in range(rounds):
        want = 2 * want if extend else 2 * want - 1
    data = changed(None, topology="recursive" if rounds > 1 else "linear")
    data["stages"][0]["frames"] = frames
    data["stages"][1] |= {"rounds": rounds, "fill": "extend" if extend else "between"}
    data["stages"][2]["frames"] = want
    for off in (0, 1):
        data["stages"][1]["frames"] = want + off
        if off:
            with pytest.raises(UsageError, match=f"must be {want}"):
                CascadeSpec.from_dict(data)
        else:
            assert CascadeSpec.from_dict(data).fps_after("bridge") == 8 * 2**rounds


def test_null_trains_on_whole_clips_and_frames() -> None:
    spec = CascadeSpec.load("stickers")
    before = spec.stage("bridge").training
    assert before.frames is not None
    assert before.crop is not None
    changed = spec.with_recipe("bridge", frames=None, crop=None).stage("bridge").training
    assert changed == before.model_copy(update={"frames": None, "crop": None})


def test_files_that_are_no_specs(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("stages: [")
    with pytest.raises(UsageError, match="not valid YAML"):
        CascadeSpec.load(bad)
    bad.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError, match="not valid YAML"):
        CascadeSpec.load(bad)
    with pytest.raises(UsageError, match="stickers"):
        CascadeSpec.load("nothing")
    assert bundled_configs().is_dir()
