"""One pass over a clip of any length: three frames in memory, and a few numbers per frame.

Everything that a measure needs is computed here once per frame and per pair; what the numbers mean
for the clip is decided in :mod:`.suite`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.metrics.compensation import Pair, connect
from vidcascade.metrics.composite import CAUSES, weights
from vidcascade.metrics.evidence import HeatMap, WorstFrame, WorstFrames, frame_heat
from vidcascade.metrics.flashes import FlashCounter, Flashes
from vidcascade.metrics.frames import SHORT_SIDE, Prepared, prepare
from vidcascade.metrics.probes import Probes
from vidcascade.metrics.published import pair_values, sampling
from vidcascade.metrics.second_difference import residual, split
from vidcascade.metrics.spectrum import Periodogram
from vidcascade.metrics.swimming import duplicates, swim

__all__ = ["LEAST_COVERAGE", "Scan", "ScanSettings", "TimedFrame", "scan"]

# Below this share of the picture, what is left says little about the whole.
LEAST_COVERAGE = 0.5
# Steps that differ from the usual one by more than this are a variable frame rate; rounding of the
# container's clock is not.
_UNEVEN = 0.25
_CONTRADICTION = 0.02

Series = NDArray[np.float64]
Frame = NDArray[np.uint8]


class TimedFrame(NamedTuple):
    """One RGB frame (H, W, 3) uint8 and its time in seconds."""

    pixels: Frame
    time: float


@dataclass(frozen=True)
class ScanSettings:
    """How a clip is looked at.

    Attributes:
        preset: DIS preset of the suite's own flow (the published errors always use "medium").
        published: Also take the published measures, which need a flow of their own.
        exact: Take the published warping errors of every pair, whatever it costs.
    """

    preset: str = "fast"
    published: bool = True
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Scan:
    """What one pass found.

    Attributes:
        size: (height, width) of the frames in pixels.
        fps: Frames per second, on average.
        variable: Whether the steps between frames differ.
        times: (T,) seconds.
        series: Values per frame (T,), NaN where there is none: the causes, "coverage", and of the
            step that leads to each frame "motion" (short sides per second), "change" (L*),
            "duplicate" (0 or 1), "difference", "lai", "evalcrafter"; the flash counts.
        spectra: Spectrum of each cause's residual but judder's, plus "cells" (lightness of cells).
        flashes: The flash counts.
        lightness: Mean L*.
        heat: float32 (h, w), where it flickers, or None.
        backdrop: A frame to draw it over: uint8 (H, W, 3) RGB at the measures' size.
        worst: The frames that flicker most.
        pair_step: The published warping errors were taken of every this many pairs; 0: of none.
    """

    size: tuple[int, int]
    fps: float
    variable: bool
    times: Series
    series: dict[str, Series]
    spectra: dict[str, Periodogram]
    flashes: Flashes
    lightness: float
    heat: NDArray[np.float32] | None
    backdrop: Frame | None
    worst: list[WorstFrame]
    pair_step: int
    settings: ScanSettings


@dataclass
class _State:
    """The window of frames and the numbers so far."""

    window: deque[Prepared] = field(default_factory=lambda: deque(maxlen=3))
    pairs: deque[Pair] = field(default_factory=lambda: deque(maxlen=2))
    times: list[float] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    lightness: float = 0.0

    def put(self, index: int, **values: float) -> None:
        for name, value in values.items():
            column = self.series.setdefault(name, [])
            column.extend([np.nan] * (index + 1 - len(column)))
            column[index] = value


def scan(
    frames: Iterable[TimedFrame],
    fps: float,
    settings: ScanSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scan:
    """Look at every frame once.

    Args:
        frames: RGB frames of one size with their times, in order.
        fps: The nominal frame rate, > 0; windows of the spectrum and the flash counts follow it.
        settings: How to look.
        progress: Called with the number of frames done.

    Raises:
        UsageError: If there are fewer than two frames or their size changes.
    """
    settings = settings or ScanSettings()
    state, heat, worst = _State(), HeatMap(), WorstFrames()
    flashes = FlashCounter(fps)
    probes: Probes | None = None
    last: Frame | None = None
    step = 0
    for index, (pixels, time) in enumerate(frames):
        if last is None:
            if settings.published:
                step = sampling(pixels.shape[0], pixels.shape[1], settings.exact)
        elif pixels.shape != last.shape:
            raise UsageError(
                f"The picture size changes at frame {index}; convert the clip to one size first."
            )
        state.times.append(time)
        state.window.append(prepare(pixels))
        state.lightness += float(state.window[-1].lab[..., 0].mean())
        counted = flashes.add(pixels, time)
        state.put(
            index,
            luminance=counted.luminance,
            flashes_general=counted.general,
            flashes_red=counted.red_transitions,
            flashes_local=counted.local,
        )
        if last is not None:
            _step(state, index, settings)
            if settings.published:
                _published(state, index, last, pixels, step)
        if len(state.window) == 3:
            if probes is None:
                probes = Probes(state.window[1].grey.shape, fps)
            _middle(state, index - 1, probes, heat, worst)
        last = pixels
        if progress is not None:
            progress(index + 1)
    return _finish(state, fps, settings, probes, heat, worst, flashes, last, step)


def _step(state: _State, index: int, settings: ScanSettings) -> None:
    """What a pair of frames says: motion and change."""
    earlier, later = state.window[-2], state.window[-1]
    pair = connect(earlier, later, settings.preset)
    state.pairs.append(pair)
    length = np.hypot(pair.forward[..., 0], pair.forward[..., 1])[pair.seen_earlier]
    moved = float(length.mean()) if length.size else np.nan
    duration = max(state.times[-1] - state.times[-2], 1e-6)
    state.put(
        index,
        pixels_moved=moved,
        motion=moved / SHORT_SIDE / duration,
        change=float(np.abs(later.lab[..., 0] - earlier.lab[..., 0]).mean()),
    )


def _published(state: _State, index: int, last: Frame, pixels: Frame, step: int) -> None:
    with_flow = step > 0 and (index - 1) % step == 0
    difference, lai, evalcrafter = pair_values(last, pixels, with_flow)
    state.put(index, difference=difference, lai=lai, evalcrafter=evalcrafter)


def _middle(state: _State, index: int, probes: Probes, heat: HeatMap, worst: WorstFrames) -> None:
    """What the middle one of three frames says: the second difference and its causes."""
    earlier, frame, later = state.window
    before, after = state.pairs
    sooner = state.times[-2] - state.times[-3]
    span = max(state.times[-1] - state.times[-3], 1e-6)
    # The nearer neighbour in time says more about where frame t should be.
    shares = (1 - sooner / span, sooner / span)
    rest = residual(frame, earlier, later, before, after, shares)
    if rest.coverage < LEAST_COVERAGE:
        state.put(index, coverage=rest.coverage)
        probes.skip(state.times[-2])
        return
    causes, unsteady = split(rest, frame), swim(frame.lab[..., 0], before, after, rest.seen, shares)
    values = {
        "global_luminance": abs(causes.global_luminance),
        "regional_luminance": causes.regional_luminance,
        "texture": causes.texture,
        "chroma": causes.chroma,
        "swimming": unsteady.swimming,
        "judder": unsteady.judder,
    }
    state.put(index, coverage=rest.coverage, **values)
    probes.add(state.times[-2], causes, unsteady, rest.seen)
    local = frame_heat(causes, unsteady)
    heat.add(local, causes.shares)
    factor = weights()
    value = float(np.sqrt(sum((factor[name] * values[name]) ** 2 for name in CAUSES)))
    if worst.wants(value, state.times[-2]):
        pictures = (earlier.small, frame.small, later.small)
        worst.add(WorstFrame(index, state.times[-2], value, pictures, np.sqrt(local)))


def _finish(
    state: _State,
    fps: float,
    settings: ScanSettings,
    probes: Probes | None,
    heat: HeatMap,
    worst: WorstFrames,
    flashes: FlashCounter,
    last: Frame | None,
    step: int,
) -> Scan:
    total = len(state.times)
    if last is None or total < 2:
        raise UsageError(
            f"Flicker is what changes from frame to frame: {total or 'no'} frame"
            f"{'' if total == 1 else 's'} cannot flicker; give a clip of two or more."
        )
    times = np.asarray(state.times)
    steps = np.diff(times)
    names = ("coverage", "difference", "lai", "evalcrafter", *CAUSES)
    state.put(total - 1, **{name: np.nan for name in names if name not in state.series})
    series = {
        name: np.asarray(values + [np.nan] * (total - len(values)))
        for name, values in state.series.items()
    }
    motion = np.nan_to_num(series["pixels_moved"][1:], nan=np.inf)
    repeated = duplicates(series["change"][1:], motion, times[1:])
    series["duplicate"] = np.concatenate(([np.nan], repeated.astype(np.float64)))
    usual = float(np.median(steps))
    variable = bool((np.abs(steps - usual) > _UNEVEN * usual).any())
    mean_fps = (total - 1) / float(times[-1] - times[0])
    # What a container says of its rate is believed unless its own times contradict it.
    contradicted = abs(mean_fps / fps - 1) > _CONTRADICTION
    return Scan(
        size=(last.shape[0], last.shape[1]),
        fps=mean_fps if variable or contradicted else fps,
        variable=variable,
        times=times,
        series=series,
        spectra=probes.finish() if probes is not None else {},
        flashes=flashes.finish(),
        lightness=state.lightness / total,
        heat=heat.finish(),
        backdrop=state.window[0].small if state.window else None,
        worst=worst.finish(),
        pair_step=step,
        settings=settings,
    )
