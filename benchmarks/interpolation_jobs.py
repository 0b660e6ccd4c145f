"""How long interpolation takes, and how much memory: ``python -m benchmarks.interpolation_jobs``.

One call of ``vidcascade.interpolate(first, second, times=[0.5])`` at the sizes that other tools'
times are known for, and whole files through the command line, each in a process of its own: memory
must not grow with the length of a clip. Files are cut from ``--clip`` and made as long as told.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import RESULTS, Table, in_one_sentence, save_result
from benchmarks.generate import timed
from vidcascade.errors import UsageError
from vidcascade.interpolation import interpolate
from vidcascade.video.decoding import iterate, source_kind

CLIP = Path(__file__).parents[2] / "shared/data/film/big_buck_bunny_720p24.mp4"
CALLS = ((640, 480), (256, 256), (128, 128))
FILE = (640, 360)
_APART = 3  # frames between the two of a call


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, default=CLIP, help="where pictures come from")
    parser.add_argument("--first", type=int, default=6000, help="its frame to begin with")
    parser.add_argument("--seconds", default="10,600", help="lengths of the files, by comma")
    parser.add_argument("--fps", type=int, default=24, help="their frame rate")
    parser.add_argument("--factor", type=int, default=2)
    parser.add_argument("--quality", default="balanced", help="of the files")
    parser.add_argument("--qualities", default="fast,balanced,best", help="of the calls")
    parser.add_argument("--calls", type=int, default=9, help="of each size, after one to warm up")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if not args.clip.exists():
        print(f"left out: there is no clip at {args.clip}; give one with --clip")
        return 0
    calls, seconds = _calls(args)
    calls.show()
    files, values = _files(args)
    files.show()
    save_result(
        "interpolation_jobs",
        "Frame interpolation: time and memory",
        f"python -m benchmarks.interpolation_jobs --seconds {args.seconds} --fps {args.fps}",
        {
            "clip": args.clip.name,
            "first": args.first,
            "fps": args.fps,
            "factor": args.factor,
            "quality": args.quality,
            "calls": args.calls,
        },
        [calls, files],
        {"calls": seconds, "files": values},
        args.results,
    )
    return 0


def _pictures(clip: Path, first: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Frames from ``first`` on, brought to a size (width, height), over and over."""
    found = True
    while found:
        found = False
        for timed_frame in itertools.islice(iterate(clip, source_kind(clip)), first, None):
            frame = cv2.resize(timed_frame.pixels, size, interpolation=cv2.INTER_AREA)
            found = True
            yield np.asarray(frame, dtype=np.uint8)
    raise UsageError(f"{clip} ends before frame {first}: choose an earlier --first.")


def _calls(args: argparse.Namespace) -> tuple[Table, dict[str, dict[str, float]]]:
    """Processor seconds of one frame, the median of several calls."""
    seconds: dict[str, dict[str, float]] = {}
    needed = args.calls + 1 + _APART
    for size in CALLS:
        frames = list(itertools.islice(_pictures(args.clip, args.first, size), needed))
        for quality in args.qualities.split(","):
            taken = []
            for one, two in zip(frames, frames[_APART:], strict=False):
                began = time.process_time()
                interpolate(one, two, times=[0.5], quality=quality)
                taken.append(time.process_time() - began)
            seconds.setdefault(quality, {})[f"{size[0]} x {size[1]}"] = float(np.median(taken[1:]))
    rows = [
        [quality, *(f"{value:.3f}" for value in found.values())]
        for quality, found in seconds.items()
    ]
    columns = ["quality", *next(iter(seconds.values()))]
    title = "Processor seconds for one frame, interpolate(first, second, times=[0.5])"
    return Table(title, columns, rows, (f"median of {args.calls} calls",)), seconds


def _files(args: argparse.Namespace) -> tuple[Table, list[dict[str, float]]]:
    """Whole files through the command line."""
    rows, values = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seconds in (int(part) for part in args.seconds.split(",")):
            clip, out = folder / f"{seconds}.mp4", folder / f"{seconds}-out.mp4"
            count = seconds * args.fps
            _write(clip, _pictures(args.clip, args.first, FILE), count, args.fps)
            command = [
                sys.executable, "-m", "vidcascade", "interpolate", str(clip), str(out), "--factor",
                str(args.factor), "--quality", args.quality,
            ]  # fmt: skip
            ran = timed(command)
            made = count * args.factor
            values.append(
                {"seconds": seconds, "frames": count, "peak": ran.peak, "wall": ran.wall,
                 "processor": ran.processor}
            )  # fmt: skip
            rows.append(
                [f"{seconds} s, {count} frames", f"{ran.peak / 2**30:.2f}",
                 f"{made / ran.wall:.1f}", f"{made / ran.processor:.1f}"]
            )  # fmt: skip
            out.unlink()
            clip.unlink()
    title = f"{FILE[0]} x {FILE[1]}, factor {args.factor}, {args.quality}, a process for each file"
    columns = ["length", "peak memory, GiB", "output frames/s", "output frames per CPU second"]
    return Table(title, columns, rows, ("with the start of the process",)), values


def _write(path: Path, frames: Iterator[NDArray[np.uint8]], count: int, fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height = FILE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "18"}
        for pixels in itertools.islice(frames, count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    raise SystemExit(main())
