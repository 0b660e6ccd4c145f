"""Ours against what people use, on the same real triplets: ``python -m benchmarks.interpolation``.

Triplets are three frames of a clip, evenly spaced; the outer two are given, the middle one is the
truth. They come from ``--clips``, a folder of videos that nothing was trained on. Other methods:
frame blending, DIS flow both ways warped and averaged, ffmpeg's ``minterpolate`` (``mi_mode=mci``)
where ffmpeg is found, and RIFE 4.6 where ``scripts/install_rife.py`` has put it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import RESULTS, Table, save_result, spread
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.flow.midpoint import average_of_warps, midpoint_prior
from vidcascade.interpolation.between import Between, make_between
from vidcascade.metrics.fidelity import LPIPS, gradient_sharpness, psnr, ssim
from vidcascade.metrics.statistics import bootstrap_mean

CLIPS = Path(__file__).parents[2] / "shared" / "data" / "clips"
RIFE = Path("runs/rife")
Picture = NDArray[np.uint8]
Method = Callable[["Triplet"], Picture]
_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".mpg", ".avi"}
_STILL = 1.5  # levels of difference: below, there is no motion to get right
_CONTEXT = 1  # further frames on each side, which minterpolate looks at


@dataclass(frozen=True)
class Triplet:
    """``around``: frames at -3, -1, 1, 3 half-steps; ``truth`` at 0. uint8 ``(H, W, 3)``."""

    clip: str
    around: tuple[Picture, Picture, Picture, Picture]
    truth: Picture

    @property
    def given(self) -> tuple[Picture, Picture]:
        """The two neighbours."""
        return self.around[1], self.around[2]


MEASURES = (
    ("psnr", "PSNR, dB", 2),
    ("ssim", "SSIM", 4),
    ("lpips", "LPIPS", 4),
    ("flicker", "brightness at Nyquist, levels", 3),
    ("blur", "sharpness at Nyquist, %", 1),
    ("seconds", "s per frame", 3),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=CLIPS, help="folder of held-out videos")
    parser.add_argument("--each", type=int, default=4, help="triplets from each clip")
    parser.add_argument("--step", type=int, default=1, help="frames from the truth to a neighbour")
    parser.add_argument("--size", type=int, help="square centre crop, area-resized to this side")
    parser.add_argument("--largest", type=int, default=640, help="long side, else scaled down")
    parser.add_argument("--lpips", type=Path, help="AlexNet LPIPS weights")
    parser.add_argument("--rife", type=Path, default=RIFE, help="folder of install_rife.py")
    parser.add_argument("--qualities", default="fast,balanced", help="ours, by comma")
    parser.add_argument("--name", default="interpolation", help="of the result")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    if not args.clips.is_dir():
        print(f"left out: there is no folder of clips at {args.clips}; give one with --clips")
        return 0
    try:
        run(args)
    except VidCascadeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run(args: argparse.Namespace) -> None:
    """Measure every method on every triplet."""
    if args.each < 1 or args.step < 1:
        raise UsageError("--each and --step must be at least 1.")
    triplets = list(find_triplets(args.clips, args.each, args.step, args.size, args.largest))
    if len(triplets) < 2:
        raise UsageError(f"{args.clips} gives fewer than two triplets with motion; add clips.")
    methods, left_out = make_methods(args.qualities.split(","), args.rife)
    lpips = LPIPS(args.lpips) if args.lpips else None
    values: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    for number, triplet in enumerate(triplets):
        for name, method in methods.items():
            for key, value in judge(triplet, method, lpips).items():
                values[name].setdefault(key, []).append(value)
        print(f"\r{number + 1} of {len(triplets)}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    table = make_table(values, len(triplets), len({t.clip for t in triplets}), left_out)
    table.show()
    save_result(
        args.name,
        "Frame interpolation against what people use",
        "python -m benchmarks.interpolation",
        {
            "clips": sorted({t.clip for t in triplets}),
            "triplets": len(triplets),
            "each": args.each,
            "step": args.step,
            "size": args.size,
            "largest": args.largest,
            "lpips": lpips is not None,
            "threads": torch.get_num_threads(),
        },
        [table],
        {"values": values},
        args.results,
    )


def find_triplets(
    folder: Path, each: int, step: int, size: int | None, largest: int
) -> Iterator[Triplet]:
    """Triplets spread over every clip of a folder, those without motion left out."""
    from vidcascade.interpolation.cuts import likeness, look_at
    from vidcascade.video import count_frames, read_frames

    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES):
        total = count_frames(path)
        reach = step * (1 + 2 * _CONTEXT)
        if total < 2 * reach + 1:
            continue
        for middle in np.linspace(reach, total - 1 - reach, each).astype(int):
            numbers = [middle + step * k for k in (-3, -1, 0, 1, 3)]
            frames = [_scaled(f, size, largest) for f in read_frames(path, numbers)]
            before, first, truth, second, after = frames
            if np.abs(first.astype(np.int16) - second).mean() < _STILL:
                continue
            if likeness(look_at(first), look_at(second)) < 0.4:
                continue  # a cut: there is no frame between
            yield Triplet(path.name, (before, first, second, after), truth)


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


def make_methods(qualities: Sequence[str], rife: Path) -> tuple[dict[str, Method], list[str]]:
    """Methods by name, and why others are missing."""
    methods: dict[str, Method] = {"blend": _blend, "DIS warp": _dis}
    left_out = []
    if shutil.which("ffmpeg"):
        methods["ffmpeg mci"] = _minterpolate
    else:
        left_out.append("ffmpeg is not installed: minterpolate left out")
    if (rife / "rife-ncnn-vulkan").is_file():
        methods["RIFE 4.6"] = lambda triplet: _rife(triplet, rife)
    else:
        left_out.append(f"no RIFE in {rife} (scripts/install_rife.py): left out")
    for quality in qualities:
        methods[f"ours, {quality}"] = _ours(make_between(quality))
    return methods, left_out


def _ours(between: Between) -> Method:
    return lambda triplet: between(*triplet.given, [0.5])[0]


def _blend(triplet: Triplet) -> Picture:
    first, second = (f.astype(np.float32) for f in triplet.given)
    return np.asarray(np.rint((first + second) / 2).astype(np.uint8))


def _dis(triplet: Triplet) -> Picture:
    first, second = triplet.given
    return average_of_warps(first, second, *midpoint_prior(first, second))


def _minterpolate(triplet: Triplet) -> Picture:
    height, width = triplet.truth.shape[:2]
    # It starts late and drops the tail: the frames at both ends are given several times.
    frames = [triplet.around[0]] * 2 + list(triplet.around) + [triplet.around[3]] * 3
    command = [
        "ffmpeg", "-v", "error", "-threads", "1", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", "10", "-i", "-", "-vf",
        "minterpolate=fps=20:mi_mode=mci:scd=none", "-f", "rawvideo", "-pix_fmt", "rgb24", "-",
    ]  # fmt: skip
    raw = b"".join(np.ascontiguousarray(f).tobytes() for f in frames)
    done = subprocess.run(command, input=raw, capture_output=True, check=True, timeout=600)
    made = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    # The frame after the one that is most like the first neighbour.
    first = triplet.given[0].astype(np.int16)
    errors = [np.abs(frame - first).mean() for frame in made[:-1]]
    return made[int(np.argmin(errors)) + 1]


def _rife(triplet: Triplet, folder: Path) -> Picture:
    height, width = triplet.truth.shape[:2]
    # Its ncnn build gives garbage unless both sides are multiples of 32.
    pad = ((0, -height % 32), (0, -width % 32), (0, 0))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for number, frame in enumerate(triplet.given):
            Image.fromarray(np.pad(frame, pad, "edge")).save(scratch / f"{number}.png")
        command = [
            str((folder / "rife-ncnn-vulkan").resolve()), "-0", str(scratch / "0.png"), "-1",
            str(scratch / "1.png"), "-o", str(scratch / "out.png"), "-g", "-1", "-j", "1:1:1",
            "-m", str((folder / "rife-v4.6").resolve()),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, check=True, timeout=600)
        with Image.open(scratch / "out.png") as image:
            return np.asarray(image.convert("RGB"))[:height, :width]


def judge(triplet: Triplet, method: Method, lpips: LPIPS | None) -> dict[str, float]:
    """All numbers of one method on one triplet."""
    began = time.perf_counter()
    made = method(triplet)
    seconds = time.perf_counter() - began
    first, second = triplet.given
    found = {
        "psnr": min(float(psnr(made, triplet.truth)), 99.0),
        "ssim": float(ssim(made, triplet.truth)),
        "seconds": seconds,
        # Known and made frames alternate: what differs between them flickers at half the rate.
        "flicker": abs(float(made.mean() - (first.mean() + second.mean()) / 2)),
    }
    sharp = gradient_sharpness(np.stack([first, made, second]))
    found["blur"] = 100 * float(2 * sharp[1] / (sharp[0] + sharp[2]) - 1)
    if lpips is not None:
        with torch.no_grad():
            a, b = (
                torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() / 127.5 - 1
                for p in (made, triplet.truth)
            )
            found["lpips"] = float(lpips(a, b).mean())
    return found


def make_table(
    values: dict[str, dict[str, list[float]]], triplets: int, clips: int, left_out: Sequence[str]
) -> Table:
    """One row for each method, with bootstrap intervals."""
    shown = [m for m in MEASURES if m[0] in next(iter(values.values()))]
    rows = []
    for method, columns in values.items():
        cells = []
        for key, _, digits in shown:
            if key == "seconds":
                cells.append(f"{np.median(columns[key]):.{digits}f}")
            else:
                cells.append(spread(*bootstrap_mean(columns[key]), digits))
        rows.append([method, *cells])
    notes = (
        f"{triplets} triplets of {clips} clips; intervals: bootstrap over triplets, 95 %",
        "seconds: median; those of ffmpeg and RIFE with the start of their process",
        *left_out,
    )
    return Table("The frame in the middle", ["", *(m[1] for m in shown)], rows, notes)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    raise SystemExit(main())
