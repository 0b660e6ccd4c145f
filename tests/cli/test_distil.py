"""``vidcascade distil``, and generate with what it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training import conftest as training
from vidcascade.cascade.spec import CascadeSpec, bundled_configs
from vidcascade.video import read_clip

clips = training.clips
Command = Callable[..., tuple[int, str, str]]
QUICK = ("--workers", 0, "--sheet-every", 0, "--log-every", 1, "--save-every", 0)


@pytest.fixture
def distilled(command: Command, tiny_cascade: Path, tmp_path: Path) -> Path:
    """A cascade with a student, made by the commands that make one."""
    code, out, err = command(
        "distil", "base", "--weights", tiny_cascade, "--out", tmp_path / "run", "--spec", "tiny",
        *QUICK, "--steps", 2, "--sheet-every", 2,
    )  # fmt: skip
    assert code == 0, err
    student = tmp_path / "run" / "base" / "student.safetensors"
    assert out.splitlines()[-1] == f"Student: {student}"
    assert out.startswith("step 1 ")
    assert (tmp_path / "run" / "base" / "samples-000002.png").is_file()
    code, _, err = command(
        "assemble", tmp_path / "cascade", "--spec", "tiny", f"--student=base={student}",
        *(f"--network={name}={tiny_cascade / name}" for name in ("base", "bridge", "refiner")),
        "--dtype", "float32",
    )  # fmt: skip
    assert code == 0, err
    return tmp_path / "cascade"


def test_generate_runs_the_student_and_repeats_it(
    command: Command, distilled: Path, tmp_path: Path
) -> None:
    ask = ("generate", "--prompt", "a red ball", "--weights", distilled)
    code, _, err = command(*ask, "--out", tmp_path / "few")
    assert code == 0, err
    assert "student" not in err
    few = json.loads((tmp_path / "few.json").read_text())
    assert len(few["sigmas"]["base"]) == 1
    code, _, err = command(*ask, "--teacher", "--out", tmp_path / "full")
    assert code == 0, err
    full = json.loads((tmp_path / "full.json").read_text())
    assert len(full["sigmas"]["base"]) == 2
    for name in ("few", "full"):
        again = tmp_path / f"{name}-again"
        code, _, err = command(
            "generate", "--from-manifest", tmp_path / f"{name}.json", "--weights", distilled,
            "--out", again,
        )  # fmt: skip
        assert code == 0, err
        first, second = read_clip(tmp_path / name).frames, read_clip(again).frames
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--steps", "base=3"), "not for 3 steps: use --teacher"),
        (("--guidance", "3"), "not for guidance 3"),
        (("--negative-prompt", "blue"), "not for a negative prompt"),
    ],
)
def test_what_a_student_has_not_learnt_is_said(
    command: Command, distilled: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    ask = ("generate", "--prompt", "a red ball", "--weights", distilled, "--stop-after", "base")
    code, _, err = command(*ask, *options, "--out", tmp_path / "a.mp4")
    assert code == 0, err
    assert words in err
    code, _, err = command(*ask, *options, "--teacher", "--out", tmp_path / "b.mp4")
    assert code == 0, err
    assert "student" not in err


def test_a_spec_that_describes_a_student_runs_weights_without_one(
    command: Command, tiny_cascade: Path, tmp_path: Path
) -> None:
    code, _, err = command(
        "generate", "--prompt", "a red ball", "--weights", tiny_cascade, "--spec", "tiny",
        "--stop-after", "base", "--out", tmp_path / "a",
    )  # fmt: skip
    assert code == 0, err
    assert len(json.loads((tmp_path / "a.json").read_text())["sigmas"]["base"]) == 2


def test_a_folder_of_clips_teaches_as_well(
    command: Command, tiny_cascade: Path, clips: Path, tmp_path: Path
) -> None:
    code, _, err = command(
        "distil", "base", "--weights", tiny_cascade, "--out", tmp_path, "--spec", "tiny",
        "--data", clips, "--method", "matching", *QUICK, "--steps", 1,
        "--set", "muon_lr=0.02", "--set", "huber=0.1",
    )  # fmt: skip
    assert code == 0, err
    for idle in ("muon_lr has no effect", "huber has no effect on matching"):
        assert err.count(f"vidcascade: warning: stages.base.student.training.{idle}") == 1
    assert (tmp_path / "base" / "student.safetensors").is_file()


def test_mistakes_end_in_a_sentence(command: Command, tiny_cascade: Path, tmp_path: Path) -> None:
    ask = ("--weights", tiny_cascade, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    cases = [
        (("bridge", "--spec", "tiny"), "no student for bridge"),
        (("base", "--spec", "tiny", "--method", "magic"), "choose from consistency, matching"),
        (("base", "--spec", "tiny", "--set", "colour=red"), "colour: unknown key"),
        (("base", "--spec", "tiny", "--init", tmp_path / "none"), "There is no student in"),
        (("base", "--spec", "absent"), "There is no spec absent"),
        (("base", "--spec", "tiny", "--data-share", "0.5"), "name the folder with --data"),
    ]
    for options, words in cases:
        code, _, err = command("distil", *options, *ask)
        assert (code, words in err) == (2, True), err
        assert len(err.strip().splitlines()) == 1
    code, _, err = command("generate", "--from-manifest", "x.json", "--teacher", "--out", "y.mp4")
    assert (code, "drop --teacher" in err) == (2, True), err


def test_emphasis_is_said_to_be_idle_on_a_folder_of_clips(
    command: Command, tiny_cascade: Path, clips: Path, tmp_path: Path
) -> None:
    said = "stages.base.student.training.emphasis has no effect on a folder of clips"
    for number, (more, times) in enumerate(((("--set", "emphasis={left: 2.0}"), 1), ((), 0))):
        code, _, err = command(
            "distil", "base", "--weights", tiny_cascade, "--out", tmp_path / str(number),
            "--spec", "tiny", "--data", clips, *QUICK, "--steps", 1, *more,
        )  # fmt: skip
        assert code == 0, err
        assert err.count(said) == times


def test_a_stage_is_given_once(command: Command, tiny_cascade: Path, tmp_path: Path) -> None:
    twice = [f"--network=base={tiny_cascade / 'base'}"] * 2
    code, _, err = command("assemble", tmp_path / "cascade", "--spec", "tiny", *twice)
    assert code == 2
    assert "each stage once" in err
    assert not (tmp_path / "cascade").exists()


@pytest.mark.filterwarnings("ignore:no stickers in")
def test_a_student_goes_on_by_eye(
    command: Command, tiny_cascade: Path, eye: Path, tmp_path: Path
) -> None:
    text = (bundled_configs() / "tiny.yaml").read_text()
    assert "student: {steps: 1," in text
    (tmp_path / "two.yaml").write_text(text.replace("student: {steps: 1,", "student: {steps: 2,"))
    ask = ("distil", "base", "--weights", tiny_cascade, "--spec", tmp_path / "two.yaml", *QUICK)
    code, _, err = command(*ask, "--steps", 1, "--out", tmp_path / "first")
    assert code == 0, err
    first = tmp_path / "first" / "base" / "student.safetensors"
    further = (*ask, "--method", "perceptual", "--out", tmp_path / "second")
    code, _, err = command(*further, "--steps", 2, "--init", first)
    assert code == 2
    assert "name its weights, in safetensors, with lpips (--lpips)" in err
    assert not (tmp_path / "second").exists()
    code, out, err = command(*further, "--steps", 2, "--init", first, "--lpips", eye)
    assert code == 0, err
    assert out.splitlines()[-1].endswith("second/base/student.safetensors")


def test_a_run_that_is_refused_leaves_a_folder_as_it_is(
    command: Command, tiny_cascade: Path, eye: Path, tmp_path: Path
) -> None:
    ask = ("distil", "base", "--weights", tiny_cascade, "--spec", "tiny", *QUICK, "--steps", 1)
    code, _, err = command(*ask, "--out", tmp_path / "first")
    assert code == 0, err
    first = tmp_path / "first" / "base"
    assert CascadeSpec.load(first / "spec.yaml").stage("base").student is not None
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    code, _, err = command(*ask, "--out", tmp_path / "first", "--method", "matching")
    assert code in (1, 2)  # the checkpoint does not fit, or the folder is another run's
    assert len(err.strip().splitlines()) == 1
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == before
    code, _, err = command(*ask, "--out", tmp_path / "second", "--set", "lpips=0.5")
    assert code == 2
    assert "--method perceptual" in err
    assert not (tmp_path / "second").exists()
