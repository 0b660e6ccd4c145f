"""Is the cascade worth its stages? Run with ``python -m benchmarks.baselines``.

Trains the cascade, a two-stage one (frames blended instead of a bridge) and a single network that
makes the whole clip, for the same processor time from nothing, and measures what they make of
held-out prompts. Interrupted, it goes on where it was. Cascades that were trained elsewhere, with
``scripts/train_bundled.py --spec``, are measured with ``--weights``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.adherence import HELD_OUT, add_lessons, get_recogniser, short_share
from benchmarks.arms import ARMS, Trained, load, make, train_arm
from benchmarks.common import (
    RESULTS,
    Table,
    in_one_sentence,
    named_paths,
    save_result,
    save_sheet,
    spread,
)
from benchmarks.generate import timed
from benchmarks.judging import composite_flicker
from benchmarks.prompts import Prompt, world_prompts
from benchmarks.stages import to_pixels
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import Judgement, judge
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.metrics.fidelity import gradient_sharpness
from vidcascade.metrics.flicker import mean_absolute_difference
from vidcascade.metrics.statistics import bootstrap_mean

ASPECTS = ("subject", "motion", "background", "everything")
# Of the pixels alone, which need no recogniser: name and digits.
PIXELS = {"flicker": 3, "sharpness": 3, "change": 3}
TRUTH = "truth"
SHEET_CLIPS = 4


@dataclass
class Made:
    """One arm's clips, and what they cost.

    Attributes:
        clips: (T, H, W, 3) uint8 each.
        seconds: of each.
        peak: bytes of resident memory.
        parameters: of all networks.
    """

    clips: list[NDArray[np.uint8]]
    seconds: list[float]
    peak: float
    parameters: int


@dataclass
class Measured:
    """A judgement and numbers of each clip; the truth was not made by anybody."""

    judgements: list[Judgement]
    pixels: dict[str, list[float]]
    made: Made | None = None


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"), help="of the training")
    parser.add_argument("--minutes", type=float, default=15.0, help="processor time of each arm")
    parser.add_argument("--small", action="store_true",
                        help="half the widths, and the ablation's world")  # fmt: skip
    parser.add_argument("--weights", action="append", default=[], metavar="ARM=FOLDER",
                        help="weights that were trained elsewhere")  # fmt: skip
    parser.add_argument("--clips", type=int, default=24, help="held-out prompts")
    add_lessons(parser)
    parser.add_argument("--train-only", action="store_true", help="stop before measuring")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if args.make is not None:
        make_clips(args.weights[0], args.make, args.clips)
    else:
        run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """Train what is not given, measure all, store."""
    if args.clips < 2:
        raise UsageError(f"Intervals need at least 2 clips, not {args.clips}.")
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # several would count several times on the clock
    given = _weights(args.weights)
    trained: dict[str, Trained] = {}
    for arm in ARMS:
        if arm.name in given:
            trained[arm.name] = Trained(given[arm.name], _minutes(given[arm.name]))
            continue
        folder = args.out / arm.name.replace(" ", "-")
        trained[arm.name] = train_arm(arm, load(arm, args.small), args.minutes, folder)
    if args.train_only:
        return
    spec = CascadeSpec.load(trained[ARMS[0].name].weights / "spec.yaml")
    world = StickerWorld(spec.world)
    duration = spec.stages[0].frames / spec.fps
    lessons = Lessons.for_world(world, args.scenes, args.lessons)
    args.scenes, args.lessons = lessons.scenes, lessons.steps
    recogniser = get_recogniser(world, args.out / "recogniser", lessons, duration)
    prompts = world_prompts(world, world.testing_split, args.clips, HELD_OUT)
    found: dict[str, Measured] = {}
    sheet: dict[str, list[NDArray[np.uint8]]] = {}
    for arm in ARMS:
        made = _generated(trained[arm.name].weights, args)
        found[arm.name] = _measured(recogniser, prompts, made.clips, spec)
        found[arm.name].made = made
        sheet[arm.name] = made.clips[:SHEET_CLIPS]
    true = [_truth(world, p, spec) for p in prompts]
    found[TRUTH] = _measured(recogniser, prompts, true, spec)
    sheet[TRUTH] = true[:SHEET_CLIPS]
    tables = [make_table(trained, found)]
    for table in tables:
        table.show()
    _draw(sheet, prompts, args.results)
    _save(tables, trained, found, args)


def _weights(texts: Sequence[str]) -> dict[str, Path]:
    form = "it like 'one stage=runs/single/weights'"
    given = named_paths(texts, "--weights", form, lambda name: name in {arm.name for arm in ARMS})
    for folder in given.values():
        if not (folder / "spec.yaml").is_file():
            raise UsageError(f"There are no weights in {folder}.")
    return given


def _minutes(weights: Path) -> float | None:
    """What ``scripts/train_bundled.py`` says that it spent on weights, if it made them."""
    file = weights.parent / "settings.json"
    if not file.is_file():
        return None
    minutes = json.loads(file.read_text(encoding="utf-8")).get("minutes")
    if not isinstance(minutes, dict):
        return None
    # Teachers are compared: their students took no part.
    return float(sum(value for name, value in minutes.items() if name != "distil"))


def _generated(weights: Path, args: argparse.Namespace) -> Made:
    """Made in a process of its own, whose memory is the arm's."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.baselines", "--make", folder]
        command += ["--weights", str(weights), "--clips", str(args.clips)]
        ran = timed(command)
        clips = [np.load(Path(folder) / f"{k}.npy") for k in range(args.clips)]
    about: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
    return Made(clips, about["seconds"], ran.peak, about["parameters"])


