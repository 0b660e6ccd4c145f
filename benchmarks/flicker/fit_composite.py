"""Fit the composite's weights to ColorVideoVDP, and say how well they rank clips they never saw.

    python -m benchmarks.flicker.fit_composite            # print
    python -m benchmarks.flicker.fit_composite --write    # and store the weights in the package

Works from the table of ``benchmarks.flicker.rating``, so it repeats without ColorVideoVDP. The
composite is fitted to its JOD losses (10 - JOD; one JOD is what three of four viewers notice):
least squares of log(1 + flicker) against log(1 + loss), no weight below 0.05. "Held out": every
clip was ranked by weights fitted without any clip of its content (or of its motion); as many fits
as there are contents, their predictions pooled. Clips of which too little can be followed have no
value and are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.flicker.rating import TABLE
from vidcascade.metrics.composite import CAUSES
from vidcascade.metrics.streaming import LEAST_COVERAGE

STORE = Path(__file__).parents[2] / "vidcascade" / "metrics" / "composite.json"
# No cause is left out: what few of the rated clips show would otherwise not count at all.
_LEAST = 0.05
# tLPIPS saw the first six frames of each clip, and the others all (see rating).
OTHERS = {
    "vbench": "VBench",
    "lai": "warping error (Lai)",
    "tlpips": "tLPIPS (first five steps)",
}

Array = NDArray[np.float64]


def load(path: Path = TABLE) -> list[dict[str, Any]]:
    """The rated clips."""
    with path.open(encoding="utf-8") as handle:
        rows: list[dict[str, Any]] = list(csv.DictReader(handle))
    words = ("content", "motion", "fault")
    read = [{k: v if k in words else float(v) for k, v in row.items()} for row in rows]
    # Where too little can be followed there is no value to rank.
    return [row for row in read if row["coverage"] >= LEAST_COVERAGE]


def columns(rows: Sequence[dict[str, Any]]) -> tuple[Array, Array]:
    """(N, causes) values and (N,) JOD losses."""
    values = np.array([[row[name] for name in CAUSES] for row in rows])
    return values, np.array([max(10 - row["jod"], 0.0) for row in rows])


def flicker(values: Array, squares: Array) -> Array:
    """The composite of clips, from squared weights."""
    return np.sqrt(np.square(values) @ squares)


def fit(values: Array, loss: Array, rounds: int = 400) -> Array:
    """Squared weights of the least squares in log(1 + ·), by coordinate search from a start that a
    linear least squares gives."""
    target = np.log1p(loss)
    squares = np.linalg.lstsq(np.square(values), loss**2, rcond=None)[0]
    squares = np.maximum(squares, _LEAST**2)

    def error(candidate: Array) -> float:
        rest = np.log1p(flicker(values, candidate)) - target
        return float(np.square(rest).mean())

    best = error(squares)
    step = 2.0
    for _ in range(rounds):
        improved = False
        for index in range(len(squares)):
            for factor in (step, 1 / step):
                trial = squares.copy()
                trial[index] = max(trial[index] * factor, _LEAST**2)
                value = error(trial)
                if value < best - 1e-12:
                    squares, best, improved = trial, value, True
        if not improved:
            step = 1 + (step - 1) / 2
            if step < 1.0005:
                break
    return squares


def spearman(a: Array, b: Array) -> float:
    """Rank correlation, ties shared."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def held_out(rows: Sequence[dict[str, Any]], by: str) -> Array:
    """Each clip's composite from a fit without its own group."""
    values, loss = columns(rows)
    groups = np.array([row[by] for row in rows])
    out = np.zeros(len(rows))
    for group in np.unique(groups):
        inside = groups == group
        out[inside] = flicker(values[inside], fit(values[~inside], loss[~inside]))
    return out


def interval(a: Array, b: Array, groups: Array, resamples: int = 1000) -> tuple[float, float]:
    """95 % interval of the rank correlation, whole contents resampled."""
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    found = []
    for _ in range(resamples):
        chosen = rng.choice(names, len(names))
        index = np.concatenate([np.flatnonzero(groups == name) for name in chosen])
        found.append(spearman(a[index], b[index]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Weights and rank correlations."""
    values, loss = columns(rows)
    contents = np.array([row["content"] for row in rows])
    squares = fit(values, loss)
    by_content, by_motion = held_out(rows, "content"), held_out(rows, "motion")
    ranks = {
        "composite, held-out content": spearman(by_content, loss),
        "composite, held-out motion": spearman(by_motion, loss),
        "composite, fitted to all": spearman(flicker(values, squares), loss),
    }
    for name, title in OTHERS.items():
        other = np.array([row[name] for row in rows])
        if other.any():
            ranks[title] = spearman(other, loss)
    low, high = interval(by_content, loss, contents)
    real = np.array([row["motion"] == "real" for row in rows])
    for title, part in (("real clips", real), ("synthetic cameras", ~real)):
        if part.any():
            ranks[f"composite, held-out content, {title}"] = spearman(by_content[part], loss[part])
    best = ranks["composite, held-out content"]
    rivals = ", ".join(f"{t} {ranks[t]:.2f}" for t in OTHERS.values() if t in ranks)
    return {
        "weights": {n: round(float(np.sqrt(s)), 4) for n, s in zip(CAUSES, squares, strict=True)},
        "fit": {
            "clips": len(rows),
            "contents": len(np.unique(contents)),
            "spearman": {name: round(value, 3) for name, value in ranks.items()},
            "spearman_interval": [round(low, 3), round(high, 3)],
            "summary": (
                f"Flicker was fitted to ColorVideoVDP's JOD losses on {len(rows)} clips of"
                f" {len(np.unique(contents))} contents; rank correlation with them on contents left"
                f" out of the fit {best:.2f} (95 % interval {low:.2f} to {high:.2f}), on the same"
                f" clips {rivals}."
            ),
        },
    }


def _ranks(values: Array) -> Array:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values))
    _, inverse = np.unique(values, return_inverse=True)
    mean = np.bincount(inverse, ranks) / np.bincount(inverse)
    return mean[inverse]


def main(arguments: list[str] | None = None) -> None:
    """Print the fit."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    args = parser.parse_args(arguments)
    found = report(load(args.table))
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    print(text, end="")
    if args.write:
        STORE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
