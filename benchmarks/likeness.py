"""Do clips look like the world's? ``python -m benchmarks.likeness --lpips FILE``.

Adherence asks whether a subject can be recognised; this asks how far what was drawn is from what
the world draws. Generated and true clips of the same descriptions are compared as two sets (kernel
distance of AlexNet features, :mod:`vidcascade.metrics.likeness`), whole pictures and the outlined
subjects apart, of the base's clips and of the whole cascade's. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.adherence import HELD_OUT, add_lessons, get_recogniser
from benchmarks.common import RESULTS, Table, in_one_sentence, save_result
from benchmarks.distillation import LPIPS_WEIGHTS
from benchmarks.prompts import Prompt, world_prompts
from vidcascade.cascade.frames import CascadeOutput, to_output
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of
from vidcascade.data.stickers import StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.metrics.fidelity import LPIPS
from vidcascade.metrics.likeness import kernel_distance_interval
from vidcascade.metrics.statistics import Interval

SIDE = 128  # at which AlexNet looks, pictures and subjects alike
FRAMES = 4  # of each clip, evenly from the first to the last
MARGIN = 0.15  # about an outlined subject, of its side
BLURS = (0.75, 1.5)  # σ of the blurred truth in pixels of the base's frames
Pictures = NDArray[np.uint8]


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
    chosen = {"bundled" if args.weights == "stickers" else "weights": args.weights}
    for text in args.also:
        name, equals, folder = text.partition("=")
        if not equals or name in chosen:
            raise UsageError(f"--also {text!r}: give it a name of its own, like old=FOLDER.")
        chosen[name] = folder
    eye = LPIPS(args.lpips)
    first = VidCascadePipeline.from_pretrained(args.weights)
    if first.spec.world is None:
        raise UsageError("These weights were trained on clips, not on the world: nothing to ask.")
    world, duration = StickerWorld(first.spec.world), first.spec.stages[0].frames / first.spec.fps
    lessons = Lessons(scenes=args.scenes, steps=args.lessons)
    recogniser = get_recogniser(world, args.run, lessons, duration)
    prompts = world_prompts(world, world.testing_split, args.clips, HELD_OUT)
    sizes = [first.spec.stages[0].size, first.spec.stages[-1].size]
    times = [k / first.spec.fps for k in places(first.spec.stages[0].frames)]
    truth = {size: drawn(world, prompts, size, times, duration, 0) for size in sizes}
    known = {size: look(eye, recogniser, clips) for size, clips in truth.items()}
    rows: list[tuple[str, str, int, list[NDArray[np.float64]]]] = []
    small = sizes[0]
    other = drawn(world, prompts, small, times, duration, 1)
    rows.append(("the truth, drawn anew", "base", small, look(eye, recogniser, other)))
    for blur in BLURS:
        blurred = [np.stack([cv2.GaussianBlur(f, (0, 0), blur) for f in c]) for c in other]
        name = f"the truth, blurred by {blur:g} pixels"
        rows.append((name, "base", small, look(eye, recogniser, blurred)))
    hashes = {}
    for name, folder in chosen.items():
        for teacher in (False, True)[: 1 + args.teachers]:
            pipeline = VidCascadePipeline.from_pretrained(folder, teacher=teacher)
            distilled = pipeline.spec.stages[0].distilled
            if teacher and pipeline.spec.stages[0].student is None:
                continue  # it was measured already
            hashes[name] = pipeline.weight_hashes
            title = f"{name}, student" if distilled else f"{name}, teacher"
            for stage, size, clips in generate(pipeline, prompts, args.batch, title):
                rows.append((title, stage, size, look(eye, recogniser, clips)))
    table, data = make_table(rows, known)
    table.show()
    command = f"python -m benchmarks.likeness --clips {args.clips}"
    command += "".join(f" --also {name}=FOLDER" for name in list(chosen)[1:])
    settings = {
        "weights": Path(args.weights).name,
        "weight_hashes": hashes.pop(next(iter(chosen))),
        "others": hashes,
        "stickers": world.has_stickers,
        "lessons": asdict(lessons),
    }
    command += " --teachers" if args.teachers else ""
    save_result("likeness", "Likeness to the world", command, settings, [table], data, args.results)


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
) -> list[tuple[str, int, list[Pictures]]]:
    """The base's clips and the whole cascade's, the chosen frames alone, with their sides."""
    pipeline.set_progress_bar_config(disable=True)
    stages = [pipeline.spec.stages[0], pipeline.spec.stages[-1]]
    clips: list[list[Pictures]] = [[], []]
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
    return [(s.name, s.size, found) for s, found in zip(stages, clips, strict=True)]


def look(
    eye: LPIPS, recogniser: Recogniser, clips: Sequence[Pictures]
) -> list[NDArray[np.float64]]:
    """Features of whole pictures and of outlined subjects, (N, D) both: one row for each clip."""
    whole, subjects = [], []
    for frames in clips:
        masks = recogniser.look(frames).masks
        whole.append(features(eye, frames))
        subjects.append(features(eye, [cut(f, m) for f, m in zip(frames, masks, strict=True)]))
    return [np.stack(whole), np.stack(subjects)]


def features(eye: LPIPS, pictures: Sequence[Pictures] | Pictures) -> NDArray[np.float64]:
    """Mean over pictures and places of what AlexNet's layers see, each layer of unit size, (D,)."""
    sized = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for p in pictures]
    batch = torch.from_numpy(np.stack(sized)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        layers = eye.activations(batch)
    parts = []
    for layer in layers:
        unit = layer / layer.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)
        mean = unit.mean((0, 2, 3))
        parts.append(mean * mean.numel() ** 0.5)
    return torch.cat(parts).double().numpy()


