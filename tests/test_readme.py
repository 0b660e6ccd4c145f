"""What the README shows is run here: its options exist, and its commands end well."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.training.conftest import counting_frames, write_metadata
from vidcascade.data.fetch import cache_folder, has_stickers
from vidcascade.video import write_clip

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def test_the_first_screen_has_the_two_commands() -> None:
    screen = README.splitlines()[:30]
    wanted = 'scripts/vidcascade generate --prompt "a rocket flying up at night" --out rocket.mp4'
    assert wanted in screen
    assert "scripts/test" in screen


def test_every_option_shown_exists() -> None:
    from vidcascade.cli.main import app

    group = typer.main.get_command(app)
    seen = 0
    for words in commands():
        if not words[0].endswith("vidcascade"):
            continue
        command = group.commands[words[1]]  # type: ignore[attr-defined]
        known = {option for p in command.params for option in p.opts}
        for word in words[2:]:
            if word.startswith("--"):
                assert word in known, f"{word} of {words[1]}"
                seen += 1
    assert seen > 20


def test_files_that_are_linked_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_pip_line_names_what_is_there() -> None:
    assert (ROOT / "constraints.txt").is_file()
    assert "torch==" in (ROOT / "constraints.txt").read_text()
    assert any(words[:2] == ["pip", "install"] for words in commands())


@pytest.mark.slow
def test_generating_as_the_readme_says(tmp_path: Path) -> None:
    """All commands but training, in the README's order, from a folder of the user's own."""
    tools = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for words in commands():
        wanted = ("generate", "spec", "interpolate", "flicker")
        if words[0].endswith("vidcascade") and words[1] in wanted and "my-cascade" not in words:
            if words[0].startswith("scripts/"):
                words[0] = str(ROOT / words[0])
            done = subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            ran += 1
    assert ran >= 10
    assert (tmp_path / "rocket.mp4").stat().st_size > 10_000


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    assert len(code.strip().splitlines()) <= 5
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "rocket-from-python.gif").is_file()


@pytest.mark.slow
def test_training_as_the_readme_says(tmp_path: Path) -> None:
    """From a folder of clips to a clip: on the tiny spec, for a moment each."""
    tools = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    folder = tmp_path / "clips"
    folder.mkdir()
    names = [f"{k}.mp4" for k in range(8)]
    for name in names:
        write_clip(folder / name, counting_frames(40), 16)
    (line,) = blocks("json")
    write_metadata(folder, [json.loads(line) | {"file_name": name} for name in names])
    short = {"240": "0.02", "30": "0.02", "20": "0.05"}
    ran = []
    for words in commands():
        own = "clips" in words or any(word.startswith("my-") for word in words)
        if words[0] != "vidcascade" or not own:
            continue
        changed = ["tiny" if word == "stickers" else short.get(word, word) for word in words]
        if words[1] == "finetune":
            # Without the stickers (a machine without a network) there is nothing to mix with.
            changed += ["--batch", "1", *([] if has_stickers(cache_folder()) else ["--share", "1"])]
        done = subprocess.run(
            changed, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        ran.append(words[1])
    assert ran == [
        "train",
        "train",
        "train",
        "assemble",
        "generate",
        "finetune",
        "distil",
        "assemble",
    ]
    from vidcascade.cascade.pipeline import VidCascadePipeline

    spec = VidCascadePipeline.from_pretrained(tmp_path / "my-cascade").spec
    assert spec.name == "tiny"
    assert spec.world is None  # it never saw the stickers
    fast = VidCascadePipeline.from_pretrained(tmp_path / "my-fast-cascade").spec
    assert fast.stage("base").distilled
    learnt = VidCascadePipeline.from_pretrained(tmp_path / "my-stickers").spec.world
    assert learnt is not None
    assert "kite" in learnt.learnt[-1].words
    assert (tmp_path / "kite.mp4").stat().st_size > 1000
