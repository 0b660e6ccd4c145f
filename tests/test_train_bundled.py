"""One command from nothing to weights; run again, it goes on where it was."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.benchmarks.loading import load_script
from tests.training import conftest as training
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cli.train import read_settings

ROOT = Path(__file__).parents[1]
script = load_script("train_bundled")
main, recipes = script.main, script.recipes
PHASES = (
    "space", "base", "bridge", "refiner", "assemble", "distil", "bridge-own", "refiner-own", "join",
    "history", "report",
)  # fmt: skip
ARGUMENTS = [
    "--spec", "tiny", "--workers", "0", "--space-minutes", "0.02", "--base-minutes", "0.03",
    "--bridge-minutes", "0.02", "--refiner-minutes", "0.02",
    "--bridge-own-minutes", "0.02", "--refiner-own-minutes", "0.02", "--distil-minutes", "0.04",
]  # fmt: skip


clips = training.clips


@pytest.mark.slow
def test_a_cascade_is_trained_and_put_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only = [word for phase in PHASES for word in ("--only", phase)]
    arguments = ["--out", str(tmp_path), *ARGUMENTS, *only]
    real = subprocess.run

    def dies(command: list[str], **given: object) -> object:
        if "bridge" in command:
            raise subprocess.CalledProcessError(-9, command)
        return real(command, **given)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", dies)
    assert main(arguments) == 1
    assert "Run the same command again" in capfd.readouterr().err
    monkeypatch.setattr(subprocess, "run", real)
    assert main(arguments) == 0
    out = capfd.readouterr().out
    assert "space: done" in out
    assert "base: done" in out
    pipeline = VidCascadePipeline.from_pretrained(tmp_path / "weights")
    assert [stage.name for stage in pipeline.spec.stages] == ["base", "bridge", "refiner"]
    assert [stage.distilled for stage in pipeline.spec.stages] == [True, False, False]
    for row in ("| space |", "| bridge-own |", "| refiner-own |"):
        assert row in (tmp_path / "RESULTS.md").read_text()
    taught = CascadeSpec.load(tmp_path / "base" / "base" / "spec.yaml")
    known = set(taught.world.names("motions")) if taught.world else set()
    assert set(taught.stage("base").training.emphasis) == known & {"spin", "shake", "still"}
    # Bridge and refiner went on from where they were, and what they were is kept to compare with.
    name = "diffusion_pytorch_model.safetensors"
    for stage, changed in (("base", False), ("bridge", True), ("refiner", True)):
        files = [tmp_path / cascade / stage / name for cascade in ("weights", "weights-apart")]
        assert (files[0].read_bytes() != files[1].read_bytes()) == changed, stage
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert main(arguments) == 0
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    own = tmp_path / "settings.json"
    assert after.keys() == before.keys()
    assert {p for p in after if after[p] != before[p]} <= {own}
    with pytest.raises(SystemExit, match="begun with other settings"):
        main([*arguments, "--space-minutes", "0.5"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no stickers in")
def test_clips_of_a_folder_are_learnt_beside_the_drawn_ones(clips: Path, tmp_path: Path) -> None:
    spec = CascadeSpec.load("tiny")
    assert spec.world is not None
    spec = spec.model_copy(update={"world": spec.world.model_copy(update={"solid_share": 1.0})})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    phases = ("base", "bridge", "refiner", "assemble", "measure-captioned")
    only = [word for phase in phases for word in ("--only", phase)]
    own = ["--space-minutes", "0", "--bridge-own-minutes", "0", "--refiner-own-minutes", "0", *only]
    given = ["--out", str(tmp_path / "run"), *ARGUMENTS, *own]
    given += ["--spec", str(tmp_path / "spec.yaml"), "--clips", str(clips), "--clips-share", "0.5"]
    assert main(given) == 0
    made = CascadeSpec.load(tmp_path / "run" / "weights" / "spec.yaml")
    assert made.world is not None
    assert [set(learnt.words) for learnt in made.world.learnt] == [{"fast", "slow", "short"}]
    assert (tmp_path / "run" / "results" / "captioned.json").is_file()
    trained = CascadeSpec.load(tmp_path / "run" / "bridge" / "bridge" / "spec.yaml")
    assert trained.world is not None
    assert trained.world.learnt == ()
    with pytest.raises(SystemExit, match="begun with other settings"):
        main([*given, "--clips-share", "0.4"])


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, words in (
        (["--only", "dance"], "there is no phase dance"),
        (["--bridge-minutes", "0"], "only space can be left out"),
        (["--clips", str(tmp_path)], "there is no metadata.jsonl"),
        (["--lpips", str(tmp_path / "eye")], "leave --lpips out"),
        (["--only", "measure-likeness"], "give --lpips FILE"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["--out", str(tmp_path / "run"), *wrong])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_it_can_be_asked_what_it_does() -> None:
    shown = subprocess.run(
        [sys.executable, "scripts/train_bundled.py", "--help"], capture_output=True, text=True,
        cwd=Path(__file__).parents[1], check=True,
    )  # fmt: skip
    assert "--refiner-minutes" in shown.stdout


def test_a_gpu_is_given_the_batches_of_the_spec_that_is_meant_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "_device", lambda: "cuda")
    commands: list[list[str]] = []
    monkeypatch.setattr(script.Plan, "_python", lambda self, *words: commands.append([*words]))
    minutes = ["--bridge-own-minutes", "0", "--refiner-own-minutes", "0", "--base-minutes", "9"]
    minutes += ["--space-minutes", "9", "--distil-minutes", "40"]
    arguments = ["--out", str(tmp_path), "--spec", "stickers150", "--compile", *minutes]
    only = [word for name in ("space", "base", "distil") for word in ("--only", name)]
    assert main([*arguments, *only]) == 0
    trained = [words for words in commands if {"train", "distil"} & {*words}]
    assert len(trained) == 4
    for words in trained:
        options = list(pairwise(words))
        changes = read_settings([b for a, b in options if a == "--set"])
        if "--batch" in words:
            changes["batch"] = int(words[words.index("--batch") + 1])
        spec = CascadeSpec.load("stickers150")
        if "distil" in words:
            changed = spec.with_student_recipe("base", **changes).stages[0].student
            assert changed is not None
            recipe = changed.training
        else:
            recipe = spec.with_recipe("base", **changes).stages[0].training
        assert (recipe.batch, recipe.repeats) == (
            (64, 2) if "distil" in words else (512, 4) if "--frames" in words else (128, 4)
        )
        # The others are too short for compiling to pay.
        assert ("--compile" in words) == ("distil" in words)
        assert words[words.index("--save-every") + 1] == "1000"


def test_a_student_is_taught_by_eye_where_lpips_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script.Plan, "_python", lambda self, *words: commands.append([*words]))
    eye = tmp_path / "eye.safetensors"
    eye.touch()

    def distilled(place: str, *options: str) -> dict[str, list[str]]:
        commands.clear()
        assert main(["--out", str(tmp_path / place), "--only", "distil", *options]) == 0
        runs = [words for words in commands if "distil" in words]
        assembled = commands[-1]
        last = Path(runs[-1][runs[-1].index("--out") + 1]) / "base" / "student.safetensors"
        assert f"base={last}" in assembled
        minutes = [float(words[words.index("--budget-minutes") + 1]) for words in runs]
        assert sum(minutes) == pytest.approx(script.recipes.BUDGETS["distil"])
        return {words[words.index("--method") + 1]: words for words in runs}

    assert [*distilled("without")] == ["consistency", "matching"]
    assert [*distilled("one-step", "--spec", "tiny", "--lpips", str(eye))] == [
        "consistency", "matching",
    ]  # fmt: skip
    runs = distilled("with", "--lpips", str(eye), "--compile")
    assert [*runs] == ["consistency", "matching", "perceptual"]
    assert "--lpips" not in runs["matching"]
    last = runs["perceptual"]
    assert last[last.index("--lpips") + 1] == str(eye)
    assert last[last.index("--init") + 1].endswith("matching/base/student.safetensors")
    assert last[last.index("--keep") + 1] == "0.3"
    assert "--compile" not in last  # it would be compiled for every number of clips
    assert "--compile" in runs["matching"]


@pytest.mark.parametrize("seeing", [False, True])
def test_later_stages_learn_on_what_the_student_makes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeing: bool
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script.Plan, "_python", lambda self, *words: commands.append([*words]))
    eye = tmp_path / "eye.safetensors"
    eye.touch()
    only = [f"--only={phase}" for phase in ("refiner-own", "join")]
    given = ["--lpips", str(eye)] if seeing else []
    student = tmp_path / "weights-apart" / "base" / "student.safetensors"
    student.parent.mkdir(parents=True)
    student.touch()
    assert main(["--out", str(tmp_path), *only, *given]) == 0
    training, joined = commands
    options = list(pairwise(training))
    assert [b for a, b in options if a == "--previous"] == [
        str(student.parent), str(tmp_path / "bridge-own" / "bridge" / "network"),
    ]  # fmt: skip
    changes = read_settings([b for a, b in options if a == "--set"])
    recipe = (
        CascadeSpec.load("stickers").with_recipe("refiner", **changes).stage("refiner").training
    )
    assert recipe.frames is None
    assert (recipe.lpips > 0) == seeing
    assert ("--lpips" in training) == seeing
    assert f"base={student}" in joined


def test_a_reader_is_trained_and_goes_with_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script.Plan, "_python", lambda self, *words: commands.append([*words]))
    assert main(["--out", str(tmp_path), "--only", "reader"]) == 0
    assert commands[0][0].endswith("train_reader.py")
    reader = Path(commands[0][commands[0].index("--out") + 1])
    reader.mkdir()
    assert main(["--out", str(tmp_path), "--only", "assemble"]) == 0
    assert commands[1][commands[1].index("--reader") + 1] == str(reader)


def test_the_card_tells_of_the_minutes_that_the_script_gives() -> None:
    card = (ROOT / "scripts" / "model_card.md.j2").read_text(encoding="utf-8")
    commands = re.findall(r"^vidcascade (?:train|distil) (?:.*\\\n)*.*$", card, re.MULTILINE)
    told = [float(found) for c in commands for found in re.findall(r"--budget-minutes (\S+)", c)]
    budgets, distil = recipes.BUDGETS, recipes.BUDGETS["distil"]
    wanted = [budgets[name] for name in ("space", "base", "bridge", "refiner")]
    wanted += [share * distil for share in recipes.DISTILLING.values()]
    wanted += [budgets["bridge-own"], budgets["refiner-own"]]
    assert len(commands) == len(told)
    assert told == pytest.approx(wanted)
