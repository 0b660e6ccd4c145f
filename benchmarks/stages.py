"""Do the bridge and the refiner beat their stand-ins? Run with ``python -m benchmarks.stages``.

Truth is rendered at every stage's own size and rate, or taken from real videos (``--videos``); a
stage is given the truth of the stage before it, averaged down, and adds the spec's noise
augmentation to it; its stand-in gets the same input without noise. See ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common import RESULTS, in_one_sentence, save_result
from benchmarks.comparisons import TRUTH, Comparison, make_tables
from benchmarks.intervals import LEAST_CLIPS, sources
from benchmarks.judging import composite_flicker
from benchmarks.standins import bicubic, blend, flow_warp
from benchmarks.truths import Truth, drawn_truths, real_truths
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import key_of
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import resize
from vidcascade.data.fetch import cache_folder, has_stickers
from vidcascade.errors import UsageError
from vidcascade.metrics.fidelity import gradient_sharpness, psnr, ssim
from vidcascade.metrics.flicker import mean_absolute_difference, warping_error
from vidcascade.nn.lpips import LPIPS
from vidcascade.training.dataset import to_video

LPIPS_WEIGHTS = Path(__file__).parents[2] / "shared" / "data" / "lpips_alex.safetensors"


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--videos", type=Path, metavar="FOLDER",
                        help="real clips instead of drawn ones, one from each video")  # fmt: skip
    add_options(parser)
    args = parser.parse_args(arguments)
    pipeline = VidCascadePipeline.from_pretrained(args.weights)
    run(pipeline, args)
    return 0


def run(pipeline: VidCascadePipeline, args: argparse.Namespace) -> None:
    """The whole benchmark on a loaded pipeline of base, bridge and refiner."""
    spec = pipeline.spec
    real = args.videos is not None
    # Real clips may be of few sources anyway: their tables say what these are enough for.
    least = 2 if real else LEAST_CLIPS
    check(spec, args.clips, least)
    pipeline.set_progress_bar_config(disable=True)
    began = time.monotonic()
    lpips = LPIPS(args.lpips) if args.lpips.is_file() else None
    judge = Judge(lpips, args.lpips_every)
    truths = real_truths(spec, args.videos, args.clips) if real else drawn_truths(spec, args.clips)
    comparisons = _comparisons(pipeline, "real" if real else "held-out")
    captions = []
    for truth in truths:
        _one_clip(pipeline, truth, judge, comparisons)
        captions.append(truth.title)
        print(f"\rclip {len(captions)} of {args.clips}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    check(spec, len(captions), least)
    for comparison in comparisons:
        comparison.sources = sources(captions) if real else None
    tables = [table for c in comparisons for table in make_tables(c)]
    for table in tables:
        table.show()
    seconds = round(time.monotonic() - began, 1)
    title = "Bridge and refiner against their stand-ins"
    save_result(
        "stages_real" if real else "stages",
        f"{title}, on real videos" if real else title,
        f"python -m benchmarks.stages --clips {args.clips}{' --videos FOLDER' if real else ''}",
        {
            "weights": Path(args.weights).name,
            "weight_hashes": pipeline.weight_hashes,
            "clips": len(captions),
            **({} if real else {"stickers": has_stickers(cache_folder())}),
            "lpips": lpips is not None,
            "lpips_every": args.lpips_every,
            "steps": {stage.name: stage.steps for stage in spec.stages},
            "noise_augmentation": {s.name: s.noise_augmentation for s in spec.stages[1:]},
            "smoothing": spec.stages[2].smoothing.strength,
            "seconds": seconds,
        },
        tables,
        {
            "captions": captions,
            **({"sources": sources(captions)} if real else {}),
            **{c.stage: c.plain() for c in comparisons},
        },
        args.results,
    )
    if lpips is None:
        print(f"LPIPS left out: there are no weights at {args.lpips}")
    print(f"{seconds:.0f} s")


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many clips, which measures of them, and where to."""
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--lpips", type=Path, default=LPIPS_WEIGHTS,
                        help="AlexNet LPIPS weights; without them no such column")  # fmt: skip
    parser.add_argument("--lpips-every", type=int, default=3, help="LPIPS takes every n-th frame")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")


def check(spec: CascadeSpec, clips: int, least: int = LEAST_CLIPS) -> None:
    """Refuse cascades of other stages, and too few clips.

    Raises:
        UsageError: either.
    """
    if [stage.kind for stage in spec.stages] != ["base", "bridge", "refiner"]:
        raise UsageError("This benchmark is for cascades of one base, one bridge, one refiner.")
    if clips < least:
        raise UsageError(f"This benchmark needs at least {least} clips, not {clips}.")


