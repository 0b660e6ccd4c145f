"""What training the bundled weights took; see ``python -m benchmarks.training.history --help``.

Reads the logs that ``vidcascade train`` wrote; name the runs in the order in which they were made.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import RESULTS, Table, in_one_sentence, machine, save_result
from vidcascade.errors import UsageError

# The loss of the end: a mean over this share of the lines, since single ones are noisy.
_END = 0.1


@dataclass(frozen=True)
class Run:
    """One run of the trainer, summed up; ``processor`` is what it ran on."""

    title: str
    batch: int
    steps: int
    minutes: float
    clips_per_second: float
    loss: float
    processor: str

    @property
    def examples(self) -> int:
        """Examples seen."""
        return self.steps * self.batch


@in_one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, read, print and store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, metavar="TITLE=FOLDER:BATCH")
    parser.add_argument("--add", action="store_true",
                        help="to the stored runs; one of the same title is replaced")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args(arguments)
    runs = [read(text) for text in args.run]
    if args.add:
        new = {run.title: run for run in runs}
        old = [new.pop(run.title, run) for run in stored(args.results)]
        runs = [*old, *new.values()]
    table = Table(
        "Training of the bundled weights",
        (
            "run", "examples", "batch", "steps", "minutes", "examples/s", "loss (v) at the end",
            "processor",
        ),
        [
            [
                run.title,
                f"{run.examples:,}",
                str(run.batch),
                f"{run.steps:,}",
                f"{run.minutes:.0f}",
                f"{run.clips_per_second:.1f}",
                f"{run.loss:.2g}",
                run.processor,
            ]
            for run in runs
        ],
        ("an example is a frame, a clip or a crop of one; losses of different runs are at "
         "different noise levels and cannot be compared",),
    )  # fmt: skip
    table.show()
    save_result(
        "training",
        "Training",
        "python -m benchmarks.training.history "
        + " ".join(f'--run "{r.title}=…:{r.batch}"' for r in runs),
        {},
        [table],
        {"runs": [asdict(run) for run in runs]},
        args.results,
    )
    return 0


def stored(results: Path) -> list[Run]:
    """The runs of the stored result, if there is one."""
    path = results / "training.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    # Formerly all were of one machine.
    return [Run(**{"processor": found["machine"]["processor"], **r}) for r in found["data"]["runs"]]


def read(text: str) -> Run:
    """``TITLE=FOLDER:BATCH`` → the run whose ``log.csv`` lies in the folder.

    Raises:
        UsageError: it cannot be read like that, or there is no log.
    """
    title, equals, rest = text.partition("=")
    folder, colon, batch = rest.rpartition(":")
    if not (equals and colon and batch.isdigit()):
        raise UsageError(f"--run {text!r} cannot be read: write it like 'base=runs/base:4'.")
    path = Path(folder) / "log.csv"
    if not path.is_file():
        raise UsageError(f"There is no {path}: give the folder of a run.")
    with path.open(encoding="utf-8") as handle:
        lines = list(csv.DictReader(handle))
    if not lines:
        raise UsageError(f"{path} holds no line yet: train for longer.")
    end = lines[-max(1, round(_END * len(lines))) :]
    speeds = sorted(float(line["clips_per_second"]) for line in lines)
    return Run(
        title,
        int(batch),
        int(lines[-1]["step"]),
        float(lines[-1]["minutes"]),
        speeds[len(speeds) // 2],
        sum(float(line["loss"]) for line in end) / len(end),
        str(machine()["processor"]),
    )


if __name__ == "__main__":
    raise SystemExit(main())
