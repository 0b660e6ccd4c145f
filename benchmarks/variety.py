"""Do other seeds bring other clips? ``python -m benchmarks.variety``.

A prompt leaves things open: the hue of a pattern, where a subject stands, how large it is. The
world draws them at random, and a base should too. One that was taught to make likely clips may make
the likeliest over and over, which neither adherence nor a clip's looks betray. Subjects that stand
still before patterns are asked for, each with another seed, and the spreads of what was left open
are compared with the world's. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, product
from pathlib import Path

import cv2
import numpy as np
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from numpy.typing import NDArray

from benchmarks.adherence import add_lessons, get_recogniser, sample
from benchmarks.common import RESULTS, Table, in_one_sentence, named_paths, save_result, spread
from benchmarks.prompts import Prompt, noun_for, world_subjects
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import SPEC_FILE, resolve_weights
from vidcascade.data.captions import article
from vidcascade.data.scene import Description
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.words import BACKGROUNDS, MOTIONS
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.metrics.adherence.tracking import track_subject

FIRST = 945_000_000  # seed of the first sample
PATTERNS = ("checkerboard", "dots", "stripes")  # backgrounds whose hue is any
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")  # middles of sixths of the wheel
RESAMPLES = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What was left open, of each clip (N,): NaN where it cannot be told.

    Attributes:
        hue: of the pattern, radians on the colour wheel, red at 0.
        x, y: the subject's place from the middle of the frame, in frame sides.
        size: binary logarithm of the root of the subject's area in frame sides.
    """

    hue: Floats
    x: Floats
    y: Floats
    size: Floats


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FOLDER",
                        help="other weights to compare; repeatable")  # fmt: skip
    parser.add_argument("--teachers", action="store_true", help="measure teachers as well")
    parser.add_argument("--clips", type=int, default=96, help="seeds")
    parser.add_argument("--batch", type=int, default=4, help="clips sampled together")
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/adherence"),
                        help="folder that keeps the recogniser between runs")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if args.clips < 8:
        raise UsageError("Fewer than 8 clips show no spread: --clips.")
    run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """The whole benchmark."""
    chosen = {"weights": args.weights} if args.weights != "stickers" else {"bundled": "stickers"}
    chosen |= named_paths(args.also, "--also", "NAME=FOLDER", lambda name: name not in chosen)
    specs = {n: CascadeSpec.load(resolve_weights(f) / SPEC_FILE) for n, f in chosen.items()}
    first = next(iter(specs.values()))
    for name, spec in specs.items():
        if spec.world is None or spec.world != first.world:
            raise UsageError(f"{name} cannot be compared: it needs a world, that of the others.")
    assert first.world is not None
    world, duration = StickerWorld(first.world), first.stages[0].frames / first.fps
    prompts = open_prompts(world, args.clips, FIRST)
    lessons = Lessons.for_world(world, args.scenes, args.lessons)
    recogniser = get_recogniser(world, args.run, lessons, duration)
    base = first.stages[0]
    times = [k / first.fps for k in range(base.frames)]
    true = [
        world.render(world.scene(p.described, p.seed, duration), base.size, times) for p in prompts
    ]
    rows = {"the truth": look(recogniser, true, prompts)}
    hashes: dict[str, dict[str, str]] = {}
    teachers: set[str] = set()  # those that were asked already
    for name, folder in chosen.items():
        for teacher in (False, True)[: 1 + args.teachers]:
            stage = specs[name].stages[0]
            if teacher and stage.student is None:
                continue  # what there is was measured already
            pipeline = VidCascadePipeline.from_pretrained(folder, teacher=teacher)
            pipeline.set_progress_bar_config(disable=True)
            hashes[name] = pipeline.weight_hashes
            own = hashes[name][f"{stage.name}/{SAFETENSORS_WEIGHTS_NAME}"]
            if teacher and own in teachers:
                continue
            teachers |= {own} if teacher else set()
            title = name
            if stage.student is not None:
                title += ", teacher" if teacher else ", student"
            asked = [(p.text, p.seed) for p in prompts]
            made = sample(pipeline, asked, stage.name, args.batch, title)
            rows[title] = look(recogniser, made, prompts)
    table = make_table(rows)
    table.show()
    command = f"python -m benchmarks.variety --clips {args.clips}"
    command += "".join(f" --also '{name}=FOLDER'" for name in list(chosen)[1:])
    command += " --teachers" if args.teachers else ""
    settings = {
        "weights": Path(args.weights).name,
        "weight_hashes": hashes.pop(next(iter(chosen))),
        "others": hashes,
        "stickers": world.has_stickers,
        "lessons": asdict(lessons),
    }
    data = {
        title: {
            key: [None if math.isnan(v) else round(float(v), 4) for v in values]
            for key, values in vars(seen).items()
        }
        for title, seen in rows.items()
    }
    save_result("variety", "Variety", command, settings, [table], data, args.results)


