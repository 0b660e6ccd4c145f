"""Captions are reworded within what they say, and prompts in these words are known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from benchmarks import prompts
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.rewordings import _choices, reword
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SIZES, SOLIDS

SPEC = CascadeSpec.load("stickers")
assert SPEC.world is not None
WORLD = SPEC.world


def rewordings(phrases: Iterable[str]) -> tuple[str, ...]:
    """What captions' phrases may be replaced by, each once, the phrases among it."""
    choices = _choices()
    found = (choices[phrase][1] if phrase in choices else (phrase,) for phrase in phrases)
    return tuple(dict.fromkeys(other for others in found for other in others))


def test_captions_change_and_say_the_same() -> None:
    world = StickerWorld(WORLD)
    tables = {name: subject.words for name, subject in SUBJECTS.items()} | SOLIDS
    changed = 0
    for seed in range(400):
        described = world.describe(seed, world.training_split)
        text = reword(described.caption, np.random.default_rng(seed))
        changed += text != described.caption
        # The subject is named still, in its own words or others.
        name = described.subjects[0][0]
        assert any(other in text for other in rewordings(tables[name])), text
        for table, key in (
            (MOTIONS, described.motions[0]), (BACKGROUNDS, described.background),
        ):  # fmt: skip
            if any(word in described.caption for word in table[key]):
                assert any(other in text for other in rewordings(table[key])), text
    assert changed > 350


def test_articles_and_verbs_fit() -> None:
    said = {
        reword("a red ball is hopping", np.random.default_rng(seed)) for seed in range(300)
    }  # fmt: skip
    assert not any(" is bounces" in text or " is jumps" in text for text in said)
    assert any(" is bouncing" in text for text in said)
    eights = {reword("an octopus", np.random.default_rng(seed)) for seed in range(100)}
    assert any("an animal with eight tentacles" in text for text in eights)
    assert any("a kraken" in text for text in eights)
    assert not any("an kraken" in text or text.startswith("a animal") for text in eights)
    frames_of = {reword("a red ball hopping", np.random.default_rng(seed)) for seed in range(300)}
    assert any("show me " in text for text in frames_of)
    assert not any("show me " in text and text.endswith(" bounces") for text in frames_of)


def test_a_foreign_part_stays_and_the_rest_does_not() -> None:
    caption = "a small hot dog stand bouncing over a meadow"
    found = {
        reword(caption, np.random.default_rng(seed), "hot dog stand") for seed in range(50)
    }  # fmt: skip
    assert len(found) > 20
    assert all("hot dog stand" in text for text in found)
    assert reword(caption, np.random.default_rng(0)) == caption
    # Of two such words it is the last, and none is made up.
    caption = "below the waves, a wave bouncing"
    found = {reword(caption, np.random.default_rng(seed), "wave") for seed in range(50)}
    assert len(found) > 10
    assert all(" wave" in text for text in found)
    assert reword("a red ball bouncing", np.random.default_rng(0), "wave") == "a red ball bouncing"


@pytest.mark.parametrize(
    "caption",
    [
        "animated emoji: red heart", "a wug flying up", "", "(a ball", "red balloon " * 4000 + "x",
        "a hot dog", "a disco ball", "a box of fries",
    ],
)  # fmt: skip
def test_what_the_world_could_not_have_said_stays(caption: str) -> None:
    assert reword(caption, np.random.default_rng(0)) == caption


def every_table() -> list[dict[str, tuple[str, ...]]]:
    subjects = {name: SUBJECTS[name].words for name in WORLD.names("subjects")}
    return [subjects, SOLIDS, COLOURS, SIZES, MOTIONS, BACKGROUNDS]


def test_no_wording_is_anothers() -> None:
    owners: dict[str, set[str]] = {}
    for table in every_table():
        for name, words in table.items():
            for other in rewordings(words):
                owners.setdefault(other, set()).add(name)
    assert {k: v for k, v in owners.items() if len(v) > 1} == {}
    assert all(text == text.strip().lower() and text for text in owners)
    # Neither are subjects called what another sticker is, nor with its size or motion.
    names = {word: name for name, subject in SUBJECTS.items() for word in subject.words}
    taken = {word for words in (*SIZES.values(), *MOTIONS.values()) for word in words}
    for table in every_table()[:2]:
        for name, words in table.items():
            for other in set(rewordings(words)) - set(words):
                assert names.get(other, name) == name, other
                assert not any(f" {word} " in f" {other} " for word in taken), other


def test_the_benchmarks_paraphrases_are_none_of_them() -> None:
    """Neither is a phrase of one a part of the other (single words may be)."""
    tables = every_table()
    own = {word for table in tables for words in table.values() for word in words}
    taught = {
        other for table in tables for words in table.values() for other in rewordings(words)
    } - own
    for paraphrases in (
        prompts.SUBJECT_PARAPHRASES, prompts.SOLID_PARAPHRASES, prompts.COLOUR_PARAPHRASES,
        prompts.MOTION_PARAPHRASES, prompts.BACKGROUND_PARAPHRASES,
    ):  # fmt: skip
        for phrase in map(str.lower, paraphrases.values()):
            for other in taught:
                assert f" {phrase} " not in f" {other} ", (phrase, other)
                if " " in other:
                    assert f" {other} " not in f" {phrase} ", (phrase, other)
