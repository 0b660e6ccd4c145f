"""Captions in other words than the world's own: what people may type who have not read its list.

The world's captions name each thing in a few ways, and a network that learns from them hears little
in others. These wordings are for teaching a student that hears a caption told in them to do what it
does for the caption itself (:mod:`vidcascade.training.rewording`). They are not drawn: the tables
of :mod:`vidcascade.data.words` say what there is, and these how else it may be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from vidcascade.data.captions import article, vocabulary
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, COLOURS, MOTIONS, SIZES, SOLIDS

if TYPE_CHECKING:
    import numpy as np

CHANGED = 0.75  # share of a caption's phrases that are replaced
FRAMED = 0.3  # share of captions that a frame is put about

_SUBJECTS: dict[str, str] = {
    "rocket": "space rocket, missile, toy rocket, space shuttle, moon rocket, booster, launcher, "
    "rocket with red fins, rocket with a flame, vehicle that flies to the moon",
    "pizza": "pepperoni pizza, cheese pizza, wedge of pizza, cheesy slice, pepperoni slice, "
    "pizza with salami, Italian flatbread with cheese, piece of pizza, fast food slice",
    "cat": "pussycat, tabby, tomcat, house cat, feline, tabby cat, cute cat, kitten's head, "
    "pet that meows, cat with whiskers, moggy",
    "ladybug": "red bug with black spots, spotted bug, little red bug, bug with black dots, "
    "dotted bug, lucky bug, small red insect, red insect with dots",
    "strawberry": "red berry, juicy berry, fresh strawberry, sweet strawberry, garden berry, "
    "strawberry with a green top, berry with seeds, red summer fruit",
    "soccer ball": "leather ball, ball for kicking, ball with black patches, football for a game, "
    "white ball with a pattern of hexagons, sports ball, ball for playing soccer",
    "balloon": "air balloon on a string, birthday balloon, shiny balloon, balloon with a ribbon, "
    "inflated balloon, toy balloon, floating balloon for a party",
    "butterfly": "monarch, moth, monarch butterfly, fluttering insect, insect with big wings, "
    "colourful butterfly, butterfly with patterned wings, lepidopteran",
    "sunflower": "big yellow bloom, yellow blossom, blossom with yellow petals, yellow daisy, "
    "golden flower, flower with yellow petals, summer flower, tall yellow flower",
    "ghost": "spectre, spirit, white ghost, Halloween ghost, apparition, haunting spirit, "
    "cute spectre, ghoul, floating spirit under a sheet, poltergeist",
    "robot": "machine with a face, droid, metal robot, toy robot, cyborg, humanoid machine, "
    "automaton, tin robot, machine that talks",
    "duck": "drake, duckling, wild duck, quacking bird, bird with an orange bill, pond bird, "
    "duck with a green head, bird that swims on a lake",
    "dog": "doggy, pooch, pup, mutt, little dog, pet that barks, canine, brown dog, "
    "cute puppy, spaniel, terrier",
    "panda": "panda bear, giant panda, bear from China, black and white bear, cute panda, "
    "panda's head, bear with black ears",
    "frog": "tree frog, green frog, bullfrog, croaking animal, little frog, hopping pond animal, "
    "frog's head, green pond animal",
    "octopus": "squid, kraken, cephalopod, animal with eight tentacles, red octopus, cuttlefish, "
    "cute octopus, creature with tentacles",
    "tropical fish": "exotic fish, aquarium fish, angelfish, clownfish, "
    "fish with stripes, yellow and blue fish, coral fish",
    "turtle": "sea turtle, green turtle, terrapin, slow animal with a shell, little turtle, "
    "animal with a green shell, tortoise with a shell",
    "airplane": "airliner, jet plane, jumbo jet, propeller plane, flying machine, "
    "jetliner, plane with two wings, commercial jet",
    "car": "sedan, motor car, vehicle with four wheels, sports car, small red car, taxi, "
    "hatchback, family car, auto, red vehicle",
    "mushroom": "fly agaric, red mushroom, spotted mushroom, forest mushroom, toadstool with dots, "
    "mushroom with white dots, mushroom with a red cap, shroom",
    "snowman": "snow figure, man made of snow, snowman with a hat, person of snow, Frosty, "
    "figure of snow with a scarf, winter snowman, snowball man",
    "banana": "yellow banana, ripe banana, peeled banana, plantain, bunch of bananas, "
    "tropical fruit, yellow curved fruit, fruit that monkeys like",
    "apple": "ripe apple, shiny apple, red fruit, fruit from a tree, apple with a leaf, "
    "juicy apple, sweet round fruit, gala apple",
}  # fmt: skip
_SOLIDS: dict[str, str] = {
    "ball": "round ball, bowl-shaped ball, marble, round thing, bubble, bead, rubber ball, "
    "shiny sphere, round object, bowling ball",
    "cube": "square block, brick, square box, building block, crate, cubic block, toy block, "
    "solid square, box with six sides",
    "star": "little star, star shape, star with five points, star symbol, shining star, toy star, "
    "starlet, asterisk",
    "heart": "heart shape, valentine, heart symbol, love symbol",
    "ring": "doughnut, circle with a hole, round band, loop",
    "cone": "pointed cone, party hat shape, funnel",
    "cylinder": "can, drum, barrel, round column",
    "pyramid": "pointed pyramid, tetrahedron, triangular solid",
    "capsule": "tablet, rounded stick, lozenge",
    "crystal": "gem, jewel, diamond, gemstone",
}
_COLOURS: dict[str, str] = {
    "red": "bright red, cherry red, blood-red, vermilion, tomato-red, reddish, cherry",
    "orange": "bright orange, amber, apricot, orange-coloured",
    "yellow": "bright yellow, sunny yellow, gold, yellowish, banana yellow, mustard, blond",
    "green": "bright green, grass-green, leaf-green, olive, greenish, mint green, dark green",
    "blue": "bright blue, dark blue, sky-blue, cobalt, bluish, sapphire, light blue",
    "cyan": "aqua, blue-green, turquoise-coloured",
    "purple": "bright purple, mauve, plum, lavender, magenta, purplish, dark violet",
    "pink": "bright pink, fuchsia, salmon-coloured, magenta pink",
    "brown": "chestnut, hazel, coffee-coloured, dark brown",
    "white": "pure white, snow-white, whitish, pale, cream, bone-white, chalk-white",
    "grey": "ash-grey, dark grey, greyish, slate-coloured",
    "black": "pitch-black, coal-black, ebony, blackish",
}
_SIZES: dict[str, str] = {
    "small": "miniature, wee, teeny, mini, very small, petite, minuscule",
    "large": "giant, gigantic, massive, very large, great, oversized, colossal",
}
# Participles, which may follow "is", and finite forms, which may not.
_MOTIONS: dict[str, tuple[str, str]] = {
    "up": (
        "ascending, soaring, lifting off, taking off, shooting up, drifting upwards, "
        "heading up, going skywards, going higher, floating upwards, levitating",
        "flies up, rises, goes up, ascends, takes off, floats up, moves upwards, lifts off, soars, "
        "drifts up into the air",
    ),
    "down": (
        "descending, tumbling down, plunging, coming down, plummeting, drifting down, "
        "lowering, heading downwards, going lower, landing",
        "falls, falls down, sinks, goes down, descends, comes down, moves downwards, lands, "
        "plunges",
    ),
    "left": (
        "heading left, drifting left, gliding to the left, walking left, running to the left, "
        "rolling left, driving left, leftward bound, moving leftwards, going to the left",
        "moves left, goes left, goes to the left, flies left, drifts to the left, slides left, "
        "runs left, drives left, heads leftwards",
    ),
    "right": (
        "heading right, drifting right, gliding to the right, walking right, running to the right, "
        "rolling right, driving right, rightward bound, moving rightwards, going to the right",
        "moves right, goes right, goes to the right, flies right, drifts to the right, "
        "slides right, runs right, drives right, heads rightwards",
    ),
    "bounce": (
        "jumping, hopping up and down, springing up and down, bouncing on the ground, skipping, "
        "bobbing up and down, jumping repeatedly, bouncing like a ball, dribbling",
        "bounces, jumps, hops, jumps up and down, bounces up and down, springs up and down, "
        "hops around, skips, bobs up and down",
    ),
    "spin": (
        "turning, revolving, doing a pirouette, pirouetting, turning round and round, "
        "going round on the spot, rotating about its axis, whirring round, spinning fast, "
        "turning like a coin",
        "spins, rotates, turns, turns around, twirls, revolves, spins around, pirouettes, "
        "turns round and round",
    ),
    "swing": (
        "rocking, rocking back and forth, dangling, swinging to and fro, oscillating, "
        "waving from side to side, going to and fro, hanging and swinging",
        "swings, rocks back and forth, swings from side to side, swings back and forth, dangles, "
        "oscillates, swings to and fro",
    ),
    "grow": (
        "enlarging, swelling, blowing up, getting larger, becoming bigger, approaching, "
        "zooming towards us, getting huge, increasing in size, swelling up, coming nearer",
        "grows, gets bigger, becomes larger, swells, expands, gets larger, comes closer, "
        "approaches, becomes huge",
    ),
    "shrink": (
        "getting tiny, contracting, becoming tiny, diminishing, decreasing in size, "
        "disappearing into the distance, going away, getting littler, receding, deflating",
        "shrinks, gets smaller, becomes smaller, becomes tiny, contracts, moves away, recedes, "
        "goes away, diminishes",
    ),
    "pulse": ("pumping, beating like a heart", "pulses, pulsates, throbs, beats"),
    "orbit": (
        "going round, going in circles, looping, flying in a loop, moving round and round, "
        "running in circles, describing a circle, flying in circles, going around in a ring, "
        "moving along a circle",
        "circles, goes in circles, moves in a circle, goes round and round, loops, orbits, "
        "flies in circles, runs in circles",
    ),
    "shake": (
        "jittering, quaking, rattling, shuddering, shaking violently, jiggling, twitching, "
        "trembling with fear, juddering, wiggling",
        "shakes, trembles, wobbles, vibrates, shivers, jitters, rattles, shudders, jiggles",
    ),
    "tumble": (
        "rolling over, turning somersaults, flipping",
        "tumbles, somersaults, flips, rolls over",
    ),
    "still": (
        "at rest, resting, standing, sitting still, waiting, immobile, frozen, not moving at all, "
        "doing nothing, stationary, staying where it is",
        "stands still, does not move, stays still, rests, stays in place, waits, sits there, "
        "stays where it is",
    ),
}  # fmt: skip
_BACKGROUNDS: dict[str, str] = {
    "sky": "up in the air, against the sky, in the clouds, in front of a blue sky, between clouds, "
    "with clouds behind it, high in the sky, in the heavens, on a cloudy day, in the blue",
    "night": "in the dark, at midnight, by night, under a starry sky, in the darkness, "
    "against the night sky, in a dark sky full of stars, late at night, under the moon and stars",
    "sunset": "in the evening, at twilight, while the sun sets, as the sun goes down, "
    "against an orange sky, in the evening light, at nightfall, in the glow of the setting sun, "
    "at the end of the day",
    "meadow": "in the grass, on mown grass, on a hill, on green grass, in a pasture, "
    "in a park, in the countryside, on a grassy field, over green hills, in the garden",
    "ocean": "on the sea, over the waves, over water, by the sea, on the ocean, on the water, "
    "above the sea, in front of the sea, over the blue sea, on a lake",
    "desert": "on the sand, on the dunes, in the dunes, over the sand, among sand dunes, "
    "in a hot desert, on a sandy beach, over yellow sand, in the sands of Arabia",
    "snow": "on the snow, in falling snow, in a snowstorm, on a snowy day, in snowfall, "
    "in a wintry landscape, with snowflakes falling, on a white winter day, at the North Pole",
    "space": "in the cosmos, in the universe, in deep space, in the galaxy, among the stars, "
    "in the vastness of space, in orbit, in the void between the stars, in front of a nebula",
    "underwater": "in the depths of the sea, under the sea, in the deep blue water, "
    "at the bottom of the ocean, in an aquarium, submerged, under the waves, diving in the ocean, "
    "on the sea floor",
    "checkerboard": "on a chessboard, in front of a chessboard, on checks, "
    "on a board of squares, in front of a checkered pattern, on checkered tiles, "
    "on a checkered floor, against a checkerboard pattern",
    "stripes": "in front of a striped wall, on a pattern of stripes, against stripes",
    "dots": "on dots, on a dotted background, in front of a dotted wall, on spotted wallpaper, "
    "in front of dots, on a pattern of dots, against polka dots, with dots behind it",
    "bricks": "by a brick wall, in front of bricks, against bricks",
    "wood": "on a table, on a desk, on boards, on a wooden floor",
    "grey": "on grey, in front of a grey wall, in a plain grey room, against grey, "
    "with nothing behind it but grey, on a neutral background, in a studio, on a plain background",
    "white": "on white, in front of a white wall, against white, on a blank page",
}  # fmt: skip
_FRAMES = (
    "a video of {}", "an animation of {}", "a cartoon of {}", "a short film of {}", "a movie of {}",
    "a gif of {}", "show me {}", "please draw {}", "I want to see {}", "look, {}", "there is {}",
    "we see {}", "{}, animated", "{}, cartoon style", "{}, emoji style", "imagine {}",
)  # fmt: skip


def _table(words: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(text.split(", ")) for name, text in words.items()}


# (phrase of a caption) → what may stand in its place, after "is" and anywhere else.
_Choices = tuple[tuple[str, ...], tuple[str, ...]]


@lru_cache(maxsize=1)
def _choices() -> dict[str, _Choices]:
    found: dict[str, _Choices] = {}
    moves = {
        name: (tuple(participles.split(", ")), tuple(finite.split(", ")))
        for name, (participles, finite) in _MOTIONS.items()
    }
    for name, own in MOTIONS.items():
        if name in moves:
            participles, finite = moves[name]
            steady = (*own, *participles)
            found |= dict.fromkeys(own, (steady, (*steady, *finite)))
    plain: tuple[tuple[Mapping[str, tuple[str, ...]], dict[str, tuple[str, ...]]], ...] = (
        ({name: subject.words for name, subject in SUBJECTS.items()}, _table(_SUBJECTS)),
        (SOLIDS, _table(_SOLIDS)),
        (COLOURS, _table(_COLOURS)),
        (SIZES, _table(_SIZES)),
        (BACKGROUNDS, _table(_BACKGROUNDS)),
    )
    for words, others in plain:
        for name, own in words.items():
            if name in others:
                every = (*own, *others[name])
                found |= {phrase: (every, every) for phrase in own if phrase not in found}
    return found


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A phrase that may be replaced; and a caption of the world's words alone."""
    every = sorted({w for words in vocabulary().values() for w in words}, key=len, reverse=True)
    known = sorted(_choices(), key=len, reverse=True)
    phrase = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, known))})(?![\w-])")
    whole = re.compile(rf"(?:(?:{'|'.join(map(re.escape, every))})(?:, | |$))+")
    return phrase, whole


