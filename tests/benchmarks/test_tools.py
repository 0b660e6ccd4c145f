"""Tables, the report, prompts and stand-ins: everything that needs no trained weights."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import finetuning, prompts, rendering, report
from benchmarks.common import Table, percent, save_result, spread
from benchmarks.generate import timed
from benchmarks.size_words import LARGER, size_table
from benchmarks.special_words import Clips, camera_table, pair_table, special_words
from benchmarks.standins import bicubic, blend, flow_warp
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.config import WorldConfig
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.words import BACKGROUNDS, CAMERAS, COLOURS, MOTIONS, SOLIDS
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.pairs import PairJudgement
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.teaching import Lessons

SPEC = CascadeSpec.load("stickers")


@pytest.fixture
def world(tmp_path: Path) -> StickerWorld:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return StickerWorld(SPEC.world, stickers=tmp_path)


def test_tables_become_results_and_a_report(tmp_path: Path) -> None:
    table = Table("Speed", ["", "fast | slow"], [["a|b", percent(0.915)]], ("one note",))
    folder = tmp_path / "results"
    path = save_result(
        "speed", "How fast", "run it", {"hash": "ab" * 32, "on": True}, [table], {"x": 1}, folder
    )
    assert json.loads(path.read_text())["data"] == {"x": 1}
    (folder / "other.json").write_text("[1, 2]")
    assert report.main(["--results", str(folder)]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    for part in (
        "## How fast",
        "    run it",
        "| a\\|b | 92 % |",
        "hash abababababab;",
        "*One note",
    ):
        assert part in text
    assert "on yes" in text
    assert spread(1.234, 1, 2, 1) == "1.2 (1.0 to 2.0)"


def test_captions_say_all_three(world: StickerWorld) -> None:
    chosen = prompts.world_prompts(world, "held_out", 20, first=7)
    assert len(chosen) == 20
    for p in chosen:
        assert world.is_held_out(p.described)
        words = prompts.said(p.described)
        assert words is not None
        assert all(w in p.text for w in words)
    bound = prompts.binding_prompts(world, 18, first=0)
    assert len({p.described.subjects[0][:2] for p in bound}) == 18
    assert bound[0].text == "a red ball standing still in the sky"


def test_a_new_subject_is_asked_for_where_it_was_not_shown(tmp_path: Path) -> None:
    """Neither motion nor background of a prompt is one of the given clips'."""
    assert SPEC.world is not None
    (tmp_path / "any.webp").touch()  # names are counted, nothing is drawn
    alone = StickerWorld(finetuning.new_world(SPEC.world, "penguin"), tmp_path)
    given = prompts.world_prompts(alone, "all", 5, finetuning.GIVEN)
    asked = finetuning.unshown_prompts(alone, given, 24)
    assert len(asked) == 24
    for kind in (lambda p: p.described.motions[0], lambda p: p.described.background):
        assert not {kind(p) for p in asked} & {kind(p) for p in given}
    assert {p.described.subjects[0][0] for p in asked} == {"penguin"}
    assert finetuning.unshown_prompts(alone, given, 24) == asked
    many = prompts.world_prompts(alone, "all", 100, finetuning.GIVEN)
    with pytest.raises(UsageError, match="give fewer with --given"):
        finetuning.unshown_prompts(alone, many, 24)


def test_size_words_come_in_pairs(world: StickerWorld) -> None:
    asked = prompts.size_prompts(world, 3, first=0)
    assert [p.seed for p in asked] == [0, 0, 1, 1, 2, 2]
    for small, large in zip(asked[::2], asked[1::2], strict=True):
        assert small.text.replace("small", "large") == large.text
        sides = [world.scene(p.described, p.seed).subjects[0].size for p in (small, large)]
        assert sides[1] > LARGER * sides[0]
        # Without stickers only solids are asked for, which can be drawn.
        assert world.render(world.scene(large.described, large.seed), 16, [0.0]).any()
    table = size_table([0.2, 0.4, 0.2, 0.22, math.nan, 0.4, 0.3, 0.6], [0.2, 0.4] * 4)
    assert table.rows[0][1].startswith("50 %")
    assert table.rows[0][2].startswith("100 %")
    assert table.rows[1][1].startswith("1.70 (")
    assert table.rows[1][2].startswith("2.00 (2.00 to 2.00)")


def test_every_camera_move_is_asked_for(world: StickerWorld) -> None:
    asked = prompts.camera_prompts(world, 14, first=0)
    assert Counter(p.described.camera for p in asked) == dict.fromkeys([*CAMERAS, None], 2)
    for p in asked:
        camera = p.described.camera
        assert p.text.endswith(CAMERAS[camera][0]) if camera else "camera" not in p.text
        assert p.described.background not in prompts.FEATURELESS
        assert p.described.motions == ("still",)
    seen = [("pan left", "pan left"), ("pan left", "pan right"), (None, "fixed"), ("zoom in", None)]
    table = camera_table(seen, [(asked, asked or "fixed") for asked, _ in seen])
    assert table.rows[0][1].startswith("50 %")
    assert table.rows[0][2].startswith("100 %")
    assert table.rows[1] == ["pan left", "1 of 2", "2 of 2", "pan right (1)"]
    assert table.rows[-1] == ["zoom in", "0 of 1", "1 of 1", "nothing to follow (1)"]


