"""The sticker world: determinism, geometry, flow, words and splits."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from vidcascade.data.captions import caption
from vidcascade.data.config import WorldConfig
from vidcascade.data.fetch import cache_folder, has_stickers
from vidcascade.data.motions import draw_motion
from vidcascade.data.stickers import Description, Split, StickerWorld
from vidcascade.data.words import BACKGROUNDS, CAMERAS, COLOURS, MOTIONS, SIZES, SOLIDS

cv2.setNumThreads(1)

TIMES = [k / 8 for k in range(16)]
needs_stickers = pytest.mark.skipif(
    not has_stickers(cache_folder()),
    reason="no stickers in the cache: run scripts/fetch_stickers.py",
)
Make = Callable[..., StickerWorld]


@pytest.fixture
def solids(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Worlds without stickers, whatever the cache holds."""
    empty = tmp_path_factory.mktemp("no-stickers")

    def make(**settings: object) -> StickerWorld:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return StickerWorld(WorldConfig(**settings), stickers=empty)

    return make


def one(motion: str, background: str = "grey", camera: str | None = None) -> Description:
    return Description((("ball", "red", None),), (motion,), background, camera, False, "")


def test_same_seed_same_clip_and_other_seed_other_clip(solids: Make) -> None:
    world, again = solids(), solids()
    clips = []
    for w in (world, again):
        d = w.describe(11)
        clips.append((d, w.render(w.scene(d, 11), 32, TIMES)))
    assert clips[0][0] == clips[1][0]
    assert np.array_equal(clips[0][1], clips[1][1])
    assert world.describe(12) != clips[0][0]
    assert clips[0][1].shape == (16, 32, 32, 3)
    assert clips[0][1].dtype == np.uint8


@pytest.mark.parametrize("camera", [None, "pan left", "zoom in"])
def test_a_frame_alone_equals_the_frame_in_the_clip(solids: Make, camera: str | None) -> None:
    world = solids()
    scene = world.scene(one("orbit", "meadow", camera), 3)
    clip = world.render(scene, (36, 64), TIMES)
    assert np.array_equal(world.render(scene, (36, 64), [TIMES[7]])[0], clip[7])
    video, mask = world.render_with_mask(scene, (36, 64), TIMES)
    assert np.array_equal(video, clip)
    assert np.abs(mask - world.mask(scene, (36, 64), TIMES)).max() < 0.01


@pytest.mark.parametrize("background", list(BACKGROUNDS))
def test_resolutions_show_the_same_picture(solids: Make, background: str) -> None:
    world = solids()
    scene = world.scene(one("spin", background), 5)
    small = world.render(scene, 64, [0.7])[0].astype(float)
    for size in (128, 256):
        big = world.render(scene, size, [0.7])[0]
        down = cv2.resize(big, (64, 64), interpolation=cv2.INTER_AREA)
        aligned = np.abs(down - small).mean()
        shifted = np.abs(np.roll(down, 1, axis=1) - small).mean()
        assert aligned < 3.0
        assert aligned < shifted or shifted < 1.0


def test_backgrounds_look_different_at_64(solids: Make) -> None:
    world = solids()
    thumbs = {}
    for name in BACKGROUNDS:
        scene = world.scene(one("still", name), 21)
        image = world.render(scene, 64, [0.0])[0].astype(float)
        outside = world.mask(scene, 64, [0.0])[0] < 0.01
        thumbs[name] = (image, outside)
    for a, (image_a, out_a) in thumbs.items():
        for b, (image_b, out_b) in thumbs.items():
            if a < b:
                assert np.abs(image_a - image_b)[out_a & out_b].mean() > 10, (a, b)


