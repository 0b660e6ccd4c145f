"""How fast clips are measured, against the decoder alone and against public implementations.

    python -m benchmarks.flicker.speed clip.mp4 [--frames 120] [--vbench temporal_flickering.py]
                                                [--out speed.json]
    python -m benchmarks.flicker.speed long.mp4 --memory [--results FOLDER]

Everything runs on the same clip, one after another, in one process and (where the library lets
itself be told) on one thread. ``--vbench`` names VBench's own file, which is loaded and timed as
it is; ColorVideoVDP is timed when the package ``cvvdp`` is installed. ``--memory`` compares instead
the peak of resident memory of a clip's first minute and of the whole clip (:mod:`.memory`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.flicker.memory import measure as measure_memory
from vidcascade.errors import VidCascadeError
from vidcascade.metrics.flicker import warping_error
from vidcascade.metrics.source import open_source
from vidcascade.metrics.streaming import ScanSettings, scan

RESULTS = Path(__file__).parent / "results"


def timed(name: str, frames: int, work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of wall clock and of processor, and frames per second of each."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    row = {
        "what": name,
        "frames": frames,
        "fps": round(frames / wall, 2),
        "fps_cpu": round(frames / cpu, 2),
    }
    print(
        f"{name:48s} {row['fps']:8.2f} frames/s  {row['fps_cpu']:8.2f} per CPU second", flush=True
    )
    return row


def _vbench(path: Path, frames: list[Any]) -> Callable[[], Any]:
    """VBench's mean absolute difference over a list of frames, from its own file."""
    # The file imports a helper of its package, which this function does not need.
    package, helper = types.ModuleType("vbench"), types.ModuleType("vbench.utils")
    vars(helper)["load_dimension_info"] = None
    sys.modules.update({"vbench": package, "vbench.utils": helper})
    spec = importlib.util.spec_from_file_location("vbench.temporal_flickering", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bgr = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    return lambda: module.mae_seq(bgr)


def _colour_video_vdp(frames: Any, fps: float) -> Callable[[], Any] | None:
    try:
        from benchmarks.flicker.rating import _colour_video_vdp as load

        metric = load()
    except ImportError:
        return None
    return lambda: metric.predict(frames, frames, dim_order="FHWC", frames_per_second=fps)


def main(arguments: list[str] | None = None) -> None:
    """Time everything on one clip."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--vbench", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory", action="store_true", help="memory against length, not speed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for memory.json")
    args = parser.parse_args(arguments)
    if args.memory:
        try:
            measure_memory(args.clip, args.results).show()
        except VidCascadeError as error:
            parser.exit(error.exit_code, f"error: {error}\n")
        return
    cv2.setNumThreads(1)
    source = open_source(args.clip)

    def frames(count: int) -> Any:
        return islice(source.frames(), count)

    total = sum(1 for _ in frames(args.frames))
    rows = [timed("decoding alone", total, lambda: sum(1 for _ in frames(total)))]
    suite = ScanSettings(published=False)
    rows.append(
        timed("vidcascade flicker --no-published", total,
              lambda: scan(frames(total), source.fps, suite))
    )  # fmt: skip
    rows.append(
        timed("vidcascade flicker", total, lambda: scan(frames(total), source.fps, ScanSettings()))
    )
    few = min(total, 24)
    pictures = np.stack([frame.pixels for frame in frames(few)])
    rows.append(
        timed("Lai et al. as published (DIS medium, every pair)", few,
              lambda: warping_error(pictures))
    )  # fmt: skip
    if args.vbench is not None:
        rows.append(
            timed("VBench's own temporal flickering", few, _vbench(args.vbench, [*pictures]))
        )
    rated = _colour_video_vdp(pictures, source.fps)
    if rated is not None:
        rows.append(timed("ColorVideoVDP", few, rated))
    height, width = pictures.shape[1:3]
    found = {"clip": args.clip.name, "size": [width, height], "rows": rows}
    decoder = rows[0]["fps"]
    for row in rows[1:]:
        row["of_decoder"] = round(row["fps"] / decoder, 3)
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
