"""How much of a prompt the sticker world's captions could have said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vidcascade.data.captions import vocabulary
from vidcascade.data.config import WorldConfig
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SOLIDS

# Words that carry no picture: their absence from the captions means nothing.
_SMALL = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "over", "is", "are", "and", "with", "by", "to"}
    | {"from", "its", "his", "her", "while", "very", "some", "one", "this", "that", "it", "there"}
    | {"as", "for", "animated", "sticker", "clip", "video"}
)


@dataclass(frozen=True)
class Known:
    """What a prompt says that the world does not know.

    Attributes:
        unknown: words that no caption uses and that were not learnt besides, in order.
        share: of the prompt's meaningful words, how many are known, in [0, 1].
        has_subject: whether it names a sticker or a solid of the world, or holds a learnt word.
    """

    unknown: tuple[str, ...]
    share: float
    has_subject: bool

    @property
    def far(self) -> bool:
        """Whether the prompt is far outside: no known subject, or mostly unknown words."""
        return not self.has_subject or self.share < 0.6


def check_prompt(prompt: str, world: WorldConfig) -> Known:
    """Compare a prompt with the words of a world's captions."""
    taught = set(world.learnt)
    everything = _vocabulary(world) | taught
    said = [w for w in _split(prompt) if w not in _SMALL]
    unknown = tuple(dict.fromkeys(w for w in said if not _in(w, everything)))
    share = 1.0 if not said else sum(w not in unknown for w in said) / len(said)
    text = f" {' '.join(_split(prompt))} "
    named = any(f" {phrase} " in text for phrase in _phrases(world)["subjects"])
    plural = any(f" {phrase}s " in text for phrase in _phrases(world)["subjects"])
    return Known(unknown, share, named or plural or any(_in(w, taught) for w in said))


def new_words(captions: Iterable[str], world: WorldConfig) -> tuple[str, ...]:
    """Words of captions that a world's own captions do not use, each once, in order."""
    known = _vocabulary(world)
    words = (word for caption in captions for word in _split(caption))
    return tuple(dict.fromkeys(word for word in words if not _in(word, known)))


def describe_world(world: WorldConfig) -> str:
    """One line on what the world knows, for a warning."""
    solids = ", ".join(world.names("solids"))
    colours = ", ".join(world.names("colours"))
    learnt = f"; and from captioned clips {_few(world.learnt)}" if world.learnt else ""
    return (
        f"subjects {_few(world.names('subjects'))}, {solids} ({colours}); "
        f"motions {', '.join(world.names('motions'))}; "
        f"backgrounds {', '.join(world.names('backgrounds'))}{learnt}"
    )


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


def _in(word: str, known: set[str]) -> bool:
    """A word or its simple inflections: balls, flies."""
    stems = {word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ing")}
    return bool(stems & known)
