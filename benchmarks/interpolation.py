"""Ours against what people use, on the same frames: ``python -m benchmarks.interpolation``.

Of three frames of a clip, evenly spaced, the outer two are given and the middle one is the truth;
with ``--chunks``, the seven between two frames are. They come from ``--clips``: videos, folders of
them, or a part of one (``film.mp4:6000-7200``), that nothing was trained on. Other methods: frame
blending, DIS flow both ways warped and averaged, ffmpeg's ``minterpolate`` (``mi_mode=mci``) where
ffmpeg is found, and RIFE 4.6 where ``scripts/install_rife.py`` has put it. Ours is shown without
its network (``fast``) and with it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.common import RESULTS, Table, in_one_sentence, save_result
from benchmarks.interpolators import Given, Method, Picture, make_methods, recursive
from benchmarks.intervals import by_source, interval_note, told
from vidcascade.cascade.weights import file_hashes
from vidcascade.errors import UsageError
from vidcascade.interpolation.model import bundled_interpolator
from vidcascade.metrics.fidelity import gradient_sharpness, psnr, ssim
from vidcascade.nn.lpips import LPIPS

CLIPS = Path(__file__).parents[2] / "shared" / "data" / "clips"
RIFE = Path("runs/rife")
_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".mpg", ".avi"}
_STILL = 1.5  # levels of difference: below, there is no motion to get right
_CONTEXT = 1  # further frames on each side, which minterpolate looks at
_SEVEN = tuple(k / 8 for k in range(1, 8))


@dataclass(frozen=True)
class Sample:
    """Frames of one clip, ``(H, W, 3)`` uint8: what is given, and the truth at its times.

    ``clip`` is its file's name, with the range (``film.mp4:6000-7200``) where a part was asked for.
    """

    clip: str
    given: Given
    truth: tuple[Picture, ...]


MEASURES = (
    ("psnr", "PSNR, dB", 2),
    ("ssim", "SSIM", 4),
    ("lpips", "LPIPS", 4),
    ("flicker", "brightness at Nyquist, levels", 3),
    ("blur", "sharpness at Nyquist, %", 1),
    ("seconds", "CPU s per frame", 3),
)


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--clips", nargs="+", default=[str(CLIPS)],
        help="held-out videos, folders of them, or FILE:FIRST-LAST",
    )  # fmt: skip
    parser.add_argument("--each", type=int, default=4, help="triplets from each clip and step")
    parser.add_argument("--steps", default="1", help="frames from the truth to a neighbour")
    parser.add_argument("--sizes", default="full", help="full, or sides of square centre crops")
    parser.add_argument("--largest", type=int, default=640, help="full: long side, else reduced")
    parser.add_argument(
        "--chunks", type=int, default=0, help="8x: chunks from each clip, 256 x 256"
    )
    parser.add_argument("--lpips", type=Path, help="AlexNet LPIPS weights")
    parser.add_argument("--rife", type=Path, default=RIFE, help="folder of install_rife.py")
    parser.add_argument("--qualities", default="fast,balanced,best", help="ours, by comma")
    parser.add_argument("--weights", type=Path, help="other weights of our network, a folder")
    parser.add_argument("--name", default="interpolation", help="of the result")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if not any(_parts(name)[0].exists() for name in args.clips):
        print(f"left out: there are no clips at {args.clips[0]}; give some with --clips")
        return 0
    run(args)
    return 0


def run(args: argparse.Namespace) -> None:
    """Measure every method on every sample of every size."""
    steps = [int(step) for step in args.steps.split(",")]
    if args.each < 1 or min(steps) < 1:
        raise UsageError("--each and --steps must be at least 1.")
    methods, left_out = make_methods(args.qualities.split(","), args.rife, args.weights)
    lpips = LPIPS(args.lpips) if args.lpips else None
    tables, data = [], {}
    clips: dict[str, list[str]] = {}
    for size in args.sizes.split(","):
        side = None if size == "full" else int(size)
        found = [
            sample
            for step in steps
            for sample in find(args.clips, args.each, step, (0.5,), side, args.largest)
        ]
        title = f"The frame in the middle, {size if side is None else f'{size} × {size}'}"
        table, values = _measured(title, found, methods, lpips, left_out)
        tables.append(table)
        data[size] = values
        clips[size] = [sample.clip for sample in found]
    if args.chunks:
        found = list(find(args.clips, args.chunks, 4, _SEVEN, 256, args.largest))
        title = "The seven frames between two, 256 × 256"
        both = methods | recursive(methods)
        table, data["seven"] = _measured(title, found, both, lpips, left_out)
        tables.append(table)
        clips["seven"] = [sample.clip for sample in found]
    save_result(
        args.name,
        "Frame interpolation against what people use",
        _command(args),
        {
            "clips": sorted({clip for size in clips.values() for clip in size}),
            "each": args.each,
            "steps": args.steps,
            "sizes": args.sizes,
            "chunks": args.chunks,
            "largest": args.largest,
            "lpips": lpips is not None,
            "threads": torch.get_num_threads(),
            "weight_hashes": _weight_hashes(args.weights),
        },
        tables,
        {"values": data, "clips": clips},
        args.results,
    )


def _command(args: argparse.Namespace) -> str:
    """What makes this result again; of files and folders only the names are told."""
    words = ["python", "-m", "benchmarks.interpolation"]
    words += ["--clips", *(Path(name).name for name in args.clips)]
    for option in ("each", "steps", "sizes", "largest", "chunks", "qualities"):
        words += [f"--{option}", str(getattr(args, option))]
    for option in ("lpips", "weights"):
        if (path := getattr(args, option)) is not None:
            words += [f"--{option}", path.name]
    if args.rife != RIFE:
        words += ["--rife", args.rife.name]
    if args.name != "interpolation":
        words += ["--name", args.name]
    return shlex.join(words)


def _weight_hashes(folder: Path | None) -> dict[str, str]:
    """Of the network that was measured; empty where none is installed."""
    try:
        return file_hashes(folder or bundled_interpolator())
    except FileNotFoundError:
        return {}


def _measured(
    title: str,
    samples: Sequence[Sample],
    methods: dict[str, Method],
    lpips: LPIPS | None,
    left_out: Sequence[str],
) -> tuple[Table, dict[str, dict[str, list[float]]]]:
    if len(samples) < 2:
        raise UsageError("--clips gives fewer than two samples with motion; add clips.")
    values: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    for number, sample in enumerate(samples):
        for name, method in methods.items():
            for key, value in judge(sample, method, lpips).items():
                values[name].setdefault(key, []).append(value)
        print(f"\r{number + 1} of {len(samples)}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    table = make_table(title, values, [s.clip for s in samples], left_out)
    table.show()
    return table, values


def _parts(name: str) -> tuple[Path, int, int | None]:
    """File or folder, first frame and last, of ``FILE`` or ``FILE:FIRST-LAST``."""
    head, colon, tail = name.rpartition(":")
    first, dash, last = tail.partition("-")
    if colon and dash and first.isdigit() and last.isdigit():
        return Path(head), int(first), int(last)
    return Path(name), 0, None


def find(
    names: Sequence[str],
    each: int,
    step: int,
    times: Sequence[float],
    size: int | None,
    largest: int,
) -> Iterator[Sample]:
    """Samples spread over every clip, those across a cut or without motion left out.

    ``step`` is in frames, from the middle to each of the two that are given.
    """
    from vidcascade.interpolation.cuts import likeness, look_at
    from vidcascade.video import count_frames, read_frames

    places: list[tuple[Path, int, int | None]] = []
    for name in names:
        path, first, last = _parts(name)
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        places += [(p, first, last) for p in inside if p.suffix.lower() in _SUFFIXES]
    reach = step * (1 + 2 * _CONTEXT)
    outer = [-reach, -step, step, reach]
    inner = [round((2 * t - 1) * step) for t in times]
    for path, first, last in places:
        end = count_frames(path) if last is None else last + 1
        if end - first < 2 * reach + 1:
            continue
        for middle in np.linspace(first + reach, end - 1 - reach, each).astype(int):
            numbers = sorted({middle + k for k in outer + inner})
            read = dict(zip(numbers, read_frames(path, numbers), strict=True))
            frames = {n: _scaled(f, size, largest) for n, f in read.items()}
            before, one, two, after = (frames[middle + k] for k in outer)
            if np.abs(one.astype(np.int16) - two).mean() < _STILL:
                continue
            if likeness(look_at(one), look_at(two)) < 0.4:
                continue  # a cut: there is nothing between
            truth = tuple(frames[middle + k] for k in inner)
            clip = path.name if last is None else f"{path.name}:{first}-{last}"
            yield Sample(clip, Given((before, one, two, after), tuple(times)), truth)


def _scaled(frame: Picture, size: int | None, largest: int) -> Picture:
    height, width = frame.shape[:2]
    if size is not None:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        frame = frame[top : top + side, left : left + side]
        return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA))
    scale = largest / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(frame)
    shape = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(frame, shape, interpolation=cv2.INTER_AREA))


def judge(sample: Sample, method: Method, lpips: LPIPS | None) -> dict[str, float]:
    """All numbers of one method on one sample, means over its frames."""
    began = _processor_time()
    frames = method(sample.given)
    seconds = (_processor_time() - began) / len(frames)
    first, second = sample.given.pair
    pairs = list(zip(frames, sample.truth, strict=True))
    edges = (first.mean() + second.mean()) / 2
    sharp = gradient_sharpness(np.stack([first, *frames, second]))
    found = {
        "psnr": _mean([min(float(psnr(*pair)), 99.0) for pair in pairs]),
        "ssim": _mean([float(ssim(*pair)) for pair in pairs]),
        "seconds": seconds,
        # Known and made frames alternate: what differs between them flickers at half the rate.
        "flicker": _mean([abs(float(made.mean() - edges)) for made in frames]),
        "blur": 100 * float(2 * np.mean(sharp[1:-1]) / (sharp[0] + sharp[-1]) - 1),
    }
    if lpips is not None:
        with torch.no_grad():
            a, b = (
                torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2).float() / 127.5 - 1
                for p in (frames, sample.truth)
            )
            found["lpips"] = float(lpips(a, b).mean())
    return found


def _processor_time() -> float:
    """Seconds of processor time, ours and that of finished children: others' work is not in it."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def make_table(
    title: str,
    values: dict[str, dict[str, list[float]]],
    clips: Sequence[str],
    left_out: Sequence[str],
) -> Table:
    """One row for each method; ``clips`` is that of each sample.

    Samples of a clip resemble each other: its mean counts once, and clips are resampled.
    """
    shown = [m for m in MEASURES if m[0] in next(iter(values.values()))]
    rows = []
    for method, columns in values.items():
        cells = []
        for key, _, digits in shown:
            if key == "seconds":
                cells.append(f"{np.median(columns[key]):.{digits}f}")
            else:
                cells.append(told(by_source(columns[key], clips), digits))
        rows.append([method, *cells])
    notes = (
        f"{len(clips)} samples of {len(set(clips))} clips, each of which counts once; "
        f"{interval_note(rows)}",
        "processor time: median; those of ffmpeg and RIFE with the start of their process",
        *left_out,
    )
    return Table(title, ["", *(m[1] for m in shown)], rows, notes)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    raise SystemExit(main())
