"""Do captions bring the clips they were learnt with? ``python -m benchmarks.captioned FOLDER``.

For weights that were trained on a folder of captioned videos: a base's clip for each caption is
compared with stretches of all of the videos, and should be nearest to one of its own. Of drawn
worlds, ``benchmarks.adherence`` asks more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import RESULTS, Table, in_one_sentence, percent, save_result, save_sheet
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.folder import Entry, VideoFolder, frame_numbers, frame_times, read_square
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.scores import wilson

FIRST = 899_000_000  # seed of the first sample
SIDE = 32  # clips are compared at this size, where a slight shift of an outline does not count
PLACES = 13  # stretches of each video, from its beginning to its end
SHEET_CLIPS = 16
Clip = NDArray[np.uint8]


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="videos with metadata.jsonl")
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--teacher", action="store_true",
                        help="ask teachers, not their students")  # fmt: skip
    parser.add_argument("--each", type=int, default=2, help="samples for each caption")
    parser.add_argument("--batch", type=int, default=4, help="clips sampled together")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    pipeline = VidCascadePipeline.from_pretrained(args.weights, teacher=args.teacher)
    run(pipeline, args)
    return 0


def run(pipeline: VidCascadePipeline, args: argparse.Namespace) -> None:
    """The whole benchmark on a loaded pipeline."""
    spec, base = pipeline.spec, pipeline.spec.stages[0]
    folder = VideoFolder(args.folder, base.frames)
    captions = list(dict.fromkeys(entry.caption for entry in folder.entries))
    if len(captions) < 2 or args.each < 1:
        raise UsageError("Nearest among one is no answer: two captions, and --each 1, are needed.")
    pipeline.set_progress_bar_config(disable=True)
    known = [(e.caption, stretches(spec, e)) for e in folder.entries]
    asked = [caption for caption in captions for _ in range(args.each)]
    made = generate(pipeline, asked, args.batch)
    found = [nearest(clip, known) for clip in made]
    # True stretches that lie between those that they are compared with, in the same test.
    between = [stretches(spec, e, (np.arange(args.each) + 0.5) / PLACES) for e in folder.entries]
    true = [(e.caption, nearest(c, known)) for e, s in zip(folder.entries, between, strict=True)
            for c in s]  # fmt: skip
    table = make_table(asked, found, true)
    table.show()
    command = f"python -m benchmarks.captioned FOLDER --each {args.each}"
    save_result(
        "captioned_teacher" if args.teacher else "captioned",
        "Captioned clips that were learnt",
        command + (" --teacher" if args.teacher else ""),
        {
            "weights": Path(args.weights).name,
            "weight_hashes": pipeline.weight_hashes,
            "student": base.distilled,
            "captions": len(captions),
        },
        [table],
        {"asked": asked, "found": [list(f) for f in found], "true": [[c, *f] for c, f in true]},
        args.results,
    )
    first = made[:: args.each][:SHEET_CLIPS]
    name = "captioned_teacher.png" if args.teacher else "captioned.png"
    labels = [f"{c}  [nearest: {f[0]}]" for c, f in zip(captions, found[:: args.each], strict=True)]
    save_sheet(args.results / name, first, labels[:SHEET_CLIPS])


def stretches(
    spec: CascadeSpec, entry: Entry, places: Sequence[float] | NDArray[np.float64] | None = None
) -> list[Clip]:
    """Parts of a video as the base is trained on them, (T, SIDE, SIDE, 3) each."""
    frames, rate = spec.stages[0].frames, spec.fps
    times = [k / rate for k in range(frames)]
    shown = frame_times(entry.path)
    return [
        read_square(entry.path, frame_numbers(shown, times, rate, frames, float(place)), SIDE)
        for place in (np.linspace(0, 1, PLACES) if places is None else places)
    ]


def generate(pipeline: VidCascadePipeline, captions: Sequence[str], batch: int) -> list[Clip]:
    """The base's clip for each caption, (T, H, W, 3)."""
    clips: list[Clip] = []
    stage = pipeline.spec.stages[0].name
    for begin in range(0, len(captions), batch):
        part = list(captions[begin : begin + batch])
        seeds = range(FIRST + begin, FIRST + begin + len(part))
        result = pipeline(
            part,
            keys=[key_of(torch.Generator().manual_seed(seed)) for seed in seeds],
            stop_after=stage,
            output_type="np",
            batch_size=batch,
        )
        assert isinstance(result, CascadeOutput)
        clips += [(video * 255).round().astype(np.uint8) for video in result.frames]
        print(f"\r{len(clips)} of {len(captions)}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return clips


def nearest(clip: Clip, known: Sequence[tuple[str, Sequence[Clip]]]) -> tuple[str, float]:
    """The caption of the video that has the nearest stretch, and the PSNR to it in dB."""
    side = (SIDE, SIDE)
    small = np.stack([cv2.resize(frame, side, interpolation=cv2.INTER_AREA) for frame in clip])
    errors = [
        min(float(np.square(small.astype(np.float32) - part).mean()) for part in parts)
        for _, parts in known
    ]
    best = int(np.argmin(errors))
    return known[best][0], float(10 * np.log10(255**2 / max(errors[best], 1e-3)))


def make_table(
    asked: Sequence[str],
    found: Sequence[tuple[str, float]],
    true: Sequence[tuple[str, tuple[str, float]]],
) -> Table:
    """How often the nearest clip is the caption's own, of samples and of the videos themselves."""
    rows = []
    compared = (
        ("generated", asked, found),
        ("other stretches of the videos", [c for c, _ in true], [f for _, f in true]),
    )
    for name, wanted, got in compared:
        right = sum(w == g for w, (g, _) in zip(wanted, got, strict=True))
        share, low, high = wilson(right, len(got))
        cell = f"{percent(share)} ({percent(low)} to {percent(high)}), n = {len(got)}"
        rows.append([name, cell, f"{np.median([p for _, p in got]):.1f}"])
    count = len(set(asked))
    return Table(
        "The nearest of the learnt videos",
        ["", "is the caption's own", "PSNR to the nearest, dB (median)"],
        rows,
        (
            f"by mean squared error at {SIDE} × {SIDE}, over {PLACES} stretches of each video; "
            f"chance: 1 in {count}; intervals: Wilson, 95 %",
        ),
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
