"""Small real clips, made with PyAV, whose originals can be told from made frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.source import plain

SHARED = Path(__file__).parents[2].parent / "shared"


def scene(
    count: int, height: int = 48, width: int = 64, seed: int = 0, step: int = 2
) -> NDArray[np.uint8]:
    """uint8 ``(count, height, width, 3)``: a smooth texture that moves by ``step`` pixels."""
    import cv2

    rng = np.random.default_rng(seed)
    wide = width + step * count + 8
    texture = rng.uniform(0, 1, (height, wide, 3)).astype(np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), 3)
    low, high = texture.min(), texture.max()
    texture = 25 + 205 * (texture - low) / (high - low)
    return np.stack([texture[:, step * i : step * i + width] for i in range(count)]).astype(
        np.uint8
    )


def write(
    path: Path,
    frames: Sequence[NDArray[Any]] | NDArray[Any],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: Fraction | int = 24,
    stamps: Sequence[int] | None = None,
    tick: Fraction | None = None,
    options: dict[str, str] | None = None,
    audio: float = 0.0,
    colour: tuple[int, int, int, int] = (1, 1, 1, 1),
    rotation: int = 0,
    metadata: dict[str, str] | None = None,
    chapters: list[dict[str, Any]] | None = None,
) -> Path:
    """Write RGB(A) frames as a video; ``colour``: matrix, range, primaries, transfer."""
    given = "rgba" if frames[0].shape[2] == 4 else "rgb24"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        unit = tick or 1 / Fraction(rate)
        stream.codec_context.time_base = stream.time_base = unit
        context = stream.codec_context
        context.colorspace, context.color_range = colour[:2]
        context.color_primaries, context.color_trc = colour[2:]
        if rotation:
            stream.set_display_rotation(rotation)
        sound: Any = out.add_stream("aac", rate=48000) if audio else None
        if sound is not None:
            sound.metadata["language"] = "deu"
        out.metadata.update(metadata or {})
        if chapters:
            out.set_chapters(chapters)
        for number, pixels_ in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels_), format=given)
            if pixels.startswith("yuv"):
                frame = frame.reformat(
                    format=pixels, dst_colorspace=colour[0], dst_color_range=colour[1]
                )
            frame.pts = number if stamps is None else stamps[number]
            frame.time_base = unit
            out.mux(stream.encode(frame))
        if sound is not None:
            for place in range(0, int(audio * 48000), 1024):
                tone = np.sin(np.arange(place, place + 1024) * 0.05).astype(np.float32)[None]
                samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                samples.pts, samples.sample_rate = place, 48000
                samples.time_base = Fraction(1, 48000)
                out.mux(sound.encode(samples))
            out.mux(sound.encode(None))
        out.mux(stream.encode(None))
    return path


def spoilt(path: Path, copy: Path, number: int = 5) -> Path:
    """A copy of a video of one stream in which half of a packet is zeros."""
    with av.open(str(path)) as container, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(container.streams.video[0])
        for place, packet in enumerate(container.demux(video=0)):
            if not packet.size:
                continue
            data = bytes(packet)
            if place == number:
                data = data[: len(data) // 2].ljust(len(data), b"\0")
            new = av.Packet(data)
            new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
            new.stream = stream
            out.mux(new)
    return copy


def planes_of(path: Path) -> list[list[NDArray[Any]]]:
    """All decoded planes of a video, frame by frame."""
    found = []
    with av.open(str(path)) as container:
        for decoded in container.decode(video=0):
            frame = plain(decoded)
            canvas = Canvas.of(frame)
            found.append([plane.copy() for plane in canvas.planes(frame)])
    return found


def times_of(path: Path) -> list[float]:
    """Presentation times of the frames, seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """10 frames at 24 fps of 64 × 48, H.264 with B-frames."""
    return write(tmp_path / "clip.mp4", scene(10), options={"bf": "2"})