def reword(caption: str, rng: np.random.Generator) -> str:
    """A caption of the world in other words; one that the world could not have said, as it is.

    Parts that are left out stay so, and names of which there are no other words.
    """
    phrase, whole = _patterns()
    if not whole.fullmatch(caption):
        return caption
    choices = _choices()

    def other(match: re.Match[str]) -> str:
        if rng.random() >= CHANGED:
            return match.group()
        after_is = caption[: match.start()].endswith(("is ", "both "))
        allowed = choices[match.group()][0 if after_is else 1]
        return allowed[int(rng.integers(len(allowed)))]

    text = phrase.sub(other, caption)
    # Articles follow the words that came behind them.
    text = re.sub(r"\b(?:a|an) (?=(\w+))", lambda m: f"{article(m.group(1)).split()[0]} ", text)
    if rng.random() < FRAMED and text.startswith(("a ", "an ")) and " of " not in text:
        text = _FRAMES[int(rng.integers(len(_FRAMES)))].format(text)
    return text


def rewordings(phrases: Iterable[str]) -> tuple[str, ...]:
    """What captions' phrases may be replaced by, each once, the phrases among it."""
    choices = _choices()
    found = (choices[phrase][1] if phrase in choices else (phrase,) for phrase in phrases)
    return tuple(dict.fromkeys(other for others in found for other in others))


def frames() -> tuple[str, ...]:
    """The words that may stand about a caption."""
    return tuple(frame.replace("{}", "").strip(" ,") for frame in _FRAMES)
