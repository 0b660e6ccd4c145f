"""How much of a prompt the sticker world's captions could have said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vidcascade.data.captions import vocabulary
from vidcascade.data.config import LONGEST_WORD, MOST_WORDS, Learnt, WorldConfig
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, RELATIONS, SOLIDS

_DESCRIBED = 3  # folders that a warning describes

# Words that carry no picture: their absence from the captions means nothing.
_SMALL = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "over", "is", "are", "and", "with", "by", "to"}
    | {"from", "its", "his", "her", "while", "very", "some", "one", "this", "that", "it", "there"}
    | {"as", "for", "animated", "sticker", "clip", "video"}
)
# Words of which every caption with a camera that moves has one.
_CAMERA = frozenset({"camera", "pan", "pans", "panning", "zoom", "zooms", "zooming", "tilts"})
# What captions of two subjects have between them.
_BETWEEN = tuple(
    wording.partition("{a}")[2].partition("{b}")[0].strip()
    for wordings in RELATIONS.values()
    for wording in wordings
)


@dataclass(frozen=True)
class Known:
    """What a prompt says that the world does not know.

    Attributes:
        unknown: words that no caption uses and that were not learnt in captions like it, in order.
        share: of the prompt's meaningful words, how many are known, in [0, 1].
        has_subject: whether it names a sticker or a solid of the world, or holds a learnt word.
        never_shown: what it asks for in words that are known, and the world never shows.
    """

    unknown: tuple[str, ...]
    share: float
    has_subject: bool
    never_shown: tuple[str, ...] = ()

    @property
    def far(self) -> bool:
        """Whether the prompt is far outside: no known subject, or mostly unknown words."""
        return not self.has_subject or self.share < 0.6


def check_prompt(prompt: str, world: WorldConfig) -> Known:
    """Compare a prompt with the words of a world's captions, and with what clips taught beside it.

    What clips taught is known where the prompt is like their captions: it holds one of the words
    that they all have, and a motion or background of the world only if they did.
    """
    drawn = _vocabulary(world)
    said = [w for w in _split(prompt) if w not in _SMALL]
    placed = _holds(said, _placing(world))
    taught = {
        word
        for learnt in world.learnt
        if learnt.placed or not placed
        if not learnt.always or _holds(said, set(learnt.always))
        for word in said
        if _in(word, set(learnt.words))
    }
    unknown = tuple(dict.fromkeys(w for w in said if not (_in(w, drawn) or w in taught)))
    share = 1.0 if not said else sum(w not in unknown for w in said) / len(said)
    text = f" {' '.join(_split(prompt))} "
    named = any(f" {phrase} " in text for phrase in _phrases(world)["subjects"])
    plural = any(f" {phrase}s " in text for phrase in _phrases(world)["subjects"])
    return Known(unknown, share, named or plural or bool(taught), _never_shown(text, world))


def _never_shown(text: str, world: WorldConfig) -> tuple[str, ...]:
    """What a prompt, its words with a space on each side, asks a world for that has none of it."""
    found = []
    most, words = (2, "two subjects") if world.two_subjects > 0 else (1, "one subject")
    bare = _without_places(text, world)
    count, plural, between = _count_subjects(bare, world)
    if count > most:
        found.append(f"more than {words}")
    elif plural:  # pairs are of one and one: no caption has a plural
        found.append("several of a kind")
    elif count == 2 and not any(f" {words} " in between for words in _BETWEEN):
        found.append("two subjects without a word for how they stand (and, beside, above)")
    other = _words_of(_phrases(world)["subjects"])  # a camera may be a sticker
    if world.camera == 0 and (_CAMERA - other) & set(text.split()):
        found.append("a camera that moves")
    return tuple(found)


def _without_places(text: str, world: WorldConfig) -> str:
    """A text without words of backgrounds and cameras.

    "Under the stars" is a place, "the camera moves left" a move, and "a soccer ball" one subject.
    """
    others = (*_phrases(world)["backgrounds"], *vocabulary()["cameras"])
    for other in sorted(others, key=len, reverse=True):
        text = text.replace(f" {other} ", " ")
    return text


def _count_subjects(text: str, world: WorldConfig) -> tuple[int, bool, str]:
    """How many of the world's subjects a text names, a plural as two; whether one is a plural.

    And what stands between the first two, without motions: "bouncing up and down" joins nothing.
    """
    phrases = _phrases(world)
    found = {"": 0, "s": 0}
    for phrase in sorted(phrases["subjects"], key=len, reverse=True):
        for ending in found:
            found[ending] += text.count(f" {phrase}{ending} ")
            text = text.replace(f" {phrase}{ending} ", " | ")
    between = "".join(text.split("|")[1:2])
    for motion in sorted(phrases["motions"], key=len, reverse=True):
        between = between.replace(f" {motion} ", " ")
    return found[""] + 2 * found["s"], found["s"] > 0, between


def _placing(world: WorldConfig) -> set[str]:
    """Words that tell of a motion or a background of the world, or of a part of one."""
    phrases = _phrases(world)
    motions = {word for word in _words_of(phrases["motions"]) if word.endswith("ing")}
    # "An orange heart" is no sunset, and "a star" no night sky.
    colours = (word for words in COLOURS.values() for word in words)
    other = _words_of((*colours, *phrases["subjects"])) | _SMALL
    placing = motions | _words_of(phrases["backgrounds"])
    return {word for word in placing if not _in(word, other)}


def learn(captions: Iterable[str], world: WorldConfig) -> Learnt | None:
    """What captions say that a world's own do not; None if that is nothing.

    Where one caption has all the new words there is no telling which of them it needs, so
    ``always`` takes two that differ.
    """
    known = _vocabulary(world)

    def is_new(word: str) -> bool:
        return len(word) <= LONGEST_WORD and not _in(word, known)

    split = (tuple(w for w in _split(caption) if w not in _SMALL) for caption in captions)
    said = dict.fromkeys(words for words in split if any(map(is_new, words)))
    new = tuple(dict.fromkeys(w for words in said for w in words if is_new(w)))[:MOST_WORDS]
    if not new:
        return None
    always = tuple(w for w in new if len(said) > 1 and all(_holds(words, {w}) for words in said))
    placing = _placing(world)
    # Half of them, since a word may be there by chance.
    placed = 2 * sum(_holds(words, placing) for words in said) >= len(said)
    return Learnt(words=new, always=always, placed=placed)


def describe_world(world: WorldConfig) -> str:
    """One line on what the world knows, for a warning."""
    solids = ", ".join(world.names("solids"))
    colours = ", ".join(world.names("colours"))
    learnt = "".join(f"; {_describe(learnt)}" for learnt in world.learnt[-_DESCRIBED:])
    if (rest := len(world.learnt) - _DESCRIBED) > 0:
        learnt += f"; and {rest} more folders"
    return (
        f"subjects {_few(world.names('subjects'))}, {solids} ({colours}); "
        f"motions {', '.join(world.names('motions'))}; "
        f"backgrounds {', '.join(world.names('backgrounds'))}{learnt}"
    )


def _describe(learnt: Learnt) -> str:
    rest = tuple(word for word in learnt.words if word not in learnt.always)
    how = []
    if rest and learnt.always:
        how.append("asked for with " + " or ".join(f'"{word}"' for word in learnt.always))
    if not learnt.placed:
        how.append("without motion or background")
    condition = f", {' and '.join(how)}" if how else ""
    return f"from captioned clips{condition}: {_few(rest or learnt.words)}"


def _few(names: tuple[str, ...], most: int = 24) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _vocabulary(world: WorldConfig) -> set[str]:
    everything = set(_SMALL)
    for phrases in _phrases(world).values():
        everything |= _words_of(phrases)
    for kind in ("sizes", "cameras", "relations", "frames"):
        everything |= _words_of(vocabulary()[kind])
    return everything


def _phrases(world: WorldConfig) -> dict[str, tuple[str, ...]]:
    named = [w for n in world.names("subjects") for w in SUBJECTS[n].words]
    return {
        "subjects": (*named, *(w for n in world.names("solids") for w in SOLIDS[n])),
        "colours": tuple(w for n in world.names("colours") for w in COLOURS[n]),
        "motions": tuple(w for n in world.names("motions") for w in MOTIONS[n]),
        "backgrounds": tuple(w for n in world.names("backgrounds") for w in BACKGROUNDS[n]),
    }


def _split(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", text.lower())


def _words_of(phrases: tuple[str, ...]) -> set[str]:
    return {word for phrase in phrases for word in _split(phrase)}


def _holds(words: Iterable[str], wanted: set[str]) -> bool:
    """Whether one of the words is a wanted one or an inflection of it."""
    return any(_in(word, wanted) for word in words)


def _in(word: str, known: set[str]) -> bool:
    """A word or its simple inflections: balls, flies."""
    stems = {word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ing")}
    return bool(stems & known)