def test_pairs_stand_beside_and_above_each_other(world: StickerWorld) -> None:
    asked = prompts.pair_prompts(world, 12, first=0)
    assert [p.described.relation for p in asked] == ["left of", "above", "left of"] * 4
    assert all(" and " in p.text and " left" not in p.text for p in asked[2::3])
    for p in asked:
        first, second = p.described.subjects
        assert first[:2] != second[:2]
        assert p.text.index(first[0]) < p.text.index(second[0])
        places = [s.motion.pose(0.5, 0.5, 0.5)[:2] for s in world.scene(p.described, 1).subjects]
        axis = 0 if p.described.relation == "left of" else 1
        assert places[0][axis] < places[1][axis]
    right = PairJudgement("", ("a", "b"), ("a", "b"))
    swapped, half = (PairJudgement("", ("a", "b"), found) for found in (("b", "a"), ("a", "c")))
    table = pair_table([right, swapped, half, half], [right] * 4)
    every = ["25 %", "75 %", "25 %", "25 %"]
    # Of the wordings by turns: the first and fourth clip, the second, the third.
    assert [row[1].split(" (")[0] for row in table.rows] == [*every, "50 %", "0 %", "0 %"]
    assert table.notes[0].startswith("both stand still; combinations are not held out;")
    whole = ["100 %", "100 %", "100 %", "0 %", "100 %", "100 %", "100 %"]
    assert [row[2].split(" (")[0] for row in table.rows] == whole


@pytest.mark.parametrize(
    ("config", "left"),
    [
        (WorldConfig(solid_share=1.0, backgrounds=("grey",)), "pairs"),
        (WorldConfig(solid_share=1.0, solids=("ball",), colours=("red",)), "cameras"),
    ],
)
def test_words_that_cannot_be_asked_for_are_left_out(
    config: WorldConfig, left: str, tmp_path: Path
) -> None:
    bare = StickerWorld(config, tmp_path)
    found: list[str] = []

    def both(asked: list[prompts.Prompt], name: str) -> tuple[Clips, Clips]:
        assert asked
        found.append(name)
        clips = [np.zeros((4, 64, 64, 3), np.uint8)] * len(asked)
        return clips, clips

    recogniser = Recogniser(["a"], ["b"]).eval()
    counts = {"sizes": 0, "cameras": 3, "pairs": 2}
    names = [name for name, _ in special_words(recogniser, bare, counts, both)]
    assert names == found == [left]


def test_the_bundled_world_is_judged_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "any.webp").touch()  # names are counted, nothing is drawn
    everything = StickerWorld(SPEC.world, tmp_path)
    assert everything.has_stickers
    assert Lessons.for_world(everything) == Lessons()


def test_wordings(world: StickerWorld) -> None:
    for p in prompts.world_prompts(world, "held_out", 30, first=100):
        first, synonym, other = (prompts.reworded(p, w) for w in prompts.WORDINGS)
        name, colour, _ = p.described.subjects[0]
        motion, place = p.described.motions[0], p.described.background
        assert colour is not None
        assert first.text.endswith(
            f" {COLOURS[colour][0]} {SOLIDS[name][0]} {MOTIONS[motion][0]} {BACKGROUNDS[place][0]}"
        )
        assert any(f" {w} " in synonym.text for w in MOTIONS[motion][1:])
        assert first.seed == synonym.seed == other.seed == p.seed
        assert len({first.text, synonym.text, other.text}) == 3


def test_paraphrases_are_in_no_caption() -> None:
    config = SPEC.world
    assert config is not None
    world = StickerWorld(config)
    known = {w for words in world.vocabulary().values() for w in words}
    tables = {
        "subjects": prompts.SUBJECT_PARAPHRASES,
        "solids": prompts.SOLID_PARAPHRASES,
        "colours": prompts.COLOUR_PARAPHRASES,
        "motions": prompts.MOTION_PARAPHRASES,
        "backgrounds": prompts.BACKGROUND_PARAPHRASES,
    }
    for kind, table in tables.items():
        assert set(table) == set(config.names(kind))
        assert not set(table.values()) & known
        assert all(
            f" {word} " not in f" {text} "
            for text in table.values()
            for word in world.vocabulary()[kind]
            if kind not in ("subjects", "colours")
        )


def test_stand_ins() -> None:
    bridge = SPEC.stage("bridge").model_copy(update={"size": 64, "frames": 8})
    ramp = torch.linspace(-1, 1, 64).expand(1, 4, 3, 64, 64)
    steps = torch.tensor([0.0, 0.2, 0.4, 0.6]).view(1, 4, 1, 1, 1)
    video = ramp * 0.3 + steps
    for out in (blend(video, bridge), flow_warp(video, bridge)):
        assert out.shape == (1, 8, 3, 64, 64)
        torch.testing.assert_close(out[:, ::2], video, atol=1e-5, rtol=0)
    blended = blend(video, bridge)
    torch.testing.assert_close(blended[:, 1], (video[:, 0] + video[:, 1]) / 2)
    torch.testing.assert_close(blended[:, 7], video[:, 3])
    between = bridge.model_copy(update={"fill": "between", "frames": 7, "size": 128})
    assert blend(video, between).shape == (1, 7, 3, 128, 128)
    assert bicubic(video, 128).shape == (1, 4, 3, 128, 128)


def test_processes_are_timed() -> None:
    ran = timed([sys.executable, "-c", "x = bytearray(60_000_000); print('done')"])
    assert ran.output.strip() == "done"
    assert 0 < ran.wall < 30
    assert np.isnan(ran.peak) or ran.peak > 50_000_000
    with pytest.raises(SystemExit, match="exit code 3"):
        timed([sys.executable, "-c", "raise SystemExit(3)"])


def test_rendering_rate(tmp_path: Path) -> None:
    assert rendering.main(["--seconds", "0.05", "--results", str(tmp_path)]) == 0
    data = json.loads((tmp_path / "rendering.json").read_text())["data"]
    assert all(rate > 0 for rate in data["clips_per_second"].values())
