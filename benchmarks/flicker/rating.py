"""Clips with faults, rated by ColorVideoVDP and by every measure: the data behind the composite.

    python -m benchmarks.flicker.rating --photos FOLDER --clips FOLDER --lpips FILE

needs the package ``cvvdp`` (PyPI, MIT) beside the project's own. The table it writes is kept beside
it, so that the fit repeats without it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import in_one_sentence
from benchmarks.flicker.clips import FAULTS, FPS, SIZE, TEXTURES, canvas, inject, moving, photo
from vidcascade.metrics.composite import CAUSES
from vidcascade.metrics.flicker import vbench_temporal_flickering, warping_error
from vidcascade.metrics.streaming import ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import evaluate

TABLE = Path(__file__).parent / "results" / "ratings.csv"
FRAMES = 20
_PHOTOS = 5
# Faults per clean clip, in rotation, so that all meet all kinds of content.
_FAULTS = 6
# tLPIPS is slow, so it sees the beginning of a clip only; fit_composite's name for it says so.
_LPIPS_PAIRS = 5
_MOVES = ("static", "pan", "zoom", "object", "tilt")
# Real clips that move in different ways: (name, first frame).
_REAL = (
    ("sam2_01_dog.mp4", 40),
    ("sam2_02_cups.mp4", 20),
    ("sam2_05_default_juggle.mp4", 60),
    ("kivy_cityCC0.mpg", 30),
    ("mdn_friday.mp4", 50),
    ("intel_asl_walk.mkv", 30),
)
_RATED = ("jod", "vbench", "lai", "tlpips")
COLUMNS = ("content", "motion", "fault", "strength", *_RATED, "coverage", *CAUSES)


def contents(photos: Path | None, clips: Path | None) -> Iterator[tuple[str, str, Any]]:
    """(content, motion, frames) of every clean clip."""
    for index, texture in enumerate((*TEXTURES, *TEXTURES[:1])):
        motion = _MOVES[(2 * index) % 5]
        yield texture, motion, moving(canvas(texture), motion, FRAMES)
    if photos is not None:
        # Every n-th of the sorted names: a choice that does not look at the pictures.
        names = sorted(photos.glob("*.jpg"))
        chosen = names[:: max(1, len(names) // _PHOTOS)][:_PHOTOS]
        for index, file in enumerate(chosen):
            motion = _MOVES[index % 5]
            yield file.stem, motion, moving(photo(file), motion, FRAMES)
    if clips is not None:
        for name, first in _REAL:
            yield name, "real", _excerpt(clips / name, first)


def _excerpt(path: Path, first: int) -> Any:
    from vidcascade.video.reading import read_frames

    frames = read_frames(path, range(first, first + FRAMES))
    height, width = frames.shape[1:3]
    scale = max(SIZE[0] / height, SIZE[1] / width)
    out = []
    for frame in frames:
        size = (round(width * scale), round(height * scale))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        y, x = (small.shape[0] - SIZE[0]) // 2, (small.shape[1] - SIZE[1]) // 2
        out.append(small[y : y + SIZE[0], x : x + SIZE[1]])
    return np.stack(out)


def causes(frames: Any) -> dict[str, float]:
    """What this package's measures say about a clip."""
    timed = (TimedFrame(frame, index / FPS) for index, frame in enumerate(frames))
    result = evaluate(scan(timed, FPS, ScanSettings(published=False)), "clip")
    row = {name: result.measures[name].value or 0.0 for name in CAUSES}
    return row | {"coverage": result.measures["flicker"].coverage}


def others(frames: Any, lpips: Any) -> dict[str, float]:
    """What the published measures say, tLPIPS of the first steps; higher is worse for all."""
    return {
        "vbench": 1 - vbench_temporal_flickering(frames),
        "lai": warping_error(frames),
        "tlpips": lpips(frames[: _LPIPS_PAIRS + 1]) if lpips is not None else 0.0,
    }


