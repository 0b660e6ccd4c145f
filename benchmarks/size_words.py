"""Do size words do what they say? The same subject is asked for small and large."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table, percent, spread
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import wilson
from vidcascade.metrics.adherence.tracking import track_subject
from vidcascade.metrics.statistics import bootstrap_mean

LARGER = 1.2  # least side of the large one / side of the small one


def side_of(recogniser: Recogniser, frames: NDArray[np.uint8]) -> float:
    """The subject's median size in a clip (T, H, W, 3): the root of its area, in frame sides."""
    sizes = track_subject(frames, recogniser.look(frames).masks).size
    return float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else math.nan


def size_table(generated: Sequence[float], truth: Sequence[float]) -> Table:
    """Small and large sizes by turns, of what was generated and of the truth, as a table.

    A pair in one of whose clips no subject is seen counts as wrong, and has no ratio.
    """
    shares, ratios = [], []
    for sizes in (generated, truth):
        ratio = np.asarray(sizes[1::2]) / np.asarray(sizes[::2])
        right = int((ratio >= LARGER).sum())  # no number is not larger
        mean, low, high = wilson(right, len(ratio))
        count = f"n = {len(ratio)}"
        shares.append(f"{percent(mean)} ({percent(low)} to {percent(high)}), {count}")
        known = ratio[np.isfinite(ratio)]
        ratios.append(spread(*bootstrap_mean(known)) if len(known) else "–")
    return Table(
        "Size words: the same subject, asked for small and large",
        ["", "generated", "truth"],
        [[f"large is at least {LARGER:g} times small", *shares], ["large / small", *ratios]],
        (
            "standing still; sizes: root of the outlined area, median over the clip; intervals: "
            "Wilson and bootstrap over pairs, 95 %",
        ),
    )
