"""``vidcascade generate`` as a person meets it: what it writes, and how it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from vidcascade.cascade.manifest import Manifest
from vidcascade.cascade.reading import READER
from vidcascade.cascade.weights import bundled_weights, write_checksums
from vidcascade.video import read_clip, read_metadata

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def generate(command: Run, tiny_cascade: Path) -> Run:
    def run(*args: object) -> tuple[int, str, str]:
        return command("generate", "--weights", tiny_cascade, *args)

    return run


def test_a_prompt_becomes_a_clip_with_its_manifest(generate: Run, tmp_path: Path) -> None:
    out = tmp_path / "ball.mp4"
    code, text, errors = generate("--prompt", "a red ball at night", "--out", out, "--seed", 7)
    assert code == 0
    clip = read_clip(out)
    assert clip.frames.shape == (8, 64, 64, 3)
    assert clip.fps == 16
    assert re.search(r"8 frames of 64 × 64 at 16 fps", text)
    assert re.search(r"base [\d.]+ s, bridge [\d.]+ s, refiner .* total .* peak memory", text)
    assert "warning" not in errors
    beside = Manifest.load(tmp_path / "ball.mp4.json")
    assert Manifest.load(out) == beside
    assert (beside.prompt, beside.seed) == ("a red ball at night", 7)
    assert beside.sigmas["base"][0] == 1.0
    assert set(beside.weight_hashes) == {
        f"{s}/diffusion_pytorch_model.safetensors" for s in ("base", "bridge", "refiner")
    }
    assert read_metadata(out)["title"] == "a red ball at night"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ball.mp4", "ball.mp4.json"]


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "a.webp", "a.mkv", "frames", "frames2/0.png"])
def test_every_kind_of_output_carries_the_manifest(
    generate: Run, tmp_path: Path, name: str
) -> None:
    code, _, errors = generate("--prompt", "a cube", "--out", tmp_path / name)
    assert code == 0, errors
    written = tmp_path / name.split("/")[0]
    assert len(read_clip(written).frames) == 8
    assert Manifest.load(written).prompt == "a cube"


def test_making_a_clip_again_from_its_manifest(generate: Run, tmp_path: Path) -> None:
    settings = ("--steps", "base=3", "--noise-aug", "bridge=0.2", "--smoothing", 0.1)
    first = (*settings, "--guidance", 3, "--negative-prompt", "grey", "--seed", 5, "--fps", 11)
    assert generate("--prompt", "a star", "--out", tmp_path / "a", *first)[0] == 0
    assert generate("--from-manifest", tmp_path / "a.json", "--out", tmp_path / "b")[0] == 0
    assert generate("--prompt", "a star", "--out", tmp_path / "c", "--seed", 5)[0] == 0
    a, b, c = (read_clip(tmp_path / name) for name in "abc")
    np.testing.assert_array_equal(a.frames, b.frames)
    assert not np.array_equal(a.frames, c.frames)
    assert a.fps == b.fps == 11 != c.fps


def test_noise_beyond_what_a_stage_knows_is_told_once(generate: Run, tmp_path: Path) -> None:
    asked = ("--prompt", "a star", "--noise-aug")
    code, _, errors = generate(*asked, "bridge=0.9", "--out", tmp_path / "a")
    assert code == 0
    assert errors.count("does not hold noise_augmentation 0.9") == 1
    assert "warning: stages.bridge.training.augmentation" in errors
    assert "augmentation" not in generate(*asked, "bridge=0.1", "--out", tmp_path / "b")[2]


def test_a_clip_that_went_on_from_a_stage_is_made_again(generate: Run, tmp_path: Path) -> None:
    saved = ("--steps", "base=3", "--seed", 5, "--save-stages", tmp_path / "stages")
    assert generate("--prompt", "a star", "--out", tmp_path / "a", *saved)[0] == 0
    stage = tmp_path / "stages" / "a.bridge.safetensors"
    assert generate("--from-stage", stage, "--smoothing", 0.1, "--out", tmp_path / "b")[0] == 0
    assert generate("--from-manifest", tmp_path / "b.json", "--out", tmp_path / "c")[0] == 0
    b, c = (read_clip(tmp_path / name).frames for name in "bc")
    np.testing.assert_array_equal(b, c)
    told = json.loads((tmp_path / "b.json").read_text()) | {"start_from": "bridge"}
    (tmp_path / "unknown.json").write_text(json.dumps(told))
    again = ("--from-manifest", tmp_path / "unknown.json", "--out", tmp_path / "d")
    code, _, errors = generate(*again)
    assert code == 2
    assert "--from-stage" in errors


def test_several_prompts_seeds_and_stages(generate: Run, tmp_path: Path) -> None:
    listed = tmp_path / "prompts.txt"
    listed.write_text("# two\na ball\n\na cube\n", encoding="utf-8")
    stages = tmp_path / "stages"
    code, text, errors = generate(
        "--prompts", listed, "--num", 4, "--out", tmp_path / "c.gif", "--save-stages", stages,
        "--json", "--seed", 10,
    )  # fmt: skip
    assert code == 0, errors
    report = json.loads(text)
    assert [c["prompt"] for c in report["clips"]] == ["a ball", "a cube"] * 2
    assert [c["seed"] for c in report["clips"]] == [10, 11, 12, 13]
    assert [Path(c["clip"]).name for c in report["clips"]] == [f"c-{i}.gif" for i in range(4)]
    assert {"loading", "base", "bridge", "refiner", "writing", "total"} == set(report["seconds"])
    assert report["peak_memory_bytes"] > 1e8
    assert len(list(stages.iterdir())) == 12
    again = ("--from-stage", stages / "c-2.gif.bridge.safetensors", "--out", tmp_path / "d")
    assert generate(*again)[0] == 0
    assert generate("--prompt", "a ball", "--seed", 12, "--out", tmp_path / "e")[0] == 0
    d, e = (read_clip(tmp_path / name).frames for name in "de")
    np.testing.assert_array_equal(d, e)


def test_stopping_early_and_another_frame_rate(generate: Run, tmp_path: Path) -> None:
    args = ("--prompt", "a ball", "--out", tmp_path / "b.mkv", "--stop-after", "base", "--fps", 12)
    assert generate(*args)[0] == 0
    clip = read_clip(tmp_path / "b.mkv")
    assert clip.frames.shape == (4, 16, 16, 3)
    assert clip.fps == 12


def test_nothing_is_overwritten_unasked(generate: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.gif"
    out.write_bytes(b"mine")
    code, _, errors = generate("--prompt", "a ball", "--out", out)
    assert (code, out.read_bytes()) == (2, b"mine")
    assert "--force" in errors
    assert generate("--prompt", "a ball", "--out", out, "--force")[0] == 0
    out.unlink()
    assert generate("--prompt", "a ball", "--out", out)[0] == 2  # its manifest is in the way


def test_a_prompt_far_outside_is_made_with_a_warning(generate: Run, tmp_path: Path) -> None:
    code, _, errors = generate("--prompt", "a tax return", "--out", tmp_path / "a.gif")
    assert code == 0
    assert "far from what these weights were trained on" in errors
    assert "subjects" in errors


def test_other_words_are_read_and_told(command: Run, tiny_cascade: Path, tmp_path: Path) -> None:
    cascade = tmp_path / "cascade"
    shutil.copytree(tiny_cascade, cascade)
    shutil.copytree(bundled_weights() / READER, cascade / READER)
    spec = cascade / "spec.yaml"
    # In bfloat16 the last bits depend on the batch on some processors (AVX512-BF16).
    spec.write_text(spec.read_text().replace("dtype: bfloat16", "dtype: float32"))
    write_checksums(cascade)
    ask = ("generate", "--weights", cascade, "--prompt", "a tabby jumps in the garden")
    code, out, err = command(
        *ask, "--prompt", "a cat", "--num", "3", "--json", "--out", tmp_path / "read.mp4"
    )
    assert code == 0, err
    read, asked = "a cat bouncing over a meadow", "a tabby jumps in the garden"
    assert f"'{asked}' is read as '{read}'" in err
    assert "far from what" not in err
    told = [(c["prompt"], c.get("asked")) for c in json.loads(out)["clips"]]
    assert told == [(read, asked), ("a cat", None), (read, asked)]
    made = [Manifest.load(c["manifest"]) for c in json.loads(out)["clips"]]
    assert [(m.prompt, m.asked) for m in made] == [(read, asked), ("a cat", ""), (read, asked)]
    first = json.loads(out)["clips"][0]["clip"]
    again = ("--from-manifest", first, "--out", tmp_path / "b.mp4")
    code, _, err = command("generate", "--weights", cascade, *again)
    assert code == 0, err
    assert Manifest.load(tmp_path / "b.mp4").asked == asked
    code, _, err = command(*ask, "--as-written", "--out", tmp_path / "written.mp4")
    assert code == 0, err
    assert Manifest.load(tmp_path / "written.mp4").asked == ""
    assert "is read as" not in err
    assert "far from what" in err
    # One that does not fit is left out, and told in a sentence.
    config = cascade / READER / "config.json"
    config.write_text(config.read_text().replace('"minilm"', '"another"'))
    code, _, err = command(*ask, "--out", tmp_path / "unread.mp4")
    assert code == 0, err
    assert "vidcascade: warning: Prompts are taken as they are written" in err
    assert "is read as" not in err
    # The reader is no part of what made the clip.
    shutil.rmtree(cascade / READER)
    write_checksums(cascade)
    again = ("--from-manifest", first, "--out", tmp_path / "again.mp4")
    code, _, err = command("generate", "--weights", cascade, *again)
    assert code == 0, err
    assert "weights" not in err
    clips = [read_clip(Path(clip)).frames for clip in (first, tmp_path / "again.mp4")]
    assert np.array_equal(*clips)


def test_what_the_weights_were_never_shown_is_said(
    generate: Run, tmp_path: Path, tiny_cascade: Path
) -> None:
    plain = yaml.safe_load((tiny_cascade / "spec.yaml").read_text())
    plain["world"] |= {"two_subjects": 0.0, "camera": 0.0}
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(plain))
    prompt = "a ball above a cube, camera zooms in"
    args = ("--prompt", prompt, "--out", tmp_path / "a.gif", "--force")
    code, _, errors = generate(*args, "--spec", spec)
    assert code == 0
    assert "asks for more than one subject and a camera that moves" in errors
    assert "far from" not in errors
    assert "asks for" not in generate(*args)[2]


def test_a_spec_may_change_settings_but_not_networks(
    generate: Run, tmp_path: Path, tiny_cascade: Path
) -> None:
    text = (tiny_cascade / "spec.yaml").read_text()
    changed = tmp_path / "spec.yaml"
    changed.write_text(text.replace("steps: 2", "steps: 3", 1))
    args = ("--prompt", "a ball", "--out", tmp_path / "a.gif", "--spec", changed)
    assert generate(*args)[0] == 0
    assert len(Manifest.load(tmp_path / "a.gif.json").sigmas["base"]) == 3
    changed.write_text(text.replace("- 32\n", "- 48\n", 1))
    code, _, errors = generate(*args, "--force")
    assert code == 1
    assert "do not match the spec" in errors


BAD: list[tuple[list[str], int, str]] = [
    (["--prompt", ""], 2, "empty"),
    (["--prompt", "  "], 2, "empty"),
    (["--prompt", "ball " * 80], 2, "shorten"),
    (["--prompt", "a", "--out", "{tmp}/a.avi"], 2, "Cannot write .avi"),
    (["--prompt", "a", "--out", "{tmp}/no/folder/a.mp4"], 2, "does not exist"),
    (["--prompt", "a", "--out", "/proc/a.mp4"], 2, "write"),
    (["--prompt", "a", "--spec", "{tmp}/unknown.yaml"], 2, "stages.base.stepz: unknown key"),
    (["--prompt", "a", "--weights", "{tmp}"], 2, "holds no cascade"),
    (["--prompt", "a", "--weights", "nothing-like-this"], 1, "bundled weights"),
    (["--prompt", "a", "--prompt", "b", "--num", "1"], 2, "--num 2 or more"),
    (["--prompt", "a", "--num", "0"], 2, "1 or more"),
    (["--prompt", "a", "--steps", "-3"], 2, "steps"),
    (["--prompt", "a", "--steps", "base=-3"], 2, "stages.base.steps"),
    (["--prompt", "a", "--steps", "few"], 2, "not a whole number"),
    (["--prompt", "a", "--steps", "base=2,base=3"], 2, "base=20,bridge=8"),
    (["--prompt", "a", "--steps", "decoder=2"], 2, "base, bridge, refiner"),
    (["--prompt", "a", "--guidance", "refiner=2"], 2, "no effect"),
    (["--prompt", "a", "--noise-aug", "1.0"], 2, "less than 1"),
    (["--prompt", "a", "--smoothing", "7"], 2, "less than or equal to 1"),
    (["--prompt", "a", "--fps", "0"], 2, "--fps"),
    (["--prompt", "a", "--seed", "-1"], 2, "negative"),
    (["--prompt", "a", "--device", "abacus"], 2, "no device"),
    (["--prompt", "a", "--device", "cuda:77"], 2, "not available"),
    (["--prompt", "a", "--attention", "sage"], 2, "not installed"),
    (["--prompt", "a", "--attention", "magic"], 2, "choose from"),
    (["--prompt", "a", "--offload", "some"], 2, "none, model or sequential"),
    (["--prompt", "a", "--offload", "model", "--device", "cpu"], 2, "needs a GPU"),
    (["--prompt", "a", "--dtype", "int8"], 2, "float32, bfloat16 or float16"),
    (["--prompt", "a", "--stop-after", "credits"], 2, "base, bridge, refiner"),
    (["--prompts", "{tmp}/nothing.txt"], 2, "list of prompts"),
    (["--prompts", "{tmp}/empty.txt"], 2, "holds no prompts"),
    ([], 2, "There is no prompt"),
    (["--prompt", "a", "--from-stage", "{tmp}/x"], 2, "exclude one another"),
    (["--from-stage", "{tmp}/wrong.safetensors", "--num", "2"], 2, "drop --num"),
    (["--from-manifest", "{tmp}/x", "--seed", "0", "--spec", "tiny"], 2, "--seed and --spec"),
    (["--from-manifest", "{tmp}/cut.webp"], 2, "damaged"),
    (["--prompt", "a", "--out", "."], 2, "not a name"),
    (["--prompt", "a", "--out", "frame.png"], 2, "write frame/ instead"),
    (["--prompt", "a", "--spec", "{tmp}/date.yaml"], 2, "not valid YAML"),
    (["--from-stage", "{tmp}/nothing"], 2, "no stage file"),
    (["--from-stage", "{tmp}/wrong.safetensors"], 2, "4 frames of 16 × 16"),
    (["--from-stage", "{tmp}/cut.safetensors"], 1, "truncated or damaged"),
    (["--from-manifest", "{tmp}/empty.txt"], 2, "vidcascade"),
    (["--from-manifest", "{tmp}/list.json"], 2, "not a manifest"),
    (["--prompt", "a", "--save-stages", "{tmp}/empty.txt"], 2, "is a file"),
]


@pytest.mark.parametrize(("args", "code", "words"), BAD, ids=lambda v: str(v)[:40])
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(
    generate: Run, tmp_path: Path, args: list[str], code: int, words: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "unknown.yaml").write_text(
        "name: x\nstages: [{name: base, kind: base, frames: 4, size: 16, stepz: 3}]\n"
    )
    (folder / "empty.txt").write_text("\n# nothing\n")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "date.yaml").write_text("name: 2024-13-45\n")
    (folder / "cut.webp").write_bytes(b"RIFF\x10\0\0\0WEBPVP8 ")
    from vidcascade.cascade.result import StageResult

    StageResult("base", torch.zeros(1, 9, 3, 16, 16), ["a"], [""], [1]).save(
        folder / "wrong.safetensors"
    )
    whole = (folder / "wrong.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-50])
    before = sorted(p.name for p in folder.iterdir())
    filled = [a.replace("{tmp}", str(folder)) for a in args]
    if "--out" not in filled:
        filled += ["--out", str(folder / "a.mp4")]
    got, text, errors = generate(*filled)
    assert got == code, errors
    assert words in errors
    assert "Traceback" not in errors
    sentences = [line for line in errors.splitlines() if not line.startswith("vidcascade: warning")]
    assert len(sentences) == 1
    assert text == ""
    assert sorted(p.name for p in folder.iterdir()) == before


def test_tampered_weights_are_refused(command: Run, tiny_cascade: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_cascade, tmp_path / "weights"))
    file = folder / "base" / "diffusion_pytorch_model.safetensors"
    save_file({"evil": torch.zeros(3)}, file)
    out = tmp_path / "a.mp4"
    code, _, errors = command("generate", "--prompt", "a", "--out", out, "--weights", folder)
    assert code == 1
    assert "was changed" in errors
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_leaves_nothing_behind(tiny_cascade: Path, tmp_path: Path) -> None:
    """A file size limit stands in for the disk: writes fail half-way with a real error."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "from vidcascade.cli.main import main; main()"
    )
    args = ["generate", "--weights", str(tiny_cascade), "--prompt", "a ball", "--out", "a.mkv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tiny_cascade: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vidcascade", "generate", "--prompt", "", "--out", "a", "--debug"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" in done.stderr
