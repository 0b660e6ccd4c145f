"""Captions with varied wording for a description of a scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import numpy as np

SubjectWords = tuple[str, str | None, str | None]

# (probability, template); {s} subject, {m} motion, {b} background
_TEMPLATES: tuple[tuple[float, str], ...] = (
    (0.46, "{s} {m} {b}"),
    (0.07, "{s} is {m} {b}"),
    (0.06, "{b}, {s} {m}"),
    (0.04, "{b}, {s} is {m}"),
    (0.05, "animated sticker of {s} {m} {b}"),
    (0.04, "a clip of {s} {m} {b}"),
    (0.03, "{s}, {m}, {b}"),
    (0.15, "{s} {m}"),
    (0.06, "{s} {b}"),
    (0.04, "{s}"),
)


def article(phrase: str) -> str:
    """``phrase`` with its indefinite article: "a rocket", "an owl"."""
    sounds_like_you = phrase.startswith(("uni", "ufo", "one"))
    silent_h = phrase.startswith("hour")
    vowel = (phrase[0] in "aeiou" and not sounds_like_you) or silent_h
    return f"{'an' if vowel else 'a'} {phrase}"


def _word(words: Sequence[str], rng: np.random.Generator) -> str:
    """The first word half of the time, else any of them."""
    first = rng.random() < 0.5
    return words[0] if first else words[int(rng.integers(len(words)))]


def subject_phrase(subject: SubjectWords, rng: np.random.Generator) -> str:
    """An article, size, colour and noun for ``(name, colour, size)``; a colour means a solid."""
    name, colour, size = subject
    parts = [_word(SIZES[size], rng)] if size else []
    if colour is None:
        parts.append(_word(SUBJECTS[name].words, rng))
    else:
        parts += [_word(COLOURS[colour], rng), _word(SOLIDS[name], rng)]
    return article(" ".join(parts))


def caption(
    subjects: Sequence[SubjectWords],
    motions: Sequence[str],
    background: str,
    camera: str | None,
    relation: str | None,
    rng: np.random.Generator,
) -> str:
    """One caption: lower case, no final stop.

    Some wordings leave out the motion or the background. The camera is always named when it
    moves, because nothing else in the caption would explain the frames.
    """
    phrases = [subject_phrase(s, rng) for s in subjects]
    moves = [_word(MOTIONS[m], rng) for m in motions]
    place = _word(BACKGROUNDS[background], rng)
    weights = [w for w, _ in _TEMPLATES]
    pick = int(rng.choice(len(weights), p=[w / sum(weights) for w in weights]))
    template = _TEMPLATES[pick][1]
    if relation is None:
        text = template.format(s=phrases[0], m=moves[0], b=place)
    elif "{m}" in template and motions[0] != motions[1]:
        # each subject has its own motion: attach it to the subject ("beside" is kept for both)
        pair = _word(RELATIONS[relation][:3], rng)
        if " and " in pair:
            both = pair.format(a=f"{phrases[0]} {moves[0]}", b=f"{phrases[1]} {moves[1]}")
        else:
            side = {"left of": "to the left of", "above": "above"}[relation]
            both = f"{phrases[0]} {moves[0]} {side} {phrases[1]} {moves[1]}"
        text = f"{both} {place}" if "{b}" in template else both
    else:
        pair = _word(RELATIONS[relation], rng).format(a=phrases[0], b=phrases[1])
        text = template.replace("{s} is {m}", "{s}, both {m}").replace("{s} {m}", "{s}, both {m}")
        text = text.format(s=pair, m=moves[0], b=place)
    if camera is not None:
        text = f"{text}, {_word(CAMERAS[camera], rng)}"
    return text


def vocabulary() -> dict[str, tuple[str, ...]]:
    """Every word or phrase that captions use, by kind."""
    return {
        "subjects": _flat(s.words for s in SUBJECTS.values()),
        "solids": _flat(SOLIDS.values()),
        "colours": _flat(COLOURS.values()),
        "sizes": _flat(SIZES.values()),
        "motions": _flat(MOTIONS.values()),
        "backgrounds": _flat(BACKGROUNDS.values()),
        "cameras": _flat(CAMERAS.values()),
        "relations": (
            "on the left", "on the right", "to the left of", "beside", "above",
            "at the top", "at the bottom", "over", "both", "and",
        ),
        "frames": ("animated sticker of", "a clip of", "is", "a", "an"),
    }  # fmt: skip


def _flat(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for group in groups for word in group))
