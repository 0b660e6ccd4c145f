"""Outputs that are pictures and not video: GIF, animated WebP, a folder of PNG frames.

Their segments are lossless video; here they are written out. They have no tag for rotation, so
the frames in them are upright already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import compress, pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from vidcascade.interpolation.outputs import Format
from vidcascade.interpolation.planes import Canvas
from vidcascade.interpolation.segments import Segment, frames_of
from vidcascade.video import tags

__all__ = ["write_pictures"]


def write_pictures(
    path: Path,
    segments: Sequence[Segment],
    form: Format,
    rate: Fraction,
    stop: Fraction,
    metadata: dict[str, str],
) -> int:
    """Write the frames of the segments to ``path``.

    Args:
        path: file, or folder to make.
        segments: in order.
        form: of kind "gif", "webp" or "png".
        rate: nominal frames per second.
        stop: end of the last frame, seconds.
        metadata: tags to store.

    Returns how many frames are left out, because they are closer to the one before than the
    times that the file can tell apart.
    """
    if form.kind == "png":
        _write_folder(path, segments, rate, metadata)
        return 0
    bare = path.with_name(f"{path.stem}.bare{path.suffix}") if metadata else path
    try:
        size, left_out = _write_animation(bare, segments, form, stop)
        if metadata and form.kind == "gif":
            tags.tag_gif(bare, metadata, path)
        elif metadata:
            tags.tag_webp(bare, metadata, size, path)
    finally:
        if bare != path:
            bare.unlink(missing_ok=True)
    return left_out


def _frames(segments: Sequence[Segment]) -> Iterator[Any]:
    for segment in segments:
        yield from frames_of(segment)


def _write_folder(
    folder: Path, segments: Sequence[Segment], rate: Fraction, metadata: dict[str, str]
) -> None:
    from PIL import Image

    folder.mkdir()
    info = tags.png_info(metadata | {tags.FPS_KEY: str(rate)})
    for index, frame in enumerate(_frames(segments)):
        rgb, alpha = Canvas.of(frame).rgb(frame)
        file = folder / f"{index:05d}.png"
        picture = rgb if alpha is None else np.dstack((rgb, alpha))
        if picture.dtype == np.uint8:
            extra: dict[str, Any] = {"pnginfo": info} if index == 0 else {}
            Image.fromarray(picture).save(file, compress_level=4, **extra)
        else:  # Pillow knows no 16-bit colour
            order = cv2.COLOR_RGB2BGR if alpha is None else cv2.COLOR_RGBA2BGRA
            if not cv2.imwrite(str(file), cv2.cvtColor(picture, order)):
                raise OSError(28, "could not be written", str(file))


def _write_animation(
    path: Path, segments: Sequence[Segment], form: Format, stop: Fraction
) -> tuple[tuple[int, int], int]:
    """Returns the size (width, height), and how many frames are left out."""
    webp = form.kind == "webp"
    tick = Fraction(1, 1000 if webp else 100)
    rounded = [round(t / tick) for segment in segments for t in segment.times()]
    # The GIF muxer refuses a time that repeats, and browsers stretch a frame that lasts no time.
    shown = [True, *(time > before for before, time in pairwise(rounded))]
    times = list(compress(rounded, shown))
    ends = [*times[1:], round(stop / tick)]
    size = (0, 0)
    with av.open(str(path), "w", format=form.kind, options={"loop": "0"}) as out:
        first = next(_frames(segments))
        size = (first.width, first.height)
        if webp:
            stream: Any = out.add_stream("libwebp_anim", rate=1000, options={"quality": "90"})
            stream.width, stream.height, stream.pix_fmt = *size, "bgra"
        else:
            stream = out.add_stream("gif", rate=100)
            stream.width, stream.height, stream.pix_fmt = *size, "pal8"
        stream.time_base = stream.codec_context.time_base = tick
        kept = compress(_frames(segments), shown)
        source = kept if webp else _with_palette(kept, size)
        for frame, time, end in zip(source, times, ends, strict=True):
            if webp and frame.format.name != "bgra":
                frame = frame.reformat(format="bgra")
            frame.pts, frame.time_base, frame.duration = time, tick, max(1, end - time)
            for packet in stream.encode(frame):
                packet.duration = max(1, end - time)
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return size, len(rounded) - len(times)


def _with_palette(frames: Iterator[Any], size: tuple[int, int]) -> Iterator[Any]:
    """The frames in one palette for the whole clip; one for each frame would flicker."""
    graph: Any = av.filter.Graph()
    tick = Fraction(1, 1000)
    source = graph.add(
        "buffer",
        f"video_size={size[0]}x{size[1]}:pix_fmt=bgra:time_base={tick}:pixel_aspect=1/1",
    )
    split, sink = graph.add("split"), graph.add("buffersink")
    palette = graph.add("palettegen", "stats_mode=full:reserve_transparent=1")
    use = graph.add("paletteuse", "dither=sierra2_4a")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for number, frame in enumerate(frames):
        if frame.format.name != "bgra":
            frame = frame.reformat(format="bgra")
        frame.pts, frame.time_base = number, tick
        source.push(frame)
    source.push(None)
    while True:
        try:
            yield sink.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return
