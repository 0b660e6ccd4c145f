"""Small clips whose every frame can be told from every other."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """uint8 (12, 48, 64, 3): a colour ramp that moves."""
    ramp = np.linspace(0, 255, 64)[None, :, None] * np.array([1.0, 0.7, 0.4])
    still = np.broadcast_to(ramp, (48, 64, 3))
    return np.stack([np.roll(still, 4 * i, axis=1) for i in range(12)]).astype(np.uint8)


def barcode(number: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A picture that carries ``number`` as 8 grey bars, and survives compression."""
    bits = [(number >> b) & 1 for b in range(8)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 20, width // 8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def decode_barcode(frame: NDArray[np.uint8]) -> int:
    """The number in a :func:`barcode` picture."""
    bars = frame.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1) > 120
    return int(sum(int(bit) << b for b, bit in enumerate(bars)))


def encode(
    path: Path, total: int, options: dict[str, str], codec: str = "libx264", step: int = 1
) -> Path:
    """A video of barcodes 0 to ``total`` - 1 with encoder options of the test's choice."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(total):
            frame = av.VideoFrame.from_ndarray(barcode(number), format="rgb24")
            # step > 1 makes the frame rate variable
            frame.pts = number + (number // 5) * (step - 1)
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
