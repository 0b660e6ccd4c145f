"""Folders of captioned videos in the Hugging Face ``videofolder`` layout.

A folder holds videos and ``metadata.jsonl``, one JSON object per line with ``file_name`` (relative
to the folder) and ``text``. Such folders come from other people: nothing outside the folder is
opened, and what cannot be used is skipped and listed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video.decoding import DEFAULT_FPS, iterate, nominal_fps, open_video, source_kind
from vidcascade.video.random_access import index_of
from vidcascade.video.reading import count_frames, read_frames

METADATA = "metadata.jsonl"
MAX_SIDE = 8192  # pixels; larger ones are more likely an attack on memory than a clip
_CHUNK = 8  # frames decoded at once, at the video's own size
_TRIES = 16
# Playlists make the decoder open other files and addresses.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"v=0")


@dataclass(frozen=True)
class Entry:
    """One usable line of the metadata: a video inside the folder and its caption."""

    path: Path
    caption: str


class VideoFolder:
    """The usable videos of a folder.

    Every file is opened once, when the object is made. It pickles, and holds nothing open.

    Args:
        folder: with ``metadata.jsonl`` in it.
        frames: videos with fewer frames than this are too short.
        stills: pictures (and videos of one frame) are taken too, as clips that stand still.

    Attributes:
        entries: what can be used, in the order of the metadata.
        skipped: what cannot, as (file name or line, reason) pairs, each once.

    Raises:
        UsageError: no such folder, or no readable ``metadata.jsonl`` in it.
        VidCascadeError: nothing in it can be used.
    """

    def __init__(self, folder: str | Path, frames: int = 1, stills: bool = False) -> None:
        self.folder = Path(folder)
        self.entries: list[Entry] = []
        self.skipped: list[tuple[str, str]] = []
        self._told: set[Path] = set()  # of those that could not be read later on
        found: dict[Path, str | None] = {}
        reported: set[str] = set()
        for number, line in enumerate(_lines(self.folder), 1):
            if not line.strip():
                continue
            name = f"line {number}"
            try:
                name, caption = _parse(line, name)
                path = _inside(self.folder, name)
                if path not in found:
                    found[path] = _flaw(path, frames, stills)
                flaw = found[path]
            except ValueError as error:
                flaw = str(error)
            if flaw is None:
                self.entries.append(Entry(path, caption))
            elif name not in reported:
                reported.add(name)
                self.skipped.append((name, flaw))
        if not self.entries:
            first = f" ({self.skipped[0][0]}: {self.skipped[0][1]})" if self.skipped else ""
            raise VidCascadeError(
                f"No video of {self.folder} can be used{first}: give a folder whose {METADATA} "
                f"names videos of at least {frames} frames."
            )

    def window(
        self,
        size: int,
        times: Sequence[float],
        rate: float,
        frames: int,
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], str]:
        """A random stretch of a random video.

        A stretch is ``frames`` frames at ``rate`` frames per second, at the video's own pace if it
        can be: a video of a lower rate is sped up and one that is too short slowed down, just so
        much that no frame has to be shown twice.

        Args:
            size: side of the square that is cut from the centre and shrunk by area, in pixels.
            times: moments within the stretch to return, in seconds from its start.
            rate: frames per second of the stretch.
            frames: frames of the whole stretch, at most those that the folder was opened with.
            rng: chooses the video and the place.

        Returns:
            uint8 (len(times), size, size, 3) RGB and the caption.

        Raises:
            VidCascadeError: the files that were readable once are not any more.
        """
        for _ in range(_TRIES):
            entry = self.entries[int(rng.integers(len(self.entries)))]
            place = float(rng.random())
            try:
                numbers = frame_numbers(frame_times(entry.path), times, rate, frames, place)
                return read_square(entry.path, numbers, size), entry.caption
            except Exception as error:  # decoders raise anything on damage past the first frame
                # It is tried again when it is drawn again: what a draw gives must not depend on
                # those before it, which a resumed run has not made.
                if entry.path not in self._told:
                    self._told.add(entry.path)
                    warnings.warn(
                        f"{entry.path.name} is passed over where it cannot be read: "
                        f"{_first_line(error, entry.path)}",
                        stacklevel=2,
                    )
        raise VidCascadeError(
            f"The videos of {self.folder} cannot be read any more: see whether they are complete."
        )


@lru_cache(maxsize=1024)
def frame_times(path: Path) -> NDArray[np.float64]:
    """Seconds at which each frame is shown, the first at 0: float64 (T,), never falling.

    The frames of a WebP are all decoded for it, one at a time.
    """
    kind = source_kind(path)
    if kind == "video":
        pts = index_of(path).pts
        with open_video(path) as (_, stream):
            tick, fps = float(stream.time_base), float(nominal_fps(stream))
        if pts is None:
            return np.arange(count_frames(path)) / fps
        return (np.asarray(pts, np.float64) - pts[0]) * tick
    times = np.array([frame.time for frame in iterate(path, kind)], np.float64)
    # A WebP may give no frame a duration.
    return times if times[-1] > 0 else np.arange(len(times)) / float(DEFAULT_FPS)


def frame_numbers(
    shown: NDArray[np.float64], times: Sequence[float], rate: float, frames: int, place: float
) -> list[int]:
    """The frames nearest to ``times`` of a stretch, as :meth:`VideoFolder.window` takes it.

    Args:
        shown: seconds at which each frame of the video is shown, see :func:`frame_times`.
        times: moments within the stretch, in seconds from its start.
        rate: frames per second of the stretch.
        frames: frames of the whole stretch.
        place: where it starts, 0 (the earliest that there is) to 1 (the latest).
    """
    length = float(shown[-1])
    span = (frames - 1) / rate
    own_interval = length / max(len(shown) - 1, 1)
    pace = max(1.0, own_interval * rate)
    if span * pace > length:
        pace = length / span
    start = place * (length - span * pace)
    # Moments midway between two frames all fall on the earlier one, however they are rounded.
    wanted = start + pace * np.asarray(times, np.float64) - 1e-6 * own_interval
    return [int(k) for k in np.searchsorted((shown[1:] + shown[:-1]) / 2, wanted)]


def read_square(path: Path, numbers: list[int], size: int) -> NDArray[np.uint8]:
    """Frames of a video by number, the square in their middle brought to ``size`` by area.

    Returns:
        uint8 (len(numbers), size, size, 3) RGB.
    """
    out = []
    for first in range(0, len(numbers), _CHUNK):
        for frame in read_frames(path, numbers[first : first + _CHUNK]):
            height, width = frame.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = np.ascontiguousarray(frame[top : top + side, left : left + side])
            kernel = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
            out.append(cv2.resize(square, (size, size), interpolation=kernel))
    return np.stack(out).astype(np.uint8)


def _lines(folder: Path) -> list[bytes]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give one that holds videos and {METADATA}.")
    try:
        return (folder / METADATA).read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"{folder / METADATA} cannot be read ({error.strerror}): write one line for each "
            'video, like {"file_name": "a.mp4", "text": "a cat"}.'
        ) from None


def _parse(line: bytes, where: str) -> tuple[str, str]:
    """(file name, caption) of a line; ``ValueError`` says what is wrong with it."""
    try:
        item = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(item, dict) or not isinstance(item.get("file_name"), str):
        raise ValueError("no file_name")
    if not isinstance(item.get("text"), str):
        raise ValueError(f"no text for {item['file_name'][:80]!r} (an empty one is fine)")
    try:
        item["text"].encode("utf-8")
    except UnicodeEncodeError:  # halves of surrogate pairs, which JSON can spell
        raise ValueError("its text is not valid Unicode") from None
    return item["file_name"], item["text"]


def _inside(folder: Path, name: str) -> Path:
    """The real path of a file of the folder; ``ValueError`` for anything that leads out of it."""
    outside = "leads out of the folder"
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.is_absolute() or windows.drive:
        raise ValueError(outside)
    if not name.strip() or "\0" in name:
        raise ValueError("not a file name")
    if ".." in windows.parts:
        raise ValueError(outside)
    try:
        real = (folder / name).resolve()
        # Links are fine as long as they stay inside.
        if not real.is_relative_to(folder.resolve()):
            raise ValueError(outside)
        if not real.exists():
            raise ValueError("missing")
        if not real.is_file():
            raise ValueError("not a file")
    except (OSError, RuntimeError) as error:  # a name too long, a link to itself
        raise ValueError(f"cannot be opened ({_first_line(error)})") from None
    return real


def _flaw(path: Path, frames: int, stills: bool = False) -> str | None:
    """Why a file cannot be used, or None.

    Only its first frame is decoded, but for those whose times are known no other way.
    """
    try:
        with path.open("rb") as file:
            if file.read(16).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_PLAYLISTS):
                return "a playlist, not a video"
        width, height = _size(path)
        if max(width, height) > MAX_SIDE:
            return f"{width} × {height} pixels are more than {MAX_SIDE} a side"
        count = count_frames(path)
        if count < frames and not (stills and count == 1):
            return f"too short: {count} frames, and {frames} are needed"
        if count > 1 and not frame_times(path)[-1] > 0:
            return "its frames have no times"
    except Exception as error:  # hostile files make decoders raise anything
        return _first_line(error, path)
    return None


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a file's frames, in pixels; none is decoded."""
    if source_kind(path) == "video":
        with open_video(path) as (_, stream):
            return int(stream.codec_context.width), int(stream.codec_context.height)
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def _first_line(error: BaseException, path: Path | None = None) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if path is not None:
        text = text.replace(f"{path} ", "").replace(str(path), path.name)
    return text[:160]
