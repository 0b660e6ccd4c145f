"""Squares are looked at where subjects are, and a grid or flicker is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vidcascade.training import seeing
from vidcascade.training.draws import Draws
from vidcascade.training.seeing import neighbour_steps, seen


def test_subjects_are_found_by_their_weight() -> None:
    weight = torch.ones(2, 3, 1, 8, 8)
    weight[0, 1, 0, 6:8, 0:2] = 3.0
    places = seeing._subjects(weight / weight.mean())
    assert places is not None
    np.testing.assert_allclose(places[0, 1], [-0.75, 0.75], atol=1e-6)
    assert places[0, 0].isnan().all()
    assert places[1].isnan().all()
    assert seeing._subjects(None) is None


class Watching(torch.nn.Module):
    """An eye that keeps what it is shown."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        self.shown = b
        return (a - b).square().mean((1, 2, 3))


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_squares_lie_about_the_subject(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bright spot near a corner is in all of them, or in some."""
    monkeypatch.setattr(seeing, "AT_SUBJECT", share)
    watching = Watching()
    truth = torch.full((24, 4, 3, 32, 32), -1.0)
    weight = torch.ones(24, 4, 1, 32, 32)
    truth[..., 24:28, 4:8] = 1.0  # low down on the left
    weight[..., 24:28, 4:8] = 3.0
    looks = seen(watching, truth, truth, weight, Draws.of(4, range(24)))  # type: ignore[arg-type]
    assert looks.shape == (24,)
    there = (watching.shown.amax((1, 2, 3)) > 0.9).float().mean()
    assert there == 1.0 if share == 1.0 else 0.1 < there < 0.9


def test_single_frames_have_no_steps_in_time() -> None:
    truth = torch.rand(2, 1, 3, 8, 8)
    assert neighbour_steps(truth + 0.3, truth).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_a_grid_is_told_and_another_brightness_is_not() -> None:
    truth = torch.rand(2, 3, 3, 8, 8)
    assert neighbour_steps(truth + 0.3, truth).tolist() == pytest.approx([0, 0], abs=1e-6)
    grid = torch.zeros(8, 8)
    grid[::2, ::2] = 0.1
    # Of 7 steps down a column 7 are wrong in every other one, and the same along rows.
    assert neighbour_steps(truth + grid, truth).tolist() == pytest.approx([0.1, 0.1])
    flicker = torch.tensor([0.0, 0.1, 0.0]).view(3, 1, 1, 1)
    assert neighbour_steps(truth + flicker, truth).tolist() == pytest.approx([0.1, 0.1])
