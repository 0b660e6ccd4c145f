"""Camera moves are read off the background, and only where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidcascade.data.config import WorldConfig
from vidcascade.data.scene import Description
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.words import CAMERAS
from vidcascade.metrics.adherence.camera import FIXED, camera_shown, measure_camera

TIMES = [k / 8 for k in range(16)]


def clip(
    folder: Path, background: str, camera: str | None, motion: str = "still", seed: int = 5
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    world = StickerWorld(WorldConfig(solid_share=1.0), folder)
    described = Description(
        (("cube", "red", None),), (motion,), background, camera, False, "a cube"
    )
    return world.render_with_mask(world.scene(described, seed), 64, TIMES)


@pytest.mark.parametrize("camera", [*CAMERAS, None])
@pytest.mark.parametrize("background", ["checkerboard", "meadow", "space"])
def test_each_move_is_named(tmp_path: Path, background: str, camera: str | None) -> None:
    move = measure_camera(*clip(tmp_path, background, camera))
    assert camera_shown(move) == (camera or FIXED)
    assert move.followed > 0.9


def test_how_far_and_how_much(tmp_path: Path) -> None:
    # The world draws ways of 0.24 to 0.36 of the frame and zooms of 0.30 to 0.42; fifteen of
    # sixteen steps are seen.
    pan = measure_camera(*clip(tmp_path, "dots", "pan right"))
    assert -0.36 < pan.dx < -0.2
    assert abs(pan.dy) < 0.02
    assert abs(pan.zoom) < 0.03
    zoom = measure_camera(*clip(tmp_path, "dots", "zoom out"))
    assert -0.42 < zoom.zoom < -0.26


@pytest.mark.parametrize("motion", ["left", "grow", "spin"])
def test_a_subject_that_moves_is_no_camera(tmp_path: Path, motion: str) -> None:
    assert camera_shown(measure_camera(*clip(tmp_path, "bricks", None, motion))) == FIXED


def test_nothing_to_follow_is_none(tmp_path: Path) -> None:
    move = measure_camera(*clip(tmp_path, "grey", "pan left"))
    assert move.followed == 0.0
    assert camera_shown(move) is None
