"""Captions are reworded within what they say, and prompts in these words are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import prompts
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.known import check_prompt
from vidcascade.data.rewordings import frames, reword, rewordings
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SIZES, SOLIDS

SPEC = CascadeSpec.load("stickers")
assert SPEC.world is not None
WORLD = SPEC.world


def test_captions_change_and_say_the_same() -> None:
    world = StickerWorld(WORLD)
    known = WORLD.model_copy(update={"rewordings": True})
    tables = {name: subject.words for name, subject in SUBJECTS.items()} | SOLIDS
    changed = 0
    for seed in range(300):
        described = world.describe(seed, world.training_split)
        text = reword(described.caption, np.random.default_rng(seed))
        changed += text != described.caption
        assert check_prompt(text, known).unknown == ()
        # The subject is named still, in its own words or others.
        name = described.subjects[0][0]
        assert any(other in text for other in rewordings(tables[name])), text
        for table, key in (
            (MOTIONS, described.motions[0]), (BACKGROUNDS, described.background),
        ):  # fmt: skip
            if any(word in described.caption for word in table[key]):
                assert any(other in text for other in rewordings(table[key])), text
    assert changed > 280


def test_articles_and_verbs_fit() -> None:
    said = {
        reword("a red ball is hopping", np.random.default_rng(seed)) for seed in range(300)
    }  # fmt: skip
    assert not any(" is bounces" in text or " is jumps" in text for text in said)
    assert any(" is bouncing" in text for text in said)
    eights = {reword("an octopus", np.random.default_rng(seed)) for seed in range(100)}
    assert any("a squid" in text for text in eights)
    assert any("an animal with eight tentacles" in text for text in eights)
    assert not any("an squid" in text or "a animal" in text for text in eights)


@pytest.mark.parametrize(
    "caption", ["animated emoji: red heart", "a wug flying up", "", "(a ball", "a ball" * 99]
)
def test_what_the_world_could_not_have_said_stays(caption: str) -> None:
    assert reword(caption, np.random.default_rng(0)) == caption


def test_names_are_the_worlds_and_wordings_are_told_apart() -> None:
    """No phrase is said of two things, except an object's parts."""
    owners: dict[str, set[str]] = {}
    every = {name: SUBJECTS[name].words for name in WORLD.names("subjects")}
    for table in (every, SOLIDS, COLOURS, SIZES, MOTIONS, BACKGROUNDS):
        for name, words in table.items():
            for other in rewordings(words):
                owners.setdefault(other, set()).add(name)
    assert {k: v for k, v in owners.items() if len(v) > 1} == {}
    assert all(text == text.strip() and text for text in (*owners, *frames()))


def test_the_benchmarks_paraphrases_are_none_of_them() -> None:
    said = {phrase.lower() for phrase in rewordings(
        word
        for table in (
            {name: SUBJECTS[name].words for name in WORLD.names("subjects")},
            SOLIDS, COLOURS, MOTIONS, BACKGROUNDS,
        )
        for words in table.values()
        for word in words
    )}  # fmt: skip
    for table in (
        prompts.SUBJECT_PARAPHRASES, prompts.SOLID_PARAPHRASES, prompts.COLOUR_PARAPHRASES,
        prompts.MOTION_PARAPHRASES, prompts.BACKGROUND_PARAPHRASES,
    ):  # fmt: skip
        for phrase in table.values():
            assert not any(f" {phrase.lower()} " in f" {other} " for other in said), phrase
            if " " not in phrase:
                assert not any(phrase.lower() in other.split() for other in said), phrase
    assert reword("a cat", np.random.default_rng(1)) != "a cat"


def test_prompts_in_these_words_are_known_where_a_student_learnt_them() -> None:
    prompt = "a tabby jumps in the garden"
    assert check_prompt(prompt, WORLD).far
    known = check_prompt(prompt, WORLD.model_copy(update={"rewordings": True}))
    assert known.unknown == ()
    assert known.has_subject
    far = check_prompt("a rabbit in Paris", WORLD.model_copy(update={"rewordings": True}))
    assert far.unknown == ("rabbit", "paris")
    assert not far.has_subject
