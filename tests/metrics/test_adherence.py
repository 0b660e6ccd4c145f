"""Recognisers: motion rules on true outlines, the maths of shares, a recogniser that learns."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vidcascade.data.config import WorldConfig
from vidcascade.data.stickers import Description, StickerWorld
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.metrics.adherence.motion import (
    MOTIONS,
    classify_motion,
    direction_shown,
    measure_motion,
)
from vidcascade.metrics.adherence.pairs import judge_pair
from vidcascade.metrics.adherence.recogniser import Recogniser, subject_label
from vidcascade.metrics.adherence.scores import ASPECTS, judge, share_right, wilson
from vidcascade.metrics.adherence.teaching import Lessons, disturb, labels_of, teach
from vidcascade.metrics.adherence.tracking import Track, track_subject

TIMES = [k / 8 for k in range(16)]
LEFT = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)


def world_of_solids(folder: Path, **settings: object) -> StickerWorld:
    """A world without stickers, whatever the cache holds."""
    plain = {"two_subjects": 0.0, "camera": 0.0, "motions": MOTIONS} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return StickerWorld(WorldConfig(**plain), stickers=folder)  # type: ignore[arg-type]


def accuracy(world: StickerWorld, clips: int) -> tuple[float, Counter[tuple[str, str]]]:
    """Share of true clips whose motion the rules name, on the true outlines."""
    wrong: Counter[tuple[str, str]] = Counter()
    for seed in range(clips):
        described = world.describe(seed)
        frames, masks = world.render_with_mask(world.scene(described, seed), 64, TIMES)
        evidence = measure_motion(track_subject(frames, masks))
        wanted, found = described.motions[0], classify_motion(evidence)
        if found != wanted:
            wrong[wanted, found] += 1
        assert direction_shown(evidence, wanted) in (True, None)
    return 1 - sum(wrong.values()) / clips, wrong


@pytest.mark.parametrize("motion", MOTIONS)
def test_each_motion_is_named(tmp_path: Path, motion: str) -> None:
    world = world_of_solids(tmp_path)
    for seed, (name, colour) in enumerate((("cube", "blue"), ("star", "yellow"))):
        described = Description(((name, colour, None),), (motion,), "meadow", None, True, "")
        scene = world.scene(described, seed)
        frames, masks = world.render_with_mask(scene, 64, TIMES)
        evidence = measure_motion(track_subject(frames, masks))
        assert classify_motion(evidence) == motion, evidence
        directed = motion in ("up", "down", "left", "right", "grow", "shrink")
        assert direction_shown(evidence, motion) is (True if directed else None)


@pytest.mark.slow
def test_motions_of_many_clips(tmp_path: Path) -> None:
    share, wrong = accuracy(world_of_solids(tmp_path), 240)
    assert share >= 0.95, wrong


def test_turns_are_clockwise_and_size_is_in_frame_units(tmp_path: Path) -> None:
    world = world_of_solids(tmp_path)
    described = Description((("star", "red", None),), ("tumble",), "grey", None, False, "")
    scene = world.scene(described, 1)
    frames, masks = world.render_with_mask(scene, 64, TIMES)
    track = track_subject(frames, masks)
    motion = scene.subjects[0].motion
    true = motion.pose(TIMES[1])[2] - motion.pose(TIMES[0])[2]
    np.testing.assert_allclose(track.turn, true, atol=np.radians(4))
    np.testing.assert_allclose(track.size, np.sqrt(masks[0].mean()), rtol=0.05)
    assert track.seen == 1.0
    assert np.abs(track.x).max() < 0.5
    assert 0.2 < np.median(track.spread_x / track.size) < 0.5
    described = Description((("ball", "red", None),), ("spin",), "grey", None, False, "")
    track = track_subject(*world.render_with_mask(world.scene(described, 1), 64, TIMES))
    np.testing.assert_allclose(track.spread_y, track.spread_y[0], rtol=0.06)
    true = np.abs(np.cos(np.pi * np.array(TIMES)))
    np.testing.assert_allclose(track.spread_x / track.spread_y, true, atol=0.12)


def test_outlines_may_be_coarse_and_specks_do_not_matter(tmp_path: Path) -> None:
    world = world_of_solids(tmp_path)
    described = Description((("ball", "red", None),), ("right",), "grey", None, False, "")
    frames, masks = world.render_with_mask(world.scene(described, 2), 64, TIMES)
    masks[:, :3, :3] = 1.0
    coarse = masks.reshape(16, 32, 2, 32, 2).mean(axis=(2, 4))
    fine, rough = track_subject(frames, masks), track_subject(frames, coarse)
    np.testing.assert_allclose(rough.x, fine.x, atol=0.02)
    assert classify_motion(measure_motion(rough)) == "right"


def test_nothing_to_follow_is_none() -> None:
    frames = np.zeros((16, 64, 64, 3), np.uint8)
    track = track_subject(frames, np.zeros((16, 32, 32), np.float32))
    evidence = measure_motion(track)
    assert track.seen == 0.0
    assert classify_motion(evidence) == "none"
    assert direction_shown(evidence, "up") is False
    assert direction_shown(evidence, "grow") is False
    with pytest.raises(UsageError, match="Tracking needs"):
        track_subject(frames, np.zeros((15, 32, 32)))


def test_a_tall_subject_that_swings_does_not_spin() -> None:
    frames, masks = np.full((16, 96, 96, 3), 128, np.uint8), np.zeros((16, 96, 96), np.float32)
    for k in range(16):
        theta = 0.6 * math.sin(math.tau * 0.6 * k / 8 + math.pi / 2)
        middle = (48 + 28 * math.sin(theta), 48 - 12 * (1 - math.cos(theta)))
        box = cv2.boxPoints((middle, (9.0, 40.0), -math.degrees(theta)))
        cv2.fillConvexPoly(masks[k], np.round(box).astype(np.int32), 1.0)
        frames[k][masks[k] > 0.5] = (200, 40, 40)
    evidence = measure_motion(track_subject(frames, masks))
    assert evidence.narrowed > math.log(1.6)
    assert evidence.heightened < 0.2 * evidence.narrowed
    assert classify_motion(evidence) == "swing", evidence


def test_an_outline_of_one_row_is_measured() -> None:
    frames, masks = np.zeros((16, 64, 64, 3), np.uint8), np.zeros((16, 64, 64))
    masks[:, 0, 8:56] = 1.0
    evidence = measure_motion(track_subject(frames, masks))
    assert all(math.isfinite(value) for value in astuple(evidence)), evidence
    assert classify_motion(evidence) == "still"


def test_a_direction_needs_less_than_a_motion() -> None:
    time = np.arange(16.0)
    rest = (*np.full((3, 16), 0.3), np.zeros(15))
    slight = measure_motion(Track(0.01 * np.sin(time), -0.009 * time, *rest))
    assert direction_shown(slight, "up") is True
    assert direction_shown(slight, "left") is False
    assert classify_motion(slight) != "up"


def test_wilson() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I.
    assert wilson(81, 263) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0, 0.1611), abs=1e-4)
    assert wilson(29, 29) == pytest.approx((1, 0.8830, 1), abs=1e-4)
    for trials in range(1, 300):
        for successes in (0, 1, trials - 1, trials):
            share, low, high = wilson(successes, trials)
            assert 0 <= low <= share <= high <= 1
    with pytest.raises(UsageError, match="no share"):
        wilson(1, 0)


def two_by_two(folder: Path) -> StickerWorld:
    return world_of_solids(
        folder, solids=("ball", "star"), colours=("red", "blue"),
        motions=("left", "still"), backgrounds=("grey", "checkerboard"), size_words=0.0,
    )  # fmt: skip


def test_a_recogniser_is_taught_saved_and_judges(tmp_path: Path) -> None:
    world = two_by_two(tmp_path)
    reports: list[str] = []
    lessons = Lessons(scenes=500, each=1, steps=50, batch=2)
    recogniser = teach(world, lessons, report=lambda what, done, total: reports.append(what))
    assert recogniser.subjects == ("red ball", "blue ball", "red star", "blue star")
    assert [r.split()[0] for r in reports] == ["rendering", "teaching"]
    recogniser.save(tmp_path / "r.safetensors", {"steps": 50})
    again, about = Recogniser.load(tmp_path / "r.safetensors")
    assert about == {"steps": 50}
    described = world.describe(0)
    clip = world.render(world.scene(described, 0), 128, TIMES)
    sight = recogniser.look(clip)
    assert sight.masks.shape == (16, 32, 32)
    assert np.array_equal(again.look(clip).subjects, sight.subjects)
    judged = judge(again, clip, described, described.caption)
    assert judged.found[::2] == (sight.subject, sight.background)
    assert judged.right["everything"] == (judged.found == judged.wanted)
    assert judged.right["subject"] == (judged.right["colour"] and judged.right["shape"])
    two = replace(described, subjects=described.subjects * 2, motions=described.motions * 2)
    with pytest.raises(UsageError, match="one subject"):
        judge(again, clip, two, "")
    with pytest.raises(UsageError, match="two subjects"):
        judge_pair(again, clip, described, "")
    with pytest.raises(UsageError, match="beside or above"):
        judge_pair(again, clip, two, "")
    left, right = (again.look(clip, part) for part in (LEFT, 1 - LEFT))
    assert not np.array_equal(left.subjects, right.subjects)
    # Only the subject is looked for in a part: the background is that of all of the picture.
    assert np.array_equal(left.backgrounds, sight.backgrounds)
    assert np.array_equal(again.look(clip, np.ones((1, 1), np.float32)).subjects, sight.subjects)


@pytest.mark.slow
def test_a_recogniser_learns(tmp_path: Path) -> None:
    world = two_by_two(tmp_path)
    recogniser = teach(world, Lessons(scenes=600, each=2, steps=150, batch=24))
    judged = []
    for seed in range(60):
        described = world.describe(seed)
        clip = world.render(world.scene(described, seed), 64, TIMES)
        judged.append(judge(recogniser, clip, described, described.caption))
    for aspect in ("subject", "motion", "background"):
        found = share_right(judged, aspect)
        assert found is not None
        assert found[0].mean >= 0.9, aspect
        assert found[1] == 60
    assert set(judged[0].right) == set(ASPECTS)
    pairs = []
    for seed, relation in enumerate(("left of", "above") * 12):
        names = [(("ball", "star")[k], ("red", "blue")[(seed // 2 + k) % 2], None) for k in (0, 1)]
        described = Description(
            tuple(names), ("still", "still"), "checkerboard", None, False, "", relation
        )
        clip = world.render(world.scene(described, seed), 64, TIMES)
        pairs.append(judge_pair(recogniser, clip, described, ""))
        upside = replace(described, subjects=described.subjects[::-1])
        other = judge_pair(recogniser, clip, upside, "")
        assert other.found == pairs[-1].found
        assert other.swapped == pairs[-1].right
    assert np.mean([pair.right for pair in pairs]) >= 0.75


def test_damaged_recognisers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    with pytest.raises(UsageError, match="no recogniser"):
        Recogniser.load(path)
    Recogniser(["a"], ["b"]).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VidCascadeError, match="damaged"):
        Recogniser.load(path)


def test_labels_and_damage() -> None:
    config = WorldConfig(subjects=("rocket",), solids=("ball",), colours=("red",))
    assert labels_of(config) == [("rocket", None), ("ball", "red")]
    assert labels_of(config, stickers=False) == [("ball", "red")]
    assert subject_label("ball", "red") == "red ball"
    torch.manual_seed(0)
    frames, masks = torch.zeros(4, 3, 64, 64), torch.zeros(4, 32, 32)
    frames[..., 24:40, 24:40], masks[..., 12:20, 12:20] = 1.0, 1.0
    damaged, moved = disturb(frames, masks, Lessons())
    assert damaged.shape == frames.shape
    assert damaged.abs().max() <= 1
    assert moved.sum() == masks.sum()
    # Picture and outline move together.
    bright = torch.nn.functional.avg_pool2d(damaged.mean(1, keepdim=True), 2)[:, 0]
    assert (bright[moved > 0].mean() - bright[moved == 0].mean()) > 0.4


def test_colours_are_made_stronger_and_weaker_as_the_lessons_say() -> None:
    frames = torch.zeros(64, 3, 64, 64)
    frames[:, 0], frames[:, 2] = 0.3, -0.1
    masks = torch.zeros(64, 32, 32)

    def chroma(lessons: Lessons) -> torch.Tensor:
        torch.manual_seed(0)
        mean = disturb(frames, masks, lessons)[0].mean((2, 3))
        return mean[:, 0] - mean[:, 2]

    plain = chroma(Lessons(contrast=(1.0, 1.0), saturation=(1.0, 1.0)))
    strong = chroma(Lessons(contrast=(1.0, 1.0), saturation=(1.5, 1.5)))
    assert plain.mean() == pytest.approx(0.4, abs=0.03)  # but for the tint
    torch.testing.assert_close(strong - plain, torch.full((64,), 0.2), atol=0.01, rtol=0)
    varied = chroma(Lessons()) - plain
    assert varied.min() < -0.05
    assert varied.max() > 0.2


def test_a_larger_world_needs_more_lessons(tmp_path: Path) -> None:
    assert Lessons.for_world(two_by_two(tmp_path)) == Lessons()
    everything = world_of_solids(tmp_path)  # 120 of them
    large = Lessons.for_world(everything)
    assert large.scenes > Lessons.scenes
    assert large.steps > Lessons.steps
    assert large.width > Lessons.width
    assert Lessons.for_world(everything, 7, 8).scenes == 7