@pytest.mark.parametrize(
    "motion", ["up", "left", "bounce", "spin", "tumble", "swing", "grow", "orbit"]
)
@pytest.mark.parametrize("camera", [None, "pan right", "zoom out"])
def test_flow_warps_the_later_frame_onto_the_earlier(
    solids: Make, motion: str, camera: str | None
) -> None:
    world = solids()
    scene = world.scene(one(motion, "meadow", camera), 9)
    # a spin is seen from the side at 0.5, and from the front again only at 2
    times = [0.1, 0.3] if motion == "spin" else [0.5, 0.75]
    f0, f1 = world.render(scene, 128, times).astype(np.float32)
    flow, visible = world.flow(scene, 128, *times)
    y, x = np.mgrid[0:128, 0:128].astype(np.float32)
    back = cv2.remap(f1, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    # pixels on an outline mix two layers, so that no single flow explains them
    m0, m1 = world.mask(scene, 128, times)
    seen1 = cv2.remap(m1, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    pure = visible & ((m0 < 0.02) | (m0 > 0.98)) & ((seen1 < 0.02) | (seen1 > 0.98))
    assert pure.mean() > 0.6
    error = np.abs(back - f0).mean(-1)
    assert error[pure].mean() < 2.5
    assert np.quantile(error[pure], 0.99) < 20
    subject = pure & (m0 > 0.98)
    assert subject.sum() > 200
    assert error[subject].mean() < 5
    assert flow.dtype == np.float32
    assert visible.dtype == np.bool_


def test_flow_marks_what_gets_covered_and_what_leaves(solids: Make) -> None:
    world = solids()
    scene = world.scene(one("right"), 2)
    _, visible = world.flow(scene, 64, 0.2, 1.2)
    m0, m1 = world.mask(scene, 64, [0.2, 1.2])
    covered = (m0 < 0.01) & (m1 > 0.99)
    assert covered.any()
    assert not visible[covered].any()
    leaving = world.scene(one("cross right"), 2)
    flow, visible = world.flow(leaving, 64, 1.0, 2.0)
    gone = world.mask(leaving, 64, [1.0])[0] > 0.99
    assert gone.any()
    assert not visible[gone].any()
    assert (flow[gone, 0] > 32).all()


def _track(world: StickerWorld, motion: str, seed: int, duration: float) -> np.ndarray:
    """(T, 3): centroid x, y in frame units and area in frame units squared."""
    scene = world.scene(one(motion), seed, duration)
    masks = world.mask(scene, 64, np.linspace(0, duration, 17).tolist())
    axis = (np.arange(64) + 0.5) / 64 - 0.5
    area = masks.sum((1, 2))
    x = (masks.sum(1) * axis).sum(1) / np.maximum(area, 1e-6)
    y = (masks.sum(2) * axis).sum(1) / np.maximum(area, 1e-6)
    return np.stack([x, y, area / 64**2], 1)


@pytest.mark.parametrize("duration", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("motion", list(MOTIONS))
def test_motions_do_what_they_say(solids: Make, motion: str, duration: float) -> None:
    world = solids()
    for seed in range(6):
        track = _track(world, motion, seed, duration)
        dx, dy = track[-1, :2] - track[0, :2]
        span = np.ptp(track, axis=0)
        if not motion.startswith("cross"):
            # seen from the side, a spinning sticker is nearly a line
            assert track[:, 2].min() > (0.003 if motion == "spin" else 0.02), "stays in view"
        if motion in ("up", "down"):
            assert (dy if motion == "down" else -dy) >= 0.35
            assert span[0] < 0.02
        elif motion in ("left", "right"):
            assert (dx if motion == "right" else -dx) >= 0.35
            assert span[1] < 0.02
        elif motion in ("grow", "shrink"):
            ratio = track[-1, 2] / track[0, 2]
            assert (ratio if motion == "grow" else 1 / ratio) > 2.5
        elif motion == "pulse":
            assert span[2] > 0.03
            assert span[:2].max() < 0.05
        elif motion == "bounce":
            assert span[1] > 0.2
            assert span[0] < 0.02
        elif motion == "orbit":
            assert span[0] > 0.2
            assert span[1] > 0.2
        elif motion == "swing":
            assert span[0] > 0.2
        elif motion == "shake":
            assert 0.02 < span[0] < 0.2
        elif motion in ("still", "tumble"):
            assert span.max() < 0.01
        elif motion == "spin":
            assert span[:2].max() < 0.01
            assert track[:, 2].min() < 0.2 * track[0, 2]
        else:
            assert track[0, 2] < 0.01
            assert track[-1, 2] < 0.01
            assert track[8, 2] > 0.05
            seen = track[(track[:, 2] > 0.01)]
            step = seen[-1, :2] - seen[0, :2]
            towards = {"right": step[0], "left": -step[0], "down": step[1], "up": -step[1]}
            assert towards[motion.split()[1]] > 0.35


def test_a_tumble_turns_the_sprite(solids: Make) -> None:
    world = solids()
    described = Description((("cone", "red", None),), ("tumble",), "grey", None, False, "")
    masks = world.mask(world.scene(described, 1), 64, TIMES)
    assert np.abs(masks[0] - masks[6]).mean() > 0.01


def test_a_spin_shows_the_back_as_a_mirror_image(solids: Make) -> None:
    world = solids()
    described = Description((("heart", "red", None),), ("spin",), "grey", None, False, "")
    scene = world.scene(described, 1)
    (subject,) = scene.subjects
    motion = dataclasses.replace(subject.motion, x=0.0, y=0.0, tilt=0.0, rate=0.5)
    upright = dataclasses.replace(subject, motion=motion)
    scene = dataclasses.replace(scene, subjects=(upright,))
    front, side, back, whole = world.render(scene, 64, [0.0, 0.5, 1.0, 2.0]).astype(int)
    assert np.abs(front[:, ::-1] - back).max() <= 2
    assert np.abs(front - back).max() > 20  # its highlight is on the other side
    assert np.array_equal(front, whole)
    masks = world.mask(scene, 64, [0.0, 0.5])
    assert 0.02 < masks[1].sum() / masks[0].sum() < 0.12
    assert np.abs(side - front).mean() > 1


@pytest.mark.parametrize("seconds", [1.0, 2.0, 4.0])
def test_turns_begin_upright_and_go_one_way(seconds: float) -> None:
    """Captions say neither which way nor how fast, so a base has nothing to guess about it."""
    for seed in range(30):
        motion = draw_motion("tumble", np.random.default_rng(seed), seconds, 0.4)
        first, last = motion.pose(0.0)[2], motion.pose(seconds)[2]
        assert abs(first) <= 0.1
        turns = (last - first) / math.tau
        assert turns >= 0.96 - 1e-9
        assert turns <= max(0.96, 0.52 * seconds) + 1e-9
        motion = draw_motion("spin", np.random.default_rng(seed), seconds, 0.4)
        poses = [motion.pose(seconds * k / 64) for k in range(65)]
        widths = np.array([width for *_, width in poses])
        assert widths[0] == 1.0
        assert {rotation for _, _, rotation, _, _ in poses} == {first}
        assert np.abs(widths).min() == pytest.approx(0.08)
        assert widths.min() < -0.95
        assert (np.diff(widths[:17]) < 0).all() or seconds > 2


def test_cameras_move_the_background_the_other_way(solids: Make) -> None:
    world = solids()
    for camera, axis, sign in (("pan left", 0, 1), ("pan right", 0, -1), ("pan up", 1, 1)):
        scene = world.scene(one("still", "bricks", camera), 4)
        flow, _ = world.flow(scene, 64, 0.0, 2.0)
        assert (sign * flow[..., axis] > 0.2 * 64).all()
    flow, _ = world.flow(world.scene(one("still", "bricks", "zoom in"), 4), 64, 0.0, 2.0)
    assert flow[32, 60, 0] > 2
    assert flow[32, 3, 0] < -2
    assert set(CAMERAS) == {f"pan {d}" for d in ("left", "right", "up", "down")} | {
        "zoom in",
        "zoom out",
    }


def test_captions_use_the_right_words(solids: Make) -> None:
    world = solids(two_subjects=0.3, camera=0.3)
    named = {"motion": 0, "background": 0}
    plain = 0
    for seed in range(400):
        d = world.describe(seed)
        text = d.caption
        for name, colour, size in d.subjects:
            assert colour is not None
            pair = [f"{c} {s}" for c in COLOURS[colour] for s in SOLIDS[name]]
            assert any(p in text for p in pair), text
            assert size is None or any(w in text.split() for w in SIZES[size]), text
        for motion in d.motions:
            named["motion"] += any(p in text for p in MOTIONS[motion])
        named["background"] += any(p in text for p in BACKGROUNDS[d.background])
        assert (d.camera is None) or any(p in text for p in CAMERAS[d.camera]), text
        assert not re.search(r"\ba [aeio]|\{|\}|  ", text), text
        plain += bool(re.fullmatch(r"an? [\w -]+", text)) and d.relation is None
    assert named["motion"] > 250
    assert named["background"] > 250
    assert plain > 150


def test_held_out_combinations_stay_out_of_training(solids: Make) -> None:
    world = solids(held_out=0.2, held_out_seed=3, colours=("red", "blue"), two_subjects=0.2)
    combos: dict[Split, set[tuple[object, ...]]] = {"train": set(), "held_out": set()}
    for split, found in combos.items():
        for seed in range(600):
            d = world.describe(seed, split)
            assert world.is_held_out(d) == (split == "held_out")
            if d.relation is None:
                found.add((d.subjects[0][:2], d.motions[0], d.background))
    assert combos["train"]
    assert combos["held_out"]
    assert not combos["train"] & combos["held_out"]
    share = np.mean([world.is_held_out(world.describe(s)) for s in range(500)])
    assert 0.12 < share < 0.35
    with pytest.raises(ValueError, match="empty"):
        solids().describe(0, "held_out")


def test_sizes_follow_the_size_word(solids: Make) -> None:
    world = solids()
    area = {}
    for word in ("small", None, "large"):
        d = Description((("cube", "blue", word),), ("still",), "white", None, False, "")
        area[word] = world.mask(world.scene(d, 1), 64, [0.0]).mean()
    assert area["small"] * 1.5 < area[None]
    assert area[None] * 1.3 < area["large"]


def test_shadow_darkens_without_changing_the_mask(solids: Make) -> None:
    world = solids()
    with_shadow = Description((("ball", "red", None),), ("still",), "white", None, True, "")
    plain = world.render(world.scene(one("still", "white"), 6), 64, [0.0])[0].astype(int)
    shaded = world.render(world.scene(with_shadow, 6), 64, [0.0])[0].astype(int)
    assert (shaded <= plain + 1).all()
    assert (plain - shaded).max() > 20


def test_missing_stickers_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcascade.data.stickers._warned", False)
    with pytest.warns(UserWarning, match="fetch_stickers"):
        world = StickerWorld(stickers=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StickerWorld(stickers=tmp_path)
    assert all(c is not None for s in range(40) for _, c, _ in world.describe(s).subjects)
    assert world.vocabulary()["subjects"] == ()
    assert "ball" in world.vocabulary()["solids"]


def test_bad_requests_are_refused(solids: Make) -> None:
    world = solids()
    with pytest.raises(ValueError, match="seconds"):
        world.scene(one("up"), 0, duration=0)
    with pytest.raises(ValueError, match="too small"):
        world.render(world.scene(one("up"), 0), 2, [0.0])
    with pytest.raises(ValueError, match="split"):
        world.describe(0, cast("Split", "test"))


@needs_stickers
def test_every_sticker_draws() -> None:
    from vidcascade.data.sprites import sticker
    from vidcascade.data.subjects import SUBJECTS

    for subject in SUBJECTS.values():
        alpha = sticker(cache_folder(), subject.code).mips[2][..., 3] / 255
        assert 0.1 < alpha.mean() < 0.97, subject.name


@needs_stickers
def test_sticker_clip() -> None:
    world = StickerWorld(WorldConfig(subjects=("rocket",), solid_share=0, motions=("up",),
                                     backgrounds=("night",), two_subjects=0))  # fmt: skip
    captions = {world.describe(seed).caption for seed in range(200)}
    assert "a rocket flying up at night" in captions
    d = world.describe(0)
    video, mask = world.render_with_mask(world.scene(d, 0), 64, TIMES)
    inside, outside = video[mask > 0.9].mean(), video[mask < 0.01].mean()
    assert inside > outside + 50  # a bright rocket on a dark sky


def test_pairs_are_joined_by_and_alike_or_not() -> None:
    pair = (("cat", None, None), ("dog", None, None))

    def said(motions: tuple[str, str], relation: str = "left of") -> str:
        rngs = (np.random.default_rng(seed) for seed in range(400))
        made = (caption(pair, motions, "snow", None, relation, rng) for rng in rngs)
        return "\n".join(made)

    assert "a cat and a dog, both spinning" in said(("spin", "spin"))
    assert "a cat spinning and a dog bouncing" in said(("spin", "bounce"))
    for motions in (("spin", "spin"), ("spin", "bounce")):
        assert "a cat and a dog" not in said(motions, "above")
        assert "a cat spinning and a dog" not in said(motions, "above")
