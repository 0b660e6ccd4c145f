"""Prompts inside and outside of a world."""

from __future__ import annotations

import pytest

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.known import check_prompt, describe_world

WORLD = CascadeSpec.load("stickers").world
assert WORLD is not None


@pytest.mark.parametrize(
    "prompt",
    [
        "a rocket flying up at night",
        "A crimson sphere, bouncing on a checkerboard!",
        "two ladybugs in the snow",
        "cat",
    ],
)
def test_prompts_that_the_weights_know(prompt: str) -> None:
    assert WORLD is not None
    assert not check_prompt(prompt, WORLD).far


@pytest.mark.parametrize(
    "prompt", ["a philosopher reading Kant", "at night", "un chat qui dort", "12345", "a rocketeer"]
)
def test_prompts_that_they_do_not(prompt: str) -> None:
    assert WORLD is not None
    assert check_prompt(prompt, WORLD).far


def test_the_description_names_what_there_is() -> None:
    assert WORLD is not None
    text = describe_world(WORLD)
    assert "rocket" in text
    assert "bounce" in text
