"""The cascade's baselines: as large as it is, trained as long, measured alike."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks import arms, baselines
from benchmarks.arms import ARMS, Arm
from benchmarks.standins import between
from tests.benchmarks.loading import load_script
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import VidCascadeError

pytestmark = pytest.mark.filterwarnings("ignore:no stickers in")


@pytest.fixture(scope="module")
def tiny_arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Arm, ...]:
    """The three kinds of cascade, at sizes that take seconds."""
    folder = tmp_path_factory.mktemp("arms")
    data = CascadeSpec.load("tiny").model_dump(mode="json")
    data["world"] |= {
        "solids": ["ball", "star"], "colours": ["red", "blue"], "motions": ["left", "right"],
        "backgrounds": ["sky", "grey"], "solid_share": 1.0, "two_subjects": 0.0, "camera": 0.0,
        "held_out": 0.2,
    }  # fmt: skip
    for stage in data["stages"]:
        stage["training"]["batch"] = 2
    base, _, refiner = data["stages"]
    net = base["network"] | {"patch": 8}
    kinds = {
        "cascade": {},
        "two stages": {"stages": [base, refiner | {"frames": 4}]},
        "one stage": {
            "stages": [base | {"frames": 8, "size": 64, "network": net}], "fps": 2 * data["fps"],
        },
    }  # fmt: skip
    made = []
    for name, changes in kinds.items():
        file = folder / f"{name}.yaml"
        file.write_text(CascadeSpec.from_dict(data | changes).to_yaml(), encoding="utf-8")
        made.append(Arm(name, name, file))
    return tuple(made)


@pytest.mark.parametrize("small", [False, True])
def test_all_have_the_same_size_and_make_the_same_clip(small: bool) -> None:
    sizes, clips = [], set()
    for arm in ARMS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            spec = arms.load(arm, small)
        networks = [make_stage(stage).build_network(384) for stage in spec.stages]
        sizes.append(sum(p.numel() for n in networks for p in n.parameters()))
        last = spec.stages[-1]
        doubled = 2 if len(spec.stages) == 2 else 1
        clips.add(
            (last.size, doubled * last.frames, doubled * spec.fps_after(last.name), spec.world)
        )
    assert max(sizes) < 1.06 * min(sizes)
    assert len(clips) == 1
    assert clips.pop()[:3] == (256, 32, 16.0)


def test_the_cascade_is_the_bundled_one() -> None:
    assert CascadeSpec.load(ARMS[0].file) == CascadeSpec.load("stickers")
    for arm in ARMS[1:]:
        plain = CascadeSpec.load(arm.file)
        assert plain.world == CascadeSpec.load("stickers").world
    network = CascadeSpec.load(ARMS[1].file).stages[0].network
    assert network == CascadeSpec.load("stickers").stages[0].network


def test_frames_are_blended_where_no_bridge_is(tiny_arms: tuple[Arm, ...]) -> None:
    for arm in tiny_arms:
        pipeline = VidCascadePipeline.from_spec(arm.file)
        pipeline.set_progress_bar_config(disable=True)
        video = arms.make(pipeline, "a red ball moving left in the sky", 3)
        assert video.shape == (1, 8, 3, 64, 64)
        assert torch.isfinite(video).all()
    video = torch.arange(3.0).reshape(1, 3, 1, 1, 1).expand(1, 3, 3, 2, 2)
    assert between(video)[0, :, 0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2]
    assert between(video, extend=False).shape[1] == 5


@pytest.mark.slow
def test_all_are_trained_and_measured(
    tiny_arms: tuple[Arm, ...], tmp_path: Path, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(baselines, "ARMS", tiny_arms)
    arguments = ["--minutes", "0.02", "--clips", "2", "--lessons", "2", "--scenes", "40"]
    arguments += ["--out", str(tmp_path / "run"), "--results", str(tmp_path / "results")]
    assert baselines.main(arguments) == 0
    result = json.loads((tmp_path / "results" / "baselines.json").read_text())
    (table,) = result["tables"]
    assert [row[0].split(":")[0] for row in table["rows"]] == [
        "cascade", "two stages", "one stage", "truth",
    ]  # fmt: skip
    for arm in tiny_arms:
        found = result["data"][arm.name]
        # Every arm had its time, and no more than a step above it for each stage.
        assert 0.02 <= found["minutes"] < 0.2
        assert found["peak"] > 2**20
        assert len(found["seconds"]) == len(found["judgements"]) == 2
    assert result["data"]["truth"].keys() == {"judgements", "pixels"}
    assert (tmp_path / "results" / "baselines.png").stat().st_size > 1000
    # What is trained stays, unless it was trained otherwise.
    weights = tmp_path / "run" / "one-stage" / "weights"
    kept = {p: p.stat().st_mtime_ns for p in weights.rglob("*")}
    assert baselines.main([*arguments, "--train-only"]) == 0
    assert {p: p.stat().st_mtime_ns for p in weights.rglob("*")} == kept
    assert baselines.main([*arguments, "--minutes", "0.03"]) == VidCascadeError.exit_code
    assert "other settings" in capsys.readouterr().err
    assert baselines.main([*arguments, "--weights", "nobody=x"]) == 2
    assert baselines.main([*arguments, "--weights", f"one stage={tmp_path}"]) == 2


def test_the_training_script_takes_any_of_them(tmp_path: Path) -> None:
    script = load_script("train_bundled")
    minutes = {f"{name.replace('-', '_')}_minutes": 1.0 for name in script.recipes.BUDGETS}
    names = {}
    for arm in ARMS:
        args = argparse.Namespace(
            spec=str(arm.file), out=tmp_path, only=None, clips=None, lpips=None, **minutes
        )
        plan = script.Plan(args)
        names[arm.name] = [phase.name for phase in plan.phases()]
        stages = {stage.name for stage in CascadeSpec.load(arm.file).stages}
        own = {f"{stage}-own" for stage in stages - {"base"}}
        assert set(plan.budgets) - {"distil"} == {"space", *stages, *own}
    whole, two, one = (set(names[arm.name]) for arm in ARMS)
    assert {"space", "base", "bridge", "refiner", "card"} <= whole
    assert whole - two - {"distil", "measure-distillation"} == {
        "bridge", "bridge-own", "measure-stages", "measure-gap", "card",
    }  # fmt: skip
    assert two - one == {"refiner", "refiner-own", "join"}
