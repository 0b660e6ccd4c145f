"""Frames by number: an index of presentation times, decord where it is safe, else PyAV.

Everything cached here belongs to one process: a decord reader that was opened before a fork
hangs in the child, so the caches are keyed by process id as well as by file.
"""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video.decoding import frame_files, iterate, open_video, pixels

__all__ = ["Index", "count", "index_of", "read"]

_DECORD_CODECS = {"h264", "hevc", "mpeg4", "vp8", "vp9"}
_DECORD_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
_DECORD_PIXELS = {"yuv420p", "yuvj420p"}  # it returned wrong colours for 10-bit files
_MAX_INDICES = 4096
_MAX_READERS = 8  # each holds decoder threads and frames

Key = tuple[int, str, int, int]
Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Index:
    """What is known of a file's frames.

    Attributes:
        pts: presentation times of the frames, in order, in ticks of the stream; None when the
            file has none and can only be decoded from its start.
        keys: presentation times of the keyframes, in order.
        total: number of frames.
        decord: whether decord numbers and seeks this file correctly.
    """

    pts: tuple[int, ...] | None
    keys: tuple[int, ...]
    total: int
    decord: bool


_indices: OrderedDict[Key, Index] = OrderedDict()
_readers: OrderedDict[tuple[Key, tuple[int, int] | None], Any] = OrderedDict()


def _key(path: Path) -> Key:
    stat = path.stat()
    return os.getpid(), os.path.realpath(path), stat.st_mtime_ns, stat.st_size


def index_of(path: Path) -> Index:
    """The index of a video file, from its packets; nothing but one frame is decoded."""
    key = _key(path)
    found = _indices.get(key)
    if found is None:
        found = _scan(path)
        _indices[key] = found
        while len(_indices) > _MAX_INDICES:
            _indices.popitem(last=False)
    else:
        _indices.move_to_end(key)
    return found


def _scan(path: Path) -> Index:
    pts: list[int] = []
    keys: list[int] = []
    untimed = discarded = open_gop = False
    with open_video(path) as (container, stream):
        formats = set(container.format.name.split(","))
        codec = stream.codec_context.name
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None:
                untimed = True
                break
            if packet.is_discard:
                discarded = True
                if packet.is_keyframe:
                    keys.append(packet.pts)
                continue
            if packet.is_keyframe:
                keys.append(packet.pts)
            elif keys and packet.pts < keys[-1]:
                open_gop = True  # shown before the keyframe that it follows in the file
            pts.append(packet.pts)
    if untimed or not keys or len(set(pts)) != len(pts):
        return _scan_by_decoding(path)
    with open_video(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise UsageError(f"{path} holds no frames that can be decoded; it may be damaged.")
        rotated = round(first.rotation / 90) % 4 != 0
        starts_late = first.pts != min(pts)
        pixel_format = first.format.name
    if starts_late:
        return _scan_by_decoding(path)
    safe = not (discarded or open_gop or rotated) and min(pts) >= 0
    safe = safe and pixel_format in _DECORD_PIXELS
    safe = safe and codec in _DECORD_CODECS and bool(formats & _DECORD_CONTAINERS)
    return Index(tuple(sorted(pts)), tuple(sorted(keys)), len(pts), safe)


def _scan_by_decoding(path: Path) -> Index:
    """For files whose packets do not say which frames come out: decode them all once."""
    times: list[int | None] = []
    keys: list[int] = []
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            times.append(frame.pts)
            if frame.key_frame and frame.pts is not None:
                keys.append(frame.pts)
    if not times:
        raise UsageError(f"{path} holds no frames that can be decoded; it may be damaged.")
    known = [t for t in times if t is not None]
    ordered = len(known) == len(times) and all(a < b for a, b in itertools.pairwise(known))
    return Index(tuple(known) if ordered and keys else None, tuple(keys), len(times), False)


def count(path: Path, kind: str) -> int:
    """Number of frames of a source of the given kind."""
    if kind == "folder":
        return len(frame_files(path))
    if kind == "webp":
        from PIL import Image

        try:
            with Image.open(path) as image:
                return int(getattr(image, "n_frames", 1))
        except OSError as error:
            raise UsageError(
                f"{path} is not a WebP that can be read; it may be damaged."
            ) from error
    return index_of(path).total


def read(path: Path, kind: str, numbers: list[int], size: tuple[int, int] | None) -> Array:
    """Frames ``numbers``, all in range, as uint8 ``(N, H, W, 3)``, resized to ``size`` (H, W)."""
    if not numbers:
        return np.zeros((0, *(size or next(iterate(path, kind)).pixels.shape[:2]), 3), np.uint8)
    if kind != "video":
        return _by_order(path, kind, numbers, size)
    index = index_of(path)
    if index.decord:
        reader = _decord_reader(path, size)
        if reader is not None and len(reader) == index.total:
            return np.asarray(reader.get_batch(numbers).asnumpy(), dtype=np.uint8)
    if index.pts is None:
        return _by_order(path, kind, numbers, size)
    return _by_seeking(path, index, numbers, size)


def _decord_reader(path: Path, size: tuple[int, int] | None) -> Any | None:
    try:
        import decord
    except (ImportError, OSError):  # wheels for x86-64 Linux and Windows only
        return None
    key = (_key(path), size)
    reader = _readers.get(key)
    if reader is None:
        height, width = size or (-1, -1)
        try:
            reader = decord.VideoReader(str(path), width=width, height=height, num_threads=1)
        except (decord.DECORDError, RuntimeError):
            return None
        _readers[key] = reader
        while len(_readers) > _MAX_READERS:
            _readers.popitem(last=False)
    else:
        _readers.move_to_end(key)
    return reader


def _by_order(path: Path, kind: str, numbers: list[int], size: tuple[int, int] | None) -> Array:
    """Decode from the start up to the last number wanted."""
    wanted, last = set(numbers), max(numbers)
    found: dict[int, Array] = {}
    for number, timed in enumerate(iterate(path, kind)):
        if number in wanted:
            found[number] = _resized(timed.pixels, size)
        if number == last:
            break
    return np.stack([found[n] for n in numbers])


def _resized(array: Array, size: tuple[int, int] | None) -> Array:
    if size is None or array.shape[:2] == size:
        return array
    from PIL import Image

    shrinks = size[0] <= array.shape[0] and size[1] <= array.shape[1]
    kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(array).resize(size[::-1], kernel))