def make_clips(weights: str, folder: Path, count: int) -> None:
    """Generate the benchmark's prompts into ``folder``; the last line printed says what it cost."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    # The networks that were trained here: students are another benchmark's affair.
    pipeline = VidCascadePipeline.from_pretrained(weights, teacher=True)
    pipeline.set_progress_bar_config(disable=True)
    if torch.cuda.is_available():
        pipeline.to("cuda")
    world = StickerWorld(pipeline.spec.world)
    prompts = world_prompts(world, world.testing_split, count, HELD_OUT)
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds = []
    for number, prompt in enumerate(prompts):
        begun = clock()
        video = make(pipeline, prompt.text, prompt.seed)
        seconds.append(clock() - begun)
        np.save(folder / f"{number}.npy", to_pixels(video))
    networks = [getattr(pipeline, stage.name) for stage in pipeline.spec.stages]
    count = sum(p.numel() for network in networks for p in network.parameters())
    print(json.dumps({"seconds": seconds, "parameters": count}))


def _truth(world: StickerWorld, prompt: Prompt, spec: CascadeSpec) -> NDArray[np.uint8]:
    last = spec.stages[-1]
    rate = spec.fps_after(last.name)
    scene = world.scene(prompt.described, prompt.seed, spec.stages[0].frames / spec.fps)
    return world.render(scene, last.size, [k / rate for k in range(last.frames)])


def _measured(
    recogniser: Recogniser, prompts: Sequence[Prompt], clips: Sequence[NDArray[np.uint8]],
    spec: CascadeSpec,
) -> Measured:  # fmt: skip
    rate = spec.fps_after(spec.stages[-1].name)
    every = max(1, spec.stages[-1].frames // spec.stages[0].frames)
    judgements = []
    pixels: dict[str, list[float]] = {name: [] for name in PIXELS}
    for prompt, clip in zip(prompts, clips, strict=True):
        # At the base's rate, as benchmarks.adherence judges.
        judgements.append(judge(recogniser, clip[::every], prompt.described, prompt.text))
        pixels["flicker"].append(composite_flicker(clip, rate))
        pixels["sharpness"].append(float(gradient_sharpness(clip).mean()))
        pixels["change"].append(mean_absolute_difference(clip))
    return Measured(judgements, pixels)


def make_table(trained: dict[str, Trained], found: dict[str, Measured]) -> Table:
    """Quality, seconds, memory, size and training of each arm."""
    says = {arm.name: arm.says for arm in ARMS}
    rows = []
    for name, measured in found.items():
        cells = [f"{name}: {says[name]}" if name in says else name]
        cells += [short_share(measured.judgements, aspect) for aspect in ASPECTS]
        cells += [_mean(measured.pixels[key], digits) for key, digits in PIXELS.items()]
        if measured.made is not None:
            minutes = trained[name].minutes
            cells += [
                f"{np.median(measured.made.seconds):.1f}",
                f"{measured.made.peak / 2**30:.2f}",
                f"{measured.made.parameters / 1e6:.2f}",
                "–" if minutes is None else f"{minutes:.1f}",
            ]
        else:
            cells += ["–"] * 4
        rows.append(cells)
    count = len(found[TRUTH].judgements)
    return Table(
        "The cascade and its baselines",
        ("", *ASPECTS, "flicker", "sharpness, levels/px", "frame difference, levels",
         "s/clip", "peak, GiB", "params, M", "training, min"),
        rows,
        (
            f"{count} held-out prompts, the same for all; adherence with Wilson's 95 % intervals, "
            "the others bootstrapped over clips; flicker: the suite's composite, read it beside "
            "sharpness and the truth's",
            "seconds and minutes: of the processor, one thread (a GPU: of the wall); peak memory: "
            "of the process that generates; the process's libraries are in it",
        ),
    )  # fmt: skip


def _mean(values: list[float], digits: int) -> str:
    known = [v for v in values if v == v]
    if len(known) < 2:
        return "–"
    less = f", {len(known)} clips" if len(known) < len(values) else ""
    return spread(*bootstrap_mean(known), digits) + less


def _draw(
    sheet: dict[str, list[NDArray[np.uint8]]], prompts: Sequence[Prompt], folder: Path
) -> None:
    clips = [sheet[name][k] for k in range(len(sheet[TRUTH])) for name in sheet]
    labels = [f"{prompts[k].text} ({name})" for k in range(len(sheet[TRUTH])) for name in sheet]
    save_sheet(folder / "baselines.png", clips, labels)


def _save(
    tables: Sequence[Table], trained: dict[str, Trained], found: dict[str, Measured],
    args: argparse.Namespace,
) -> None:  # fmt: skip
    small = " --small" if args.small else ""
    data: dict[str, Any] = {}
    for name, measured in found.items():
        data[name] = {
            "judgements": [asdict(j) for j in measured.judgements],
            "pixels": {k: [x if x == x else None for x in v] for k, v in measured.pixels.items()},
        }
        if measured.made is not None:
            data[name] |= {
                "seconds": measured.made.seconds,
                "peak": measured.made.peak,
                "parameters": measured.made.parameters,
                "minutes": trained[name].minutes,
            }
    save_result(
        "baselines",
        "A cascade against one and two stages",
        f"python -m benchmarks.baselines --minutes {args.minutes:g} --clips {args.clips} "
        f"--lessons {args.lessons} --scenes {args.scenes}{small}",
        {
            "minutes": args.minutes,
            "small": args.small,
            "threads": torch.get_num_threads(),
            "given": sorted(_weights(args.weights)),
        },
        tables,
        data,
        args.results,
    )


if __name__ == "__main__":
    raise SystemExit(main())
