"""Prompts in other words are read as captions; those that the base knows are left alone."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch

from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.reading import (
    OTHER,
    READER,
    Reading,
    load_reader,
    read_prompt,
    read_weights,
    slots_of,
    understand,
)
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import bundled_weights
from vidcascade.data.config import MOST_WORDS, Learnt
from vidcascade.data.known import check_prompt
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.reader import PromptReader
from vidcascade.nn.text import TextEncoder, build_text_encoder

SPEC = CascadeSpec.load(bundled_weights() / "spec.yaml")
assert SPEC.world is not None
WORLD = SPEC.world


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return build_text_encoder("minilm", 48)


@pytest.fixture(scope="module")
def reader() -> PromptReader:
    return read_weights(bundled_weights() / READER, "minilm")


def test_a_reading_is_said_in_the_first_words() -> None:
    labels = {
        "subject": "star",
        "colour": "red",
        "size": "small",
        "motion": "",
        "background": "sky",
    }
    assert Reading(labels, 1.0).caption == "a small red star in the sky"
    cat = labels | {"subject": "octopus", "size": "", "motion": "spin", "background": ""}
    assert Reading(cat, 1.0).caption == "an octopus spinning"
    # Every caption that can come of it is one that the base learnt to hear.
    slots = slots_of(WORLD)
    for number, subject in enumerate(set(slots["subject"]) - {OTHER}):
        for slot in ("motion", "background"):
            for label in slots[slot]:
                other = slots["size"][number % 3]
                made = labels | {"subject": subject, "size": other, slot: label}
                known = check_prompt(Reading(made, 1.0).caption, WORLD)
                assert known.unknown == ()
                assert known.never_shown == ()


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("a tabby jumps in the garden", "a cat bouncing over a meadow"),
        ("a space shuttle soars at midnight", "a rocket flying up at night"),
        (
            "a doggy hopping around on a winter morning with snowflakes",
            "a dog bouncing in the snow",
        ),
        ("a scarlet marble plunging in the cosmos", "a red ball falling in outer space"),
    ],
)
def test_other_words_are_read(
    prompt: str, caption: str, reader: PromptReader, encoder: TextEncoder
) -> None:
    for more in ({}, {"two_subjects": 0.1, "camera": 0.1}):
        world = WORLD.model_copy(update=more)
        assert read_prompt(prompt, world, reader, encoder) == caption


@pytest.mark.parametrize(
    "prompt",
    [
        "a rocket flying up at night",  # known
        "animated emoji: red heart",  # learnt of clips
        "animated emoji: a rabbit beside a brick",
        "a feline: two dogs and a cat jumping",  # more than one subject
        "a tabby, the camera zooms in",
        "an elephant playing the trumpet in Paris",  # something else
        "a dragon fighting a knight",
    ],
)
def test_what_is_known_or_something_else_stays(
    prompt: str, reader: PromptReader, encoder: TextEncoder
) -> None:
    # A world that shows pairs and camera moves knows more; a reader does not.
    for more in ({}, {"two_subjects": 0.1, "camera": 0.1}):
        world = WORLD.model_copy(update=more)
        assert read_prompt(prompt, world, reader, encoder) == prompt


def test_new_words_are_not_read_away(reader: PromptReader, encoder: TextEncoder) -> None:
    """What a finetuning taught is asked for in its own words."""
    prompt = "a tabby jumps in the garden"
    assert read_prompt(prompt, WORLD, reader, encoder) != prompt
    for learnt in (
        Learnt(words=("tabby",), placed=True),
        Learnt(words=("tabby", "drawn"), always=("drawn",)),  # here without its trigger word
        Learnt(words=tuple(f"word{number}" for number in range(MOST_WORDS))),  # and more, perhaps
    ):
        world = WORLD.model_copy(update={"learnt": (*WORLD.learnt, learnt)})
        assert read_prompt(prompt, world, reader, encoder) == prompt


def test_it_is_as_sure_as_its_slots_together(reader: PromptReader, encoder: TextEncoder) -> None:
    reading = understand("a cat bouncing over a meadow", reader, encoder)
    assert 0.3 < reading.sure <= 1.0
    assert reading.labels == {
        "subject": "cat", "colour": "", "size": "", "motion": "bounce", "background": "meadow",
    }  # fmt: skip


def test_it_goes_where_a_cascade_goes(tiny_cascade: Path, tmp_path: Path) -> None:
    source = bundled_weights() / READER
    spec = CascadeSpec.load("tiny")
    networks = {stage.name: tiny_cascade / stage.name for stage in spec.stages}
    assemble_cascade(spec, networks, tmp_path / "cascade", reader=source)
    pipeline = VidCascadePipeline.from_pretrained(tmp_path / "cascade")
    pipeline.save_pretrained(tmp_path / "again")
    names = [tmp_path / folder / READER for folder in ("cascade", "again")]
    first, second = (read_weights(name, "minilm").state_dict() for name in names)
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = VidCascadePipeline.from_pretrained(tmp_path / "again")
    for name in names:  # and not where it lay
        assert json.loads((name / "config.json").read_text())["_name_or_path"] == READER
    assert again.read("a tabby jumps in the garden") != "a tabby jumps in the garden"
    with pytest.raises(UsageError, match="empty"):
        again.read(" ")
    plain = VidCascadePipeline.from_pretrained(tiny_cascade)
    assert plain.reader is None
    assert plain.read("a tabby jumps in the garden") == "a tabby jumps in the garden"
    with pytest.raises(UsageError, match="no reader"):
        assemble_cascade(spec, networks, tmp_path / "none", reader=tmp_path / "nothing")


@pytest.mark.parametrize(
    "change",
    [
        {"slots": {"subject": [["x"]]}}, {"slots": None}, {"slots": []}, {"width": 10**9},
        {"heads": "many"}, {"heads": 0}, {"encoder": "another"}, {"encoder": None},
    ],
)  # fmt: skip
def test_a_reader_that_does_not_fit_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    config = json.loads((bundled_weights() / READER / "config.json").read_text())
    shutil.copytree(bundled_weights() / READER, tmp_path / READER)
    for broken in (change, {"slots": config["slots"] | {"motion": ["", "moonwalk"]}},
                   {"slots": config["slots"] | {"size": []}}):  # fmt: skip
        (tmp_path / READER / "config.json").write_text(json.dumps(config | broken))
        with pytest.raises(VidCascadeError, match="train it again"):
            read_weights(tmp_path / READER, "minilm")
        with pytest.warns(UserWarning, match="as they are written"):
            assert load_reader(tmp_path, "minilm") is None
    (tmp_path / READER / "config.json").write_text("{")
    with pytest.raises(VidCascadeError, match="train it again"):
        read_weights(tmp_path / READER, "minilm")
    fewer = config["slots"] | {"size": ["", "small"]}
    (tmp_path / READER / "config.json").write_text(json.dumps(config | {"slots": fewer}))
    with pytest.raises(VidCascadeError, match="damaged"):
        read_weights(tmp_path / READER, "minilm")


def test_what_it_cannot_be_sure_of_stays(reader: PromptReader, encoder: TextEncoder) -> None:
    broken = copy.deepcopy(reader)
    with torch.no_grad():
        broken.queries.fill_(torch.nan)
    prompt = "a tabby jumps in the garden"
    assert read_prompt(prompt, WORLD, broken, encoder) == prompt
    world = WORLD.model_copy(update={"backgrounds": ("sky",)})
    assert read_prompt(prompt, world, reader, encoder) == prompt
