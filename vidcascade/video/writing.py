"""Writing clips: mp4, webm, mkv, gif, webp and folders of PNG frames.

Frames are taken one at a time from any iterable, so memory does not grow with the clip (GIF and
WebP excepted: their encoders need the whole clip to choose colours and to drop repeats).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video import tags
from vidcascade.video.atomic import atomic_path, check_parent, check_replaceable, disk_error
from vidcascade.video.clip import as_fps
from vidcascade.video.x264 import repeatable

if TYPE_CHECKING:
    import av

__all__ = ["GIF_FPS", "SUFFIXES", "check_output", "check_rate", "write_clip"]

SUFFIXES = (".mp4", ".webm", ".mkv", ".gif", ".webp")
_MP4_KEYS = {
    "title",
    "artist",
    "album",
    "album_artist",
    "comment",
    "composer",
    "copyright",
    "date",
    "description",
    "genre",
    "synopsis",
}
_FOLDER_FILES = (".png",)
GIF_FPS = 100  # its times are in hundredths of a second

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class _Encoding:
    """How one suffix is encoded."""

    container: str
    codec: str
    pixels: str
    options: dict[str, str]
    muxer: dict[str, str]


def _kind(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """The output's real path and its kind: a known suffix, or "" for a folder of frames."""
    text = os.fspath(path)
    target = Path(text)
    if not text.strip() or target.name in ("", ".."):
        raise UsageError(f"{text!r} is not a name that can be written to; give a file name.")
    if text.endswith(("/", os.sep)):
        return target, ""
    suffix = target.suffix.lower()
    if suffix == ".png":  # "frames/%05d.png" and "frames/00000.png" both mean the folder
        if target.parent == Path():
            raise UsageError(f"PNG frames go into a folder; write {target.stem}/ instead.")
        return target.parent, ""
    if suffix and suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(
            f"Cannot write {target.suffix} files; use {known}, or a folder name for PNG frames."
        )
    return target, suffix


