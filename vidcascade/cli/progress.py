"""Progress bars with time left, and the peak memory at the end."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import TaskID

    from vidcascade.cascade.spec import CascadeSpec


class StageBars:
    """One bar for each stage, on stderr: call it with a stage's name and its steps done."""

    def __init__(self, spec: CascadeSpec, samples: int, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.totals = {
            s.name: s.steps * samples * (s.rounds if s.kind == "bridge" else 1) for s in spec.stages
        }
        self.tasks: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Set a stage's bar."""
        if stage not in self.tasks:
            self.progress.start()  # only now: an error before the first step prints no empty bar
            self.tasks[stage] = self.progress.add_task(stage, total=self.totals.get(stage, total))
        self.progress.update(self.tasks[stage], completed=done)

    def __enter__(self) -> StageBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.tasks:
            self.progress.stop()


def peak_memory() -> float:
    """The most memory that this process held, in bytes."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


class FrameBar:
    """One bar of output frames, on stderr, with frames per second and the time left."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.task: TaskID | None = None
        self.name = "frames"
        self.progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} frames/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )

    def __call__(self, done: int, total: int) -> None:
        """Set the bar; it appears with the first frame, so that an error prints no empty bar."""
        if self.task is None:
            self.progress.start()
            self.task = self.progress.add_task(self.name, total=total, rate="–")
        speed = self.progress.tasks[-1].speed
        rate = "–" if speed is None else f"{speed:.1f}"
        self.progress.update(self.task, completed=done, total=total, rate=rate)

    def clip(self, path: Path, number: int, total: int) -> FrameBar:
        """The bar of the next clip of a folder."""
        self.task, self.name = None, f"{number + 1}/{total} {path.name}"
        return self

    def __enter__(self) -> FrameBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()
