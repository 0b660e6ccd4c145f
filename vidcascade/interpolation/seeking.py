"""Decoding a video from its beginning, or from a key frame to the very same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidcascade.video.decoding import open_video

__all__ = ["Seeks", "decode", "video_frames"]

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True, eq=False)
class Seeks:
    """Times of all frames and of the key frames, in the stream's own unit, in order."""

    stamps: np.ndarray
    keys: np.ndarray
    tick: Fraction

    def before(self, time: Fraction) -> int | None:
        """The key frame to begin at for what is shown from ``time`` (seconds) on; None: the first.

        The one before the last: encoders that refresh a picture bit by bit mark key frames that
        are whole only some frames later.
        """
        passed = int(np.searchsorted(self.keys, float(time / self.tick) - 1, side="right"))
        return int(self.keys[passed - 2]) if passed > 2 else None

    def number(self, stamp: int) -> int:
        """How many frames come before one."""
        return int(np.searchsorted(self.stamps, stamp))


def video_frames(path: Path, place: int | None = None) -> Iterator[Any]:
    """Decoded frames from a key frame on, whose time ``place`` is; None is the beginning."""
    with open_video(path) as (container, stream):
        frames = decode(container, stream)
        if place is not None:
            head, frames = _sought(container, stream, place)
            if head is not None:
                yield head
        if place is None or head is not None:
            yield from frames
            return
    yield from video_frames(path)  # a demuxer that lands elsewhere


def _sought(container: Any, stream: Any, place: int) -> tuple[Any, Iterator[Any]]:
    """The frame at ``place`` and those after it; None where seeking does not lead there."""
    try:
        container.seek(place, stream=stream)
        frames = decode(container, stream)
        # What a group of pictures shows before its key frame needs the group before it.
        for head in frames:
            if head.pts is None or head.pts >= place:
                return (head if head.pts == place else None), frames
    except av.error.FFmpegError:
        pass
    return None, iter(())


def decode(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of a stream from where it stands, with their opacity."""
    coder = stream.codec_context.name
    said = {key.lower(): value for key, value in stream.metadata.items()}
    if said.get("alpha_mode") != "1" or coder not in _WITH_ALPHA:
        yield from container.decode(stream)
        return
    # FFmpeg's own decoders of VP8 and VP9 pass over the opacity.
    decoder: Any = av.CodecContext.create(_WITH_ALPHA[coder], "r")
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)
