"""All measures of one clip, with how far each can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidcascade.metrics.catalogue import MeasureInfo, info
from vidcascade.metrics.composite import CAUSES, composite
from vidcascade.metrics.frames import SHORT_SIDE
from vidcascade.metrics.seams import Seams, seam_flicker
from vidcascade.metrics.spectrum import eye_gain, visibility
from vidcascade.metrics.statistics import bootstrap_mean, bootstrap_rms
from vidcascade.metrics.streaming import LEAST_COVERAGE, Scan

__all__ = ["ClipResult", "Measured", "block_length", "evaluate"]

Series = NDArray[np.float64]

_FROZEN_CHANGE = 0.02
_BLOCK_SECONDS = 0.5


@dataclass(frozen=True, eq=False)
class Measured:
    """One measure of one clip.

    Attributes:
        info: What it is.
        value: The root mean square over time of the suite's own measures, the mean of all others;
            None when too little could be measured.
        interval: Its 95 % interval (circular moving-block bootstrap), or None where it has none.
        worst_second: The highest value over one second, or None.
        worst_at: Where that second begins, in seconds.
        coverage: Share of picture and time behind the value, 0 to 1.
        series: (T,) value of each frame, NaN where there is none; None for counts and spectra.
        note: Why there is no value, or what to know about it.
    """

    info: MeasureInfo
    value: float | None
    interval: tuple[float, float] | None = None
    worst_second: float | None = None
    worst_at: float | None = None
    coverage: float = 1.0
    series: Series | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class ClipResult:
    """Everything that was measured of a clip.

    Attributes:
        name: As shown to people.
        scan: The pass over the frames.
        measures: By name, in the catalogue's order.
        gains: The eye's gain of each cause.
        peak_hz: Frequency of lightness flicker that an eye sees most; 0: none.
        seams: At window borders, when they were given.
    """

    name: str
    scan: Scan
    measures: dict[str, Measured]
    gains: dict[str, float]
    peak_hz: float
    seams: Seams | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.scan.times)

    @property
    def duration(self) -> float:
        """Seconds, to the end of the last frame."""
        return float(self.scan.times[-1] - self.scan.times[0]) + 1 / self.scan.fps

    def settings(self) -> dict[str, object]:
        """What the numbers depend on, for files and reports."""
        return {
            "short_side": SHORT_SIDE,
            "flow": f"DIS {self.scan.settings.preset} on gain-normalised lightness",
            "published_flow": "DIS medium at native size",
            "published_every_pair": self.scan.pair_step,
            "least_coverage": LEAST_COVERAGE,
            "bootstrap": "circular moving blocks of"
            f" {block_length(self.scan.fps, self.frames)} frames, 2000 resamples, 95 %",
            "eye_gain": {name: round(gain, 4) for name, gain in self.gains.items()},
        }


def evaluate(scan: Scan, name: str, borders: tuple[list[int], int] | None = None) -> ClipResult:
    """Turn a pass over a clip into measures.

    Args:
        scan: The pass.
        name: The clip's name.
        borders: Window borders, as :func:`.seams.borders_from` reads them.
    """
    spectra = scan.spectra
    gains = {cause: eye_gain(spectra[cause]) for cause in CAUSES if cause in spectra}
    # Judder is one vector for the picture and has no spectrum of its own; nothing is weighed.
    gains = {cause: gains.get(cause, 1.0) for cause in CAUSES}
    causes = {cause: scan.series[cause] for cause in CAUSES}
    flicker = composite(causes, gains)
    coverage = _coverage(scan)
    out: dict[str, Measured] = {}

    def put(measured: Measured) -> None:
        out[measured.info.name] = measured

    put(_measure("flicker", flicker, scan, coverage))
    for cause in CAUSES:
        put(_measure(cause, gains[cause] * causes[cause], scan, coverage))
    put(_measure("duplicates", 100 * scan.series["duplicate"], scan))
    seams = seam_flicker(flicker, *borders) if borders is not None else None
    if borders is not None:
        put(_seams(seams))
    put(_visibility(scan, coverage))
    for kind in ("general", "red", "local"):
        worst = getattr(scan.flashes, kind)
        series = scan.series.get(f"flashes_{kind}")
        put(Measured(info(f"flashes_{kind}"), float(worst), series=series))
    if scan.settings.published:
        _published(scan, put)
    put(_measure("motion", 100 * scan.series["motion"], scan))
    still = np.where(np.isnan(scan.series["change"]), np.nan, 100.0)
    put(_measure("frozen", still * (scan.series["change"] < _FROZEN_CHANGE), scan))
    peak = spectra["cells"].strongest() if "cells" in spectra else 0.0
    return ClipResult(name, scan, out, gains, peak, seams)


def block_length(fps: float, count: int) -> int:
    """Frames that are resampled together: half a second, but at most a quarter of the clip."""
    return max(1, min(round(_BLOCK_SECONDS * fps), count // 4))


def _coverage(scan: Scan) -> float:
    """Mean share of the picture that was measured, unmeasured frames counting as none."""
    middle = np.nan_to_num(scan.series["coverage"][1:-1])
    if middle.size == 0:
        return 0.0
    return float(np.where(middle >= LEAST_COVERAGE, middle, 0.0).mean())


def _measure(name: str, series: Series, scan: Scan, coverage: float = 1.0) -> Measured:
    entry = info(name)
    known = series[np.isfinite(series)]
    if len(known) == 0 or coverage < LEAST_COVERAGE:
        if len(scan.times) < 3:
            note = "needs three frames"
        else:
            note = f"too little can be followed ({coverage:.0%} of picture and time)"
        return Measured(entry, None, coverage=coverage, series=series, note=note)
    # Energies add up: the root mean square of a flicker does not depend on where its frames fall.
    energy = name == "flicker" or name in CAUSES
    interval = None
    if len(known) > 1:
        block = block_length(scan.fps, len(known))
        found = (bootstrap_rms if energy else bootstrap_mean)(known, block=block)
        interval = (found.low, found.high)
    worst, start = _worst_second(np.square(series) if energy else series, scan.times)
    value = float(np.sqrt(np.square(known).mean()) if energy else known.mean())
    worst = float(np.sqrt(worst)) if energy else worst
    return Measured(entry, value, interval, worst, start, coverage, series)


def _worst_second(series: Series, times: Series) -> tuple[float, float]:
    """Highest mean over a second of which at least half is known, and where it begins."""
    known = np.isfinite(series)
    total = np.concatenate(([0.0], np.cumsum(np.where(known, series, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    # A frame shown exactly one second later is the next second's.
    end = np.searchsorted(times, times + 1 - 1e-6, side="left")
    start = np.arange(len(times))
    whole = times + 1 <= times[-1] + 1.5 * (times[-1] - times[-2])
    if not whole.any():
        whole[0] = True
    seen = count[end] - count[start]
    usable = whole & (seen > 0) & (2 * seen >= end - start)
    if not usable.any():
        usable = seen > 0
    mean = np.where(usable, (total[end] - total[start]) / np.maximum(seen, 1), -np.inf)
    best = int(np.argmax(mean))
    return float(mean[best]), float(times[best])


def _seams(seams: Seams | None) -> Measured:
    if seams is None:
        return Measured(info("seams"), None, coverage=0.0, note="no border could be measured")
    note = f"{seams.at_borders:.3f} at borders, {seams.interior:.3f} elsewhere"
    return Measured(info("seams"), seams.excess, coverage=seams.coverage, note=note)


def _visibility(scan: Scan, coverage: float) -> Measured:
    entry = info("visibility")
    if "cells" not in scan.spectra or coverage < LEAST_COVERAGE:
        return Measured(entry, None, coverage=coverage, note="no spectrum")
    value = visibility(scan.spectra["cells"], scan.lightness)
    return Measured(entry, value, coverage=coverage)


def _published(scan: Scan, put: object) -> None:
    difference = _measure("difference", scan.series["difference"], scan)
    measured = [difference]
    score = None if difference.value is None else (255 - difference.value) / 255
    interval = difference.interval
    measured.append(
        Measured(
            info("vbench_temporal_flickering"),
            score,
            None if interval is None else ((255 - interval[1]) / 255, (255 - interval[0]) / 255),
        )
    )
    for name, column in (("warping_error", "lai"), ("warping_error_evalcrafter", "evalcrafter")):
        if scan.pair_step == 0:
            measured.append(
                Measured(info(name), None, coverage=0.0, note="the picture is larger than 4K")
            )
            continue
        found = _measure(name, scan.series[column], scan)
        note = "" if scan.pair_step == 1 else f"every {scan.pair_step}th pair"
        measured.append(
            Measured(
                found.info, found.value, found.interval, found.worst_second, found.worst_at,
                1 / scan.pair_step, found.series, note,
            )
        )  # fmt: skip
    for entry in measured:
        put(entry)  # type: ignore[operator]
