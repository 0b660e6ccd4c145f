"""Training the interpolation network: it learns, stops, and goes on as if it had not stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.training_utils import EMAModel

from tests.data.test_photographs import photograph
from vidcascade.data.photographs import SceneSettings, draw_scene
from vidcascade.data.triplets import Triplet, save_triplets
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.model import load_interpolator
from vidcascade.training.interpolator import (
    InterpolatorSettings,
    decayed,
    train_interpolator,
)
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
    assert one.known.shape == (9, 4, 8, 8)
    assert one.worth.shape == (9, 2, 8, 8)
    assert 0 < one.worth.max() <= 1


def test_flows_turn_with_the_pictures(folder):
    """Whatever the turns and mirrors, the flows still carry each frame to the others."""
    from vidcascade.interpolation.warp_prior import sample

    for step in range(3):
        batch = draw_batch([FlowStore(folder, crop=64)], 1, 1, step)
        inside = (..., slice(8, -8), slice(8, -8))
        known = torch.nn.functional.interpolate(batch.known, scale_factor=8, mode="bilinear")
        for frame, flow, wanted in (
            (batch.first, known[:, :2], batch.middle),
            (batch.second, known[:, 2:], batch.middle),
            (batch.second, batch.ahead, batch.first),
            (batch.first, batch.back, batch.second),
        ):
            carried = (sample(frame, flow) - wanted)[inside].abs().mean()
            assert carried < 0.6 * (frame - wanted)[inside].abs().mean()


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_run_continues_exactly(folder, tmp_path):
    stores = [FlowStore(folder, crop=64)]

    def run(out: Path, report=lambda line: None) -> None:
        settings = InterpolatorSettings(out=out, steps=6, batch=1, warmup=1, log_every=1)
        train_interpolator(settings, stores, report)

    def interrupted(line: dict[str, float]) -> None:
        raise KeyboardInterrupt

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", interrupted)
    assert len(losses(tmp_path / "parts")) == 1
    run(tmp_path / "parts")
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-3)
    load_interpolator(tmp_path / "parts" / "network")


def test_a_step_that_was_cut_short_is_not_saved(folder, tmp_path, monkeypatch):
    stores = [FlowStore(folder, crop=64)]

    def run(out: Path) -> None:
        settings = InterpolatorSettings(
            out=out, steps=4, batch=1, warmup=1, log_every=1, save_every=2
        )
        train_interpolator(settings, stores)

    run(tmp_path / "whole")
    plain = EMAModel.step

    def pressed(self, parameters) -> None:
        if self.optimization_step == 2:  # in the third step, whose weights are there
            raise KeyboardInterrupt
        plain(self, parameters)

    monkeypatch.setattr(EMAModel, "step", pressed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts")
    monkeypatch.undo()
    state = torch.load(tmp_path / "parts" / "checkpoint" / "state.pt", weights_only=True)
    assert state["step"] == state["ema_steps"] == 2
    run(tmp_path / "parts")
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-3)


def test_a_line_of_the_log_that_was_cut_off_is_dropped(folder, tmp_path):
    def run(steps: int) -> None:
        settings = InterpolatorSettings(
            out=tmp_path, steps=steps, batch=1, warmup=1, log_every=1, max_minutes=1e6
        )
        train_interpolator(settings, [FlowStore(folder, crop=64)])

    run(1)
    log = tmp_path / "log.jsonl"
    first = log.read_text()
    log.write_text(first + first.replace('"step": 1', '"step": 2') + '{"step": 3, "lo')
    run(2)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in told] == [1, 2]
    assert log.read_text().startswith(first)
    assert told[1]["minutes"] > told[0]["minutes"]


def test_weights_to_start_from_that_are_none_are_refused(folder, tmp_path):
    stores = [FlowStore(folder, crop=64)]
    settings = InterpolatorSettings(out=tmp_path / "run", steps=1, init=tmp_path / "none")
    with pytest.raises(UsageError, match="There is no folder"):
        train_interpolator(settings, stores)
    (tmp_path / "none").mkdir()
    with pytest.raises(VidCascadeError, match="incomplete or damaged"):
        train_interpolator(settings, stores)


def test_the_parts_of_a_batch_are_the_batch(folder, tmp_path):
    stores = [FlowStore(folder, crop=64)]
    for together in (2, 9):
        settings = InterpolatorSettings(
            out=tmp_path / str(together), steps=3, batch=1, warmup=1, log_every=1, together=together
        )
        train_interpolator(settings, stores)
    np.testing.assert_allclose(losses(tmp_path / "2"), losses(tmp_path / "9"), rtol=1e-2)


def test_the_rate_falls_to_nothing_with_the_time(folder, tmp_path):
    assert [decayed(x) for x in (0.0, 0.25, 1.0)] == [1.0, 1.0, 0.0]
    assert decayed(0.625) == pytest.approx(0.5)
    settings = InterpolatorSettings(
        out=tmp_path / "run", steps=10**6, batch=1, warmup=1, log_every=1, max_minutes=0.05
    )
    train_interpolator(settings, [FlowStore(folder, crop=64)])
    first = losses(tmp_path / "run")
    assert 0 < len(first) < 1000
    # The time is used up, whoever asks again.
    train_interpolator(settings, [FlowStore(folder, crop=64)])
    assert losses(tmp_path / "run") == first


def test_crops_that_do_not_fit_are_refused(folder):
    with pytest.raises(UsageError, match="crop of 96"):
        FlowStore(folder, crop=96)
