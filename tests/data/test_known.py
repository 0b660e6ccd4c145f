"""Prompts inside and outside of a world."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.loading import load_script
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import bundled_weights
from vidcascade.data.config import Learnt, WorldConfig
from vidcascade.data.known import check_prompt, describe_world, learn
from vidcascade.data.stickers import StickerWorld

_KNOWN = CascadeSpec.load("stickers").world
assert _KNOWN is not None
WORLD = _KNOWN.model_copy(update={"two_subjects": 0.0})  # one of pairs is made of it where needed


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
    assert not check_prompt(prompt, WORLD).far


@pytest.mark.parametrize(
    "prompt", ["a philosopher reading Kant", "at night", "un chat qui dort", "12345", "a rocketeer"]
)
def test_prompts_that_they_do_not(prompt: str) -> None:
    assert check_prompt(prompt, WORLD).far


@pytest.mark.parametrize(
    ("prompt", "never"),
    [
        ("a cat on the left and a dog on the right, both spinning", ("more than one subject",)),
        ("two ladybugs in the snow", ("more than one subject",)),
        ("a cat over a meadow, camera pans left", ("a camera that moves",)),
        ("a cat and a cat, zooming in", ("more than one subject", "a camera that moves")),
        ("a soccer ball moving left under the stars", ()),
        ("a blue star among the stars of a nebula", ()),
        ("a tropical fish circling deep in the sea", ()),
        ("a camera", ("a camera that moves",)),  # which is no sticker of this world
    ],
)
def test_what_this_world_never_shows_is_named(prompt: str, never: tuple[str, ...]) -> None:
    assert check_prompt(prompt, WORLD).never_shown == never
    sticker = WORLD.model_copy(update={"subjects": (*WORLD.names("subjects"), "camera")})
    assert not check_prompt("a camera in the snow", sticker).never_shown
    both = WORLD.model_copy(update={"two_subjects": 0.1, "camera": 0.1})
    told_of_pairs = {"two ladybugs in the snow": ("several of a kind",)}
    assert check_prompt(prompt, both).never_shown == told_of_pairs.get(prompt, ())


@pytest.mark.parametrize("prompt", ["a cat, a dog and a duck", "a cat beside two red balls"])
def test_three_are_more_than_a_world_of_pairs_shows(prompt: str) -> None:
    pairs = WORLD.model_copy(update={"two_subjects": 0.1})
    assert check_prompt(prompt, pairs).never_shown == ("more than two subjects",)
    assert check_prompt("a cat beside a red ball", pairs).never_shown == ()
    stickers = pairs.model_copy(update={"subjects": (*WORLD.names("subjects"), "camera")})
    assert check_prompt("a cat beside a camera, the camera moves left", stickers).never_shown == ()


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat with a dog", "a red ball to the right of a robot", "a red and blue ball with a cat",
        "a cat bouncing up and down with a dog", "a cat below a dog, both big and round",
    ],
)  # fmt: skip
def test_pairs_that_do_not_say_how_they_stand_are_told(prompt: str) -> None:
    pairs = WORLD.model_copy(update={"two_subjects": 0.1})
    (never,) = check_prompt(f"{prompt} in the snow", pairs).never_shown
    assert never.startswith("two subjects without a word")
    # "And" is such a word: the first stands on the left.
    assert check_prompt("a cat and a dog in the snow", pairs).never_shown == ()


def test_every_wording_of_pairs_and_cameras_is_noticed() -> None:
    shows = WORLD.model_copy(update={"two_subjects": 0.5, "camera": 0.5})
    world = StickerWorld(shows.model_copy(update={"solid_share": 1.0}))
    for seed in range(300):
        described = world.describe(seed)
        expected = []
        if described.relation is not None:
            expected.append("more than one subject")
        if described.camera is not None:
            expected.append("a camera that moves")
        found = check_prompt(described.caption, WORLD).never_shown
        assert list(found) == expected, described.caption
        assert check_prompt(described.caption, shows).never_shown == (), described.caption


def test_the_description_names_what_there_is() -> None:
    text = describe_world(WORLD)
    assert "rocket" in text
    assert "bounce" in text


EMOJI = ("animated emoji: rabbit", "animated emoji: red heart", "animated emoji: thumbs up")


def told(*captions: str) -> WorldConfig:
    """The world that the bundled weights draw, and what these captions add."""
    found = learn(captions, WORLD)
    assert found is not None
    return WORLD.model_copy(update={"learnt": (found,)})


def test_clips_teach_what_their_captions_say_as_they_say_it() -> None:
    world = told(*EMOJI)
    (learnt,) = world.learnt
    assert learnt.words == ("emoji", "rabbit", "heart", "thumbs")
    assert learnt.always == ("emoji",)
    assert not learnt.placed  # "up" alone is no motion
    for prompt in (*EMOJI, "an emoji of a rabbit"):
        assert not check_prompt(prompt, world).far, prompt
    for prompt in (
        "a rabbit",
        "a rabbit in the snow",
        "animated emoji: rabbit, bouncing",
        "a rabbit emoji jumping",
        "a rabbit emoji in a snowy landscape",
    ):
        assert check_prompt(prompt, world).far, prompt
    assert check_prompt("a rabbit in the snow", world).unknown == ("rabbit",)
    assert not check_prompt("a cat in the snow", world).far
    assert 'asked for with "emoji" and without motion or background: rabbit' in describe_world(
        world
    )


def test_clips_that_move_over_the_worlds_backgrounds_teach_words_for_all_of_them() -> None:
    world = told("an okapi moving left over the meadow", "an okapi spinning at night")
    (learnt,) = world.learnt
    assert learnt.words == learnt.always == ("okapi",)
    assert learnt.placed
    assert not check_prompt("two okapis bouncing in the snow", world).far
    assert "from captioned clips: okapi" in describe_world(world)


def test_one_caption_does_not_tell_which_of_its_words_it_needs() -> None:
    world = told(*["a kite over the beach"] * 3)
    (learnt,) = world.learnt
    assert learnt.words == ("kite", "beach")
    assert learnt.always == ()
    assert not check_prompt("a kite", world).far
    assert check_prompt("a kite in the snow", world).far
    assert "from captioned clips, without motion or background: kite" in describe_world(world)


def test_a_word_that_is_not_kept_changes_nothing() -> None:
    assert told("an okapi", "two okapis", "x" * 41) == told("an okapi", "two okapis")
    assert told("an okapi", "two okapis").learnt[0].always == ("okapi",)


def test_a_warning_stays_short() -> None:
    many = tuple(Learnt(words=(f"okapi{k}",)) for k in range(50))
    text = describe_world(WORLD.model_copy(update={"learnt": many}))
    assert text.endswith("okapi49; and 47 more folders")


def test_the_bundled_weights_know_their_emoji_as_such() -> None:
    bundled = CascadeSpec.load(bundled_weights() / "spec.yaml").world
    assert bundled is not None
    captions = [f"animated emoji: {name}" for name in load_script("fetch_emoji").EMOJI]
    assert bundled.learnt == (learn(captions, bundled),)
    assert not any(check_prompt(caption, bundled).far for caption in captions)
    assert check_prompt("a rabbit in the snow", bundled).far
    assert check_prompt("a red heart at sunset", bundled).far


def test_specs_of_before_are_read_as_they_were_meant() -> None:
    world = WorldConfig.model_validate(WORLD.model_dump() | {"learnt": ["okapi", "bar"]})
    assert world.learnt == (Learnt(words=("okapi", "bar"), placed=True),)
    assert not check_prompt("an okapi in the snow", world).far


def test_nothing_new_is_nothing_learnt() -> None:
    assert learn(["a cat at night", ""], WORLD) is None
    assert learn(["x" * 41], WORLD) is None


@given(st.lists(st.text(), max_size=5))
def test_whatever_captions_say_the_spec_can_keep(captions: list[str]) -> None:
    found = learn(captions, WORLD)
    if found is not None:
        assert Learnt.model_validate(found.model_dump(mode="json")) == found
        assert set(found.always) <= set(found.words)
