"""A reader is taught in seconds to tell what lessons say; the same lessons, the same reader."""

from __future__ import annotations

import pytest
import torch

from vidcascade.cascade.reading import NOTHING, OTHER, slots_of, understand
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.stickers import StickerWorld
from vidcascade.data.words import BACKGROUNDS, MOTIONS
from vidcascade.nn.text import TextEncoder, build_text_encoder
from vidcascade.training.reading import lesson, teach

SPEC = CascadeSpec.load("stickers")
assert SPEC.world is not None
WORLD = StickerWorld(SPEC.world)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return build_text_encoder("minilm", 48)


def test_lessons_are_labelled_by_what_they_say() -> None:
    slots = slots_of(WORLD.config)
    counts = {slot: dict.fromkeys(labels, 0) for slot, labels in slots.items()}
    for number in range(1500):
        one = lesson(WORLD, number)
        assert lesson(WORLD, number) == one
        for slot, label in one.labels.items():
            counts[slot][label] += 1
        said = {slot: label for slot, label in one.labels.items() if label != NOTHING}
        if said.get("motion") == "still":
            assert "bouncing" not in one.prompt
        if "colour" in said:
            assert said["subject"] in WORLD.config.names("solids")
        if "background" not in said:
            assert not any(f" {word}" in one.prompt for word in BACKGROUNDS["meadow"])
        if "motion" not in said:
            assert not any(f" {word}" in one.prompt for word in MOTIONS["bounce"])
    # All of them are taught, and others in about the share that is meant.
    assert min(min(found.values()) for found in counts.values()) > 0
    assert 0.08 < counts["subject"][OTHER] / 1500 < 0.16


def test_it_learns_what_lessons_say(encoder: TextEncoder) -> None:
    losses: list[float] = []
    reader = teach(
        WORLD, encoder, lessons=400, steps=200, batch=64,
        report=lambda step, loss: losses.append(loss),
    )  # fmt: skip
    assert losses[-1] < 0.9 * losses[0]
    right = [
        understand(one.prompt, reader, encoder).labels == one.labels
        for one in (lesson(WORLD, number) for number in range(40))
    ]
    assert sum(right) > 25
    again = teach(WORLD, encoder, lessons=40, steps=5, batch=8)
    twin = teach(WORLD, encoder, lessons=40, steps=5, batch=8)
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), twin.parameters(), strict=True)
    )
