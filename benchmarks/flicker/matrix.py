"""The sensitivity matrix: every measure against injected faults and against legitimate motion.

    python -m benchmarks.flicker.matrix --out FOLDER [--textures clouds gravel shapes]

A measure belongs in the suite if it rises with each stronger step of its own fault, whatever the
motion, and stays below its value at that fault's second step under every clean motion. Where a
fault is so strong that the picture can no longer be followed, a measure refuses to give a number;
it may do so at the strongest step alone, and such cells are left out of the table's means. The
published measures are in the table beside them, and are held to nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.flicker.clips import (
    FAULTS,
    FPS,
    FRAMES,
    MOTIONS,
    SIZE,
    TEXTURES,
    WINDOW,
    canvas,
    inject,
    moving,
)
from vidcascade.metrics.streaming import LEAST_COVERAGE, ScanSettings, TimedFrame, scan
from vidcascade.metrics.suite import evaluate

__all__ = ["OWN", "PUBLISHED", "SUITE", "Cell", "Matrix", "run"]

# What each measure of the suite is there for, and the motions under which that fault exists.
_ALL = ("static", "pan", "tilt", "zoom", "object")
_MOVING = ("pan", "tilt", "zoom")
OWN: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "flicker": tuple((fault, _ALL) for fault in FAULTS if fault not in ("judder", "seam")),
    "global_luminance": (("brightness", _ALL), ("pulse", _ALL)),
    "regional_luminance": (("local", _ALL), ("halves", _ALL)),
    "texture": (("noise", _ALL),),
    "chroma": (("colour", _ALL),),
    "swimming": (("swimming", _ALL),),
    "judder": (("judder", ("pan", "tilt")),),
    "duplicates": (("judder", _MOVING),),
    "seams": (("seam", _ALL),),
    "visibility": (("brightness", _ALL), ("pulse", _ALL), ("local", _ALL), ("halves", _ALL)),
}
SUITE = tuple(OWN)
PUBLISHED = ("difference", "warping_error", "warping_error_evalcrafter")


@dataclass(frozen=True)
class Cell:
    """One clip: what was wrong with it, how it moved, and what the measures said."""

    texture: str
    motion: str
    fault: str
    strength: float
    values: dict[str, float | None]


@dataclass(frozen=True)
class Matrix:
    """All clips."""

    cells: tuple[Cell, ...]

    def value(self, measure: str, texture: str, motion: str, fault: str, strength: float) -> float:
        """One number; NaN where the measure gave none."""
        for cell in self.cells:
            if (cell.texture, cell.motion, cell.fault) == (texture, motion, fault) and (
                cell.strength == strength
            ):
                found = cell.values[measure]
                return float("nan") if found is None else found
        raise KeyError((measure, texture, motion, fault, strength))

    def strengths(self, fault: str) -> list[float]:
        """The strengths of a fault that were run, growing."""
        return sorted({cell.strength for cell in self.cells if cell.fault == fault})

    def problems(self, measure: str) -> list[str]:
        """What keeps a measure out of the suite; empty when nothing does."""
        found = []
        for texture in sorted({cell.texture for cell in self.cells}):
            motions = {cell.motion for cell in self.cells if cell.texture == texture}
            for fault, wanted in OWN[measure]:
                steps = self.strengths(fault)
                for motion in [m for m in wanted if m in motions]:
                    values = [self.value(measure, texture, motion, fault, s) for s in steps]
                    clean = self.value(measure, texture, motion, "none", 0)
                    # Heavy noise on a flat picture: no number is better than a wrong one, where
                    # it is for want of coverage and for nothing else.
                    covered = self.value("coverage", texture, motion, fault, steps[-1])
                    refused = np.isnan(values[-1]) and covered < LEAST_COVERAGE
                    known = values[:-1] if refused and len(values) > 2 else values
                    if not all(a < b for a, b in zip([clean, *known], known, strict=False)):
                        shown = ", ".join(f"{v:.3f}" for v in (clean, *values))
                        found.append(f"does not rise with {fault} on {texture}, {motion}: {shown}")
                start = [m for m in wanted if m in motions]
                if not start or len(steps) < 2:
                    continue
                limit = min(self.value(measure, texture, m, fault, steps[1]) for m in start)
                for motion in motions:
                    calm = self.value(measure, texture, motion, "none", 0)
                    if not calm < limit:
                        found.append(
                            f"reads {calm:.3f} on {texture}, {motion}, clean; second step of"
                            f" {fault} reads {limit:.3f}"
                        )
        return found


def run(
    textures: Sequence[str] = TEXTURES,
    motions: Sequence[str] = MOTIONS,
    faults: Sequence[str] = tuple(FAULTS),
    steps: Sequence[int] = (0, 1, 2, 3),
    frames: int = FRAMES,
    published: bool = True,
) -> Matrix:
    """Measure every combination.

    Args:
        textures: Of :data:`.clips.TEXTURES`.
        motions: Of :data:`.clips.MOTIONS`; faults are not put onto the cut.
        faults: Of :data:`.clips.FAULTS`.
        steps: Which strengths of each fault.
        frames: Length of each clip.
        published: With the published measures.
    """
    cells = []
    for texture in textures:
        picture, other = canvas(texture), canvas(texture, 5)
        for motion in motions:
            clean = moving(picture, motion, frames, SIZE, other=other)
            todo = [("none", 0.0)]
            if motion != "cut":
                todo += [(fault, FAULTS[fault][step]) for fault in faults for step in steps]
            for fault, strength in todo:
                clip = inject(clean, fault, strength)
                timed = (TimedFrame(frame, i / FPS) for i, frame in enumerate(clip))
                found = evaluate(
                    scan(timed, FPS, ScanSettings(published=published)), "clip", ([], WINDOW)
                ).measures
                values = {name: m.value for name, m in found.items()}
                values["coverage"] = found["flicker"].coverage
                cells.append(Cell(texture, motion, fault, strength, values))
    return Matrix(tuple(cells))


def table(matrix: Matrix, measures: Sequence[str]) -> str:
    """Means over textures and motions, as Markdown."""
    columns = [("none", 0.0)] + [(f, s) for f in FAULTS for s in matrix.strengths(f)]
    lines = ["| measure | " + " | ".join(_heading(*c) for c in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for measure in measures:
        cells = [_number(_mean(matrix, measure, fault, strength)) for fault, strength in columns]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    motions = sorted({c.motion for c in matrix.cells})
    lines += ["", "Clean clips by motion:", ""]
    lines.append("| measure | " + " | ".join(motions) + " |")
    lines.append("|---" * (len(motions) + 1) + "|")
    for measure in measures:
        cells = [_number(_mean(matrix, measure, "none", 0.0, motion)) for motion in motions]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(matrix: Matrix, measures: Sequence[str], path: Path) -> None:
    """The matrix as a picture: colour is the value over that of the own fault's strongest step."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    motions = [m for m in MOTIONS if any(c.motion == m for c in matrix.cells)]
    columns: list[tuple[str, float, str | None]] = [("none", 0.0, m) for m in motions]
    columns += [(f, s, None) for f in FAULTS for s in matrix.strengths(f)]
    grid = np.zeros((len(measures), len(columns)))
    for row, measure in enumerate(measures):
        own = OWN[measure][0][0] if measure in OWN else "brightness"
        top = _mean(matrix, measure, own, matrix.strengths(own)[-1])
        for column, (fault, strength, motion) in enumerate(columns):
            value = _mean(matrix, measure, fault, strength, motion)
            grid[row, column] = value / top if top > 0 else 0
    figure = Figure(figsize=(0.34 * len(columns) + 2.4, 0.36 * len(measures) + 1.9))
    axes = figure.add_subplot()
    shown = axes.imshow(np.sqrt(np.clip(grid, 0, 1)), cmap="magma_r", vmin=0, vmax=1, aspect="auto")
    for row, measure in enumerate(measures):
        for column, (fault, _, _) in enumerate(columns):
            if measure in OWN and fault in [f for f, _ in OWN[measure]] and measure != "flicker":
                box = Rectangle(
                    (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#2e86ab", linewidth=1.4
                )
                axes.add_patch(box)
    axes.set_yticks(range(len(measures)), [m.replace("_", " ") for m in measures], fontsize=8)
    labels = [f"clean {m}" if m else f"{f} {s:g}" for f, s, m in columns]
    axes.set_xticks(range(len(columns)), labels, rotation=90, fontsize=7)
    bar = figure.colorbar(shown, ax=axes, fraction=0.02, pad=0.01)
    bar.set_ticks([0, 0.5, 1], labels=["0", "¼", "1"])
    bar.set_label("of the own fault's strongest", fontsize=7)
    axes.set_title(
        "Each measure against faults and clean motion (boxes: its own fault)", fontsize=9
    )
    figure.savefig(path, dpi=150, bbox_inches="tight")


def _mean(
    matrix: Matrix, measure: str, fault: str, strength: float, motion: str | None = None
) -> float:
    values = [
        cell.values[measure]
        for cell in matrix.cells
        if cell.fault == fault
        and cell.strength == strength
        and (cell.motion == motion if motion is not None else cell.motion != "cut")
    ]
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else float("nan")


def _heading(fault: str, strength: float) -> str:
    return "clean" if fault == "none" else f"{fault} {strength:g}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"


def main(arguments: list[str] | None = None) -> None:
    """Run, print, draw; exit code 1 when a measure of the suite fails."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--textures", nargs="+", default=list(TEXTURES), choices=TEXTURES)
    parser.add_argument("--frames", type=int, default=FRAMES)
    args = parser.parse_args(arguments)
    matrix = run(args.textures, frames=args.frames)
    measures = [*SUITE, *PUBLISHED]
    text = table(matrix, measures)
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    problems = {measure: matrix.problems(measure) for measure in SUITE}
    failed = {measure: found for measure, found in problems.items() if found}
    verdict = "Every measure of the suite passes.\n" if not failed else ""
    for measure, found in failed.items():
        verdict += f"{measure}:\n" + "".join(f"- {line}\n" for line in found)
    print(verdict)
    (args.out / "matrix.md").write_text(text + "\n" + verdict, encoding="utf-8")
    cells = [cell.__dict__ for cell in matrix.cells]
    (args.out / "matrix.json").write_text(json.dumps(cells, allow_nan=False), encoding="utf-8")
    draw(matrix, measures, args.out / "matrix.png")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
