"""Do clips show what their prompts say? Run with ``python -m benchmarks.adherence``.

Subject and background are named by a small network that is taught here on rendered frames (never
on generated ones), motion by rules on the subject's track; the same judges see the true clips of
the same descriptions. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import RESULTS, Table, in_one_sentence, percent, save_result
from benchmarks.prompts import (
    WORDINGS,
    Prompt,
    binding_prompts,
    reworded,
    world_prompts,
)
from benchmarks.special_words import SPECIAL, Clips, special_words
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of
from vidcascade.data.stickers import DRAWING, StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import ASPECTS, Judgement, judge, share_right
from vidcascade.metrics.adherence.teaching import Lessons, teach
from vidcascade.video import contact_sheet

# Seeds of descriptions and samples: far from those that training counts through.
HELD_OUT, SEEN, BINDING = 880_000_000, 890_000_000, 895_000_000
AS_WRITTEN = "paraphrases, as written"
SHEET_CLIPS = 16
# What every clip has, for tables with a column for each.
ASKED = ("subject", "motion", "background", "everything")


@dataclass(frozen=True)
class Group:
    """A set of prompts with what was recognised in the generated and in the true clips."""

    name: str
    prompts: list[Prompt]
    generated: list[Judgement]
    truth: list[Judgement]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--stage", choices=("base", "refiner"), default="base",
                        help="judge the base's clips, or the whole cascade's")  # fmt: skip
    parser.add_argument("--teacher", action="store_true",
                        help="judge teachers, not their students")  # fmt: skip
    parser.add_argument("--clips", type=int, default=96, help="held-out combinations")
    parser.add_argument("--seen", type=int, default=32, help="combinations of the training split")
    parser.add_argument("--wording", type=int, default=16, help="clips for each wording")
    parser.add_argument("--binding", type=int, default=18, help="clips of coloured solids")
    parser.add_argument("--sizes", type=int, default=18, help="pairs of a small and a large one")
    parser.add_argument("--cameras", type=int, default=21, help="clips asked for with a camera")
    parser.add_argument("--pairs", type=int, default=20, help="clips of two subjects")
    parser.add_argument("--batch", type=int, default=4, help="clips sampled together")
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/adherence"),
                        help="folder that keeps the recogniser between runs")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    pipeline = VidCascadePipeline.from_pretrained(args.weights, teacher=args.teacher)
    run(pipeline, args)
    return 0


def add_lessons(parser: argparse.ArgumentParser) -> None:
    """Options of everything that is judged by a recogniser: how it is taught."""
    parser.add_argument("--lessons", type=int,
                        help="steps that the recogniser is taught for [by world]")  # fmt: skip
    parser.add_argument("--scenes", type=int, help="clips it is taught on [likewise]")


def run(pipeline: VidCascadePipeline, args: argparse.Namespace) -> None:
    """The whole benchmark on a loaded pipeline."""
    spec = pipeline.spec
    if spec.world is None:
        raise UsageError("These weights were trained on clips, not on the world: nothing to ask.")
    pipeline.set_progress_bar_config(disable=True)
    began = time.monotonic()
    world = StickerWorld(spec.world)
    lessons = Lessons.for_world(world, args.scenes, args.lessons)
    recogniser = get_recogniser(world, args.run, lessons, _duration(pipeline))
    taught = time.monotonic() - began
    stage = spec.stages[0].name if args.stage == "base" else spec.stages[-1].name
    sheet: list[tuple[NDArray[np.uint8], Judgement]] = []
    groups = []
    for name, prompts, with_truth in prompt_sets(world, args, pipeline.reader is not None):
        clips = generate(pipeline, prompts, stage, args.batch, name, name == AS_WRITTEN)
        made = [
            judge(recogniser, c, p.described, p.text) for c, p in zip(clips, prompts, strict=True)
        ]
        true: list[Judgement] = []
        if with_truth:
            for p in prompts:
                clip = true_clip(pipeline, world, p, stage)
                true.append(judge(recogniser, clip, p.described, p.text))
        groups.append(Group(name, prompts, made, true))
        sheet += list(zip(clips, made, strict=True))[: max(0, SHEET_CLIPS - len(sheet))]
    tables = make_tables(groups)
    data: dict[str, Any] = {
        g.name: {
            "generated": [asdict(j) for j in g.generated], "truth": [asdict(j) for j in g.truth]
        }
        for g in groups
    }  # fmt: skip

    def both(prompts: list[Prompt], name: str) -> tuple[Clips, Clips]:
        made = generate(pipeline, prompts, stage, args.batch, name)
        return made, [true_clip(pipeline, world, p, stage) for p in prompts]

    asked = {name: getattr(args, name) for name in SPECIAL}
    for name, (table, judged) in special_words(recogniser, world, asked, both):
        tables.append(table)
        data[name] = judged
    for table in tables:
        table.show()
    seconds = {"teaching": round(taught, 1), "all": round(time.monotonic() - began, 1)}
    name, title = "adherence", "Prompt adherence"
    if args.stage != "base":
        name, title = f"{name}_refiner", f"{title} of the whole cascade"
    command = f"python -m benchmarks.adherence --stage {args.stage} --clips {args.clips} "
    command += (
        f"--seen {args.seen} --wording {args.wording} --binding {args.binding} "
        f"--sizes {args.sizes} --cameras {args.cameras} --pairs {args.pairs}"
    )
    if args.teacher:
        command += " --teacher"
        name, title = f"{name}_teacher", f"{title}, teacher"
    save_result(
        name,
        title,
        command,
        {
            "weights": Path(args.weights).name,
            "weight_hashes": pipeline.weight_hashes,
            "stage": stage,
            "student": spec.stages[0].distilled,
            "seconds": seconds,
            "stickers": world.has_stickers,
            "lessons": asdict(lessons),
        },
        tables,
        data,
        args.results,
    )
    image = contact_sheet([clip for clip, _ in sheet], [_label(j) for _, j in sheet])
    suffix = "_teacher" if args.teacher else ""
    iio.imwrite(args.results / f"adherence_{args.stage}{suffix}.png", image)
    print(f"{seconds['all']:.0f} s, of which {seconds['teaching']:.0f} s for the recogniser")


def _duration(pipeline: VidCascadePipeline) -> float:
    """Seconds of the base's clips."""
    return pipeline.spec.stages[0].frames / pipeline.spec.fps


