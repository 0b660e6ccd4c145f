"""One number for a clip's flicker: the causes in quadrature, weighted as viewers see them.

``flicker_t = sqrt(Σ (w_k g_k x_kt)²)`` with x_k the causes of one frame, g_k the eye's gain for
that cause in that clip (:func:`.spectrum.eye_gain`) and w_k fitted once to ColorVideoVDP (Mantiuk
et al. 2024, *ColorVideoVDP: a visual difference predictor for image, video and display
distortions*, doi:10.1145/3658144) by ``benchmarks/flicker/fit_composite.py``, which also writes
how well it ranks clips that it was not fitted to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAUSES", "composite", "fit_report", "weights"]

CAUSES = (
    "global_luminance",
    "regional_luminance",
    "texture",
    "chroma",
    "swimming",
    "judder",
)

Series = NDArray[np.float64]


@lru_cache(maxsize=1)
def _stored() -> dict[str, Any]:
    return dict(json.loads((files("vidcascade.metrics") / "composite.json").read_text("utf-8")))


def weights() -> dict[str, float]:
    """The fitted weight of each cause, per unit of that cause."""
    return {name: float(_stored()["weights"][name]) for name in CAUSES}


def fit_report() -> dict[str, Any]:
    """How the weights were fitted and how well they rank held-out clips."""
    return dict(_stored()["fit"])


def composite(causes: Mapping[str, Series], gains: Mapping[str, float]) -> Series:
    """Flicker of each frame.

    Args:
        causes: For each name in :data:`CAUSES` the values (T,), NaN where not measured.
        gains: For each name the eye's gain.

    Returns:
        float64 (T,), 0 = steady, NaN where a cause is NaN.
    """
    factor = weights()
    terms = [np.square(factor[name] * gains[name] * causes[name]) for name in CAUSES]
    return np.asarray(np.sqrt(np.sum(terms, axis=0)), dtype=np.float64)
