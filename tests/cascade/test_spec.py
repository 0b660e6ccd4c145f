"""The spec refuses what cannot work and says where and what would be right."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vidcascade import CascadeSpec, UsageError
from vidcascade.cascade.spec import SpecWarning, bundled_configs

TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


def changed(stage: int | None, **keys: Any) -> dict[str, Any]:
    data = copy.deepcopy(TINY)
    (data if stage is None else data["stages"][stage]).update(keys)
    return data


@pytest.mark.parametrize("name", ["tiny", "stickers", "stickers150", "large"])
def test_bundled_specs_load_by_name_and_round_trip(name: str) -> None:
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
