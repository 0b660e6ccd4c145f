"""Degraded inputs: what a bridge or refiner meets in practice is worse than a shrunken truth.

A stage trained on perfect inputs copies whatever is wrong in real ones. Noise augmentation (Ho et
al. 2022) hides fine detail; blur, compression and colour shifts are what previous stages and
people's own files add besides, after Wang et al. 2021 (Real-ESRGAN), but mild: the stage must
still trust its input.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

BLUR = (0.3, 1.5)  # standard deviation in pixels of the input
QUALITY = (30, 90)  # JPEG
GAIN = 0.08  # of each channel, up or down
SHIFT = 0.06  # of brightness, where the whole range is 1


def degrade(video: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, compress and tint a clip, each by chance and at least one of them.

    All frames of a clip are treated alike, since flicker is not what is to be learnt here.

    Args:
        video: (1, T, 3, h, w) in [-1, 1].
        rng: everything is drawn from it.

    Returns:
        The same shape in [-1, 1], rounded to 8 bits.
    """
    chosen = rng.random(3) < 0.5
    if not chosen.any():
        chosen[int(rng.integers(3))] = True
    blurs, compresses, tints = (bool(k) for k in chosen)
    sigma = float(rng.uniform(*BLUR))
    quality = int(rng.integers(QUALITY[0], QUALITY[1] + 1))
    gain = 1 + rng.uniform(-GAIN, GAIN, 3)
    shift = rng.uniform(-SHIFT, SHIFT)
    out = []
    for frame in (video[0].permute(0, 2, 3, 1).numpy() + 1) / 2:
        pixels = frame * gain + shift if tints else frame
        if blurs:
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        coded = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)
        out.append(_compress(coded, quality) if compresses else coded)
    stacked = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2)
    return stacked[None].float() / 127.5 - 1


def _compress(frame: np.ndarray, quality: int) -> np.ndarray:
    """uint8 (h, w, 3) RGB through JPEG and back; the colours are subsampled as in any video."""
    done, coded = cv2.imencode(
        ".jpg", np.ascontiguousarray(frame[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert done
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])
