"""Prompts in words that no caption held are read as captions of the world.

A base understands the wordings of its training captions. What is asked for in others is told by a
small network (:mod:`vidcascade.nn.reader`) and said again in the world's own words, as larger
systems have a language model do (Betker et al. 2023, "Improving image generation with better
captions"). Prompts that captions could have said are left alone, and so are those that it is not
sure of, or that ask for something else.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vidcascade.data.captions import article
from vidcascade.data.config import MOST_WORDS, WorldConfig
from vidcascade.data.known import check_prompt
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SIZES, SOLIDS
from vidcascade.errors import VidCascadeError
from vidcascade.nn.loading import load_model
from vidcascade.nn.reader import PromptReader
from vidcascade.nn.text import TextEncoder

READER = "reader"  # folder, beside those of the stages
NOTHING, OTHER = "", "other"  # not said; said, and not of the world
# Probability, of all that was read together, from which it is believed.
SURE = 0.3
_LARGEST, _WIDEST = 1 << 20, 4096  # of its settings: bytes, and numbers a side
_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "subject": {name: subject.words for name, subject in SUBJECTS.items()} | SOLIDS,
    "colour": COLOURS,
    "size": SIZES,
    "motion": MOTIONS,
    "background": BACKGROUNDS,
}


@dataclass(frozen=True)
class Reading:
    """What a prompt was understood as.

    Attributes:
        labels: by slot; "" is what it does not say.
        sure: probability of all of them together, in [0, 1].
    """

    labels: Mapping[str, str]
    sure: float

    @property
    def caption(self) -> str:
        """The same in the world's commonest words."""
        said = {
            slot: _WORDS[slot][label][0] for slot, label in self.labels.items() if label != NOTHING
        }
        solid = self.labels["subject"] in SOLIDS
        noun = [said.get("size", ""), said.get("colour", "") if solid else "", said["subject"]]
        parts = [
            article(" ".join(word for word in noun if word)),
            said.get("motion", ""), said.get("background", ""),
        ]  # fmt: skip
        return " ".join(part for part in parts if part)


def slots_of(world: WorldConfig) -> dict[str, list[str]]:
    """The labels of a world's prompts, by slot."""
    solids = world.names("solids") if world.solid_share > 0 else ()
    stickers = world.names("subjects") if world.solid_share < 1 else ()
    return {
        "subject": [*stickers, *solids, OTHER],
        "colour": [NOTHING, *world.names("colours")],
        "size": [NOTHING, *SIZES],
        "motion": [NOTHING, *world.names("motions")],
        "background": [NOTHING, *world.names("backgrounds")],
    }


def alone(world: WorldConfig) -> WorldConfig:
    """The world without pairs and camera moves: what slots can tell."""
    return world.model_copy(update={"two_subjects": 0.0, "camera": 0.0})


def load_reader(cascade: Path, encoder: str) -> PromptReader | None:
    """The reader that lies in a cascade's folder; None if it has none, or one that does not fit.

    A reader of another version's words is no reason not to run the cascade.
    """
    folder = cascade / READER
    if not folder.is_dir():
        return None
    try:
        return read_weights(folder, encoder)
    except VidCascadeError as error:
        warnings.warn(f"Prompts are taken as they are written. {error}", stacklevel=2)
        return None


def read_weights(folder: Path, encoder: str) -> PromptReader:
    """A reader of the states of a text encoder of that name.

    Raises:
        VidCascadeError: a damaged one, or one of other words than this version has.
    """
    if not _fits(folder / "config.json", encoder):
        raise VidCascadeError(
            f"The reader in {folder} is damaged, or of other words or of another text encoder than "
            "this cascade's: train it again (scripts/train_reader.py)."
        )
    reader = load_model(PromptReader, folder)
    reader.register_to_config(_name_or_path=READER)  # diffusers notes a folder of somebody's own
    return reader


def _fits(config: Path, encoder: str) -> bool:
    """Whether a reader's settings can be those of one, before anything is built of them."""
    try:
        if config.stat().st_size > _LARGEST:
            return False
        given = json.loads(config.read_text(encoding="utf-8"))
        slots, sizes = given["slots"], [given[name] for name in ("width", "heads", "head_dim")]
        labels = {slot: set(names) for slot, names in slots.items()}
        known = {
            slot: {*words, OTHER if slot == "subject" else NOTHING}
            for slot, words in _WORDS.items()
        }
        return (
            given["encoder"] == encoder
            and all(isinstance(size, int) and 0 < size <= _WIDEST for size in sizes)
            and labels.keys() == known.keys()
            and all(names and names <= known[slot] for slot, names in labels.items())
            and all(len(names) == len(labels[slot]) for slot, names in slots.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@torch.no_grad()
def understand(prompt: str, reader: PromptReader, encoder: TextEncoder) -> Reading:
    """What a prompt asks for, likely or not."""
    states, mask = encoder.encode([prompt])
    labels, sure = {}, 1.0
    logits = reader(states.float().cpu(), mask.bool().cpu())
    for (slot, names), scores in zip(reader.slots.items(), logits, strict=True):
        likely = scores[0].softmax(-1)
        best = int(likely.argmax())
        labels[slot], sure = names[best], sure * float(likely[best])
    return Reading(labels, sure)


def read_prompt(prompt: str, world: WorldConfig, reader: PromptReader, encoder: TextEncoder) -> str:
    """The prompt, or what it means in the words of the world's captions.

    It is returned as it is if captions could have said it, if it holds a word that clips taught
    beside the world, and if it was not understood, or asks for what the world does not show. So are
    prompts for two subjects or for a camera that moves, which have no slots.
    """
    known = check_prompt(prompt, world)
    plain = alone(world).model_copy(update={"learnt": ()})
    # Words that clips taught, wherever they stand: they are asked for in their own.
    taught = {word for learnt in world.learnt for word in learnt.words}
    full = any(len(learnt.words) == MOST_WORDS for learnt in world.learnt)
    drawn = check_prompt(prompt, plain)
    if not known.unknown or drawn.never_shown or taught.intersection(drawn.unknown) or full:
        return prompt
    reading = understand(prompt, reader, encoder)
    has = slots_of(world)
    shown = all(label in has[slot] for slot, label in reading.labels.items())
    if not reading.sure >= SURE or reading.labels["subject"] == OTHER or not shown:
        return prompt
    return reading.caption
