"""Prompts for the adherence benchmark: which captions, in which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidcascade.data.captions import article
from vidcascade.data.scene import Description
from vidcascade.data.stickers import Split, StickerWorld
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    MOTIONS,
    RELATIONS,
    SIZES,
    SOLIDS,
)
from vidcascade.metrics.adherence.motion import MOTIONS as RULED

# Unseen wordings, written for this benchmark: none of them is in the captions' vocabulary
# (a test holds them to that). What is not listed is said in the world's first word for it.
SUBJECT_PARAPHRASES: dict[str, str] = {
    "rocket": "spacecraft",
    "pizza": "piece of a margherita",
    "cat": "kitty",
    "ladybug": "spotted red beetle",
    "strawberry": "ripe red berry",
    "soccer ball": "black and white match ball",
    "balloon": "toy filled with helium",
    "butterfly": "winged insect with colourful wings",
    "sunflower": "yellow flower with a dark centre",
    "ghost": "phantom",
    "robot": "mechanical man",
    "duck": "waterfowl with a flat beak",
    "dog": "hound",
    "panda": "black and white bamboo eater",
    "frog": "green amphibian",
    "octopus": "sea creature with eight arms",
    "tropical fish": "colourful reef dweller",
    "turtle": "reptile with a shell on its back",
    "airplane": "passenger aircraft",
    "car": "saloon vehicle",
    "mushroom": "fungus with white spots",
    "snowman": "figure made of frozen balls with a carrot nose",
    "banana": "long curved fruit",
    "apple": "round orchard fruit",
}
SOLID_PARAPHRASES: dict[str, str] = {"ball": "globe", "cube": "dice", "star": "pentagram"}
COLOUR_PARAPHRASES: dict[str, str] = {
    "red": "ruby",
    "yellow": "canary",
    "green": "jade",
    "blue": "navy",
    "purple": "lilac",
    "white": "milky",
}
MOTION_PARAPHRASES: dict[str, str] = {
    "up": "climbing higher and higher",
    "down": "dropping to the ground",
    "left": "travelling towards the left side",
    "right": "travelling towards the right side",
    "bounce": "leaping on the spot like a rubber toy",
    "spin": "whirling like a top",
    "swing": "swaying like a pendulum",
    "grow": "inflating until it is enormous",
    "shrink": "dwindling until it is minute",
    "orbit": "following a circular path",
    "shake": "quivering with cold",
    "still": "motionless",
}
BACKGROUND_PARAPHRASES: dict[str, str] = {
    "sky": "high up on a sunny day with clouds",
    "night": "in the dark with twinkling stars",
    "sunset": "in the red light of the evening",
    "meadow": "above a lawn",
    "ocean": "above waves on the open sea",
    "desert": "in the Sahara",
    "snow": "in a blizzard",
    "space": "far away between the planets",
    "underwater": "beneath the surface with bubbles",
    "checkerboard": "in front of black and white squares like a chess game",
    "dots": "in front of a pattern of coloured circles",
    "grey": "in front of a bare cement wall",
}

# What moves with a camera must have detail in both directions: on these not everything can be seen.
FEATURELESS = ("grey", "white", "sunset", "stripes", "wood")

_NOUNS = SUBJECT_PARAPHRASES | SOLID_PARAPHRASES
WORDINGS = ("first words", "synonyms", "paraphrases")


@dataclass(frozen=True)
class Prompt:
    """A prompt, what it describes, and the seed of the sample (and of the truth's scene)."""

    text: str
    described: Description
    seed: int


def said(described: Description) -> tuple[str, str, str] | None:
    """The words of the caption for subject, motion and background; None if it leaves one out."""
    name, colour, _ = described.subjects[0]
    nouns = SUBJECTS[name].words if colour is None else SOLIDS[name]
    found = [
        max((w for w in words if w in described.caption), key=len, default=None)
        for words in (nouns, MOTIONS[described.motions[0]], BACKGROUNDS[described.background])
    ]
    return None if None in found else (str(found[0]), str(found[1]), str(found[2]))


def world_prompts(
    world: StickerWorld,
    split: Split,
    count: int,
    first: int,
    fits: Callable[[Description], bool] = lambda described: True,
) -> list[Prompt]:
    """Captions of the world that say all three, seeds counted up from ``first``.

    Only clips that can be judged: one subject, a fixed camera, one of the motions with a rule; and
    of these only what ``fits``, of which there must be some.
    """
    prompts: list[Prompt] = []
    seed = first
    while len(prompts) < count:
        described = world.describe(seed, split)
        if _can_be_judged(described) and said(described) is not None and fits(described):
            prompts.append(Prompt(described.caption, described, seed))
        seed += 1
    return prompts


def _can_be_judged(described: Description) -> bool:
    known = set(described.motions) <= set(RULED)
    return known and len(described.subjects) == 1 and described.camera is None


def reworded(prompt: Prompt, wording: str) -> Prompt:
    """The same content and seed in other words; sizes are left out.

    ``first words``: the commonest word for each part. ``synonyms``: another of the world's words
    for each part, where it has one (chosen by the seed); training captions hold these too.
    ``paraphrases``: wordings that no training caption holds.
    """
    described, seed = prompt.described, prompt.seed
    name, colour, _ = described.subjects[0]
    motion, place = described.motions[0], described.background
    other = wording == "paraphrases"
    parts: list[str] = []
    for key, words, paraphrases in (
        (name, SUBJECTS[name].words if colour is None else SOLIDS[name], _NOUNS),
        (motion, MOTIONS[motion], MOTION_PARAPHRASES),
        (place, BACKGROUNDS[place], BACKGROUND_PARAPHRASES),
        (colour or "", COLOURS[colour] if colour else ("",), COLOUR_PARAPHRASES),
    ):
        plain = _pick(words, wording, seed)
        parts.append(paraphrases.get(key, plain) if other else plain)
    noun = f"{parts[3]} {parts[0]}".strip()
    text = f"{article(noun)} {parts[1]} {parts[2]}"
    same = replace(described, subjects=((name, colour, None),), caption=text)
    return Prompt(text, same, seed)


def _pick(words: Sequence[str], wording: str, seed: int) -> str:
    if wording != "synonyms" or len(words) == 1:
        return words[0]
    return words[1 + seed % (len(words) - 1)]


def binding_prompts(world: StickerWorld, count: int, first: int) -> list[Prompt]:
    """Every solid in every colour in turn, standing still, over the world's backgrounds.

    With one subject in a clip, binding is whether a colour and a shape that were asked for
    together come together.
    """
    config = world.config
    solids, colours = config.names("solids"), config.names("colours")
    backgrounds = config.names("backgrounds")
    prompts = []
    for k in range(count):
        solid, colour = solids[k % len(solids)], colours[(k // len(solids)) % len(colours)]
        place = backgrounds[(5 * k) % len(backgrounds)]
        text = (
            f"{article(f'{COLOURS[colour][0]} {SOLIDS[solid][0]}')} {MOTIONS['still'][0]} "
            f"{BACKGROUNDS[place][0]}"
        )
        described = Description(((solid, colour, None),), ("still",), place, None, False, text)
        prompts.append(Prompt(text, described, first + k))
    return prompts


def size_prompts(world: StickerWorld, pairs: int, first: int) -> list[Prompt]:
    """The world's subjects in turn, standing still: each once small and once large.

    A pair differs in its size word alone: its seed and background are the same.
    """
    subjects = world_subjects(world)
    backgrounds = world.config.names("backgrounds")
    prompts = []
    for k in range(pairs):
        name, colour = subjects[k % len(subjects)]
        place = backgrounds[(5 * k) % len(backgrounds)]
        for size in ("small", "large"):
            words = f"{article(f'{SIZES[size][0]} {noun_for(name, colour)}')} {MOTIONS['still'][0]}"
            text = f"{words} {BACKGROUNDS[place][0]}"
            described = Description(((name, colour, size),), ("still",), place, None, False, text)
            prompts.append(Prompt(text, described, first + k))
    return prompts


def camera_prompts(world: StickerWorld, count: int, first: int) -> list[Prompt]:
    """Every camera move in turn, and none, over subjects that stand still.

    Only over backgrounds on which a move can be seen.
    """
    subjects = world_subjects(world)
    places = [n for n in world.config.names("backgrounds") if n not in FEATURELESS]
    moves: list[str | None] = [*CAMERAS, None]
    rng = np.random.default_rng(first)
    prompts = []
    for k in range(count if places else 0):
        name, colour = subjects[int(rng.integers(len(subjects)))]
        place, camera = places[int(rng.integers(len(places)))], moves[k % len(moves)]
        words = f"{article(noun_for(name, colour))} {MOTIONS['still'][0]} {BACKGROUNDS[place][0]}"
        text = words if camera is None else f"{words}, {CAMERAS[camera][0]}"
        described = Description(((name, colour, None),), ("still",), place, camera, False, text)
        prompts.append(Prompt(text, described, first + k))
    return prompts


# How two subjects are asked for, by turns: what that means, and how it is said.
PAIRED: tuple[tuple[str, str], ...] = (
    ("left of", RELATIONS["left of"][0]),
    ("above", RELATIONS["above"][0]),
    ("left of", RELATIONS["left of"][2]),
)


def pair_prompts(world: StickerWorld, count: int, first: int) -> list[Prompt]:
    """Two different subjects, standing still, asked for as :data:`PAIRED` has it."""
    subjects = world_subjects(world)
    backgrounds = world.config.names("backgrounds")
    rng = np.random.default_rng(first)
    prompts = []
    for k in range(count if len(subjects) > 1 else 0):
        a, b = (int(i) for i in rng.choice(len(subjects), 2, replace=False))
        place = backgrounds[int(rng.integers(len(backgrounds)))]
        relation, wording = PAIRED[k % len(PAIRED)]
        both = wording.format(a=article(noun_for(*subjects[a])), b=article(noun_for(*subjects[b])))
        text = f"{both}, both {MOTIONS['still'][0]} {BACKGROUNDS[place][0]}"
        described = Description(
            ((*subjects[a], None), (*subjects[b], None)),
            ("still", "still"), place, None, False, text, relation,
        )  # fmt: skip
        prompts.append(Prompt(text, described, first + k))
    return prompts


def world_subjects(world: StickerWorld) -> list[tuple[str, str | None]]:
    """The world's stickers, and each solid in a colour of its own."""
    config = world.config
    subjects: list[tuple[str, str | None]] = []
    if config.solid_share < 1 and world.has_stickers:
        subjects += [(name, None) for name in config.names("subjects")]
    if config.solid_share > 0 or not world.has_stickers:
        colours = config.names("colours")
        solids = enumerate(config.names("solids"))
        subjects += [(solid, colours[k % len(colours)]) for k, solid in solids]
    return subjects


def noun_for(name: str, colour: str | None) -> str:
    """The first word for a subject, with the colour of one that has one."""
    return SUBJECTS[name].words[0] if colour is None else f"{colour} {SOLIDS[name][0]}"