def _tlpips(weights: Path | None) -> Any:
    if weights is None:
        return None
    import torch

    from vidcascade.nn.lpips import LPIPS

    model = LPIPS(weights)

    def mean(frames: Any) -> float:
        video = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return float(model(video[:-1], video[1:]).mean())

    return mean


def _colour_video_vdp() -> Any:
    """The metric on a CPU; it imports a blur from torchvision, which must not be installed here."""
    import torch

    torch.set_num_threads(1)
    if "torchvision" not in sys.modules:
        stand_in = types.ModuleType("torchvision")
        for part in ("transforms", "ops"):
            module = types.ModuleType(f"torchvision.{part}")
            sys.modules[module.__name__] = module
            setattr(stand_in, part, module)
        sys.modules["torchvision"] = stand_in
        vars(sys.modules["torchvision.transforms"])["GaussianBlur"] = _Blur
        vars(sys.modules["torchvision.ops"])["MLP"] = object
    import pycvvdp

    return pycvvdp.cvvdp(display_name="standard_fhd", device=torch.device("cpu"), quiet=True)


class _Blur:
    """torchvision's GaussianBlur: separable, reflected at the border."""

    def __init__(self, size: int, sigma: float) -> None:
        x = np.arange(size) - (size - 1) / 2
        kernel = np.exp(-0.5 * (x / sigma) ** 2)
        self._kernel, self._pad = kernel / kernel.sum(), size // 2

    def forward(self, x: Any) -> Any:
        import torch.nn.functional as F

        kernel = x.new_tensor(self._kernel)
        shape, channels = x.shape, x.shape[-3]
        y = F.pad(x.reshape(-1, *x.shape[-3:]), (self._pad,) * 4, mode="reflect")
        for size in ((1, 1, 1, -1), (1, 1, -1, 1)):
            weight = kernel.view(size).expand(channels, *kernel.view(size).shape[1:])
            y = F.conv2d(y, weight.contiguous(), groups=channels)
        return y.reshape(shape)

    __call__ = forward


def _jod(metric: Any, frames: Any, clean: Any) -> float:
    rated, _ = metric.predict(frames, clean, dim_order="FHWC", frames_per_second=FPS)
    return float(rated)


def _key(row: dict[str, Any]) -> tuple[str, str, str, float]:
    return row["content"], row["motion"], row["fault"], float(row["strength"])


def _known(path: Path) -> dict[tuple[str, str, str, float], dict[str, float]]:
    with path.open(encoding="utf-8") as handle:
        return {_key(row): {n: float(row[n]) for n in _RATED} for row in csv.DictReader(handle)}


@in_one_sentence
def main(arguments: list[str] | None = None) -> int:
    """Rate all clips and write the table; the exit status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument(
        "--keep", action="store_true", help="keep others' ratings of clips that are in the table"
    )
    args = parser.parse_args(arguments)
    known = _known(args.out) if args.keep else {}
    metric, lpips = _colour_video_vdp(), _tlpips(args.lpips)
    rng = np.random.default_rng(0)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        for index, (content, motion, clean) in enumerate(contents(args.photos, args.clips)):
            todo = [("none", 0.0)]
            for place in range(_FAULTS):
                fault = list(FAULTS)[(index * _FAULTS + place) % len(FAULTS)]
                strengths = FAULTS[fault]
                todo.append((fault, strengths[int(rng.integers(len(strengths)))]))
            for fault, strength in todo:
                frames = inject(clean, fault, strength, seed=index)
                row: dict[str, Any] = {"content": content, "motion": motion, "fault": fault}
                row["strength"] = strength
                row |= known.get(_key(row)) or {
                    "jod": _jod(metric, frames, clean) if fault != "none" else 10.0,
                    **others(frames, lpips),
                }
                row |= causes(frames)
                writer.writerow(
                    {k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()}
                )
                handle.flush()
                print(content, motion, fault, strength, f"{row['jod']:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
