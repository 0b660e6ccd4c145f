"""How many clips a second the sticker world draws: ``python -m benchmarks.rendering``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.common import RESULTS, Table, save_result
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.stickers import StickerWorld

# (size, frames, frames per second): what a base and a refiner train on.
CASES = ((64, 16, 8.0), (256, 32, 16.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", default="stickers", help="whose world")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    world = StickerWorld(CascadeSpec.load(args.spec).world)
    rows, data = [], {}
    for size, frames, fps in CASES:
        rate = clips_per_second(world, size, frames, fps, args.seconds)
        rows.append([f"{frames} × {size}²", f"{rate:.1f}", f"{rate * frames:.0f}"])
        data[f"{frames}x{size}"] = rate
    table = Table(
        "Drawing the sticker world, one thread",
        ["clip", "clips/s", "frames/s"],
        rows,
        ("with the subject's mask, as training draws it; sprites already loaded",),
    )
    table.show()
    save_result(
        "rendering",
        "Drawing training clips",
        f"python -m benchmarks.rendering --spec {Path(args.spec).stem}",
        {"stickers": world.has_stickers, "seconds": args.seconds},
        [table],
        {"clips_per_second": data},
        args.results,
    )
    return 0


def clips_per_second(
    world: StickerWorld, size: int, frames: int, fps: float, seconds: float
) -> float:
    """Clips drawn per second of processor time, descriptions and captions included."""
    times = [k / fps for k in range(frames)]

    def draw(seed: int, times: list[float]) -> None:
        described = world.describe(seed)
        scene = world.scene(described, seed, frames / fps)
        world.render_with_mask(scene, size, times)

    for seed in range(40):  # loads the sprites
        draw(seed, times[:1])
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        draw(1000 + count, times)
        count += 1
    return count / (time.process_time() - began)


if __name__ == "__main__":
    raise SystemExit(main())