def check_output(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """The cheap checks of an output, for before the work that fills it.

    Raises :class:`UsageError` when the suffix is unknown, the parent folder is missing or
    read-only, or the output exists and not ``overwrite``. An existing folder is only ever
    replaced when it holds nothing but PNG frames.
    """
    target, kind = _kind(path)
    check_parent(target)
    check_replaceable(target, overwrite)
    if not target.exists() or target.is_dir() == (kind == ""):
        if target.is_dir():
            _check_frames_folder(target)
        return
    what = "folder" if target.is_dir() else "file"
    raise UsageError(f"{target} is a {what} already; choose another name.")


def check_rate(path: str | os.PathLike[str], fps: Fraction | float) -> None:
    """Raise :class:`UsageError` if that kind of file cannot be so fast."""
    if Path(path).suffix.lower() == ".gif" and fps > GIF_FPS:
        raise UsageError(
            f"A GIF shows at most {GIF_FPS} frames per second, and {float(fps):g} were asked for: "
            "choose fewer, or another file type."
        )


def _check_frames_folder(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but frames: --force must not cost data."""
    for item in folder.iterdir():
        if item.is_dir() or item.suffix.lower() not in _FOLDER_FILES or not item.stem.isdigit():
            raise UsageError(
                f"{folder} holds {item.name}, which is not a PNG frame; choose another folder."
            )


def _encoding(suffix: str, lossless: bool, odd: bool, custom_tags: bool) -> _Encoding:
    # 4:2:0 is what every player takes, but it needs even sizes.
    yuv = "yuv444p" if odd else "yuv420p"
    if suffix == ".gif":
        return _Encoding("gif", "gif", "pal8", {}, {"loop": "0"})
    if suffix == ".webp":
        quality = {"lossless": "1"} if lossless else {"quality": "90"}
        return _Encoding("webp", "libwebp_anim", "bgra", quality, {"loop": "0"})
    if suffix == ".webm":
        vp9 = {"deadline": "good", "cpu-used": "3", "row-mt": "1", "b": "0"}
        if lossless:
            return _Encoding("webm", "libvpx-vp9", "gbrp", vp9 | {"lossless": "1"}, {})
        return _Encoding("webm", "libvpx-vp9", yuv, vp9 | {"crf": "20"}, {})
    if suffix == ".mkv" and lossless:
        return _Encoding("matroska", "ffv1", "bgr0", {"level": "3", "slicecrc": "1"}, {})
    container = "mp4" if suffix == ".mp4" else "matroska"
    flags = "+faststart" + ("+use_metadata_tags" if custom_tags else "")
    muxer = {"movflags": flags} if container == "mp4" else {}
    if lossless:
        return _Encoding(container, "libx264rgb", "rgb24", {"crf": "0"} | repeatable(), muxer)
    return _Encoding(container, "libx264", yuv, {"crf": "16"} | repeatable(), muxer)


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, each proven uint8 (H, W, 3) of the first one's size."""
    shape: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
            raise ValueError(f"Frame {index} must be a uint8 array, not {type(frame).__name__}.")
        if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f"Frame {index} must be (H, W, 3), not {frame.shape}.")
        if shape is not None and frame.shape != shape:
            raise ValueError(f"Frame {index} is {frame.shape}, the first one was {shape}.")
        shape = frame.shape
        yield np.ascontiguousarray(frame)


def write_clip(
    path: str | os.PathLike[str],
    frames: Iterable[Frame],
    fps: Fraction | float,
    *,
    metadata: dict[str, str] | None = None,
    overwrite: bool = False,
    lossless: bool = False,
) -> Path:
    """Write frames to a file or folder, completely or not at all.

    Args:
        path: the suffix chooses the format: ``.mp4`` (H.264), ``.webm`` (VP9), ``.mkv`` (H.264,
            FFV1 when lossless), ``.gif`` and ``.webp`` (both loop for ever). A name without
            suffix, with a trailing ``/`` or like ``folder/%05d.png`` is a folder of PNG frames.
        frames: uint8 ``(T, H, W, 3)`` RGB, or any iterable of uint8 ``(H, W, 3)``; T >= 1.
        fps: frames per second, > 0. GIF keeps times to 10 ms, WebP to 1 ms.
        metadata: tags, text to text, keys in lower case; come back from :func:`read_metadata`.
        overwrite: replace an existing output.
        lossless: exact pixels; not for GIF, which has 256 colours. Lossless mp4 is H.264 in
            RGB, which browsers do not play. PNG frames are always exact.

    Odd sizes are stored as 4:4:4, which some players do not take. WebP joins identical
    neighbouring frames into a longer one: the timing stays, the count does not.

    Returns the path written. Raises :class:`UsageError` for what :func:`check_output` refuses
    and for no frames, ``ValueError`` for malformed frames, :class:`VidCascadeError` when the
    disk is full or the encoder fails.
    """
    target, kind = _kind(path)
    check_output(path, overwrite)
    rate = as_fps(fps)
    check_rate(path, rate)
    if lossless and kind == ".gif":
        raise UsageError("GIF cannot be lossless; use .mkv, .webp or a folder of PNG frames.")
    stored = dict(metadata or {})
    for key, value in stored.items():
        if not isinstance(value, str) or not key or key != key.lower():
            raise ValueError(f"Metadata {key!r} must map a lower-case key to text.")
    source = _checked(frames)
    first = next(source, None)
    if first is None:
        raise UsageError(f"There are no frames to write to {target}.")
    everything = chain((first,), source)
    with atomic_path(target, overwrite) as temporary:
        if not kind:
            _write_folder(temporary, everything, rate, stored)
        elif kind == ".webp" or kind == ".gif":
            _write_tagged(temporary, kind, everything, first.shape, rate, stored, lossless)
        else:
            odd = bool(first.shape[0] % 2 or first.shape[1] % 2)
            encoding = _encoding(kind, lossless, odd, not stored.keys() <= _MP4_KEYS)
            _encode(temporary, encoding, everything, first.shape, rate, stored)
    return target


def _write_folder(
    folder: Path, frames: Iterable[Frame], rate: Fraction, metadata: dict[str, str]
) -> None:
    from PIL import Image

    folder.mkdir()
    info = tags.png_info(metadata | {tags.FPS_KEY: str(rate)})
    for index, frame in enumerate(frames):
        # The first frame alone carries the tags; a folder has no other place for them.
        extra: dict[str, Any] = {"pnginfo": info} if index == 0 else {}
        Image.fromarray(frame).save(folder / f"{index:05d}.png", compress_level=4, **extra)


def _write_tagged(
    path: Path,
    kind: str,
    frames: Iterable[Frame],
    shape: tuple[int, ...],
    rate: Fraction,
    metadata: dict[str, str],
    lossless: bool,
) -> None:
    """GIF and WebP: encode, then copy with the tags added."""
    bare = path.with_name(f"{path.stem}.bare{kind}") if metadata else path
    try:
        _encode(bare, _encoding(kind, lossless, False, False), frames, shape, rate, {})
        if metadata and kind == ".gif":
            tags.tag_gif(bare, metadata, path)
        elif metadata:
            tags.tag_webp(bare, metadata, (shape[1], shape[0]), path)
    finally:
        if bare != path:
            bare.unlink(missing_ok=True)


def _encode(
    path: Path,
    encoding: _Encoding,
    frames: Iterable[Frame],
    shape: tuple[int, ...],
    rate: Fraction,
    metadata: dict[str, str],
) -> None:
    import av

    tick = 1 / rate
    container: Any = None
    source_failed: list[BaseException] = []
    try:
        container = av.open(
            str(path), "w", format=encoding.container, container_options=encoding.muxer
        )
        container.metadata.update(metadata)
        stream: Any = container.add_stream(encoding.codec, rate=rate, options=encoding.options)
        stream.height, stream.width = shape[:2]
        stream.pix_fmt = encoding.pixels
        stream.codec_context.time_base = tick
        if encoding.pixels.startswith("yuv"):
            _tag_colour(stream.codec_context)
        timed = _timed(_guard(frames, source_failed), tick)
        for frame in _converted(timed, encoding.pixels, shape, tick):
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
        container.close()  # writes the index: a full disk may show only here
    except BaseException as error:
        _close_quietly(container)
        if error in source_failed or not isinstance(error, av.error.FFmpegError):
            raise
        if disk_error(error, path) is not None:
            raise  # atomic_path says it with the name that the user gave
        raise VidCascadeError(
            f"The {encoding.codec} encoder failed ({error}); try another file type."
        ) from error


def _guard(frames: Iterable[Frame], failed: list[BaseException]) -> Iterator[Frame]:
    """Remember an error of the frames' own source, which is not the encoder's."""
    try:
        yield from frames
    except BaseException as error:
        failed.append(error)
        raise


def _close_quietly(container: Any) -> None:
    """Close after a failure, whose own error is the one to show."""
    import av

    if container is not None:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            container.close()


def _tag_colour(context: Any) -> None:
    """Say BT.709, limited range; untagged files are guessed differently by each player."""
    context.colorspace = 1
    context.color_primaries = 1
    context.color_trc = 1
    context.color_range = 1


def _timed(frames: Iterable[Frame], tick: Fraction) -> Iterator[av.VideoFrame]:
    import av

    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = index, tick
        yield frame


def _converted(
    frames: Iterable[av.VideoFrame], pixels: str, shape: tuple[int, ...], tick: Fraction
) -> Iterator[av.VideoFrame]:
    """Frames in the encoder's pixel format."""
    from av.video.reformatter import ColorRange, Colorspace

    if pixels == "pal8":
        yield from _with_palette(frames, shape, tick)
        return
    for frame in frames:
        if pixels == "rgb24":
            yield frame
            continue
        if pixels.startswith("yuv"):
            out = frame.reformat(
                format=pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
        else:
            out = frame.reformat(format=pixels)
        out.pts, out.time_base = frame.pts, frame.time_base
        yield out


def _with_palette(
    frames: Iterable[av.VideoFrame], shape: tuple[int, ...], tick: Fraction
) -> Iterator[av.VideoFrame]:
    """The frames in one palette of 256 colours chosen for the whole clip.

    A palette for each frame would flicker. The filter holds the clip until it has seen all.
    """
    import av

    graph: Any = av.filter.Graph()
    size = f"{shape[1]}x{shape[0]}"
    source = graph.add(
        "buffer", f"video_size={size}:pix_fmt=rgb24:time_base={tick}:pixel_aspect=1/1"
    )
    split, sink = graph.add("split"), graph.add("buffersink")
    palette = graph.add("palettegen", "stats_mode=full")
    use = graph.add("paletteuse", "dither=sierra2_4a")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for frame in frames:
        source.push(frame)
    source.push(None)
    while True:
        try:
            yield sink.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return
