"""The settings of the sticker world (light imports only)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SOLIDS

Names = tuple[str, ...] | Literal["all"]
# Of what captions of folders add, kept in the spec.
MOST_FOLDERS, MOST_WORDS, LONGEST_WORD = 100, 500, 40
Word = Annotated[str, Field(max_length=LONGEST_WORD)]

CROSSINGS: tuple[str, ...] = ("cross right", "cross left", "cross up", "cross down")

_KNOWN: dict[str, tuple[str, ...]] = {
    "subjects": tuple(SUBJECTS),
    "solids": tuple(SOLIDS),
    "colours": tuple(COLOURS),
    "motions": (*MOTIONS, "cross"),
    "backgrounds": tuple(BACKGROUNDS),
}


class Learnt(BaseModel):
    """What the captions of a folder of clips said that the world's own do not.

    ``words`` are new ones, each once; ``always`` those of them that every caption with a new word
    holds, as a trigger word does; ``placed`` is whether those captions also name the world's
    motions or backgrounds, so that new words and old ones were seen together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: tuple[Word, ...] = Field(max_length=MOST_WORDS)
    always: tuple[Word, ...] = Field(default=(), max_length=MOST_WORDS)
    placed: bool = False


class WorldConfig(BaseModel):
    """What the sticker world draws. Unknown keys and names are refused with ``ValueError``.

    ``subjects`` (stickers), ``solids``, ``colours``, ``motions`` and ``backgrounds`` are tuples
    of names or ``"all"``; the motion ``"cross"`` stands for its four directions.
    ``solid_share``, ``two_subjects``, ``camera``, ``size_words`` and ``shadows`` are
    probabilities. ``held_out`` is the fraction of (subject, motion, background) combinations,
    selected by a hash with ``held_out_seed``, that the training split never shows. ``learnt`` is
    what folders of clips taught beside the world, which does not draw it: prompts may hold it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subjects: Names = "all"
    solids: Names = "all"
    colours: Names = "all"
    motions: Names = "all"
    backgrounds: Names = "all"
    solid_share: float = Field(default=0.3, ge=0, le=1)
    two_subjects: float = Field(default=0.1, ge=0, le=1)
    camera: float = Field(default=0.15, ge=0, le=1)
    size_words: float = Field(default=0.3, ge=0, le=1)
    shadows: float = Field(default=0.5, ge=0, le=1)
    held_out: float = Field(default=0.0, ge=0, lt=1)
    held_out_seed: int = 0
    learnt: tuple[Learnt, ...] = Field(default=(), max_length=MOST_FOLDERS)

    @field_validator("learnt", mode="before")
    @classmethod
    def _plain_words(cls, value: object) -> object:
        """Specs once kept the words alone, of all folders together, and took them anywhere."""
        if isinstance(value, list | tuple) and value and all(isinstance(w, str) for w in value):
            return ({"words": value, "placed": True},)
        return value

    @field_validator(*_KNOWN, mode="after")
    @classmethod
    def _known(cls, value: Names, info: object) -> Names:
        if value == "all":
            return value
        kind: str = getattr(info, "field_name", "")
        known = _KNOWN[kind]
        unknown = sorted(set(value) - set(known))
        if unknown:
            near = [n for u in unknown for n in get_close_matches(u, known, 3, 0.4)]
            listed = known if len(known) <= 20 else tuple(dict.fromkeys(near)) or known[:20]
            raise ValueError(
                f"unknown {kind}: {', '.join(unknown)}; choose from: {', '.join(listed)}"
            )
        if not value:
            raise ValueError(f'{kind} is empty; name at least one, or use "all"')
        return tuple(value)

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of ``kind`` (a field name such as ``"motions"``), with "all" spelled out."""
        value: Names = getattr(self, kind)
        if value == "all":
            return tuple(n for n in _KNOWN[kind] if n != "cross")
        return tuple(dict.fromkeys(_expand(value)))


def _expand(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name == "cross":
            yield from CROSSINGS
        else:
            yield name