def open_prompts(world: StickerWorld, count: int, first: int) -> list[Prompt]:
    """The world's subjects standing still before its patterns, by turns, seeds counted up.

    Before all of its backgrounds, in a world that has no patterns.
    """
    known = world.config.names("backgrounds")
    places = [name for name in PATTERNS if name in known] or known
    prompts = []
    combinations = cycle(product(world_subjects(world), places))
    for seed in range(first, first + count):
        (name, colour), place = next(combinations)
        text = f"{article(noun_for(name, colour))} {MOTIONS['still'][0]} {BACKGROUNDS[place][0]}"
        described = Description(((name, colour, None),), ("still",), place, None, False, text)
        prompts.append(Prompt(text, described, seed))
    return prompts


def look(
    recogniser: Recogniser, clips: Sequence[NDArray[np.uint8]], prompts: Sequence[Prompt]
) -> Seen:
    """Measure clips (T, H, W, 3) of prompts."""
    rows = []
    for frames, prompt in zip(clips, prompts, strict=True):
        masks = recogniser.look(frames).masks
        track = track_subject(frames, masks)
        seen = np.isfinite(track.x)
        x, y, size = (
            float(np.median(values[seen])) if seen.any() else math.nan
            for values in (track.x, track.y, track.size)
        )
        open_hue = prompt.described.background in PATTERNS
        hue = hue_of(frames[0], masks[0]) if open_hue else math.nan
        rows.append((hue, x, y, math.log2(size) if size > 0 else math.nan))
    return Seen(*np.array(rows, dtype=np.float64).T)


def hue_of(frame: NDArray[np.uint8], mask: NDArray[np.float32]) -> float:
    """A pattern's hue in radians, from a frame (H, W, 3) and its subject's outline.

    The direction of the mean chroma of what is not the subject: both tones of a pattern have one
    hue.
    """
    height, width = frame.shape[:2]
    outline = cv2.resize(np.asarray(mask, np.float32), (width, height))
    grown = cv2.dilate(outline, np.ones((5, 5), np.uint8)) > 0.2
    outside = frame[~grown] if not grown.all() else frame.reshape(-1, 3)
    red, green, blue = (outside.astype(np.float64).mean(0)).tolist()
    return math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue) % math.tau


def sixths(hue: Floats) -> list[int]:
    """How many hues are nearest to each of :data:`HUES`."""
    known = hue[np.isfinite(hue)]
    return np.bincount(np.rint(known / (math.tau / 6)).astype(int) % 6, minlength=6).tolist()


def alike(hue: Floats) -> float:
    """Mean resultant length of directions: 1 if all are one, towards 0 if they are even.

    Mardia & Jupp 2000, *Directional Statistics*, section 2.3. Of N even ones it is about
    0.9 / √N.
    """
    return float(abs(np.exp(1j * hue[np.isfinite(hue)]).mean()))


def deviation(values: Floats) -> float:
    """Standard deviation of those that are known."""
    return float(np.nanstd(values, ddof=1))


def told(measure: Callable[[Floats], float], values: Floats) -> str:
    """A measure with its percentile bootstrap interval over clips, 95 %."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return "–"
    picks = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.quantile([measure(known[pick]) for pick in picks], (0.025, 0.975))
    return spread(measure(known), float(low), float(high))


def make_table(rows: dict[str, Seen]) -> Table:
    """One row for each kind of clips."""
    cells = [
        [
            title,
            " ".join(str(count) for count in sixths(seen.hue))
            if np.isfinite(seen.hue).any()
            else "–",
            told(alike, seen.hue),
            *(told(deviation, values) for values in (seen.x, seen.y, seen.size)),
        ]
        for title, seen in rows.items()
    ]
    count = len(next(iter(rows.values())).hue)
    return Table(
        "Variety: what prompts leave open, over seeds",
        [
            "clips",
            f"hues: {', '.join(HUES)}",
            "hues alike",
            "places across",
            "places down",
            "sizes",
        ],
        cells,
        (
            f"subjects standing still before patterns, n = {count}, each prompt with a seed of its "
            "own; hues of the patterns, and their mean resultant length (0: even, 1: all alike; "
            f"{0.9 / math.sqrt(count):.2f} is what so many even ones have); standard deviations of "
            "places in frame sides and of sizes in octaves; intervals: bootstrap over clips, 95 %",
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
