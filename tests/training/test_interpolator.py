"""Training the interpolation network: it learns, stops, and goes on as if it had not stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.test_photographs import photograph
from vidcascade.data.photographs import SceneSettings, draw_scene
from vidcascade.data.triplets import Triplet, save_triplets
from vidcascade.errors import UsageError
from vidcascade.interpolation.model import load_interpolator
from vidcascade.training.interpolator import InterpolatorSettings, train_interpolator
from vidcascade.training.interpolator_data import FlowStore, draw_batch


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    scenes = [
        draw_scene([photograph(i)], SceneSettings(size=64, speeds=(2, 8)), rng) for i in range(3)
    ]
    triplets = [Triplet(np.stack([s.render(t) for t in (0, 0.5, 1)]), 0.5, "s") for s in scenes]
    place = tmp_path_factory.mktemp("data") / "store"
    save_triplets(place, triplets, 3, 64)
    return place


def test_a_batch_is_a_function_of_seed_and_step(folder):
    stores = [FlowStore(folder, crop=64)]
    one, same, other = (draw_batch(stores, 1, 0, step) for step in (3, 3, 4))
    assert torch.equal(one.first, same.first)
    assert torch.equal(one.known, same.known)
    assert not torch.equal(one.first, other.first)
    assert one.first.shape == (9, 3, 64, 64)
    assert one.known.shape == (9, 4, 64, 64)


def test_flows_turn_with_the_pictures(folder):
    """Whatever the turns and mirrors, the known flows still carry the neighbours to the middle."""
    from vidcascade.interpolation.warp_network import sample

    for step in range(3):
        batch = draw_batch([FlowStore(folder, crop=64)], 1, 1, step)
        inside = (..., slice(8, -8), slice(8, -8))
        for frame, part in ((batch.first, slice(0, 2)), (batch.second, slice(2, 4))):
            carried = (sample(frame, batch.known[:, part]) - batch.middle)[inside].abs().mean()
            assert carried < 0.6 * (frame - batch.middle)[inside].abs().mean()


def test_a_run_continues_exactly(folder, tmp_path):
    stores = [FlowStore(folder, crop=64)]

    def losses(out: Path) -> list[float]:
        return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]

    def run(out: Path, steps: int, **more) -> None:
        settings = InterpolatorSettings(
            out=out, steps=6, batch=1, warmup=1, log_every=1, save_every=3, **more
        )
        if steps < 6:
            settings = InterpolatorSettings(
                out=out, steps=6, batch=1, warmup=1, log_every=1, max_minutes=0.0
            )
        train_interpolator(settings, stores)

    run(tmp_path / "whole", 6)
    run(tmp_path / "parts", 1)
    assert len(losses(tmp_path / "parts")) == 1
    run(tmp_path / "parts", 6)
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-3)
    load_interpolator(tmp_path / "parts" / "network")


def test_crops_that_do_not_fit_are_refused(folder):
    with pytest.raises(UsageError, match="crop of 96"):
        FlowStore(folder, crop=96)
