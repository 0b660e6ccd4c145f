"""Does the memory of ``vidcascade flicker`` grow with a clip's length? (``speed --memory``)

The clip's first minute and the whole clip are measured by the command line itself, each in a
process of its own, whose resident memory is watched until it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import psutil

from benchmarks.common import Table, save_result
from vidcascade.errors import UsageError

__all__ = ["Watched", "cut", "measure", "watch"]

MINUTE = 60.0
_MIB = 2.0**20
_SHOWN = 10


@dataclass(frozen=True)
class Watched:
    """A process that has ended.

    Attributes:
        wall: Seconds from start to end.
        processor: Seconds of processor.
        peak: Highest resident memory in bytes: as the system counted it up to the last look where
            it does (Linux), else the highest of all looks.
        resident: Resident memory in bytes, at even steps of time.
    """

    wall: float
    processor: float
    peak: float
    resident: list[int]


def watch(command: Sequence[str], every: float = 1.0) -> Watched:
    """Run a command to its end and follow its memory; POSIX only.

    Args:
        command: Program and arguments. Its output is dropped, its errors are shown on failure.
        every: Seconds between two looks at the memory.

    Raises:
        UsageError: If it exits with another status than 0.
    """
    resident: list[int] = []
    peak = 0
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        seen = psutil.Process(process.pid)
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            try:
                resident.append(seen.memory_info().rss)
            except psutil.Error:
                continue  # It has just ended.
            peak = max(peak, resident[-1], _counted(process.pid))
            time.sleep(every)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise UsageError(f"{' '.join(command)} failed: {errors.read().strip()[-500:]}")
    return Watched(wall, used.ru_utime + used.ru_stime, peak, resident)


def _counted(process: int) -> int:
    """The system's own peak; 0 where it keeps none.

    Not that of ``wait4``: it starts with what the parent held when it forked.
    """
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(found[0]) if found else 0


def cut(clip: Path, seconds: float, out: Path) -> int:
    """Copy a clip's packets up to ``seconds`` into ``out``, not encoded again; their number."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        count = 0
        for packet in source.demux(stream):
            # Packets come in decoding order: pictures of later times may come first.
            if packet.pts is None or packet.pts * packet.time_base >= seconds:
                continue
            packet.stream = copied
            target.mux(packet)
            count += 1
    return count


def measure(clip: Path, results: Path, seconds: float = MINUTE) -> Table:
    """Measure both lengths, store ``memory.json`` in ``results`` and give its table.

    Raises:
        UsageError: If the clip is not longer than ``seconds``, or cannot be measured.
    """
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        length = float((stream.duration or 0) * (stream.time_base or 0))
        size = [stream.width, stream.height]
    if length <= seconds:
        raise UsageError(
            f"{clip} is {length:.0f} s long: give a clip of more than {seconds:.0f} s, so that two"
            " lengths can be compared."
        )
    runs: dict[str, tuple[int, Watched]] = {}
    with tempfile.TemporaryDirectory() as folder:
        # In a container that is the clip's own: no codec has to fit into another one.
        short = Path(folder) / f"short{clip.suffix}"
        cut(clip, seconds, short)
        for name, path in ((f"the first {seconds:.0f} s", short), ("the whole clip", clip)):
            out = Path(folder) / f"{len(runs)}.json"
            command = [sys.executable, "-m", "vidcascade", "flicker", str(path), "--json", str(out)]
            ran = watch(command)
            runs[name] = (_frames(out), ran)
            print(f"{name}: {ran.wall:.0f} s, {ran.peak / _MIB:.0f} MiB", file=sys.stderr)
    (few, brief), (many, whole) = runs.values()
    rows = [
        [
            name, str(frames), f"{ran.wall:.0f}", f"{ran.processor:.0f}",
            f"{frames / ran.processor:.1f}", f"{ran.peak / _MIB:.0f}",
        ]
        for name, (frames, ran) in runs.items()
    ]  # fmt: skip
    grown = (whole.peak - brief.peak) / (many - few)
    table = Table(
        "Memory of vidcascade flicker against a clip's length",
        ("", "frames", "wall, s", "processor, s", "frames per processor second", "peak, MiB"),
        rows,
        (
            f"{clip.name}, {size[0]} × {size[1]}, {length:.0f} s; "
            f"{whole.peak / brief.peak:.3f} times the memory for {many / few:.1f} times the frames"
            f" ({grown / 1024:+.2f} KiB a frame)",
        ),
    )
    save_result(
        "memory",
        "Memory against length",
        f"python -m benchmarks.flicker.speed {clip.name} --memory",
        {"clip": clip.name, "size": size, "seconds": round(length, 1)},
        [table],
        {name: _plain(frames, ran) for name, (frames, ran) in runs.items()},
        results,
    )
    return table


def _frames(result: Path) -> int:
    return int(json.loads(result.read_text(encoding="utf-8"))["clips"][0]["frames"])


def _plain(frames: int, ran: Watched) -> dict[str, Any]:
    parts = [ran.resident[len(ran.resident) * k // _SHOWN :] for k in range(_SHOWN)]
    return {
        "frames": frames,
        "wall": round(ran.wall, 1),
        "processor": round(ran.processor, 1),
        "peak_mib": round(ran.peak / _MIB, 1),
        "resident_mib_by_tenths": [round(p[0] / _MIB, 1) for p in parts if p],
    }
