"""Teaching a prompt reader, on text alone: captions, told in other words, and what they say."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidcascade.cascade.reading import NOTHING, OTHER, alone, slots_of
from vidcascade.data.captions import article
from vidcascade.data.rewordings import FOREIGN, reword
from vidcascade.data.stickers import Description, StickerWorld
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, MOTIONS, SOLIDS
from vidcascade.nn.reader import PromptReader
from vidcascade.nn.text import TextEncoder

# Shares of lessons about other stickers than the world's, about people and things of every day, and
# about two things at once: none of that can be drawn.
OTHERS, FOREIGNERS, PAIRS = 0.1, 0.05, 0.03
SMOOTHING = 0.05
_WARMUP, _RATE, _DECAY = 50, 1e-3, 0.05


@dataclass(frozen=True)
class Lesson:
    """A prompt and the labels of its slots."""

    prompt: str
    labels: dict[str, str]


def lesson(world: StickerWorld, number: int, seed: int = 0) -> Lesson:
    """Lesson ``number``: a caption of the training split, mostly in other words.

    In some its subject is something else: another sticker, a person or thing, or two at once.
    """
    rng = np.random.default_rng((seed, number))
    described = world.describe(int(rng.integers(2**31)), world.training_split)
    caption, labels = described.caption, _labels(described)
    share, foreign = rng.random(), ""
    if share < OTHERS and (others := _others(world)):
        caption = _about(described, _one_of(others, rng))
    elif OTHERS <= share < OTHERS + FOREIGNERS:
        foreign = _one_of(_foreign(world), rng)
        caption = _about(described, foreign)
    elif OTHERS + FOREIGNERS <= share < OTHERS + FOREIGNERS + PAIRS:
        second = world.describe(int(rng.integers(2**31)), world.training_split).subjects[0][0]
        words = SOLIDS[second] if second in SOLIDS else SUBJECTS[second].words
        caption = _about(described, rf"\g<noun> and {article(_one_of(words, rng))}")
    if caption != described.caption:
        labels |= {"subject": OTHER, "colour": NOTHING}
    return Lesson(reword(caption, rng, foreign), labels)


def _one_of(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _labels(described: Description) -> dict[str, str]:
    """What the caption says of what is described."""
    name, colour, size = described.subjects[0]
    motion, place = described.motions[0], described.background

    def if_said(label: str, words: tuple[str, ...]) -> str:
        return label if any(word in described.caption for word in words) else NOTHING

    return {
        "subject": name, "colour": colour or NOTHING, "size": size or NOTHING,
        "motion": if_said(motion, MOTIONS[motion]),
        "background": if_said(place, BACKGROUNDS[place]),
    }  # fmt: skip


def _others(world: StickerWorld) -> list[str]:
    """What stickers are called that the world has not; a gold star is one of its stars."""
    own = set(slots_of(world.config)["subject"])
    solids = {word for solid in own & set(SOLIDS) for word in SOLIDS[solid]}
    return [
        word
        for name, subject in SUBJECTS.items()
        if name not in own and not any(set(word.split()) & solids for word in subject.words)
        for word in subject.words
    ]


def _foreign(world: StickerWorld) -> list[str]:
    """Of what people ask for, that which no sticker of this world is called."""
    own = {word for name in world.config.names("subjects") for word in SUBJECTS[name].words}
    return [word for word in FOREIGN if word not in own]


def _about(described: Description, other: str) -> str:
    """The caption with something else in its subject's place, itself written ``\\g<noun>``."""
    name, colour, _ = described.subjects[0]
    words = "|".join(SUBJECTS[name].words if colour is None else SOLIDS[name])
    # The noun that follows an article: stars of a night sky are no star.
    noun = re.compile(rf"(\ban? (?:[\w-]+ ){{0,3}}?)(?P<noun>{words})(?![\w-])")
    return noun.sub(rf"\g<1>{other}", described.caption, count=1)


def teach(
    world: StickerWorld,
    encoder: TextEncoder,
    lessons: int = 12_000,
    steps: int = 1_500,
    batch: int = 128,
    seed: int = 0,
    report: Callable[[int, float], None] = lambda step, loss: None,
    name: str = "minilm",
) -> PromptReader:
    """A reader of prompts for a world; the same for the same arguments.

    Lessons are text: of all the world's stickers, whether they could be drawn here or not. They
    tell of one subject before a camera that stands still, whatever the world shows beside that.

    Args:
        world: whose captions are learnt.
        encoder: of the text, which stays as it is.
        lessons: prompts in all; each is encoded once.
        steps, batch: of training.
        seed: of lessons and weights.
        report: gets the step and the loss of a batch, every hundred steps.
        name: of the encoder, as specs have it.
    """
    world = copy.copy(world)
    world.config = config = alone(world.config)
    world.has_stickers = True
    taught = [lesson(world, number, seed) for number in range(lessons)]
    states, mask = _encoded([one.prompt for one in taught], encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = PromptReader(slots_of(config), encoder.width, encoder=name)
        wanted = torch.tensor(
            [
                [labels.index(one.labels[slot]) for slot, labels in reader.slots.items()]
                for one in taught
            ]
        )
        optimiser = torch.optim.AdamW(reader.parameters(), _RATE, weight_decay=_DECAY)
        for step in range(steps):
            rate = _RATE * min(1.0, step / _WARMUP) * (1 - step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            rows = torch.randint(len(taught), (batch,))
            logits = reader(states[rows].float(), mask[rows])
            losses = [
                F.cross_entropy(scores, wanted[rows, k], label_smoothing=SMOOTHING)
                for k, scores in enumerate(logits)
            ]
            loss = torch.stack(losses).sum()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            if (step + 1) % 100 == 0:
                report(step + 1, float(loss.detach()))
    return reader.eval()


def _encoded(prompts: list[str], encoder: TextEncoder) -> tuple[Tensor, Tensor]:
    """States (N, L, D) float16 and mask (N, L); each prompt alone, as it will be read."""
    found = [encoder.encode([prompt]) for prompt in prompts]
    longest = max(states.shape[1] for states, _ in found)
    states = torch.zeros(len(found), longest, found[0][0].shape[-1], dtype=torch.float16)
    mask = torch.zeros(len(found), longest, dtype=torch.bool)
    for row, (one, words) in enumerate(found):
        states[row, : one.shape[1]] = one[0].half().cpu()
        mask[row, : words.shape[1]] = words[0].bool().cpu()
    return states, mask
