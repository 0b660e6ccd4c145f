"""Triplets of real footage for training frame interpolation: two frames and one between them.

A clip is decoded once, front to back; square patches of windows of frames are picked on the way
and kept as plain uint8 arrays (``.npy``), which training maps into memory. Windows across a cut,
with a repeated frame or with next to no motion teach nothing and are passed over.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.warp import warp_np
from vidcascade.video.atomic import atomic_path
from vidcascade.video.decoding import iterate, source_kind

__all__ = ["MiningSettings", "Triplet", "TripletStore", "mine_triplets", "save_triplets"]

_PATCHES, _INDEX = "patches.npy", "index.json"


@dataclass(frozen=True)
class Triplet:
    """Three frames of one place.

    Attributes:
        frames: uint8 (3, H, W, 3) RGB: first, the one between, second.
        time: of the one between, in units of the interval, 0 < time < 1.
        source: name of the clip.
    """

    frames: NDArray[np.uint8]
    time: float
    source: str


@dataclass(frozen=True)
class MiningSettings:
    """What to look for.

    Attributes:
        size: side of the square patches, pixels.
        spans: frames from the first to the middle one; drawn with ``span_weights``.
        span_weights: relative frequencies of the spans.
        uneven: share of triplets whose middle frame is not half-way (times ¼, ⅓, ⅔, ¾).
        short_sides: the clip is first reduced (never enlarged) so that its short side lies between
            these, drawn uniformly in the logarithm: big motion and small, soft detail and sharp.
        places: places looked at in each window; the one that moves most is kept.
        still: mean motion in pixels below which a patch is taken only once in ten times.
        cut: mean absolute difference (0 to 255) of the first frame warped onto the second above
            which the two are not the same scene.
        repeat: mean absolute difference below which a frame repeats the one before.
    """

    size: int = 256
    spans: tuple[int, ...] = (1, 2)
    span_weights: tuple[float, ...] = (0.7, 0.3)
    uneven: float = 0.15
    short_sides: tuple[int, int] = (256, 720)
    places: int = 3
    still: float = 0.7
    cut: float = 28.0
    repeat: float = 0.25

    def __post_init__(self) -> None:
        if len(self.spans) != len(self.span_weights) or min(self.spans, default=0) < 1:
            raise UsageError("Each span (at least one frame) needs a weight.")
        if self.size < 16 or self.places < 1:
            raise UsageError("Patches need a side of at least 16 pixels and a place to be at.")


# Offsets (first, middle, second) in frames and what they are drawn with when times are uneven.
_UNEVEN = ((0, 1, 3), (0, 2, 3), (0, 1, 4), (0, 3, 4))


def mine_triplets(
    path: Path,
    count: int,
    settings: MiningSettings,
    rng: np.random.Generator,
    frames: tuple[int, int | None] = (0, None),
    total: int | None = None,
) -> Iterator[Triplet]:
    """Triplets of one clip, in order of time, about ``count`` of them.

    Args:
        path: the clip; any format that :func:`vidcascade.video.read_clip` takes.
        count: how many to aim at. Clips that are short or hold still give fewer.
        settings: what to look for.
        rng: of the draws.
        frames: first frame to use and the one to stop before (None: the last).
        total: number of frames of the clip when it is known; None decodes it twice.

    Raises:
        UsageError: the file is missing or not a video.
        VidCascadeError: it is damaged.
    """
    kind = source_kind(path)
    begin, end = frames
    if end is None:
        end = total if total is not None else sum(1 for _ in iterate(path, kind))
    length = max(end - begin, 1)
    reach = max(2 * max(settings.spans), 4 if settings.uneven else 0)
    ring: deque[NDArray[np.uint8]] = deque(maxlen=reach + 1)
    # More attempts than triplets are needed, since many windows are passed over; what was not
    # found so far is made up for in the rest.
    found = 0
    for number, timed in enumerate(iterate(path, kind)):
        if number < begin:
            continue
        if number >= end:
            break
        ring.append(timed.pixels)
        if len(ring) <= reach:
            continue
        wanted = count * (number - begin + 1) / length - found
        for _ in range(min(int(wanted) + (rng.random() < wanted % 1), 4)):
            triplet = _pick(list(ring), settings, rng, path.name)
            if triplet is not None:
                found += 1
                yield triplet


def _pick(
    ring: Sequence[NDArray[np.uint8]],
    settings: MiningSettings,
    rng: np.random.Generator,
    source: str,
) -> Triplet | None:
    """One patch of one window, or None where there is nothing to learn."""
    if rng.random() < settings.uneven:
        offsets = _UNEVEN[rng.integers(len(_UNEVEN))]
    else:
        weights = np.asarray(settings.span_weights, np.float64)
        span = int(rng.choice(settings.spans, p=weights / weights.sum()))
        offsets = (0, span, 2 * span)
    height, width = ring[0].shape[:2]
    low, high = settings.short_sides
    short = min(height, width)
    side = min(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))), short)
    # Only as small as leaves room for a patch.
    scale = max(side, min(settings.size, short)) / short
    if min(round(height * scale), round(width * scale)) < settings.size:
        scale = settings.size / short  # a clip smaller than the patch is enlarged to fit
    source_side = min(round(settings.size / scale), short)

    best: tuple[float, NDArray[np.uint8]] | None = None
    for _ in range(settings.places):
        top = int(rng.integers(height - source_side + 1))
        left = int(rng.integers(width - source_side + 1))
        window = [
            _square(ring[o][top : top + source_side, left : left + source_side], settings.size)
            for o in offsets
        ]
        motion = _usable_motion(window, settings)
        if motion is not None and (best is None or motion > best[0]):
            best = motion, np.stack(window)
    if best is None or (best[0] < settings.still and rng.random() > 0.1):
        return None
    return Triplet(best[1], offsets[1] / offsets[2], source)


def _square(patch: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if patch.shape[0] == size:
        return np.ascontiguousarray(patch)
    kind = cv2.INTER_AREA if patch.shape[0] > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(patch, (size, size), interpolation=kind), dtype=np.uint8)


def _usable_motion(window: Sequence[NDArray[np.uint8]], settings: MiningSettings) -> float | None:
    """Mean motion in pixels from first to last; None across a cut or beside a repeated frame."""
    small = [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in window]
    first, middle, last = (np.asarray(f, dtype=np.uint8) for f in small)
    if min(_difference(first, middle), _difference(middle, last)) < settings.repeat:
        return None
    flow = dis_flow(last, first, "ultrafast")
    if _difference(warp_np(first, flow), last) > settings.cut:
        return None
    blend = np.asarray(cv2.addWeighted(first, 0.5, last, 0.5, 0), dtype=np.uint8)
    if _difference(blend, middle) > 2 * settings.cut:
        return None
    return float(2 * np.linalg.norm(flow, axis=-1).mean())


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(a, b).mean())


def save_triplets(
    folder: Path, triplets: Iterable[Triplet], capacity: int, size: int
) -> TripletStore:
    """Write triplets to ``folder`` as they come, at most ``capacity`` of them.

    Raises:
        VidCascadeError: there was none, or the disk is full.
        UsageError: the folder exists already.
    """
    index: list[dict[str, object]] = []
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        scratch = np.lib.format.open_memmap(
            temporary / _PATCHES, mode="w+", dtype=np.uint8, shape=(capacity, 3, size, size, 3)
        )
        for triplet in triplets:
            scratch[len(index)] = triplet.frames
            index.append({k: v for k, v in asdict(triplet).items() if k != "frames"})
            if len(index) == capacity:
                break
        if not index:
            raise VidCascadeError("No usable triplet was found: the clips are too short or still.")
        scratch.flush()
        text = json.dumps({"count": len(index), "triplets": index})
        (temporary / _INDEX).write_text(text, encoding="utf-8")
    return TripletStore(folder)


class TripletStore:
    """Triplets saved by :func:`save_triplets`, mapped into memory and read as they are used.

    Raises:
        UsageError: the folder holds none.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            self._patches = np.load(folder / _PATCHES, mmap_mode="r", allow_pickle=False)
            self._index: list[dict[str, object]] = index["triplets"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{folder} holds no triplets that can be read: make them again."
            ) from (error)
        if len(self._index) > len(self._patches):
            raise UsageError(f"{folder} is incomplete: make its triplets again.")

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> Triplet:
        entry = self._index[number]
        time, source = entry["time"], entry["source"]
        assert isinstance(time, float)
        return Triplet(np.array(self._patches[number]), time, str(source))
