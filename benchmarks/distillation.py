"""What do few steps cost? ``python -m benchmarks.distillation``.

The teacher at several numbers of steps and its students, on the same held-out prompts and the same
noise: adherence, distance to the teacher's clips in full, sharpness and seconds. See
``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.adherence import ASKED, HELD_OUT, add_lessons, get_recogniser, short_share
from benchmarks.common import RESULTS, Table, in_one_sentence, named_paths, save_result
from benchmarks.prompts import Prompt, world_prompts
from benchmarks.stages import LPIPS_WEIGHTS
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of, schedule_of
from vidcascade.cascade.settings import Settings, with_settings
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import STUDENT_FILE, merge_student, with_students
from vidcascade.cascade.weights import resolve_weights
from vidcascade.data.stickers import StickerWorld
from vidcascade.diffusion.guidance import Guidance
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import Judgement, judge, share_right
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.metrics.fidelity import gradient_sharpness, psnr
from vidcascade.nn.lpips import LPIPS

Clips = list[NDArray[np.uint8]]
TEACHER = "teacher"


@dataclass(frozen=True)
class Point:
    """One sampler at one number of steps.

    Attributes:
        name: of the sampler, and its ``steps``.
        passes: of the network for a clip.
        seconds: of the base for each clip.
        judgements: of each clip.
        psnr: of each clip against the teacher's in full, dB; infinite for the same clip.
        lpips: the same distance, or None without its weights.
        sharpness: mean gradient magnitude of each clip, grey levels a pixel.
    """

    name: str
    steps: int
    passes: int
    seconds: list[float]
    judgements: list[Judgement]
    psnr: list[float]
    lpips: list[float] | None
    sharpness: list[float]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--student", action="append", metavar="NAME=FILE",
                        help="students to compare; repeatable [the weights' own]")  # fmt: skip
    parser.add_argument("--spec", help="spec that describes the students [the weights' own]")
    parser.add_argument("--clips", type=int, default=48, help="held-out combinations")
    parser.add_argument("--teacher-steps", type=_numbers, default=(4, 6, 10, 20),
                        metavar="N,N", help="the teacher's; the last is the reference")  # fmt: skip
    parser.add_argument("--student-steps", type=_numbers, default=(1, 2, 4),
                        metavar="N,N", help="steps of the students")  # fmt: skip
    add_lessons(parser)
    parser.add_argument("--run", type=Path, default=Path("runs/adherence"),
                        help="folder that keeps the recogniser between runs")  # fmt: skip
    parser.add_argument("--lpips", type=Path, default=LPIPS_WEIGHTS,
                        help="AlexNet LPIPS weights; without them no such column")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    run(args)
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(part) for part in text.split(",")))


def run(args: argparse.Namespace) -> None:
    """The whole benchmark."""
    folder = resolve_weights(args.weights)
    spec = CascadeSpec.load(args.spec or folder / "spec.yaml")
    if spec.world is None:
        raise UsageError("These weights were trained on clips, not on the world: nothing to ask.")
    base = spec.stages[0]
    if base.student is None:
        raise UsageError(f"{args.spec or args.weights} describes no student of {base.name}.")
    students = _students(args.student, folder / base.name / STUDENT_FILE)
    world = StickerWorld(spec.world)
    lessons = Lessons.for_world(world, args.scenes, args.lessons)
    recogniser = get_recogniser(world, args.run, lessons, base.frames / spec.fps)
    prompts = world_prompts(world, world.testing_split, args.clips, HELD_OUT)
    distance = LPIPS(args.lpips) if args.lpips.is_file() else None

    pipeline = VidCascadePipeline.from_pretrained(folder, spec=spec)
    hashes = pipeline.weight_hashes
    full, seconds = sample(pipeline, prompts, args.teacher_steps[-1])
    points = [measure(TEACHER, pipeline, args.teacher_steps[-1], full, seconds, full, prompts,
                      recogniser, distance)]  # fmt: skip
    for steps in args.teacher_steps[-2::-1]:
        clips, seconds = sample(pipeline, prompts, steps)
        points.insert(0, measure(TEACHER, pipeline, steps, clips, seconds, full, prompts,
                                 recogniser, distance))  # fmt: skip
    for name, file in students.items():
        pipeline = VidCascadePipeline.from_pretrained(folder, spec=spec)
        merge_student(getattr(pipeline, base.name), file, base.student)
        pipeline.spec = with_students(spec)
        for steps in args.student_steps:
            clips, seconds = sample(pipeline, prompts, steps)
            points.append(measure(name, pipeline, steps, clips, seconds, full, prompts,
                                  recogniser, distance))  # fmt: skip
    table = make_table(points, full, prompts, world, spec.fps, base.frames, base.size)
    table.show()
    command = f"python -m benchmarks.distillation --clips {args.clips}"
    command += f" --teacher-steps {_listed(args.teacher_steps)}"
    command += f" --student-steps {_listed(args.student_steps)}"
    command += "".join(f" --student {name}=FILE" for name in students if args.student)
    save_result(
        "distillation",
        "Few steps",
        command,
        {
            "weights": Path(args.weights).name,
            "weight_hashes": hashes,
            "student": base.student.model_dump(mode="json"),
            "students": list(students),
            "threads": torch.get_num_threads(),
        },
        [table],
        {f"{p.name} {p.steps}": _plain(p) for p in points},
        args.results,
    )
    plot(points, args.results / "distillation.png")


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)


def _students(given: list[str] | None, own: Path) -> dict[str, Path]:
    if not given:
        return {"student": own}
    return named_paths(given, "--student", "NAME=FILE", lambda name: name != TEACHER)


def sample(
    pipeline: VidCascadePipeline, prompts: list[Prompt], steps: int
) -> tuple[Clips, list[float]]:
    """The base's clips, (16, H, W, 3) uint8, one at a time, and the seconds of each."""
    pipeline.set_progress_bar_config(disable=True)
    base = pipeline.spec.stages[0].name
    clips, seconds = [], []
    for number, p in enumerate(prompts):
        began = time.perf_counter()
        key = key_of(torch.Generator().manual_seed(p.seed))
        result: Any = pipeline(
            p.text, keys=[key], num_inference_steps={base: steps}, stop_after=base, output_type="np"
        )
        seconds.append(time.perf_counter() - began)
        clips.append((result.frames[0] * 255).round().astype(np.uint8))
        print(f"\r{steps} steps: {number + 1} of {len(prompts)} ", end="", file=sys.stderr)
    print(file=sys.stderr)
    return clips, seconds


