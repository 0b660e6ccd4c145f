"""Do size words, camera words and words for two subjects do what they say?

Parts of the adherence benchmark, each with prompts, a judge and a table of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table, percent
from benchmarks.prompts import PAIRED, Prompt, camera_prompts, pair_prompts, size_prompts
from benchmarks.size_words import side_of, size_table
from vidcascade.data.stickers import StickerWorld
from vidcascade.metrics.adherence.camera import FIXED, camera_shown, measure_camera
from vidcascade.metrics.adherence.pairs import PairJudgement, judge_pair
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import wilson

Clips = list[NDArray[np.uint8]]
Seen = tuple[str | None, str | None]  # camera moves, asked for and seen
# Kinds of words, and the seeds of their prompts and samples.
SPECIAL = {"sizes": 897_000_000, "cameras": 898_000_000, "pairs": 899_000_000}


def special_words(
    recogniser: Recogniser,
    world: StickerWorld,
    counts: Mapping[str, int],
    both: Callable[[list[Prompt], str], tuple[Clips, Clips]],
) -> Iterator[tuple[str, tuple[Table, dict[str, Any]]]]:
    """The table of each kind of words, and what was judged, for the results.

    Args:
        recogniser: taught on the world.
        world: which words there are; those that it never says are left out.
        counts: of clips (of pairs of clips, for sizes) of each kind in :data:`SPECIAL`; 0 is none.
        both: a generated and a true clip of each prompt; gets the kind's name as well.
    """
    if counts["sizes"]:
        made, true = both(size_prompts(world, counts["sizes"], SPECIAL["sizes"]), "sizes")
        sides = [[side_of(recogniser, clip) for clip in part] for part in (made, true)]
        known = ([side if side == side else None for side in part] for part in sides)
        yield "sizes", (size_table(*sides), _named(known))
    count = counts["cameras"] if world.config.camera > 0 else 0
    if prompts := camera_prompts(world, count, SPECIAL["cameras"]):
        moves = [camera_moves(recogniser, part, prompts) for part in both(prompts, "cameras")]
        yield "cameras", (camera_table(*moves), _named(moves))
    count = counts["pairs"] if world.config.two_subjects > 0 else 0
    if prompts := pair_prompts(world, count, SPECIAL["pairs"]):
        judged = [
            [
                judge_pair(recogniser, clip, p.described, p.text)
                for clip, p in zip(part, prompts, strict=True)
            ]
            for part in both(prompts, "pairs")
        ]
        yield "pairs", (pair_table(*judged), _named([asdict(j) for j in part] for part in judged))


def _named(parts: Any) -> dict[str, Any]:
    return dict(zip(("generated", "truth"), parts, strict=True))


def camera_moves(recogniser: Recogniser, clips: Clips, prompts: Sequence[Prompt]) -> list[Seen]:
    """The camera move that each prompt asks for, and the one that its clip shows."""
    return [
        (p.described.camera, camera_shown(measure_camera(clip, recogniser.look(clip).masks)))
        for clip, p in zip(clips, prompts, strict=True)
    ]


def camera_table(generated: Sequence[Seen], truth: Sequence[Seen]) -> Table:
    """Camera moves asked for and seen, in generated and in true clips.

    Args:
        generated, truth: (asked for, None for a fixed camera; seen, None for nothing to follow)
            of each clip, the same prompts in both.
    """
    names = list(dict.fromkeys(asked or FIXED for asked, _ in truth))
    rows = [["all", _share(_hits(generated)), _share(_hits(truth)), ""]]
    for name in names:
        made = [seen for asked, seen in generated if (asked or FIXED) == name]
        true = [seen for asked, seen in truth if (asked or FIXED) == name]
        wrong = Counter(seen or "nothing to follow" for seen in made if seen != name)
        taken = ", ".join(f"{other} ({n})" for other, n in wrong.most_common(3))
        counts = [f"{part.count(name)} of {len(part)}" for part in (made, true)]
        rows.append([name, *counts, taken or "–"])
    return Table(
        "Camera words: the move that the background shows",
        ["camera", "generated", "truth", "taken for"],
        rows,
        (
            "subjects stand still; the background's flow, fitted by a similarity from frame to "
            "frame; only backgrounds with detail; interval: Wilson, 95 %",
        ),
    )


def pair_table(generated: Sequence[PairJudgement], truth: Sequence[PairJudgement]) -> Table:
    """What was recognised on both sides of clips of two subjects, in the prompts' order."""
    both = (generated, truth)
    rows = [["both, each on its side", *(_share([j.right for j in side]) for side in both)]]
    for k, words in enumerate(("the left or upper one", "the right or lower one")):
        rows.append([words, *(_share([j.found[k] == j.wanted[k] for j in s]) for s in both)])
    rows.append(["both, on each other's side", *(_share([j.swapped for j in s]) for s in both)])
    for k, (_, wording) in enumerate(PAIRED[: len(truth)]):
        parts = ([j.right for j in side[k :: len(PAIRED)]] for side in both)
        rows.append(
            [f"of these, asked for by {wording.format(a='A', b='B')!r}", *map(_share, parts)]
        )
    return Table(
        "Two subjects: what stands on each side",
        ["recognised", "generated", "truth"],
        rows,
        (
            "both stand still; combinations are not held out; asked for in these words by turns, "
            "each on its side: where they do not say how, the first is on the left; the recogniser "
            "was taught on one subject and is shown one half at a time; intervals: Wilson, 95 %",
        ),
    )


def _hits(seen: Sequence[Seen]) -> list[bool]:
    return [found == (asked or FIXED) for asked, found in seen]


def _share(right: Sequence[bool]) -> str:
    mean, low, high = wilson(sum(right), len(right))
    return f"{percent(mean)} ({percent(low)} to {percent(high)}), n = {len(right)}"