def _comparisons(pipeline: VidCascadePipeline, clips: str) -> list[Comparison]:
    _, bridge, refiner = pipeline.spec.stages
    return [
        Comparison(
            f"The bridge, to {bridge.frames} × {bridge.size}²",
            "bridge",
            ("blending + bicubic", "DIS warp + bicubic"),
            "input: the true clip at the base's size and rate, averaged down",
            clips,
        ),
        Comparison(
            f"The refiner, to {refiner.frames} × {refiner.size}²",
            "refiner",
            ("bicubic",),
            "input: the true clip at the bridge's size, averaged down",
            clips,
        ),
        Comparison(
            f"Bridge and refiner together, to {refiner.frames} × {refiner.size}²",
            "bridge + refiner",
            ("blending + bicubic", "DIS warp + bicubic", "bridge + bicubic"),
            "input: the true clip at the base's size and rate; the refiner gets the bridge's own "
            "output",
            clips,
        ),
    ]


def _one_clip(
    pipeline: VidCascadePipeline, truth: Truth, judge: Judge, comparisons: list[Comparison]
) -> None:
    base, bridge, refiner = pipeline.spec.stages
    each = 2**bridge.rounds
    key = key_of(torch.Generator().manual_seed(truth.seed))
    low = resize(to_video(truth.small)[:, ::each], base.size, "area")
    middle = resize(to_video(truth.large), bridge.size, "area")

    def go_on(after: str, video: Tensor) -> dict[str, StageResult]:
        given = StageResult(after, video, [truth.prompt], [""], [key])
        made = pipeline(start_from=given, output_type="pt")
        assert isinstance(made, CascadeOutput)
        return made.stages

    whole = go_on(base.name, low)
    made = whole[bridge.name].video
    refined = go_on(bridge.name, middle)[refiner.name].video
    blended, warped = blend(low, bridge), flow_warp(low, bridge)
    outputs: list[tuple[NDArray[np.uint8], dict[str, Tensor]]] = [
        (truth.small, {
            "blending + bicubic": blended, "DIS warp + bicubic": warped, "bridge": made,
        }),
        (truth.large, {"bicubic": bicubic(middle, refiner.size), "refiner": refined}),
        (truth.large, {
            "blending + bicubic": bicubic(blended, refiner.size),
            "DIS warp + bicubic": bicubic(warped, refiner.size),
            "bridge + bicubic": bicubic(made, refiner.size),
            "bridge + refiner": whole[refiner.name].video,
        }),
    ]  # fmt: skip
    for comparison, (answer, videos) in zip(comparisons, outputs, strict=True):
        known = each if comparison.stage != "refiner" else 1
        for name, video in videos.items():
            comparison.add(name, judge(to_pixels(video), truth.rate, answer, known))
        comparison.add(TRUTH, judge(answer, truth.rate, None, known))


class Judge:
    """All measures of one clip."""

    def __init__(self, lpips: LPIPS | None, every: int) -> None:
        # An even step would only ever meet the known frames of a bridge.
        if every % 2 == 0:
            raise UsageError(f"--lpips-every must be odd, and {every} is not.")
        self.lpips, self.every = lpips, every

    def __call__(
        self, frames: NDArray[np.uint8], rate: float, truth: NDArray[np.uint8] | None, known: int
    ) -> dict[str, float]:
        """Frames (T, H, W, 3) at ``rate`` per second against the truth; None for the truth itself.

        Every ``known``-th frame was given to the stage; 1 is all of them.
        """
        found = {
            "flicker": composite_flicker(frames, rate),
            "warping": 1000 * warping_error(frames),
            "change": mean_absolute_difference(frames),
            "sharpness": float(gradient_sharpness(frames).mean()),
        }
        if truth is None:
            return found
        # Over a clip the squared errors are averaged, not the decibels: one perfect frame would
        # otherwise make the mean infinite.
        found["psnr"] = float(psnr(frames.reshape(1, -1, *frames.shape[2:]),
                                   truth.reshape(1, -1, *truth.shape[2:]))[0])  # fmt: skip
        found["ssim"] = float(ssim(frames, truth).mean())
        if known > 1:
            # The slots after the last known frame are extrapolated, not in between.
            between = [k for k in range(len(frames) - known + 1) if k % known]
            a, b = frames[between], truth[between]
            flat = (1, -1, *a.shape[2:])
            found["missing"] = float(psnr(a.reshape(flat), b.reshape(flat))[0])
        if self.lpips is not None:
            with torch.no_grad():
                a_some, b_some = (to_video(v[:: self.every])[0] for v in (frames, truth))
                found["lpips"] = float(self.lpips(a_some, b_some).mean())
        return found


def to_pixels(video: Tensor) -> NDArray[np.uint8]:
    """(1, T, 3, H, W) in [-1, 1] → (T, H, W, 3) uint8."""
    unit = (video[0].float() / 2 + 0.5).clamp(0, 1)
    return (unit.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
