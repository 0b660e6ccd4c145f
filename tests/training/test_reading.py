"""A reader is taught in seconds to tell what lessons say; the same lessons, the same reader."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from vidcascade.cascade.reading import NOTHING, OTHER, read_weights, slots_of, understand
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.config import WorldConfig
from vidcascade.data.rewordings import reword
from vidcascade.data.stickers import Description, StickerWorld
from vidcascade.data.words import BACKGROUNDS, MOTIONS
from vidcascade.nn.text import TextEncoder, build_text_encoder
from vidcascade.training import reading
from vidcascade.training.reading import _about, _foreign, _others, lesson, teach

SPEC = CascadeSpec.load("stickers")


@pytest.fixture(scope="module")
def world() -> StickerWorld:
    """All of it, also where no stickers are at hand: lessons are text."""
    assert SPEC.world is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = StickerWorld(SPEC.world)
    made.has_stickers = True
    return made


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return build_text_encoder("minilm", 48)


def test_lessons_are_labelled_by_what_they_say(world: StickerWorld) -> None:
    slots = slots_of(world.config)
    counts = {slot: dict.fromkeys(labels, 0) for slot, labels in slots.items()}
    for number in range(1500):
        one = lesson(world, number)
        assert lesson(world, number) == one
        for slot, label in one.labels.items():
            counts[slot][label] += 1
        said = {slot: label for slot, label in one.labels.items() if label != NOTHING}
        if said.get("motion") == "still":
            assert "bouncing" not in one.prompt
        if "colour" in said:
            assert said["subject"] in world.config.names("solids")
        if "background" not in said:
            assert not any(f" {word}" in one.prompt for word in BACKGROUNDS["meadow"])
        if "motion" not in said:
            assert not any(f" {word}" in one.prompt for word in MOTIONS["bounce"])
    # All of them are taught, and others in about the share that is meant.
    assert min(min(found.values()) for found in counts.values()) > 0
    assert 0.13 < counts["subject"][OTHER] / 1500 < 0.23


def test_it_learns_what_lessons_say(world: StickerWorld, encoder: TextEncoder) -> None:
    losses: list[float] = []
    reader = teach(
        world, encoder, lessons=250, steps=300, batch=48,
        report=lambda step, loss: losses.append(loss),
    )  # fmt: skip
    assert losses[-1] < 0.9 * losses[0]
    right = [
        understand(one.prompt, reader, encoder).labels == one.labels
        for one in (lesson(world, number) for number in range(40))
    ]
    assert sum(right) > 15
    again = teach(world, encoder, lessons=40, steps=5, batch=8)
    twin = teach(world, encoder, lessons=40, steps=5, batch=8)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), twin.parameters(), strict=True)
    )


def test_what_is_said_of_others_is_no_star_of_the_sky() -> None:
    """Of a noun that the place has too, the subject's is replaced."""
    described = Description(
        (("star", "red", None),), ("still",), "night", None, False, "under the stars, a red star",
    )  # fmt: skip
    assert _about(described, "kite") == "under the stars, a red kite"
    assert _about(described, r"\g<noun> and a cat") == "under the stars, a red star and a cat"


def test_what_is_foreign_to_a_world_is_none_of_its_own(world: StickerWorld) -> None:
    foreign = _foreign(world)
    assert len(foreign) > 150
    everything = world.config.model_copy(update={"subjects": "all"})
    both = [_foreign(StickerWorld(everything)), foreign]
    assert len(both[0]) < len(both[1])
    assert "rose" not in both[0]
    assert {"rose", "woman"} <= set(both[1])


def test_pairs_and_foreign_things_are_taught_in_other_words_too(
    world: StickerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[str] = []

    def spy(caption: str, *args: Any) -> str:
        captions.append(caption)
        return reword(caption, *args)

    monkeypatch.setattr(reading, "reword", spy)
    taught = [lesson(world, number) for number in range(600)]
    others = [
        (one.prompt, caption)
        for one, caption in zip(taught, captions, strict=True)
        if one.labels["subject"] == OTHER
    ]
    for signs in ([" and a"], [f" {word} " for word in _foreign(world)]):
        said = [pair for pair in others if any(sign in pair[1] for sign in signs)]
        assert said
        assert any(prompt != caption for prompt, caption in said)


@pytest.mark.filterwarnings("ignore:no stickers in")
def test_worlds_without_slots_or_others(tmp_path: Path, encoder: TextEncoder) -> None:
    everything = WorldConfig(solid_share=0.5, two_subjects=0, camera=0)
    made = StickerWorld(everything, tmp_path)
    assert not _others(made)
    assert any(lesson(made, number).labels["subject"] == OTHER for number in range(40))


@pytest.mark.filterwarnings("ignore:no stickers in")
def test_lessons_are_the_same_beside_pairs_and_cameras(encoder: TextEncoder) -> None:
    assert SPEC.world is not None
    one = SPEC.world.model_copy(update={"solid_share": 1.0, "two_subjects": 0.0, "camera": 0.0})
    more = one.model_copy(update={"two_subjects": 0.9, "camera": 0.9})
    readers = [teach(StickerWorld(world), encoder, lessons=8, steps=2) for world in (one, more)]
    same = zip(*(reader.state_dict().values() for reader in readers), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_the_script_writes_one_that_fits(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "reader"
    command = [
        sys.executable, "scripts/train_reader.py", "--spec", "tiny", "--out", str(out),
        "--lessons", "20", "--steps", "2",
    ]  # fmt: skip
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read_weights(out, "minilm").slots["subject"][-1] == OTHER
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert "Traceback" not in again.stderr