def true_clip(
    pipeline: VidCascadePipeline, world: StickerWorld, prompt: Prompt, stage: str
) -> NDArray[np.uint8]:
    """What a prompt describes, drawn at a stage's size: (16, H, W, 3) uint8."""
    spec = pipeline.spec
    scene = world.scene(prompt.described, prompt.seed, _duration(pipeline))
    times = [k / spec.fps for k in range(spec.stages[0].frames)]
    return world.render(scene, spec.stage(stage).size, times)


def get_recogniser(
    world: StickerWorld, folder: Path, lessons: Lessons, duration: float
) -> Recogniser:
    """The recogniser of this world and these lessons: from ``folder`` if it is there."""
    path = folder / "recogniser.safetensors"
    about: dict[str, Any] = {
        # Lessons show one subject before a camera that stands still.
        "world": world.config.model_dump(mode="json", exclude={"learnt", "two_subjects", "camera"}),
        "stickers": world.has_stickers,
        "drawing": DRAWING,
        "lessons": asdict(lessons),
    }
    about = json.loads(json.dumps(about))  # as it comes back from a file
    if path.is_file():
        known, was = Recogniser.load(path)
        if was == about:
            return known
    folder.mkdir(parents=True, exist_ok=True)
    recogniser = teach(world, lessons, duration, _progress)
    print(file=sys.stderr)
    recogniser.save(path, about)
    return recogniser


def prompt_sets(
    world: StickerWorld, args: argparse.Namespace, reads: bool = False
) -> list[tuple[str, list[Prompt], bool]]:
    """Name, prompts and whether the truth is judged as well; ``reads``: there is a reader."""
    sets = []
    held_out = world_prompts(world, world.testing_split, max(args.clips, args.wording), HELD_OUT)
    if args.clips:
        sets.append(("held-out", held_out[: args.clips], True))
    if args.seen:
        seen = world_prompts(world, world.training_split, args.seen, SEEN)
        sets.append(("seen", seen, True))
    if args.wording:
        for wording in WORDINGS:
            sets.append((wording, [reworded(p, wording) for p in held_out[: args.wording]], False))
        if reads:
            sets.append((AS_WRITTEN, sets[-1][1], False))
    if args.binding and world.config.solid_share > 0:
        sets.append(("binding", binding_prompts(world, args.binding, BINDING), True))
    return sets


def generate(
    pipeline: VidCascadePipeline, prompts: list[Prompt], stage: str, batch: int, name: str = "",
    as_written: bool = False,
) -> Clips:  # fmt: skip
    """A clip for each prompt, read as ``vidcascade generate`` does; see :func:`sample`."""
    said = [(p.text if as_written else pipeline.read(p.text), p.seed) for p in prompts]
    return sample(pipeline, said, stage, batch, name)


