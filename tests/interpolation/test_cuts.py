"""Scene cuts: found between scenes; not found on pans, flashes, fades and noise."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.interpolation.conftest import SHARED
from vidcascade.interpolation.cuts import CutFinder, look_at
from vidcascade.video import read_clip

PHOTOS = SHARED / "data" / "photos"
CLIPS = SHARED / "data" / "clips"
FILM = SHARED / "data" / "film" / "big_buck_bunny_720p24.mp4"
needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"photographs {PHOTOS} are not here")
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"clips {CLIPS} are not here")


def cuts_in(frames: NDArray[np.uint8] | list[NDArray[np.uint8]]) -> list[int]:
    finder = CutFinder()
    answers = [a for frame in frames for a in finder.push(look_at(frame))] + finder.finish()
    assert len(answers) == len(frames)
    return [number for number, new in enumerate(answers) if new]


def photos(count: int) -> list[NDArray[np.uint8]]:
    files = sorted(p for p in PHOTOS.rglob("*.jpg"))[:count]
    return [np.asarray(Image.open(p).convert("RGB").resize((1280, 720))) for p in files]


def pan(photo: NDArray[np.uint8], step: int, count: int = 12) -> list[NDArray[np.uint8]]:
    """``step`` pixels of 320 in a frame, with the blur that a camera would give."""
    wide = np.concatenate([photo, photo[:, ::-1], photo], axis=1)
    frames = [np.ascontiguousarray(wide[200:380, step * i : step * i + 320]) for i in range(count)]
    return [
        np.asarray(cv2.GaussianBlur(f, (step // 2 * 2 + 1, 1), step / 4), np.uint8) for f in frames
    ]


@needs_photos
def test_cuts_between_photographs_that_move() -> None:
    found = 0
    pictures = photos(12)
    for one, other in pairwise(pictures):
        cuts = cuts_in(pan(one, 6, 8) + pan(other, 6, 8))
        found += 8 in cuts
        assert set(cuts) <= {8}
    assert found >= 10


@needs_photos
@pytest.mark.parametrize("step", [20, 50, 65])
def test_pans_are_not_cuts(step: int) -> None:
    for photo in photos(10):
        assert cuts_in(pan(photo, step)) == []


@needs_photos
def test_flashes_fades_and_flicker_are_not_cuts() -> None:
    for photo in photos(6):
        frames = pan(photo, 4, 16)
        lit = [f.astype(int) for f in frames]
        lit[5] = lit[5] * 3 + 60
        lit[6] = lit[6] * 2 + 20
        lit[11] = np.full_like(lit[11], 255)
        assert cuts_in([f.clip(0, 255).astype(np.uint8) for f in lit]) == []
        fade = [f * np.float32(1 - i / 16) for i, f in enumerate(frames)]
        assert cuts_in([f.astype(np.uint8) for f in fade]) == []


@needs_clips
def test_real_clips() -> None:
    """Each of these is one scene; one after the other they have as many cuts as there are joins."""
    names = ["sam2_02_cups.mp4", "sam2_05_default_juggle.mp4", "mdn_friday.mp4",
             "intel_car-detection.mp4", "intel_asl_book.mkv"]  # fmt: skip
    parts = []
    for name in names:
        frames = read_clip(CLIPS / name, max_frames=24).frames
        parts.append([cv2.resize(f, (320, 180), interpolation=cv2.INTER_AREA) for f in frames])
        assert cuts_in(parts[-1]) == [], name
    joined = [frame for part in parts for frame in part]
    assert cuts_in(joined) == [24, 48, 72, 96]


@pytest.mark.slow
@pytest.mark.skipif(not FILM.is_file(), reason=f"the film {FILM} is not here")
def test_a_film(tmp_path: Path) -> None:
    """The first 1,400 frames: the cuts that one sees, and no other large change."""
    frames = []
    import av

    with av.open(str(FILM)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 1400:
                break
            frames.append(frame.to_ndarray(format="rgb24", width=320, height=180))
    assert cuts_in(frames) == [285, 378, 553, 1145, 1346]


def test_short_and_still_clips() -> None:
    grey = np.full((48, 64, 3), 90, np.uint8)
    assert cuts_in([grey]) == []
    assert cuts_in([grey] * 3) == []
    assert cuts_in([np.zeros((1, 1, 3), np.uint8)] * 5) == []
