"""Triplets of real clips: what is taken and what is passed over."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.test_photographs import photograph
from vidcascade.data.triplets import (
    MiningSettings,
    Triplet,
    TripletStore,
    mine_triplets,
    save_triplets,
)
from vidcascade.errors import UsageError, VidCascadeError

SETTINGS = MiningSettings(size=64, short_sides=(64, 96), uneven=0.0, spans=(1,), span_weights=(1,))


@pytest.fixture
def moving() -> list[np.ndarray]:
    big = photograph(0, 200)
    return [big[20:116, 4 * i : 4 * i + 128] for i in range(14)]


def write(tmp_path, frames: list[np.ndarray]):
    import imageio.v3 as iio

    folder = tmp_path / "clip"
    folder.mkdir()
    for number, frame in enumerate(frames):
        iio.imwrite(folder / f"{number:03d}.png", frame)
    return folder


def mine(path, count=6, settings=SETTINGS):
    return list(mine_triplets(path, count, settings, np.random.default_rng(0)))


def test_moving_pictures_give_triplets(tmp_path, moving):
    found = mine(write(tmp_path, moving))
    assert 3 <= len(found) <= 7
    assert all(t.frames.shape == (3, 64, 64, 3) and t.time == 0.5 for t in found)
    assert found[0].source == "clip"


def test_repeats_and_cuts_are_passed_over(tmp_path, moving):
    assert not mine(write(tmp_path, [moving[0]] * 14))
    (tmp_path / "b").mkdir()
    shots = [frame // 4 + 190 * (i % 2) for i, frame in enumerate(moving)]
    assert not mine(write(tmp_path / "b", shots))


def test_uneven_times(tmp_path, moving):
    settings = MiningSettings(size=64, short_sides=(64, 96), uneven=1.0)
    times = {t.time for t in mine(write(tmp_path, moving), 12, settings)}
    assert times <= {1 / 3, 2 / 3, 1 / 4, 3 / 4}
    assert times


def test_a_store_keeps_what_it_was_given(tmp_path):
    rng = np.random.default_rng(0)
    given = [
        Triplet(rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8), 0.25 + i / 4, f"{i}")
        for i in range(3)
    ]
    save_triplets(tmp_path / "store", given, 2, 16)
    store = TripletStore(tmp_path / "store")
    assert len(store) == 2
    assert np.array_equal(store[1].frames, given[1].frames)
    assert (store[1].time, store[1].source) == (0.5, "1")


def test_errors_are_told(tmp_path):
    with pytest.raises(VidCascadeError, match="No usable triplet"):
        save_triplets(tmp_path / "none", [], 4, 16)
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="holds no triplets"):
        TripletStore(tmp_path)
    with pytest.raises(UsageError, match="needs a weight"):
        MiningSettings(spans=(1, 2), span_weights=(1.0,))
