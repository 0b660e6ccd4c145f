"""Prompts in other words are read as captions; those that the base knows are left alone."""

from __future__ import annotations

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
    read_prompt,
    read_weights,
    slots_of,
    understand,
)
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import bundled_weights
from vidcascade.data.config import Learnt
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
    return read_weights(bundled_weights() / READER, 384)


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
    assert read_prompt(prompt, WORLD, reader, encoder) == caption


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
    assert read_prompt(prompt, WORLD, reader, encoder) == prompt


def test_new_words_are_not_read_away(reader: PromptReader, encoder: TextEncoder) -> None:
    """What a finetuning taught is asked for in its own words."""
    learnt = (*WORLD.learnt, Learnt(words=("tabby",), placed=True))
    world = WORLD.model_copy(update={"learnt": learnt})
    prompt = "a tabby jumps in the garden"
    assert read_prompt(prompt, WORLD, reader, encoder) != prompt
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
    first, second = (read_weights(name, 384).state_dict() for name in names)
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = VidCascadePipeline.from_pretrained(tmp_path / "again")
    assert again.read("a tabby jumps in the garden") != "a tabby jumps in the garden"
    with pytest.raises(UsageError, match="empty"):
        again.read(" ")
    plain = VidCascadePipeline.from_pretrained(tiny_cascade)
    assert plain.reader is None
    assert plain.read("a tabby jumps in the garden") == "a tabby jumps in the garden"
    with pytest.raises(UsageError, match="no reader"):
        assemble_cascade(spec, networks, tmp_path / "none", reader=tmp_path / "nothing")


def test_a_reader_of_other_words_is_refused(tmp_path: Path) -> None:
    shutil.copytree(bundled_weights() / READER, tmp_path / "r")
    config = tmp_path / "r" / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"rocket"', '"wug"'))
    with pytest.raises(VidCascadeError, match="train it again"):
        read_weights(tmp_path / "r", 384)
    config.write_text(text)
    with pytest.raises(VidCascadeError, match="train it again"):
        read_weights(tmp_path / "r", 512)
    config.write_text(text.replace('"snow",', ""))
    with pytest.raises(VidCascadeError, match="damaged"):
        read_weights(tmp_path / "r", 384)
