"""Flicker results as JSON (everything) and CSV (one row per clip and measure)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from vidcascade import __version__
from vidcascade.metrics.compare import Comparison
from vidcascade.metrics.composite import fit_report, weights
from vidcascade.metrics.suite import ClipResult, Measured
from vidcascade.metrics.verdict import grade, in_words, state

__all__ = ["as_csv", "as_dict", "as_json"]

_COLUMNS = (
    "clip",
    "measure",
    "value",
    "unit",
    "better",
    "low",
    "high",
    "worst_second",
    "worst_at",
    "coverage",
    "note",
)


def as_dict(
    results: Sequence[ClipResult],
    references: Sequence[dict[str, Measured]] = (),
    comparisons: Sequence[Comparison] = (),
    series: bool = True,
) -> dict[str, Any]:
    """Everything as plain lists, numbers, text and None; never NaN.

    Args:
        results: Clips.
        references: Measures against the reference, one per clip, or none.
        comparisons: Pairs of clips.
        series: With the value of each frame.
    """
    clips = []
    for index, result in enumerate(results):
        entry = _clip(result, series)
        if references and references[index]:
            entry["reference"] = {
                name: _measured(found, series) for name, found in references[index].items()
            }
        clips.append(entry)
    return {
        "tool": "vidcascade flicker",
        "version": __version__,
        "composite": {"weights": weights(), "fit": fit_report()},
        "clips": clips,
        "comparisons": [_comparison(pair) for pair in comparisons],
    }


def as_json(document: dict[str, Any]) -> str:
    """The document as text; strict JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(results: Sequence[ClipResult], references: Sequence[dict[str, Measured]] = ()) -> str:
    """A table with a header; empty cells where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for index, result in enumerate(results):
        measures = dict(result.measures)
        if references:
            measures |= references[index]
        for found in measures.values():
            low, high = found.interval or (None, None)
            row = (
                result.name,
                found.info.name,
                found.value,
                found.info.unit,
                found.info.better,
                low,
                high,
                found.worst_second,
                found.worst_at,
                found.coverage,
                found.note,
            )
            writer.writerow([_finite(v) if isinstance(v, float) else v for v in row])
    return out.getvalue()


def _clip(result: ClipResult, series: bool) -> dict[str, Any]:
    scan = result.scan
    flashes = scan.flashes
    value = result.measures["flicker"].value
    entry: dict[str, Any] = {
        "name": result.name,
        "frames": result.frames,
        "fps": scan.fps,
        "variable_frame_rate": scan.variable,
        "seconds": result.duration,
        "width": scan.size[1],
        "height": scan.size[0],
        "state": state(result),
        "grade": None if value is None else grade(value),
        "verdict": in_words(result),
        "settings": result.settings(),
        "flashes": {
            "verdict": flashes.verdict,
            "whole_picture_verdict": flashes.global_verdict,
            "general": flashes.general,
            "red": flashes.red,
            "local": flashes.local,
            "local_red": flashes.local_red,
        },
        "measures": {n: _measured(m, series) for n, m in result.measures.items()},
        "spectrum": _spectrum(result),
        "worst_frames": [
            {"frame": worst.index, "time": worst.time, "value": worst.value} for worst in scan.worst
        ],
    }
    if series:
        entry["times"] = _list(scan.times)
    return entry


def _measured(found: Measured, series: bool) -> dict[str, Any]:
    info = found.info
    entry: dict[str, Any] = {
        "value": _finite(found.value),
        "unit": info.unit,
        "range": [info.low, info.high],
        "better": info.better or None,
        "interval": None if found.interval is None else [_finite(v) for v in found.interval],
        "worst_second": _finite(found.worst_second),
        "worst_at": _finite(found.worst_at),
        "coverage": _finite(found.coverage),
        "note": found.note,
        "definition": info.definition,
        "source": info.source,
    }
    if series and found.series is not None:
        entry["series"] = _list(found.series)
    return entry


def _spectrum(result: ClipResult) -> dict[str, Any] | None:
    cells = result.scan.spectra.get("cells")
    if cells is None:
        return None
    whole = result.scan.spectra["global_luminance"]
    return {
        "hz": _list(cells.hz),
        "cells": _list(cells.amplitude()),
        "whole_picture": _list(whole.amplitude()),
        "unit": "L* RMS per bin",
        "strongest_hz": result.peak_hz,
    }


def _comparison(pair: Comparison) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "verdict": pair.verdict,
        "obstacles": pair.obstacles,
        "differences": {
            name: {
                "first": found.first,
                "second": found.second,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "more_than_chance": found.certain,
            }
            for name, found in pair.differences.items()
        },
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _list(values: Any) -> list[float | None]:
    return [_finite(round(float(v), 6)) for v in values]
