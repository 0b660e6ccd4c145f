"""Interlaced pictures without the flag are found, and progressive ones are not taken for them."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.interpolation.conftest import SHARED, write
from vidcascade.errors import UsageError
from vidcascade.interpolation.combing import Combing
from vidcascade.interpolation.source import Source

CLIPS = SHARED / "data" / "clips"


def texture(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "stripes":
        return np.tile((np.arange(700) // 3 % 2 * 200 + 20).astype(np.uint8)[:, None], (1, 700))
    sigma = {"fine": 0.8, "soft": 2.0}[kind]
    noise = cv2.GaussianBlur(rng.uniform(0, 1, (700, 700)).astype(np.float32), (0, 0), sigma)
    return ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)


def pan(kind: str, x: float, y: float, count: int = 40, faster: float = 0.0) -> list[np.ndarray]:
    """Crops (240, 320) of a texture that moves by (x, y) pixels a frame."""
    moving = texture(kind)
    frames = []
    for k in range(count):
        shift = np.float64([[1, 0, -100 - x * k - faster * k * k], [0, 1, -100 - y * k]])
        frames.append(cv2.warpAffine(moving, shift, (320, 240), flags=cv2.INTER_CUBIC))
    return frames


def weave(frames: list[np.ndarray], parity: int) -> list[np.ndarray]:
    """Two frames in one: the lines of ``parity`` are of the later one."""
    woven = []
    for early, late in zip(frames[::2], frames[1::2], strict=True):
        both = early.copy()
        both[parity::2] = late[parity::2]
        woven.append(both)
    return woven


def looked_at(frames: list[np.ndarray]) -> Combing:
    combing = Combing()
    for frame in frames:
        combing.look(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray"))
    return combing


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("motion", [(0.5, 0.0), (1.5, 0.0), (2.5, 0.6)])
def test_woven_fields_are_found(parity: int, motion: tuple[float, float]) -> None:
    woven = weave(pan("soft", *motion, count=80), parity)
    assert looked_at(woven).certain
    rng = np.random.default_rng(0)
    noisy = [(f + rng.normal(0, 4, f.shape)).clip(0, 255).astype(np.uint8) for f in woven]
    assert looked_at(noisy).certain
    beside = [np.concatenate((f[:, :60], woven[0][:, 60:]), axis=1) for f in woven]
    assert looked_at(beside).suspected  # a small thing that moves before what stands still


@pytest.mark.parametrize("kind", ["fine", "soft", "stripes"])
@pytest.mark.parametrize(
    "motion", [(0.0, 0.0), (3.0, 0.0), (0.0, 1.0), (0.0, -0.5), (0.0, 2.0), (1.7, 0.3)]
)
def test_progressive_pictures_are_left_alone(kind: str, motion: tuple[float, float]) -> None:
    for faster in (0.0, 0.05):
        assert not looked_at(pan(kind, *motion, faster=faster)).suspected
    rng = np.random.default_rng(1)
    noisy = [f + rng.normal(0, 4, f.shape) for f in pan(kind, *motion)]
    assert not looked_at([f.clip(0, 255).astype(np.uint8) for f in noisy]).suspected


def test_a_file_without_the_flag(tmp_path: Path) -> None:
    woven = weave(pan("soft", 1.5, 0.0, count=80), 1)
    frames = [np.repeat(f[..., None], 3, axis=2) for f in woven]
    source = write(tmp_path / "woven.mkv", frames, rate=25, options={"crf": "16"})
    with pytest.raises(UsageError, match=r"interlaced.*bwdif"):
        Source.open(source)
    short = write(tmp_path / "short.mkv", frames[:14], rate=25, options={"crf": "16"})
    assert any("interlaced" in text for text in Source.open(short).warnings)


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"test clips {CLIPS} are not here")
def test_real_clips_pass() -> None:
    names = ("kivy_cityCC0.mpg", "mdn_friday.mp4", "nasa_13013.mp4", "intel_car-detection.mp4")
    for name in names:
        assert not Source.open(CLIPS / name).warnings
