"""H.264 that is the same file for the same frames."""

from __future__ import annotations

__all__ = ["repeatable"]

_AVX512 = 13  # as OpenCV numbers these instructions


def repeatable() -> dict[str, str]:
    """Options for libx264 on this machine, without which it may encode frames in another way again.

    With AVX-512 it did in about 3 of 100 files: its rate control reads past the end of rows of 4,
    12, 20 … macroblocks (measured with the build that PyAV 18 carries).
    """
    import cv2

    return {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX512) else {}
