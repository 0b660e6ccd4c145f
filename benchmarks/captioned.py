"""Do captions bring the clips they were learnt with? ``python -m benchmarks.captioned FOLDER``.

For weights that were trained on a folder of captioned videos: a base's clip for each caption is
compared with stretches of all of the videos, and should be nearest to one of its own. Of drawn
worlds, ``benchmarks.adherence`` asks more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.adherence import sample
from benchmarks.common import RESULTS, Table, in_one_sentence, percent, save_result, save_sheet
from vidcascade.cascade.pipeline import VidCascadePipeline
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
    for name, flaw in folder.skipped:
        print(f"{name} is left out: {flaw}", file=sys.stderr)
    known = [(entry.caption, stretches(spec, entry)) for entry in folder.entries]
    asked = [caption for caption in captions for _ in range(args.each)]
    seeded = [(caption, FIRST + number) for number, caption in enumerate(asked)]
    made = sample(pipeline, seeded, base.name, args.batch, "captions")
    found = [compare(clip, caption, known) for clip, caption in zip(made, asked, strict=True)]
    true = [compare(part, caption, known).other for caption, parts in known for part in parts]
    table = make_table(found, true, len(captions))
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
            "videos": len(folder.entries),
            "left out": len(folder.skipped),
        },
        [table],
        {"captions": captions, "found": [asdict(f) for f in found], "true": true},
        args.results,
    )
    first = slice(None, SHEET_CLIPS * args.each, args.each)
    name = "captioned_teacher.png" if args.teacher else "captioned.png"
    labels = [f"{f.caption}  [nearest: {f.nearest}]" for f in found[first]]
    save_sheet(args.results / name, made[first], labels)


def stretches(spec: CascadeSpec, entry: Entry) -> list[Clip]:
    """Parts of a video as the base is trained on them, (T, SIDE, SIDE, 3) each."""
    frames, rate = spec.stages[0].frames, spec.fps
    times = [k / rate for k in range(frames)]
    shown = frame_times(entry.path)
    return [
        read_square(entry.path, frame_numbers(shown, times, rate, frames, place), SIDE)
        for place in np.linspace(0, 1, PLACES).tolist()
    ]


@dataclass(frozen=True)
class Found:
    """What a clip for a caption resembles; PSNR in dB, to the nearest stretch.

    Attributes:
        caption: that was asked for.
        nearest: caption of the nearest video of all.
        own: PSNR to videos of the caption.
        other: to all others.
    """

    caption: str
    nearest: str
    own: float
    other: float


def compare(clip: Clip, caption: str, known: Sequence[tuple[str, Sequence[Clip]]]) -> Found:
    """Compare a clip (T, H, W, 3) for a caption with the stretches of all videos."""
    side = (SIDE, SIDE)
    small = np.stack([cv2.resize(frame, side, interpolation=cv2.INTER_AREA) for frame in clip])
    errors = {
        place: min(float(np.square(small.astype(np.float32) - part).mean()) for part in parts)
        for place, (_, parts) in enumerate(known)
    }
    psnr = {k: float(10 * np.log10(255**2 / max(error, 1e-3))) for k, error in errors.items()}
    return Found(
        caption,
        known[max(psnr, key=lambda k: psnr[k])][0],
        max(value for k, value in psnr.items() if known[k][0] == caption),
        max(value for k, value in psnr.items() if known[k][0] != caption),
    )


def make_table(found: Sequence[Found], true: Sequence[float], captions: int) -> Table:
    """How often the nearest video is the caption's own, and how near the videos are themselves."""
    share, low, high = wilson(sum(f.nearest == f.caption for f in found), len(found))
    own, other, apart = (
        f"{np.median(values):.1f}"
        for values in ([f.own for f in found], [f.other for f in found], true)
    )
    return Table(
        "The nearest of the learnt videos",
        ["", "is the caption's own", "PSNR to its own, dB", "PSNR to the nearest other, dB"],
        [
            [
                "generated",
                f"{percent(share)} ({percent(low)} to {percent(high)}), n = {len(found)}",
                own,
                other,
            ],
            ["the videos themselves", "–", "–", apart],
        ],
        (
            f"by mean squared error at {SIDE} × {SIDE}, over {PLACES} stretches of each video; "
            f"PSNR: medians; chance: 1 in {captions}; interval: Wilson, 95 %",
        ),
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(main())
