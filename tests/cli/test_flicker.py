"""``vidcascade flicker``: options, outputs, exit codes, and what it says about bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.metrics.flickering import brighter, pan, still, texture
from vidcascade.cli.flicker import flicker
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import write_clip

app = typer.Typer()
app.command()(flicker)

# Alternating brightness: quick to make, and nothing else is wrong with it.
STEPS = 6 * np.array([1, -1] * 5)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    made = {
        "calm": still(10),
        "wild": brighter(still(10), STEPS),
        "moving": pan(10),
        "short": still(5),
        "one": still(1),
    }
    for name, frames in made.items():
        write_clip(folder / f"{name}.mkv", frames, 24, lossless=True)
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--no-published")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_prints_a_table_and_a_verdict(clips):
    result = run(clips / "wild.mkv")
    assert result.exit_code == 0
    assert "Flicker ↓" in result.stdout
    assert "mostly the whole picture" in " ".join(result.stdout.split())
    assert "Flashes" in result.stdout
    assert "nan" not in result.stdout


def test_writes_json_and_csv_and_overwrites_only_when_told(clips, tmp_path):
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    run(clips / "wild.mkv", "--json", out, "--csv", table)
    document = json.loads(out.read_text(), parse_constant=pytest.fail)
    clip = document["clips"][0]
    assert clip["frames"] == 10
    assert clip["measures"]["flicker"]["value"] > 1
    assert len(clip["measures"]["flicker"]["series"]) == 10
    assert table.read_text().startswith("clip,measure,value")
    out.write_text("precious")
    with pytest.raises(UsageError, match="--overwrite"):
        run(clips / "calm.mkv", "--json", out)
    assert out.read_text() == "precious"
    run(clips / "calm.mkv", "--json", out, "--overwrite")
    assert json.loads(out.read_text())["clips"][0]["state"] == "frozen"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.json"]


def test_outputs_are_checked_before_the_work(clips, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        run(clips / "calm.mkv", "--json", tmp_path / "no" / "out.json")
    with pytest.raises(UsageError, match="folder"):
        run(clips / "calm.mkv", "--json", tmp_path)
    with pytest.raises(UsageError, match="same name"):
        run(clips / "calm.mkv", "--json", tmp_path / "a", "--csv", tmp_path / "a")


def test_json_to_the_terminal_is_nothing_but_json(clips):
    result = run(clips / "calm.mkv", "--json", "-")
    assert json.loads(result.stdout)["clips"][0]["name"].endswith("calm.mkv")


def test_compare_names_the_steadier_clip(clips):
    result = run(clips / "calm.mkv", clips / "wild.mkv", "--compare")
    text = "".join(result.stdout.split())
    assert "calm.mkvflickerslessthan" in text
    with pytest.raises(UsageError, match="two clips"):
        run(clips / "calm.mkv", "--compare")
    with pytest.raises(UsageError, match="--align"):
        run(clips / "calm.mkv", clips / "short.mkv", "--compare")


def test_clips_that_move_differently_are_not_compared_unless_forced(clips):
    pair = (clips / "calm.mkv", clips / "moving.mkv", "--compare")
    assert "notcomparable" in "".join(run(*pair).stdout.split())
    assert "Readwithcare" in "".join(run(*pair, "--force").stdout.split())


def test_fail_above_is_exit_code_3(clips):
    assert run(clips / "wild.mkv", "--fail-above", "flicker=0.5").exit_code == 3
    assert run(clips / "calm.mkv", "--fail-above", "flicker=0.5").exit_code == 0
    # What could not be measured has not been passed.
    missing = run(clips / "calm.mkv", "--fail-above", "psnr=10")
    assert missing.exit_code == 3
    for wrong in ("flicker", "flicker=", "flicker=x", "flicker=nan", "nothing=1", "=1"):
        with pytest.raises(UsageError, match="--fail-above"):
            run(clips / "calm.mkv", "--fail-above", wrong)


def test_reference_adds_its_measures(clips, tmp_path):
    out = tmp_path / "out.json"
    run(clips / "wild.mkv", "--reference", clips / "calm.mkv", "--json", out)
    document = json.loads(out.read_text())
    # The reference is measured too, and the clip compared with it.
    assert [clip["name"].endswith("calm.mkv") for clip in document["clips"]] == [False, True]
    assert "calm.mkv flickers less" in document["comparisons"][0]["verdict"]
    found = document["clips"][0]["reference"]
    assert found["temporal_difference"]["value"] > 1
    assert found["psnr"]["value"] < 40
    with pytest.raises(UsageError, match="--align"):
        run(clips / "wild.mkv", "--reference", clips / "short.mkv")
    run(clips / "wild.mkv", "--reference", clips / "short.mkv", "--align")


def test_window_borders(clips):
    assert "seams" in run(clips / "wild.mkv", "--window-borders", "every:4").stdout
    with pytest.raises(UsageError, match="Window borders"):
        run(clips / "wild.mkv", "--window-borders", "soon")


def test_bad_input_is_one_sentence(clips, tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("this is not a video")
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    for path, says in (
        (text, "not a video"),
        (empty, "empty"),
        (tmp_path / "none.mp4", "does not exist"),
        (tmp_path, "no PNG frames"),
        (clips / "one.mkv", "two or more"),
    ):
        with pytest.raises(VidCascadeError, match=says) as caught:
            run(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_alpha_is_ignored(tmp_path):
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        alpha = rng.integers(0, 256, (64, 64, 1), dtype=np.uint8)
        rgba = np.concatenate((texture(), alpha), axis=2)
        Image.fromarray(rgba).save(folder / f"{index:05d}.png")
    assert "Frozen" in run(folder).stdout


def test_odd_names_are_shown_as_they_are(clips, tmp_path):
    target = tmp_path / "[bold]é <b>.mkv"
    target.write_bytes((clips / "calm.mkv").read_bytes())
    assert "[bold]é<b>.mkv" in "".join(run(target).stdout.split())
