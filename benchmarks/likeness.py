"""Do clips look like the world's? ``python -m benchmarks.likeness --lpips FILE``.

Adherence asks whether a subject can be recognised; this asks how far what was drawn is from what
the world draws. Generated and true clips of the same descriptions are compared as two sets (kernel
distance of AlexNet features, :mod:`vidcascade.metrics.likeness`), whole pictures and the outlined
subjects apart, and whole pictures by the recogniser's features as well, of the base's clips and of
the whole cascade's. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.adherence import HELD_OUT, add_lessons, get_recogniser
from benchmarks.common import RESULTS, Table, in_one_sentence, named_paths, save_result
from benchmarks.prompts import Prompt, world_prompts
from benchmarks.stages import LPIPS_WEIGHTS
from vidcascade.cascade.frames import CascadeOutput, to_output
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.weights import SPEC_FILE, resolve_weights
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser, frames_to_tensor
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.metrics.likeness import kernel_distance_interval
from vidcascade.metrics.statistics import Interval
from vidcascade.nn.lpips import LPIPS

SIDE = 128  # at which AlexNet looks, pictures and subjects alike
FRAMES = 4  # of each clip, evenly from the first to the last
MARGIN = 0.15  # about an outlined subject, of its side
BLURS = (0.75, 1.5)  # σ of the blurred truth in pixels of the base's frames
# What is compared: pictures and subjects as AlexNet sees them, and pictures as the recogniser does.
COLUMNS = {
    "picture": "whole picture",
    "subject": "subject",
    "recogniser": "whole picture, by the recogniser",
}
Pictures = NDArray[np.uint8]
Features = NDArray[np.float64]
Found = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Row:
    """Clips of one kind, as they are seen: features for each of the columns, (N, D)."""

    title: str
    stage: StageSpec
    seen: list[Features]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FOLDER",
                        help="other weights to compare; repeatable")  # fmt: skip
    parser.add_argument("--teachers", action="store_true", help="measure teachers as well")
    parser.add_argument("--clips", type=int, default=96, help="held-out combinations")
    parser.add_argument("--batch", type=int, default=1, help="clips sampled together")
    parser.add_argument("--lpips", type=Path, default=LPIPS_WEIGHTS, help="AlexNet LPIPS weights")
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/adherence"),
                        help="folder that keeps the recogniser between runs")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if args.clips < 4:
        raise UsageError("Sets of fewer than 4 clips cannot be compared: --clips.")
    run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """The whole benchmark."""
    chosen = {"weights": args.weights} if args.weights != "stickers" else {"bundled": "stickers"}
    chosen |= named_paths(args.also, "--also", "NAME=FOLDER", lambda name: name not in chosen)
    specs = {
        name: CascadeSpec.load(resolve_weights(folder) / SPEC_FILE)
        for name, folder in chosen.items()
    }
    first = next(iter(specs.values()))
    for name, spec in specs.items():
        if spec.world is None or shape(spec) != shape(first):
            raise UsageError(
                f"{name} cannot be compared: it needs a world to be asked about, and stages of "
                "the same sizes, frames and rate as the others."
            )
    assert first.world is not None
    eye = LPIPS(args.lpips)
    world, duration = StickerWorld(first.world), first.stages[0].frames / first.fps
    lessons = Lessons.for_world(world, args.scenes, args.lessons)
    recogniser = get_recogniser(world, args.run, lessons, duration)
    prompts = world_prompts(world, world.testing_split, args.clips, HELD_OUT)
    times = [k / first.fps for k in places(first.stages[0].frames)]
    known: dict[str, list[Features]] = {}
    rows: list[Row] = []
    for stage in ends(first):
        truth, anew = (drawn(world, prompts, stage.size, times, duration, turn) for turn in (0, 1))
        known[stage.name] = look(eye, recogniser, truth)
        rows.append(Row("the truth, drawn anew", stage, look(eye, recogniser, anew)))
        for blur in BLURS:
            sigma = blur * stage.size / first.stages[0].size
            blurred = [np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in c]) for c in anew]
            title = f"the truth, blurred by {blur:g} pixels of the base's"
            rows.append(Row(title, stage, look(eye, recogniser, blurred)))
    hashes: dict[str, dict[str, str]] = {}
    for name, folder in chosen.items():
        for teacher in (False, True)[: 1 + args.teachers]:
            if teacher and specs[name].stages[0].student is None:
                continue  # what there is was measured already
            pipeline = VidCascadePipeline.from_pretrained(folder, teacher=teacher)
            hashes[name] = pipeline.weight_hashes
            title = name
            if specs[name].stages[0].student is not None:
                title += ", teacher" if teacher else ", student"
            made = generate(pipeline, prompts, args.batch, title)
            rows += [
                Row(title, stage, look(eye, recogniser, clips))
                for stage, clips in zip(ends(first), made, strict=True)
            ]
    table, data = make_table(rows, known)
    table.show()
    command = f"python -m benchmarks.likeness --clips {args.clips}"
    command += "".join(f" --also {name}=FOLDER" for name in list(chosen)[1:])
    command += " --teachers" if args.teachers else ""
    settings = {
        "weights": Path(args.weights).name,
        "weight_hashes": hashes.pop(next(iter(chosen))),
        "others": hashes,
        "stickers": world.has_stickers,
        "lessons": asdict(lessons),
    }
    save_result("likeness", "Likeness to the world", command, settings, [table], data, args.results)


def ends(spec: CascadeSpec) -> list[StageSpec]:
    """The stages whose clips are looked at: the first and, if it is another one, the last."""
    return [spec.stages[0], *spec.stages[1:][-1:]]


def shape(spec: CascadeSpec) -> tuple[object, ...]:
    """What has to agree between weights that are compared."""
    return (spec.fps, *((s.name, s.frames, s.size) for s in ends(spec)))


def places(frames: int) -> list[int]:
    """Which frames of a base's clip are looked at."""
    return [round(k * (frames - 1) / (FRAMES - 1)) for k in range(FRAMES)]