def sample(
    pipeline: VidCascadePipeline,
    asked: Sequence[tuple[str, int]],
    stage: str,
    batch: int,
    name: str = "",
) -> Clips:
    """A clip for each text and seed: the base's frames, (16, H, W, 3) uint8, at a stage's size."""
    clips: Clips = []
    for begin in range(0, len(asked), batch):
        part = asked[begin : begin + batch]
        result = pipeline(
            [text for text, _ in part],
            keys=[key_of(torch.Generator().manual_seed(seed)) for _, seed in part],
            stop_after=stage,
            output_type="np",
            batch_size=batch,
        )
        assert isinstance(result, CascadeOutput)
        for video in result.frames:
            every = len(video) // pipeline.spec.stages[0].frames
            clips.append((video[:: max(1, every)] * 255).round().astype(np.uint8))
        _progress(name, len(clips), len(asked))
    print(file=sys.stderr)
    return clips


def make_tables(groups: list[Group]) -> list[Table]:
    """Everything worth reading, as tables."""
    by_name = {g.name: g for g in groups}
    tables = []
    main_groups = [by_name[n] for n in ("held-out", "seen") if n in by_name]
    if main_groups:
        columns = ["recognised"]
        sides: list[list[Judgement]] = []
        for g in main_groups:
            columns += [f"{g.name}, generated", f"{g.name}, truth"]
            sides += [g.generated, g.truth]
        tables.append(
            Table(
                "Prompt adherence",
                columns,
                [[a, *(_share(side, a) for side in sides)] for a in ASPECTS],
                (
                    "held-out: combinations of subject, motion and background that training never "
                    "showed; seen: combinations of the training split",
                    "everything: subject, motion and background together; direction: only clips "
                    "that have one; colour and shape: only solids; intervals: Wilson, 95 %",
                ),
            )
        )
        both = [(j, t) for g in main_groups for j, t in zip(g.generated, g.truth, strict=True)]
        for index, what in enumerate(("subject", "motion", "background")):
            tables.append(_confusions(both, index, what))
    wordings = [by_name[n] for n in (*WORDINGS, AS_WRITTEN) if n in by_name]
    if wordings:
        tables.append(
            Table(
                "The same held-out clips in other words (generated)",
                ["recognised", *(g.name for g in wordings)],
                [[a, *(_share(g.generated, a) for g in wordings)] for a in ASPECTS[:5]],
                (
                    "synonyms are among the words of training captions; paraphrases were written "
                    "for this benchmark and are in no training caption, nor among the wordings "
                    "that a reader of prompts was taught; as written: not read",
                    "the reader's wordings were extended after a look at which kinds of "
                    "paraphrases an earlier reader had got wrong, so they are no longer fresh to "
                    "it",
                ),
            )
        )
    if "binding" in by_name:
        g = by_name["binding"]
        tables.append(
            Table(
                "Colour and shape bound together (solids standing still)",
                ["recognised", "generated", "truth"],
                [
                    [label, _share(g.generated, a), _share(g.truth, a)]
                    for label, a in (("colour", "colour"), ("shape", "shape"), ("both", "subject"))
                ],
                ("one subject in each clip",),
            )
        )
    return tables


def _confusions(pairs: list[tuple[Judgement, Judgement]], index: int, what: str) -> Table:
    rows = []
    for name in sorted({j.wanted[index] for j, _ in pairs}):
        mine = [(j, t) for j, t in pairs if j.wanted[index] == name]
        wrong = Counter(j.found[index] for j, _ in mine if j.found[index] != name)
        right = [sum(p[k].found[index] == name for p in mine) for k in (0, 1)]
        taken = ", ".join(f"{other} ({n})" for other, n in wrong.most_common(3))
        rows.append([name, *(f"{r} of {len(mine)}" for r in right), taken or "–"])
    return Table(
        f"{what.capitalize()}s one by one, held-out and seen clips together",
        [what, "generated", "truth", "taken for"],
        rows,
    )


def short_share(judgements: list[Judgement], aspect: str) -> str:
    """A share with Wilson's interval, for tables of one number of clips: ``79 % (66-88)``."""
    found = share_right(judgements, aspect)
    if found is None:
        return "–"
    (mean, low, high), _ = found
    return f"{percent(mean)} ({100 * low:.0f}-{100 * high:.0f})"


def _share(judgements: list[Judgement], aspect: str) -> str:
    found = share_right(judgements, aspect)
    if found is None:
        return "–"
    (mean, low, high), count = found
    return f"{percent(mean)} ({percent(low)} to {percent(high)}), n = {count}"


def _label(j: Judgement) -> str:
    wrong = [f"{a}: {j.found[k]}" for k, a in enumerate(("subject", "motion", "background"))
             if j.found[k] != j.wanted[k]]  # fmt: skip
    return j.caption + (f"  [seen as {', '.join(wrong)}]" if wrong else "  [all recognised]")


def _progress(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done} of {total}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
