"""What all benchmarks share: tables that are printed and stored, and where they are stored."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidcascade.errors import UsageError
from vidcascade.errors import in_one_sentence as in_one_sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """One table of a result: every cell is text already, as it is to be read."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def show(self) -> None:
        """Print it."""
        from rich.console import Console
        from rich.table import Table as RichTable

        # In a file or a pipe nothing has to be wrapped to a window.
        console = Console() if sys.stdout.isatty() else Console(width=200)
        table = RichTable(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}", style="dim")


def save_result(
    name: str,
    title: str,
    command: str,
    settings: Mapping[str, Any],
    tables: Sequence[Table],
    data: Mapping[str, Any],
    folder: Path = RESULTS,
) -> Path:
    """Write ``<name>.json``: the tables as printed, and the numbers behind them.

    Args:
        name: of the benchmark.
        title: a heading for a report.
        command: what makes this result again.
        settings: what it was run with.
        tables: see :class:`Table`.
        data: raw numbers, JSON.
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    result = {
        "name": name,
        "title": title,
        "command": command,
        "machine": machine(),
        "settings": dict(settings),
        "tables": [asdict(table) for table in tables],
        "data": dict(data),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    temporary = path.with_suffix(".partial")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def save_sheet(path: Path, clips: Sequence[NDArray[np.uint8]], labels: Sequence[str]) -> None:
    """Write a contact sheet of clips (T, H, W, 3) as PNG at half their size, 128² of 256²."""
    import cv2
    import imageio.v3 as iio

    from vidcascade.video import contact_sheet

    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(list(clips), list(labels))
    half = cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    iio.imwrite(path, half)


def machine() -> dict[str, Any]:
    """The machine and the versions that a number was measured with."""
    from importlib.metadata import version

    about: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    for package in ("vidcascade", "torch", "diffusers", "opencv-python-headless"):
        about[package] = version(package)
    return about


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def named_paths(
    texts: Sequence[str], option: str, form: str, fits: Callable[[str], bool] = bool
) -> dict[str, Path]:
    """``["a=runs/a"]`` → paths by name.

    Args:
        texts: what was given, one for each path.
        option: to which it was given.
        form: how it is written, for the error.
        fits: whether there can be such a name.

    Raises:
        UsageError: one without a name or a path, a name that does not fit or comes twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path or name in found or not fits(name):
            raise UsageError(f"{option} {text!r} cannot be read: write {form}.")
        found[name] = Path(path)
    return found


def percent(value: float) -> str:
    """0.915 → ``92 %``."""
    return f"{100 * value:.0f} %"


def spread(mean: float, low: float, high: float, digits: int = 2, sign: str = "") -> str:
    """A mean with its interval: ``31.20 (30.90 to 31.50)``; ``sign`` as in format specs."""
    mean_text, *ends = (f"{value:{sign}.{digits}f}" for value in (mean, low, high))
    return f"{mean_text} ({' to '.join(ends)})"
