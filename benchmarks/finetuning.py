"""What does finetuning teach, and what does it cost? ``python -m benchmarks.finetuning``.

Five clips of a subject that the weights have never seen are drawn into a folder, as a person would
bring them; ``vidcascade finetune`` learns them; and the old prompts and prompts for the new subject
are judged before and after. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np

from benchmarks.adherence import (
    HELD_OUT,
    Clips,
    add_lessons,
    generate,
    get_recogniser,
    short_share,
)
from benchmarks.common import RESULTS, Table, in_one_sentence, save_result
from benchmarks.prompts import Prompt, world_prompts
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import SPEC_FILE, resolve_weights
from vidcascade.data.config import WorldConfig
from vidcascade.data.scene import Description
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.motion import MOTIONS as RULED
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import Judgement, judge
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.video import contact_sheet, write_clip

# Seeds of the clips that are given, and of the prompts that ask for the new subject.
GIVEN, ASKED_FOR = 910_000_000, 920_000_000
ASPECTS = ("subject", "motion", "background", "everything")
SHOWN = 6  # clips of the sheet, before and after
SIZE, FPS = 128, 16  # of the clips that are given: not the stage's own, as a person's are not


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--subject", default="penguin", help="sticker that the weights never saw")
    parser.add_argument("--given", type=int, default=5, help="clips of it to learn from")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    parser.add_argument("--clips", type=int, default=96, help="old held-out combinations")
    parser.add_argument("--new", type=int, default=24, help="prompts for the new subject")
    parser.add_argument("--teachers", action="store_true", help="sample in full as well")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="another option of finetune: share=0.3; repeatable")  # fmt: skip
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/finetuning"),
                        help="folder of the recogniser and of the new weights")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """The whole benchmark."""
    spec = CascadeSpec.load(resolve_weights(args.weights) / SPEC_FILE)
    config = spec.world
    if config is None:
        raise UsageError("These weights were trained on clips, not on the world: nothing to ask.")
    if args.subject in config.names("subjects"):
        raise UsageError(f"These weights know {args.subject}: choose another --subject.")
    duration = spec.stages[0].frames / spec.fps
    wider = config.model_copy(update={"subjects": (*config.names("subjects"), args.subject)})
    taught = StickerWorld(wider)
    lessons = Lessons.for_world(taught, args.scenes, args.lessons)
    # Taught on the new subject as well, or it could not tell it.
    recogniser = get_recogniser(taught, args.run, lessons, duration)
    old = StickerWorld(config)
    alone = StickerWorld(new_world(config, args.subject))
    given = world_prompts(alone, "all", args.given, GIVEN)
    prompts = {
        "old": world_prompts(old, old.testing_split, args.clips, HELD_OUT),
        "new": unshown_prompts(alone, given, args.new),
    }
    tuned = args.run / "weights"
    with tempfile.TemporaryDirectory() as folder:
        draw_clips(alone, Path(folder), given, duration)
        finetune(args, Path(folder), tuned)
    modes = ["student" if spec.stages[0].student is not None else "in full"]
    if args.teachers and modes == ["student"]:
        modes.append("teacher")
    tables: list[Table] = []
    data: dict[str, object] = {}
    sheet: Clips = []
    hashes: dict[str, str] = {}
    for mode in modes:
        found: dict[tuple[str, str], list[Judgement]] = {}
        for when, folder in (("before", args.weights), ("after", tuned)):
            pipeline = VidCascadePipeline.from_pretrained(folder, teacher=mode == "teacher")
            pipeline.set_progress_bar_config(disable=True)
            hashes = hashes or dict(pipeline.weight_hashes)
            for which, asked in prompts.items():
                name = f"{mode}, {which}, {when}"
                clips = generate(pipeline, asked, pipeline.spec.stages[0].name, 4, name)
                found[which, when] = judged(recogniser, clips, asked)
                data[name] = [asdict(j) for j in found[which, when]]
                if which == "new" and mode == modes[0]:
                    sheet += clips[:SHOWN]
        tables.append(make_table(found, args, mode))
        tables[-1].show()
    options = "".join(f" --option {option}" for option in args.option)
    save_result(
        "finetuning",
        "Finetuning on a new subject",
        f"python -m benchmarks.finetuning --subject {args.subject} --minutes {args.minutes:g} "
        f"--clips {args.clips} --new {args.new}{' --teachers' * args.teachers}{options}",
        {
            "weights": Path(args.weights).name,
            "weight_hashes": hashes,
            "given": args.given,
            "minutes": args.minutes,
            "lessons": asdict(lessons),
        },
        tables,
        data,
        args.results,
    )
    shown = prompts["new"][:SHOWN]
    labels = [f"{when}: {p.text}" for when in ("before", "after") for p in shown]
    iio.imwrite(args.results / "finetuning.png", contact_sheet(sheet, labels))


def new_world(config: WorldConfig, subject: str) -> WorldConfig:
    """The world with the new subject alone."""
    return config.model_copy(
        update={"subjects": (subject,), "solid_share": 0.0, "two_subjects": 0.0, "held_out": 0.0}
    )


def unshown_prompts(world: StickerWorld, given: Sequence[Prompt], count: int) -> list[Prompt]:
    """Prompts for the new subject with neither a motion nor a background of the given clips.

    Raises:
        UsageError: the given clips have every motion or every background.
    """
    motions = {motion for p in given for motion in p.described.motions}
    places = {p.described.background for p in given}

    def unshown(described: Description) -> bool:
        return motions.isdisjoint(described.motions) and described.background not in places

    left = set(world.config.names("motions")) & set(RULED) - motions
    if not left or not set(world.config.names("backgrounds")) - places:
        raise UsageError(
            f"The {len(given)} given clips show every motion or every background of the world: "
            "give fewer with --given."
        )
    return world_prompts(world, "all", count, ASKED_FOR, unshown)


def draw_clips(world: StickerWorld, folder: Path, given: Sequence[Prompt], duration: float) -> None:
    """Clips of the new subject with their captions, as Hugging Face's videofolder."""
    lines = []
    for number, prompt in enumerate(given):
        scene = world.scene(prompt.described, prompt.seed, duration)
        times = [k / FPS for k in range(round(duration * FPS))]
        write_clip(folder / f"{number}.mp4", world.render(scene, SIZE, times), FPS)
        lines.append(json.dumps({"file_name": f"{number}.mp4", "text": prompt.text}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def finetune(args: argparse.Namespace, clips: Path, out: Path) -> None:
    """Run the command that a person runs.

    Raises:
        UsageError: it failed; its own words are on the terminal.
    """
    command = [sys.executable, "-m", "vidcascade", "finetune", str(clips), "--out", str(out)]
    command += ["--weights", str(args.weights), "--minutes", str(args.minutes), "--force"]
    for option in args.option:
        name, _, value = option.partition("=")
        command += [f"--{name}", *([value] if value else [])]
    if subprocess.run(command, check=False).returncode != 0:
        raise UsageError("Finetuning failed: see above.")


def judged(recogniser: Recogniser, clips: Clips, prompts: list[Prompt]) -> list[Judgement]:
    """What was recognised in each clip."""
    return [judge(recogniser, c, p.described, p.text) for c, p in zip(clips, prompts, strict=True)]


def make_table(
    found: dict[tuple[str, str], list[Judgement]], args: argparse.Namespace, mode: str
) -> Table:
    """Old and new prompts, before and after."""
    order = [("old", "before"), ("old", "after"), ("new", "before"), ("new", "after")]
    columns = ["recognised", *(f"{which}, {when}" for which, when in order)]
    rows = []
    for aspect in ASPECTS:
        cells = []
        for key in order:
            cells.append(f"{short_share(found[key], aspect)}, n = {len(found[key])}")
        rows.append([aspect, *cells])
    flips = [
        (a.right["everything"], b.right["everything"])
        for a, b in zip(found["old", "before"], found["old", "after"], strict=True)
    ]
    lost, won = flips.count((True, False)), flips.count((False, True))
    change = float(np.mean([int(bool(b)) - int(bool(a)) for a, b in flips]))
    how = {
        "student": "sampled as generate does, by the base's student, which goes with the weights",
        "teacher": "sampled in full (--teacher)",
        "in full": "sampled in full",
    }
    subject = f"{args.given} clips of a {args.subject}"
    return Table(
        f"Before and after {args.minutes:g} minutes on {subject}"
        + (" (--teacher)" if mode == "teacher" else ""),
        columns,
        rows,
        (
            "old: held-out combinations of what the weights knew; new: the new subject in motions "
            "and on backgrounds of the old world that none of its given clips has; "
            f"{how[mode]}",
            f"old clips that were right and are no longer: {lost}; that were wrong and are right "
            f"now: {won}; everything changed by {100 * change:+.0f} points",
        ),
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