def cut(frame: Pictures, mask: NDArray[np.float32]) -> Pictures:
    """The square about the outlined subject; the whole frame where nothing is outlined."""
    rows, columns = np.nonzero(mask > 0.5)
    if not len(rows):
        return frame
    scale = frame.shape[0] / mask.shape[0]
    top, bottom = rows.min() * scale, (rows.max() + 1) * scale
    left, right = columns.min() * scale, (columns.max() + 1) * scale
    side = max(bottom - top, right - left) * (1 + 2 * MARGIN)
    y, x = ((top + bottom) - side) / 2, ((left + right) - side) / 2
    edge = frame.shape[0]
    y0, x0 = (int(np.clip(v, 0, edge - 1)) for v in (y, x))
    y1, x1 = (int(np.clip(np.ceil(v + side), 1, edge)) for v in (y, x))
    return frame[y0:y1, x0:x1]


def make_table(
    rows: Sequence[tuple[str, str, int, list[NDArray[np.float64]]]],
    known: dict[int, list[NDArray[np.float64]]],
) -> tuple[Table, dict[str, Any]]:
    """The table, and its numbers."""
    cells, data = [], {}
    for title, stage, size, seen in rows:
        found = [kernel_distance_interval(*pair) for pair in zip(seen, known[size], strict=True)]
        cells.append([title, f"{stage}, {size}²", *(_said(interval) for interval in found)])
        data[f"{title}, {stage}"] = {
            name: list(i) for name, i in zip(("picture", "subject"), found, strict=True)
        }
    table = Table(
        "Likeness to the world: kernel distance × 1000 to true clips (0: alike)",
        ["clips", "stage", "whole picture", "subject"],
        cells,
        (
            f"of held-out combinations, n = {len(rows[0][3][0])} clips, {FRAMES} frames of "
            f"each; AlexNet's five layers (LPIPS's trunk) at {SIDE}², subjects cut out by their "
            "outline; intervals: subsampling, 95 %",
        ),
    )
    return table, data


def _said(interval: Interval) -> str:
    mean, low, high = (1000 * value for value in interval)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
