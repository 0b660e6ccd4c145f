"""How fast it flickers, in Hz, and how much of that an eye sees.

The second difference multiplies a flicker of frequency f by ``1 - cos(2π f / fps)``: at twice the
frame rate the same flicker reads as a quarter. Welch's averaged periodogram of its series takes
that gain out and weighs what is left by the eye's temporal contrast sensitivity, so that a number
means the same at 24 and at 60 frames per second and frame rate matters as it does to a viewer.

Sources: Watson & Ahumada 2011, *Flicker visibility: a perceptual metric for display flicker*, SID
Digest 42(1), 957-959 (the filter behind the flicker chapter of the Information Display Measurements
Standard); Welch 1967, doi:10.1109/TAU.1967.1161901.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST_HZ", "Periodogram", "Welch", "eye_gain", "sensitivity", "visibility"]

# Slower change is fading, not flicker, and the inverse of a small gain would only blow up noise.
LOWEST_HZ = 3.0
_WINDOW_SECONDS = 2.0
_LEAST_WINDOW = 8

Array = NDArray[np.float64]


def sensitivity(hz: Array) -> Array:
    """Contrast sensitivity (1 / threshold contrast) to a flickering field; peak 172 near 9 Hz."""
    step = 2j * np.pi * np.asarray(hz, dtype=np.float64) * 0.00267
    fast = (1 + step) ** -15
    slow = (1 + 1.834 * step) ** -16
    return np.asarray(148.7 * np.abs(fast - 0.882 * slow))


@dataclass(frozen=True, eq=False)
class Periodogram:
    """Mean power of a set of second-difference series.

    Attributes:
        hz: (F,) frequencies, 0 to half the frame rate.
        power: (F,) mean square of the residual in each bin; the sum is the mean square over time.
        fps: Frames per second.
    """

    hz: Array
    power: Array
    fps: float

    def amplitude(self) -> Array:
        """(F,) RMS of the flicker itself in each bin: the residual without the difference's gain.

        Below :data:`LOWEST_HZ` the gain is held, so slow change is played down, not blown up.
        """
        return np.asarray(np.sqrt(self.power) / _gain(self.hz, self.fps))

    def strongest(self) -> float:
        """Frequency in Hz at which an eye sees most; 0 when there is nothing."""
        seen = self.amplitude() * sensitivity(self.hz)
        return float(self.hz[int(np.argmax(seen))]) if seen.max(initial=0.0) > 0 else 0.0


class Welch:
    """Averages periodograms of many series in one pass; memory is one window.

    Rows come one per frame; a NaN says that a series has no value there. Windows are two seconds
    (the whole clip where it is shorter), half overlapping, Hann.
    """

    def __init__(self, columns: int, fps: float) -> None:
        self._fps = fps
        self._size = max(_LEAST_WINDOW, round(_WINDOW_SECONDS * fps))
        self._rows = np.zeros((self._size, columns))
        self._filled = 0
        self._fresh = 0
        self._power: Array = np.zeros(self._size // 2 + 1)
        self._weight = 0.0

    def add(self, row: NDArray[np.floating]) -> None:
        """Append one frame's values (K,)."""
        if self._filled == self._size:
            half = self._size // 2
            self._rows[:-half] = self._rows[half:].copy()
            self._filled -= half
        self._rows[self._filled] = row
        self._filled += 1
        self._fresh += 1
        if self._filled == self._size:
            self._collect(self._rows)
            self._fresh = 0

    def finish(self) -> Periodogram:
        """The mean so far; a clip shorter than one window is one window of its own length."""
        if self._weight == 0 and self._filled >= 2:
            rows = self._rows[: self._filled]
            self._power = np.zeros(len(rows) // 2 + 1)
            self._size = len(rows)
            self._collect(rows)
        hz = np.asarray(np.fft.rfftfreq(self._size, 1 / self._fps), dtype=np.float64)
        return Periodogram(hz, self._power / max(self._weight, 1e-300), self._fps)

    def _collect(self, rows: Array) -> None:
        known = np.isfinite(rows)
        use = known.mean(axis=0) >= 0.5
        if not use.any():
            return
        values = np.where(known, rows, 0.0)[:, use]
        share = known[:, use].mean(axis=0)
        window = np.hanning(len(rows) + 2)[1:-1, None]
        spectrum = np.abs(np.fft.rfft(values * window, axis=0)) ** 2
        spectrum /= len(rows) * np.square(window).sum() * share
        # Both halves of the two-sided spectrum; the first bin, and the last of an even length, are
        # there once only.
        spectrum[1 : -1 if len(rows) % 2 == 0 else None] *= 2
        self._power += spectrum.sum(axis=1)
        self._weight += int(use.sum())


def eye_gain(result: Periodogram) -> float:
    """Factor from the RMS of the second difference to the RMS of the flicker that an eye sees.

    The sensitivity is relative to its peak. Without a spectrum (fewer than two frames' residuals,
    or no residual at all) the factor is that of a flicker which is independent from frame to frame.
    """
    power, hz = result.power, result.hz
    if power.sum() <= 1e-12:
        hz = np.linspace(0, result.fps / 2, 129)[1:]
        # The second difference of white noise is not white: its spectrum is the gain squared.
        power = np.square(1 - np.cos(2 * np.pi * hz / result.fps))
    weight = sensitivity(hz) / _PEAK / _gain(hz, result.fps)
    return float(np.sqrt((power * weight**2).sum() / power.sum()))


def visibility(result: Periodogram, lightness: float) -> float:
    """Flicker of lightness in multiples of the threshold at which half of viewers notice it.

    Args:
        result: Spectrum of a residual in L*.
        lightness: Mean L* of the clip, 0 to 100; a step dL* there is a contrast 3 dL* / (L* + 16).

    Returns:
        Root sum of squares over frequencies of contrast amplitude × sensitivity; 0 = steady, 1 = at
        the threshold of a uniform field.
    """
    contrast = np.sqrt(2) * 3 * result.amplitude() / (lightness + 16)
    return float(np.sqrt(np.square(contrast * sensitivity(result.hz)).sum()))


def _gain(hz: Array, fps: float) -> Array:
    floor = 1 - np.cos(2 * np.pi * min(LOWEST_HZ, fps / 2) / fps)
    return np.asarray(np.maximum(1 - np.cos(2 * np.pi * hz / fps), floor))


_PEAK = float(sensitivity(np.linspace(1, 30, 2901)).max())