def measure(
    name: str,
    pipeline: VidCascadePipeline,
    steps: int,
    clips: Clips,
    seconds: list[float],
    full: Clips,
    prompts: list[Prompt],
    recogniser: Recogniser,
    distance: LPIPS | None,
) -> Point:
    """Judge the clips of one sampler."""
    stage = with_settings(pipeline.spec, Settings(steps=steps)).stages[0]
    guide = Guidance(stage.guidance.scale, *stage.guidance.interval)
    passes = sum(1 + guide.acts(sigma) for sigma in schedule_of(stage).sigmas)
    pairs = list(zip(clips, full, strict=True))
    return Point(
        name,
        steps,
        passes,
        seconds,
        [judge(recogniser, c, p.described, p.text) for c, p in zip(clips, prompts, strict=True)],
        [float(psnr(a.reshape(1, -1, a.shape[2], 3), b.reshape(1, -1, b.shape[2], 3))[0])
         for a, b in pairs],
        None if distance is None
        else [float(distance(_batch(a), _batch(b)).mean()) for a, b in pairs],
        [float(gradient_sharpness(c).mean()) for c in clips],
    )  # fmt: skip


def _batch(clip: NDArray[np.uint8]) -> torch.Tensor:
    """(T, H, W, 3) uint8 → (T, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1


def make_table(
    points: list[Point],
    full: Clips,
    prompts: list[Prompt],
    world: StickerWorld,
    fps: float,
    frames: int,
    size: int,
) -> Table:
    """All points, and the sharpness of the true clips beside them."""
    times = [k / fps for k in range(frames)]
    truth = [
        gradient_sharpness(
            world.render(world.scene(p.described, p.seed, frames / fps), size, times)
        )
        for p in prompts
    ]
    columns = ["sampler", "steps", "passes", "s per clip", *ASKED, "PSNR, dB"]
    if points[0].lpips is not None:
        columns.append("LPIPS")
    rows = []
    for p in points:
        same = not np.isfinite(p.psnr).any()
        row = [p.name, str(p.steps), str(p.passes), f"{np.median(p.seconds):.2f}"]
        row += [short_share(p.judgements, aspect) for aspect in ASKED]
        row.append("–" if same else f"{np.mean(p.psnr):.2f}")
        if p.lpips is not None:
            row.append("–" if same else f"{np.mean(p.lpips):.3f}")
        rows.append([*row, f"{np.mean(p.sharpness):.2f}"])
    return Table(
        "Few steps: teacher and students on held-out combinations",
        [*columns, "sharpness"],
        rows,
        (
            f"n = {len(prompts)} clips of the base; passes: of the network for one clip, guidance "
            "included; seconds: median",
            f"PSNR and LPIPS against the teacher's clip in full from the same noise; sharpness: "
            f"mean gradient, true clips {float(np.mean(truth)):.2f}",
            "recognised shares have Wilson's 95 % interval in brackets",
        ),
    )


def _plain(point: Point) -> dict[str, Any]:
    plain = asdict(point)
    plain["psnr"] = [v if np.isfinite(v) else None for v in point.psnr]
    return plain


def plot(points: list[Point], path: Path) -> None:
    """Adherence and sharpness against seconds, teacher and students in one picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(p.name for p in points):
        mine = [p for p in points if p.name == name]
        seconds = [float(np.median(p.seconds)) for p in mine]
        shares = [share_right(p.judgements, "everything") for p in mine]
        means = [100 * s[0][0] if s else float("nan") for s in shares]
        errors = [[100 * (s[0][0] - s[0][1]) if s else 0 for s in shares],
                  [100 * (s[0][2] - s[0][0]) if s else 0 for s in shares]]  # fmt: skip
        left.errorbar(seconds, means, errors, marker="o", capsize=3, label=name)
        right.plot(seconds, [np.mean(p.sharpness) for p in mine], marker="o", label=name)
        for x, y, p in zip(seconds, means, mine, strict=True):
            left.annotate(str(p.steps), (x, y), textcoords="offset points", xytext=(4, 4))
    for axes, what in ((left, "everything recognised, %"), (right, "sharpness, levels a pixel")):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("seconds of the base for a clip")
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
    left.set_ylim(0, 105)
    left.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