def drawn(
    world: StickerWorld,
    prompts: Sequence[Prompt],
    size: int,
    times: Sequence[float],
    duration: float,
    turn: int,
) -> list[Pictures]:
    """True clips of the prompts' descriptions at these times; another ``turn`` draws others."""
    scenes = [world.scene(p.described, p.seed + turn * 10_000_000, duration) for p in prompts]
    return [world.render(scene, size, times) for scene in scenes]


def generate(
    pipeline: VidCascadePipeline, prompts: Sequence[Prompt], batch: int, name: str
) -> list[list[Pictures]]:
    """Clips of each of the :func:`ends`, the chosen frames alone."""
    pipeline.set_progress_bar_config(disable=True)
    stages = ends(pipeline.spec)
    clips: list[list[Pictures]] = [[] for _ in stages]
    for begin in range(0, len(prompts), batch):
        part = prompts[begin : begin + batch]
        result = pipeline(
            [p.text for p in part],
            keys=[key_of(torch.Generator().manual_seed(p.seed)) for p in part],
            batch_size=batch,
        )
        assert isinstance(result, CascadeOutput)
        for kept, stage in zip(clips, stages, strict=True):
            every = stage.frames // stages[0].frames
            numbers = [every * k for k in places(stages[0].frames)]
            chosen = result.stages[stage.name].video[:, numbers]
            kept.extend((to_output(chosen, "np") * 255).round().astype(np.uint8))
        print(f"\r  {name}: {len(clips[0])} of {len(prompts)}   ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return clips


def look(eye: LPIPS, recogniser: Recogniser, clips: Sequence[Pictures]) -> list[Features]:
    """Features for each of the :data:`COLUMNS`, (N, D) each: one row for each clip."""
    whole, subjects, recognised = [], [], []
    for frames in clips:
        masks = recogniser.look(frames).masks
        whole.append(features(eye, frames))
        subjects.append(features(eye, [cut(f, m) for f, m in zip(frames, masks, strict=True)]))
        recognised.append(own_features(recogniser, frames))
    return [np.stack(whole), np.stack(subjects), np.stack(recognised)]


def features(eye: LPIPS, pictures: Sequence[Pictures] | Pictures) -> Features:
    """Mean over pictures and places of what AlexNet's layers see, (D,).

    Each place's channels have unit length, as in LPIPS, and each layer counts alike in a product.
    """
    sized = [
        cv2.resize(
            p,
            (SIDE, SIDE),
            interpolation=cv2.INTER_AREA if p.shape[0] > SIDE else cv2.INTER_CUBIC,
        )
        for p in pictures
    ]
    batch = torch.from_numpy(np.stack(sized)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        return _joined(eye.activations(batch))


def own_features(recogniser: Recogniser, frames: Pictures) -> Features:
    """The same of what the recogniser's layers see, (D,), which never saw AlexNet."""
    x = frames_to_tensor(frames)
    layers = []
    with torch.no_grad():
        for part in (recogniser.at_half, recogniser.at_quarter, recogniser.at_eighth):
            x = part(x)
            layers.append(x)
        return _joined(layers)


def _joined(layers: Sequence[torch.Tensor]) -> Features:
    means = [F.normalize(layer, dim=1).mean((0, 2, 3)) for layer in layers]
    joined = torch.cat(means).double()
    return (joined * (len(joined) / len(layers)) ** 0.5).numpy()


def cut(frame: Pictures, mask: NDArray[np.float32]) -> Pictures:
    """The square about the outlined subject; the whole frame where nothing is outlined."""
    rows, columns = np.nonzero(mask > 0.5)
    if not len(rows):
        return frame
    edge = frame.shape[0]
    scale = edge / mask.shape[0]
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    side = min(edge, math.ceil(longest * scale * (1 + 2 * MARGIN)))
    top, left = (
        int(np.clip(round((v.min() + v.max() + 1) * scale / 2 - side / 2), 0, edge - side))
        for v in (rows, columns)
    )
    return frame[top : top + side, left : left + side]


def make_table(rows: Sequence[Row], known: dict[str, list[Features]]) -> tuple[Table, Found]:
    """The table, and its numbers."""
    cells, data = [], {}
    for row in rows:
        pairs = zip(row.seen, known[row.stage.name], strict=True)
        found = [kernel_distance_interval(a, b, paired=True) for a, b in pairs]
        stage = f"{row.stage.name}, {row.stage.size}²"
        cells.append([row.title, stage, *(_said(interval) for interval in found)])
        data[f"{row.title}, {row.stage.name}"] = {
            name: list(interval) for name, interval in zip(COLUMNS, found, strict=True)
        }
    table = Table(
        "Likeness to the world: kernel distance × 1000 to true clips (0: alike)",
        ["clips", "stage", *COLUMNS.values()],
        cells,
        (
            f"of held-out combinations, n = {len(rows[0].seen[0])} clips, {FRAMES} frames of each; "
            f"AlexNet's five layers (LPIPS's trunk) at {SIDE}²; subjects are cut out by their "
            "outline, frames without one are taken whole; intervals: subsampling, 95 %",
            "a student that was taught by LPIPS was taught by that very network, and not by the "
            "recogniser, which hardly minds a blur",
        ),
    )
    return table, data


def _said(interval: Interval) -> str:
    mean, low, high = (1000 * value for value in interval)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
