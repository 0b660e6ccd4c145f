"""How long a user waits: ``python -m benchmarks.generate``.

Every measurement is a process of its own, timed from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import RESULTS, Table, save_result

PROMPT = "a rocket flying up at night"
IMPORTS = ("import vidcascade", "import vidcascade.cascade.pipeline")


@dataclass(frozen=True)
class Ran:
    """One process: wall-clock and processor seconds, peak resident memory in bytes."""

    wall: float
    processor: float
    peak: float
    output: str


def timed(command: Sequence[str]) -> Ran:
    """Run a command to its end.

    Raises:
        SystemExit: It failed; its own message is printed.
    """
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=out)
        if hasattr(os, "wait4"):
            _, status, used = os.wait4(process.pid, 0)
            code = process.returncode = os.waitstatus_to_exitcode(status)
            # Kilobytes, except on macOS.
            peak = float(used.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
            processor = used.ru_utime + used.ru_stime
        else:
            code, peak, processor = process.wait(), float("nan"), float("nan")
        wall = time.perf_counter() - began
        out.seek(0)
        text = out.read()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {code}.")
    return Ran(wall, processor, peak, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stickers", help="pipeline folder or bundled name")
    parser.add_argument("--runs", type=int, default=3, help="clips to generate")
    parser.add_argument("--helps", type=int, default=10, help="times to ask for --help")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    program = [sys.executable, "-m", "vidcascade"]
    made: list[Ran] = []
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.runs):
            out = str(Path(folder) / f"{number}.mp4")
            ran = timed([
                *program, "generate", "--prompt", PROMPT, "--seed", str(number), "--weights",
                args.weights, "--out", out, "--json",
            ])  # fmt: skip
            made.append(ran)
            stages.append(json.loads(ran.output)["seconds"])
            print(f"clip {number + 1} of {args.runs}: {ran.wall:.1f} s", file=sys.stderr)
    helps = [timed([*program, "--help"]) for _ in range(args.helps)]
    imports = {
        line: [timed([sys.executable, "-c", line]) for _ in range(3)] for line in ("pass", *IMPORTS)
    }
    # Only now, so that nothing of it is loaded while others are timed.
    from vidcascade.cascade.weights import file_hashes, resolve_weights

    tables = [_clips(made, stages), _starts(helps, imports)]
    for table in tables:
        table.show()
    save_result(
        "generate",
        "Time and memory of the command line",
        f"python -m benchmarks.generate --runs {args.runs} --helps {args.helps}",
        {"weights": Path(args.weights).name,
         "weight_hashes": file_hashes(resolve_weights(args.weights)), "prompt": PROMPT,
         "threads": os.environ.get("OMP_NUM_THREADS", "default"),
         "load_average": [round(v, 2) for v in os.getloadavg()]
         if hasattr(os, "getloadavg") else None},
        tables,
        {
            "generate": [_plain(r) for r in made],
            "stages": stages,
            "help": [_plain(r) for r in helps],
            "imports": {line: [_plain(r) for r in runs] for line, runs in imports.items()},
        },
        args.results,
    )  # fmt: skip
    return 0


def _clips(made: list[Ran], stages: list[dict[str, float]]) -> Table:
    names = [name for name in stages[0] if name != "total"]
    rows = []
    for number, (ran, seconds) in enumerate(zip(made, stages, strict=True)):
        parts = [f"{seconds[name]:.1f}" for name in names]
        rows.append(
            [f"run {number + 1}", f"{ran.wall:.1f}", f"{ran.processor:.1f}",
             f"{ran.peak / 2**30:.2f}", *parts]
        )  # fmt: skip
    return Table(
        "vidcascade generate: from the shell's prompt to the finished mp4",
        ["", "wall, s", "processor, s", "peak, GiB", *(f"{name}, s" for name in names)],
        rows,
    )


def _starts(helps: list[Ran], imports: dict[str, list[Ran]]) -> Table:
    groups = {"vidcascade --help": helps}
    groups |= {f"python -c {line!r}": runs for line, runs in imports.items()}
    rows = []
    for name, runs in groups.items():
        walls = [r.wall for r in runs]
        rows.append([name, f"{statistics.median(walls):.2f}", f"{max(walls):.2f}", str(len(runs))])
    return Table("Start-up", ["", "median wall, s", "slowest, s", "runs"], rows)


def _plain(ran: Ran) -> dict[str, float | None]:
    numbers = {k: v for k, v in asdict(ran).items() if k != "output"}
    return {k: round(v, 3) if v == v else None for k, v in numbers.items()}


if __name__ == "__main__":
    raise SystemExit(main())
