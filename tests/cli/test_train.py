"""``vidcascade train`` as a person meets it, on the tiny cascade."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training import conftest as training
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import load_network
from vidcascade.cli.train import _duration
from vidcascade.training.mixing import mix, open_clips
from vidcascade.training.sources import FolderSource, MixedSource, WorldSource

clips = training.clips
WEIGHTS = "diffusion_pytorch_model.safetensors"
Command = Callable[..., tuple[int, str, str]]
QUICK = ("--spec", "tiny", "--batch", 2, "--workers", 0, "--log-every", 1, "--sheet-every", 2)


def test_a_folder_of_clips_trains_a_stage_end_to_end(
    command: Command, clips: Path, tmp_path: Path
) -> None:
    code, out, err = command(
        "train", "base", *QUICK, "--data", clips, "--out", tmp_path, "--steps", 2
    )
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("step 1 ")
    for word in ("loss", "by σ", "grad", "examples/s", "data wait", "left"):
        assert word in lines[0]
    assert lines[-1] == f"Weights: {tmp_path / 'base' / 'network'}"
    made = tmp_path / "base"
    assert (made / "samples-000002.png").is_file()
    assert list((made / "tensorboard").iterdir())
    rule = make_stage(CascadeSpec.load("tiny").stage("base"))
    network = load_network(made / "network", rule, 384)
    assert all(torch.isfinite(p).all() for p in network.parameters())
    # Run again with more steps: it goes on.
    code, out, err = command(
        "train", "base", *QUICK, "--data", clips, "--out", tmp_path, "--steps", 3
    )
    assert code == 0, err
    assert out.splitlines()[0].startswith("step 3 ")


def test_short_clips_are_listed_once_and_passed_over(
    command: Command, clips: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "long.yaml"
    text = CascadeSpec.load("tiny").to_yaml()
    spec.write_text(text.replace("frames: 4", "frames: 10").replace("frames: 8", "frames: 20"))
    common = (*QUICK[2:], "--data", clips, "--out", tmp_path / "run", "--steps", 1)
    code, _, err = command("train", "base", "--spec", spec, *common)
    assert code == 0, err
    assert "Skipped 1 entries of the folder; 2 can be used:" in err
    assert err.count("short.mp4: too short: 9 frames, and 10 are needed") == 1


def test_a_loss_that_is_no_number_ends_with_code_1(command: Command, tmp_path: Path) -> None:
    spec = CascadeSpec.load("tiny").with_recipe("refiner", muon_lr=1e30, adam_lr=1e30, warmup=0)
    (tmp_path / "wild.yaml").write_text(spec.to_yaml())
    code, _, err = command(
        "train", "refiner", "--spec", tmp_path / "wild.yaml", *QUICK[2:-2], "--sheet-every", 0,
        "--out", tmp_path / "run", "--steps", 9,
    )  # fmt: skip
    assert code == 1
    assert "lower muon_lr and adam_lr" in err
    assert err.strip().splitlines()[-1].startswith("vidcascade: Training stopped at step")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("middle",), 2, "There is no stage 'middle'"),
        (("base", "--spec", "nothing"), 2, "There is no spec nothing"),
        (("base", "--data", "absent"), 2, "absent is not a folder"),
        (("base", "--previous", "."), 2, "no stage before base"),
        (("refiner", "--previous", "."), 1, "incomplete or damaged"),
        (("refiner", "--init", "."), 1, "incomplete or damaged"),
        (("base", "--seed", "-1"), 2, "seed"),
        (("refiner", "--previous-share", "1.5"), 2, "previous-share"),
        (("base", "--data-share", "0.5"), 2, "name the folder with --data"),
        (("refiner", "--previous-share", "0.7"), 2, "name its network with --previous"),
        (("base", "--keep", "0.5"), 2, "no old weights to keep"),
        (("base", "--init", ".", "--keep", "1"), 2, "in [0, 1)"),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: tuple[str, ...], code: int, message: str, command: Command, tmp_path: Path
) -> None:
    common = ("--workers", 0, "--sheet-every", 0, "--out", tmp_path, "--steps", 1)
    given = arguments if "--spec" in arguments else (*arguments, "--spec", "tiny")
    found, _, err = command("train", *given, *common)
    assert found == code, err
    assert message in err
    assert "Traceback" not in err
    if "--keep" in arguments:
        assert not list(tmp_path.iterdir())


def test_time_left_is_readable() -> None:
    assert _duration(0.51) == "0.5 min"
    assert _duration(125.2) == "2 h 05 min"


@pytest.mark.slow
def test_each_stage_trains_on_the_one_before(command: Command, clips: Path, tmp_path: Path) -> None:
    before: tuple[object, ...] = ()
    for stage, workers in (("base", 0), ("bridge", 0), ("refiner", 1)):
        options = ("--batch", 2, "--workers", workers, "--steps", 2, "--sheet-every", 2, *before)
        code, _, err = command(
            "train", stage, "--spec", "tiny", "--data", clips, "--out", tmp_path, *options
        )
        assert code == 0, err
        before = ("--previous", tmp_path / stage / "network")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shift", "--set shift=4.0"),
        ("shift=[", "--set shift=4.0"),
        ("shift=-1", "stages.base.training: shift"),
        ("speed=3", "speed: unknown key"),
        ("crop=8", "stages.base: network.coordinates would be learnt of crops"),
    ],
)
def test_settings_that_cannot_be(command: Command, tmp_path: Path, text: str, words: str) -> None:
    quick = (*QUICK, "--steps", 1, "--out", tmp_path / "r")
    code, _, errors = command("train", "base", *quick, "--set", text)
    assert code == 2
    assert words in errors
    assert not (tmp_path / "r").exists()


def test_settings_reach_the_recipe(command: Command, tmp_path: Path) -> None:
    args = ("--steps", 1, "--sheet-every", 0, "--out", tmp_path, "--set", "adam_lr=1.0e-9")
    code, _, errors = command("train", "base", *QUICK, *args, "--set", "muon_lr=0")
    assert code == 0, errors


def test_emphasis_is_said_to_be_idle_on_a_folder_of_clips(
    command: Command, clips: Path, tmp_path: Path
) -> None:
    said = "vidcascade: warning: stages.base.training.emphasis has no effect on a folder of clips"
    emphasis = ("--set", "emphasis={left: 2.0}")
    for number, (options, times) in enumerate(
        ((("--data", clips, *emphasis), 1), (("--data", clips), 0), (emphasis, 0))
    ):
        code, _, err = command(
            "train", "base", *QUICK, "--steps", 1, "--out", tmp_path / str(number), *options
        )
        assert code == 0, err
        assert err.count(said) == err.count("emphasis") == times


def test_some_of_the_old_weights_can_be_kept(command: Command, clips: Path, tmp_path: Path) -> None:
    given = ("train", "base", *QUICK[:-2], "--data", clips, "--steps", 2, "--sheet-every", 0)
    code, _, err = command(*given, "--out", tmp_path / "first")
    assert code == 0, err
    first = tmp_path / "first" / "base" / "network"
    made = {}
    for keep in (0.0, 0.5):
        options = ("--init", first, "--keep", keep, "--out", tmp_path / str(keep))
        code, _, err = command(*given, *options)
        assert code == 0, err
        made[keep] = load_file(tmp_path / str(keep) / "base" / "network" / WEIGHTS)
    before = load_file(first / WEIGHTS)
    assert any((made[0.0][k] != before[k]).any() for k in before)
    for name, old in before.items():
        torch.testing.assert_close(made[0.5][name], (old + made[0.0][name]) / 2)


@pytest.mark.filterwarnings("ignore:no stickers in")
def test_a_folder_of_clips_beside_the_drawn_ones(
    command: Command, clips: Path, tmp_path: Path
) -> None:
    spec = CascadeSpec.load("tiny")
    assert spec.world is not None
    drawn = spec.model_copy(update={"world": spec.world.model_copy(update={"solid_share": 1.0})})
    (tmp_path / "spec.yaml").write_text(drawn.to_yaml())
    common = ("--batch", 2, "--workers", 0, "--steps", 1, "--sheet-every", 0, "--data", clips)
    both = ("--spec", tmp_path / "spec.yaml", *common, "--data-share", 0.5, "--set",
            "emphasis={left: 2.0}")  # fmt: skip
    code, _, err = command("train", "base", *both, "--out", tmp_path / "both")
    assert code == 0, err
    assert "emphasis" not in err  # it has an effect on what is drawn
    # The words of both are kept with the spec; alone, the folder takes the world's place.
    kept = CascadeSpec.load(tmp_path / "both" / "base" / "spec.yaml").world
    assert kept is not None
    assert {"fast", "slow"} <= set(kept.learnt[0].words)
    for share in (1, 0):
        out = tmp_path / str(share)
        given = ("train", "base", "--spec", "tiny", *common, "--data-share", share, "--out", out)
        code, _, err = command(*given)
        assert code == (0 if share else 2), err
    assert CascadeSpec.load(tmp_path / "1" / "base" / "spec.yaml").world is None
    assert "must be in (0, 1], not 0" in err
    assert not (tmp_path / "0" / "base").exists()


@pytest.mark.filterwarnings("ignore:no stickers in")
def test_mixed_clips_come_from_both(clips: Path) -> None:
    spec = CascadeSpec.load("tiny")
    assert spec.world is not None
    spec = spec.model_copy(update={"world": spec.world.model_copy(update={"solid_share": 1.0})})
    told, source, new = open_clips(spec, "base", clips, 0.5)
    assert isinstance(source, MixedSource)
    assert source.new is new
    drawn = [
        source.draw(k, 16, [0.0, 0.125], np.random.default_rng((7, k))).caption for k in range(40)
    ]
    own = [c for c in drawn if c.endswith(" clip") and c.split()[1] in ("fast", "slow", "short")]
    assert 10 <= len(own) <= 30
    assert told.world is not None
    assert [learnt.words for learnt in told.world.learnt] == [("fast", "slow", "short")]
    again = open_clips(told, "base", clips, 0.5)[0]
    assert again == told
    alone, source, new = open_clips(spec, "base", clips, 1.0)
    assert source is new
    assert alone.world is None


@pytest.mark.filterwarnings("ignore:no stickers", "error::vidcascade.cascade.spec.SpecWarning")
def test_emphasis_has_its_effect_on_the_old_clips_of_a_finetuning(clips: Path) -> None:
    spec = CascadeSpec.load("tiny").with_recipe("base", emphasis={"left": 2.0})
    assert spec.world is not None
    spec = spec.model_copy(update={"world": spec.world.model_copy(update={"solid_share": 1.0})})
    mixed = mix(spec, "base", FolderSource.open(spec, "base", clips, stills=True), 0.5)
    assert isinstance(mixed.old, WorldSource)
    assert mixed.old.emphasis == {"left": 2.0}