def _by_seeking(
    path: Path, index: Index, numbers: list[int], size: tuple[int, int] | None
) -> Array:
    """Seek to the keyframe before each frame; go back further while that overshoots."""
    assert index.pts is not None
    wanted = {index.pts[n] for n in numbers}
    found: dict[int, Array] = {}
    with open_video(path) as (container, stream):
        while wanted - found.keys():
            target = min(wanted - found.keys())
            earlier = [k for k in index.keys if k <= target]
            if not _decode_from(container, stream, earlier, target, wanted, found, size):
                raise VidCascadeError(
                    f"{path} cannot be read at random, it may be damaged; convert it again."
                )
    return np.stack([found[index.pts[n]] for n in numbers])


def _decode_from(
    container: Any,
    stream: Any,
    keys: list[int],
    target: int,
    wanted: set[int],
    found: dict[int, Array],
    size: tuple[int, int] | None,
) -> bool:
    """Decode ``target`` and what else is ``wanted`` on the way; whether it was reached.

    The start of an open GOP decodes to garbage frames before its keyframe, and MPEG-TS seeks to
    where the demuxer guesses: both show as a first presentation time after the target.
    """
    for attempt in range(len(keys) + 1):
        steps = len(keys) - 1 - attempt
        # One extra attempt from before the very first keyframe.
        start = keys[steps] if steps >= 0 else min(keys[:1] or [target]) - 1_000_000
        container.seek(start, stream=stream, backward=True, any_frame=False)
        first = True
        for frame in container.decode(stream):
            if frame.pts is None:
                continue
            if first and frame.pts > target:
                break
            first = False
            if frame.pts in wanted and frame.pts not in found:
                found[frame.pts] = pixels(frame, size)
            if frame.pts > target or wanted <= found.keys():
                break
            if frame.pts == target and not _soon(wanted - found.keys(), target, keys):
                break
        if target in found:
            return True
    return False


def _soon(left: set[int], target: int, keys: list[int]) -> bool:
    """Whether another wanted frame is near enough that decoding on beats seeking."""
    after = [t for t in left if t > target]
    span = target - keys[-1] if keys else 0
    return bool(after) and min(after) - target <= max(span, 1)
