"""Make the samples that the README shows: ``python scripts/make_samples.py``.

The prompts and seeds below were fixed before any of them was looked at, and every clip that they
give is shown.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray

from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of
from vidcascade.errors import in_one_sentence
from vidcascade.video import atomic_path, contact_sheet, write_clip

PROMPTS: tuple[tuple[str, str], ...] = (
    ("rocket", "a rocket flying up at night"),
    ("ball", "a soccer ball bouncing over a meadow"),
    ("pizza", "a pizza spinning on a polka dot background"),
    ("ladybug", "a ladybug moving left in the desert"),
    ("ghost", "a ghost getting bigger in outer space"),
    ("cube", "a blue cube falling in the snow"),
    ("duck", "a duck moving in a circle over the ocean"),
    ("star", "a yellow star swinging at sunset"),
)
MOST_BYTES = 3_000_000  # all GIFs together
SIDES = (256, 192, 128, 96, 64)
SHEET_SIDE, SHEET_EVERY = 128, 4


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, generate, write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--out", type=Path, default=Path("assets/samples"))
    args = parser.parse_args(arguments)
    make(VidCascadePipeline.from_pretrained(args.weights), args.out)
    return 0


def make(pipeline: VidCascadePipeline, out: Path) -> None:
    """All clips, their contact sheet and ``samples.json`` into the folder ``out``."""
    clips: list[NDArray[np.uint8]] = []
    fps = 0.0
    for seed, (_, prompt) in enumerate(PROMPTS):
        # The key that `vidcascade generate --seed` would take.
        key = key_of(torch.Generator().manual_seed(seed))
        result = pipeline(prompt, keys=[key], output_type="np")
        assert isinstance(result, CascadeOutput)
        fps = result.fps
        clips.append((result.frames[0] * 255).round().astype(np.uint8))
    out.mkdir(parents=True, exist_ok=True)
    side, total = _write_gifs(clips, fps, out)
    sheet = contact_sheet(
        [shrink(clip[::SHEET_EVERY], SHEET_SIDE) for clip in clips],
        [f"{prompt} (seed {seed})" for seed, (_, prompt) in enumerate(PROMPTS)],
        columns=-(-len(clips[0]) // SHEET_EVERY),
    )
    with atomic_path(out / "sheet.png", overwrite=True) as path:
        iio.imwrite(path, sheet, extension=".png")
    about = {
        "samples": [
            {"file": f"{name}.gif", "prompt": prompt, "seed": seed}
            for seed, (name, prompt) in enumerate(PROMPTS)
        ],
        "frames": len(clips[0]),
        "size": clips[0].shape[1],
        "gif_size": side,
        "gif_bytes": total,
        "fps": fps,
        "weight_hashes": pipeline.weight_hashes,
    }
    (out / "samples.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: {len(clips)} clips of {side}², GIFs of {total / 1e6:.2f} MB together")


def _write_gifs(clips: list[NDArray[np.uint8]], fps: float, out: Path) -> tuple[int, int]:
    """Write the GIFs as large as fits, and return their side and their bytes."""
    full = clips[0].shape[1]
    trial = out / ".trial"
    for side in sorted({min(s, full) for s in SIDES}, reverse=True):
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        files = [trial / f"{name}.gif" for name, _ in PROMPTS]
        for file, clip in zip(files, clips, strict=True):
            write_clip(file, shrink(clip, side), fps)
        total = sum(file.stat().st_size for file in files)
        if total <= MOST_BYTES:
            break
    for file in files:
        file.replace(out / file.name)
    shutil.rmtree(trial)
    return side, total


def shrink(clip: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) averaged down to ``side`` pixels; a smaller clip is left as it is."""
    if clip.shape[1] <= side:
        return clip
    return np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in clip])


if __name__ == "__main__":
    raise SystemExit(main())
