"""Captions in other words than the world's own: what people may type who have not read its list.

The world's captions name each thing in a few ways, and a network that learns from them hears little
in others. These wordings teach a reader of prompts (:mod:`vidcascade.training.reading`). They are
not drawn: the tables of :mod:`vidcascade.data.words` say what there is, and these how else it may
be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    "rocket": "missile, toy rocket, shuttle, space shuttle, rocket with red fins, rocket with a "
    "flame, starship, astronauts' rocket, vehicle for astronauts, ship that "
    "astronauts use, craft with boosters",
    "pizza": "pepperoni pizza, cheese pizza, wedge of pizza, cheesy slice, pepperoni slice, "
    "pizza with salami, italian flatbread with cheese, slice of salami pizza, neapolitan pie, "
    "italian dish with tomato and cheese, pizza pie, snack with melted cheese, italian food",
    "cat": "pussycat, tabby, tomcat, house cat, feline, tabby cat, cute cat, cat's head, pet "
    "that meows, cat with whiskers, moggy, purring pet, house pet with whiskers, mouser, siamese, "
    "persian cat, animal that catches mice, purring animal",
    "ladybug": "red bug with black spots, spotted bug, bug with black dots, dotted bug, lucky "
    "bug, red insect with dots, red and black bug, round red insect with black spots, garden "
    "insect, crawling red insect, crawling bug with dots",
    "strawberry": "juicy berry, fresh strawberry, sweet strawberry, strawberry with a green top, "
    "berry with seeds, red dessert berry, ripe strawberry, fruit with seeds on its skin, red "
    "fruit with green leaves, sweet red berry, fruit for jam",
    "soccer ball": "leather ball, ball with black patches, football for a match, ball with a "
    "pattern of hexagons, sports ball, ball that footballers kick, ball for a goal, penalty ball, "
    "goalkeeper's ball, ball of pentagons and hexagons, ball for a football match",
    "balloon": "air balloon, balloon on a string, birthday balloon, shiny balloon, balloon with "
    "a ribbon, inflated balloon, toy balloon, red party balloon, party decoration on a string, "
    "decoration for a birthday, thing that children hold on a string, rubber balloon",
    "butterfly": "monarch, monarch butterfly, insect with patterned wings, swallowtail, "
    "colourful butterfly, butterfly with patterned wings, lepidopteran, pretty butterfly, "
    "fluttering insect, insect that was a caterpillar, nectar drinker, flutterer",
    "sunflower": "yellow bloom, yellow blossom, blossom with yellow petals, yellow daisy, golden "
    "flower, flower with yellow petals, bloom with yellow petals, tall plant with a yellow head, "
    "van gogh's flower, plant with yellow petals, flower that follows the sun",
    "ghost": "spectre, spirit, white ghost, halloween ghost, apparition, haunting spirit, cute "
    "spectre, ghoul, spirit under a sheet, poltergeist, spooky figure, undead spirit, white "
    "spook, inhabitant of a haunted house, being from beyond the grave",
    "robot": "machine with a face, droid, metal robot, toy robot, cyborg, humanoid machine, "
    "automaton, tin robot, machine with arms, metal figure, artificial being, metal being, "
    "mechanical being, electronic helper, metallic humanoid",
    "duck": "drake, duckling, wild duck, quacking bird, bird with an orange bill, duck with a "
    "green head, quacker, bird that quacks, pond bird, bird with webbed feet, feathered swimmer, "
    "quacking animal",
    "dog": "doggy, pooch, pup, mutt, pet that barks, canine, brown dog, cute puppy, spaniel, "
    "terrier, barking pet, man's best friend, furry friend that barks, labrador, poodle, beagle, "
    "guard animal, loyal pet",
    "panda": "panda bear, bear from china, black and white bear, cute panda, panda's head, bear "
    "with black ears, bear that eats bamboo, bamboo lover, chinese bear, bear with black eye "
    "patches, rare bear, bear of the zoo",
    "frog": "tree frog, green frog, bullfrog, croaking animal, frog's head, green pond animal, "
    "croaker, cute frog, slimy green animal, animal that catches flies with its tongue, former "
    "tadpole, green croaker",
    "octopus": "kraken, cephalopod, animal with eight tentacles, red octopus, cute octopus, "
    "animal with tentacles, mollusc with tentacles, eight-armed sea animal, sea animal with "
    "suckers, sea monster with tentacles, invertebrate of the sea",
    "tropical fish": "exotic fish, angelfish, clownfish, fish with stripes, yellow and blue "
    "fish, coral fish, fish with fins, yellow fish, finned animal, swimmer with fins, pet of an "
    "aquarium, striped sea animal",
    "turtle": "green turtle, terrapin, animal with a shell, cute turtle, animal with a green "
    "shell, tortoise with a shell, shelled animal, armoured animal, slow animal, animal that "
    "carries its house, long-lived shelled animal",
    "airplane": "airliner, jet plane, jumbo jet, propeller plane, jetliner, plane with two "
    "wings, commercial jet, holiday plane, white plane, machine with wings and engines, airbus, "
    "boeing, plane for travellers, plane with engines",
    "car": "sedan, motor car, vehicle with four wheels, sports car, hatchback, family car, auto, "
    "red vehicle, motor vehicle, road vehicle, vehicle with an engine, automobile with four "
    "wheels",
    "mushroom": "fly agaric, red mushroom, spotted mushroom, forest mushroom, toadstool with "
    "dots, mushroom with white dots, mushroom with a red cap, shroom, forest plant with a cap, "
    "toxic toadstool, red cap with white dots, thing that grows in the woods",
    "snowman": "snow figure, man made of snow, snowman with a hat, person of snow, frosty, "
    "figure of snow with a scarf, snowball man, man of snow, figure that children build in "
    "winter, icy man, man of ice, figure of snowballs",
    "banana": "yellow banana, ripe banana, peeled banana, plantain, yellow fruit, fruit that "
    "monkeys like, banana fruit, monkey's food, long yellow fruit, yellow peelable fruit, bent "
    "yellow fruit",
    "apple": "ripe apple, shiny apple, fruit from a tree, apple with a leaf, juicy apple, round "
    "red fruit, gala apple, apple fruit, fruit that falls from a tree, red round fruit, fruit "
    "with a core, crunchy fruit, fruit for a teacher",
}
_SOLIDS: dict[str, str] = {
    "ball": "round ball, marble, bead, rubber ball, shiny sphere, bowling ball, "
    "round sphere, toy ball, round object, spheroid, snooker ball, beach ball, perfect "
    "sphere, round toy",
    "cube": "square block, square box, building block, crate, cubic block, toy block, "
    "solid square, box with six sides, wooden block, cuboid, hexahedron, carton, box "
    "shape, six-sided block, square crate",
    "star": "star shape, star with five points, star symbol, shining star, toy star, "
    "christmas star, pointed star, five-pointed shape, star from a flag, sheriff's badge, shape "
    "with five points, star figure",
    "heart": "heart shape, valentine, heart symbol, love symbol",
    "ring": "circle with a hole, round band",
    "cone": "pointed cone, party hat shape, funnel",
    "cylinder": "can, round column",
    "pyramid": "pointed pyramid, tetrahedron, triangular solid",
    "capsule": "tablet, rounded stick, lozenge",
    "crystal": "cut crystal, pointed crystal",
}
_COLOURS: dict[str, str] = {
    "red": "bright red, cherry red, blood-red, vermilion, tomato-red, reddish, cherry, burgundy, "
    "maroon, carmine, brick-red, wine-red, fire-engine red, rusty red, garnet, cardinal red",
    "orange": "bright orange, amber, apricot, orange-coloured",
    "yellow": "bright yellow, sunny yellow, gold, yellowish, corn-yellow, mustard, blond, saffron, "
    "honey-coloured, ochre, primrose, butter-yellow, straw-coloured, sulphur-yellow, citrine, "
    "topaz",
    "green": "bright green, grass-green, leaf-green, olive, greenish, mint green, dark green, "
    "forest green, moss-green, bottle-green, pea-green, pistachio, fern-green, malachite, "
    "viridian, avocado-coloured",
    "blue": "bright blue, dark blue, sky-blue, cobalt, bluish, sapphire, light blue, ultramarine, "
    "cerulean, denim, steel-blue, baby blue, cornflower-blue, prussian blue, lapis "
    "lazuli",
    "cyan": "aqua, blue-green, turquoise-coloured",
    "purple": "bright purple, mauve, plum, lavender, purplish, dark violet, aubergine, amethyst, "
    "heather, orchid, royal purple, grape-coloured, wisteria, blackberry-coloured, imperial purple",
    "pink": "bright pink, fuchsia, salmon-coloured, magenta",
    "brown": "chestnut, hazel, coffee-coloured, dark brown",
    "white": "pure white, snow-white, whitish, cream, bone-white, chalk-white, pearly, alabaster, "
    "porcelain, paper-white, vanilla, eggshell, chalky, bleached",
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
        "heading up, going skywards, going higher, floating upwards, gliding up, launching, on its "
        "way up, gaining height, going aloft, mounting",
        "flies up, rises, goes up, ascends, takes off, floats up, moves upwards, lifts off, soars, "
        "drifts up",
    ),
    "down": (
        "descending, plunging, coming down, plummeting, drifting down, "
        "heading downwards, going lower, landing, gliding down, losing height, on its way down",
        "falls, falls down, sinks, goes down, descends, comes down, moves downwards, lands, "
        "plunges",
    ),
    "left": (
        "heading left, drifting left, gliding to the left, walking left, running to the left, "
        "driving left, leftward bound, moving leftwards, going to the left, floating to the left, "
        "on its way to the left, leaving to the left, sailing left",
        "moves left, goes left, goes to the left, flies left, drifts to the left, slides left, "
        "runs left, drives left, heads leftwards",
    ),
    "right": (
        "heading right, drifting right, gliding to the right, walking right, running to the right, "
        "driving right, rightward bound, moving rightwards, going to the right, floating to the "
        "right, on its way to the right, leaving to the right, sailing right",
        "moves right, goes right, goes to the right, flies right, drifts to the right, "
        "slides right, runs right, drives right, heads rightwards",
    ),
    "bounce": (
        "jumping, hopping up and down, springing up and down, bouncing on the ground, skipping, "
        "bobbing up and down, jumping repeatedly, bouncing again and again, jumping around, "
        "bounding, jumping for joy, on a trampoline, dribbling, springing",
        "bounces, jumps, hops, jumps up and down, bounces up and down, springs up and down, "
        "hops around, skips, bobs up and down",
    ),
    "spin": (
        "turning, revolving, doing a pirouette, pirouetting, going round on the spot, "
        "rotating about its axis, spinning fast, turning like a coin, spinning on the spot, "
        "gyrating, turning round and round, on a turntable, spinning like a wheel, doing a spin, "
        "in a spin, turning about its own centre",
        "spins, rotates, turns, turns around, twirls, revolves, spins around, pirouettes",
    ),
    "swing": (
        "rocking, rocking back and forth, dangling, swinging to and fro, oscillating, "
        "going to and fro, hanging and swinging, rocking from side to side, hanging from a rope, "
        "on a swing, swinging like a bell, tilting to and fro, wagging, "
        "leaning this way and that",
        "swings, rocks back and forth, swings from side to side, swings back and forth, dangles, "
        "oscillates, swings to and fro",
    ),
    "grow": (
        "enlarging, swelling, getting larger, becoming bigger, approaching, coming towards us, "
        "getting huge, increasing in size, swelling up, coming nearer, filling the "
        "picture, getting closer and closer, gaining size, ballooning",
        "grows, gets bigger, becomes larger, swells, expands, gets larger, comes closer, "
        "approaches, becomes huge",
    ),
    "shrink": (
        "getting tiny, contracting, becoming tiny, diminishing, decreasing in size, "
        "disappearing into the distance, going away, getting littler, receding, deflating, "
        "vanishing, losing size, getting smaller and smaller, fading into the distance",
        "shrinks, gets smaller, becomes smaller, becomes tiny, contracts, moves away, recedes, "
        "goes away, diminishes",
    ),
    "pulse": ("pumping, beating like a heart", "pulses, pulsates, throbs, beats"),
    "orbit": (
        "going in circles, looping, flying in a loop, running in circles, describing a circle, "
        "flying in circles, going around in a ring, moving along a circle, travelling round a "
        "ring, tracing a circle, doing laps, going round a loop, in an orbit, moving on a round "
        "track",
        "circles, goes in circles, moves in a circle, loops, orbits, flies in circles, "
        "runs in circles, follows a ring",
    ),
    "shake": (
        "jittering, quaking, rattling, shuddering, shaking violently, jiggling, twitching, "
        "trembling with fear, juddering, wiggling, fidgeting, shaking all over, jerking, in a "
        "tremor, shivering all over, vibrating strongly",
        "shakes, trembles, wobbles, vibrates, shivers, jitters, rattles, shudders, jiggles",
    ),
    "tumble": (
        "rolling over, turning somersaults, flipping",
        "tumbles, somersaults, flips, rolls over",
    ),
    "still": (
        "at rest, resting, standing, sitting still, waiting, immobile, not moving at all, "
        "doing nothing, stationary, staying where it is, frozen in place, idle, at a standstill, "
        "without a movement, static, unmoving, not moving a bit",
        "stands still, does not move, stays still, rests, stays in place, waits, sits there, "
        "stays where it is",
    ),
}
_BACKGROUNDS: dict[str, str] = {
    "sky": "up in the air, against the sky, in the clouds, in front of a blue sky, between clouds, "
    "with clouds behind it, high in the sky, in the heavens, on a cloudy day, before white clouds, "
    "on a bright day, in fair weather, in blue air, under white clouds, above the clouds",
    "night": "after dark, at midnight, by night, under a starry sky, in the darkness, "
    "against the night sky, in a dark sky full of stars, late at night, under the moon and stars, "
    "in the small hours, while the world sleeps, under countless stars, on a starlit night",
    "sunset": "in the evening, at twilight, while the sun sets, as the sun goes down, "
    "against an orange sky, in the evening light, in the glow of the setting sun, "
    "at the end of the day, at sundown, when the sun is low, in warm evening colours, under a red "
    "sky",
    "meadow": "in the grass, on mown grass, on a hill, on green grass, in a pasture, "
    "in a park, in the countryside, on a grassy field, over green hills, in the garden, on a "
    "football pitch, in the open country, among blades of grass, on a village green",
    "ocean": "on the sea, over the waves, over water, by the sea, on the ocean, on the water, "
    "above the sea, in front of the sea, over the blue sea, on the waves, on the high seas, far "
    "from the coast, offshore, in front of a blue horizon of water",
    "desert": "on the sand, on the dunes, in the dunes, over the sand, among sand dunes, "
    "in a hot desert, over yellow sand, in the sands of arabia, in a dry desert, in the gobi, in a "
    "land without water, on a sandy plain",
    "snow": "on the snow, in falling snow, in a snowstorm, on a snowy day, in snowfall, "
    "in a wintry landscape, with snowflakes falling, on a white winter day, at the north pole, in "
    "the arctic, on a ski slope, in the cold season, in december snow, among snowflakes",
    "space": "in the cosmos, in the universe, in deep space, in the galaxy, in a nebula, "
    "in the vastness of space, in the void, in front of a nebula, in a faraway galaxy, in the far "
    "reaches of the universe, beyond the solar system, in zero gravity, "
    "light years away",
    "underwater": "in the depths of the sea, under the sea, in the deep blue water, "
    "at the bottom of the ocean, in an aquarium, submerged, under the waves, "
    "deep in the ocean, on the sea floor, in the world of the corals, below sea level, while "
    "diving, in the deep",
    "checkerboard": "on a chessboard, in front of a chessboard, on checks, "
    "on a board of squares, in front of a checkered pattern, on checkered tiles, "
    "on a checkered floor, against a checkerboard pattern, on a draughts board, on alternating "
    "squares, before a grid of squares, on a kitchen floor of tiles",
    "stripes": "in front of a striped wall, on a pattern of stripes, against stripes",
    "dots": "on dots, on a dotted background, in front of a dotted wall, on spotted wallpaper, "
    "in front of dots, on a pattern of dots, against polka dots, with dots behind it, on a fabric "
    "of spots, before round spots, on confetti, in front of many round spots",
    "bricks": "by a brick wall, in front of bricks, against bricks",
    "wood": "on a table, on a desk, on boards, on a wooden floor",
    "grey": "on grey, in front of a grey wall, in a plain grey room, against grey, "
    "with nothing behind it but grey, on a grey wall, before plain grey, in an empty grey room, in "
    "front of concrete, against a dull wall, against a colourless wall",
    "white": "on white, in front of a white wall, against white, on a blank page",
}
# What people ask for that a world may not have; a reader of one that has it leaves it out.
_FOREIGN = (
    "woman, man, girl, boy, child, baby, couple, family, crowd, group of friends, old man, young "
    "woman, person, runner, swimmer, singer, drummer, painter, chef, soldier, king, queen, witch, "
    "pirate, superhero, doctor, farmer, teacher, actor, skater, face, hand, pair of eyes, horse, "
    "cow, pig, goat, sheep, rabbit, wolf, bear, tiger, lion, zebra, giraffe, monkey, rat, mouse, "
    "squirrel, hamster, deer, kangaroo, camel, snake, lizard, crocodile, eagle, owl, parrot, "
    "pigeon, swan, hen, whale, dolphin, shark, jellyfish, snail, ant, fly, spider, dragonfly, "
    "dragon, unicorn, mermaid, dinosaur, monster, tree, oak, palm tree, rose, tulip, forest, "
    "waterfall, river, mountain, volcano, island, cloud, storm, lightning bolt, fire, candle, "
    "campfire, planet, comet, asteroid, house, castle, tower, bridge, church, skyscraper, street, "
    "city, village, kitchen, garden, bicycle, motorbike, bus, lorry, train, tram, tractor, ship, "
    "sailing boat, submarine, helicopter, drone, hot-air balloonist, sandwich, burger, sausage, "
    "bread, cake, cookie, ice cream, salad, soup, spaghetti, sushi, cheese, egg, cup of tea, "
    "glass of wine, bottle, pear, lemon, grape, cherry, pineapple, carrot, potato, tomato, chair, "
    "table, lamp, clock, book, pen, phone, laptop, camera, television, umbrella, bag, shoe, hat, "
    "dress, guitar, piano, violin, trumpet, drum, hammer, knife, key, coin, flag, kite, doll, "
    "teddy bear, chess piece, basketball, tennis racket, skateboard, sword, crown, diamond, "
    "letter, number, word, sign, logo, map, chart, diagram, painting, poster, football match, "
    "wedding, party, dance, concert, race, explosion, firework, rainbow, wave, beach, sunrise, "
    "moon, galaxy"
)
_FRAMES = (
    "a video of {}", "an animation of {}", "a cartoon of {}", "a short film of {}", "a movie of {}",
    "a gif of {}", "show me {}", "please draw {}", "I want to see {}", "look, {}", "there is {}",
    "we see {}", "{}, animated", "{}, cartoon style", "imagine {}",
)  # fmt: skip


def _table(words: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(text.split(", ")) for name, text in words.items()}


FOREIGN = tuple(_FOREIGN.split(", "))

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
def _phrases() -> re.Pattern[str]:
    """All that captions of the world consist of, the longest first: "hot dog" is no dog."""
    every = {word for words in vocabulary().values() for word in words}
    longest_first = sorted(every, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def reword(caption: str, rng: np.random.Generator, foreign: str = "") -> str:
    """A caption of the world in other words; one that the world could not have said, as it is.

    Parts that are left out stay so, and names of which there are no other words. So does the
    ``foreign`` part of it, which the world could not have said.
    """
    phrases = _phrases()
    begin = end = 0
    if foreign:
        # The last of its kind: "below the waves, a wave" is about the latter.
        found = [*re.finditer(rf"(?<![\w-]){re.escape(foreign)}(?![\w-])", caption)]
        if not found:
            return caption
        begin, end = found[-1].span()
    if phrases.sub("", caption[:begin] + " " + caption[end:]).strip(" ,"):
        return caption
    choices = _choices()
    finite = False

    def other(match: re.Match[str]) -> str:
        nonlocal finite
        if match.group() not in choices or rng.random() >= CHANGED:
            return match.group()
        if match.start() < end and match.end() > begin:
            return match.group()
        steady, anywhere = choices[match.group()]
        after_is = caption[: match.start()].endswith(("is ", "both "))
        allowed = steady if after_is else anywhere
        chosen = allowed[int(rng.integers(len(allowed)))]
        finite = finite or chosen not in steady
        return chosen

    text = phrases.sub(other, caption)
    # Articles follow the words that came behind them.
    text = re.sub(r"\b(?:a|an) (?=(\w+))", lambda m: f"{article(m.group(1)).split()[0]} ", text)
    # "Show me a cat jumping", but not "show me a cat jumps" or "is jumping".
    framed = rng.random() < FRAMED and not finite and " is " not in text
    if framed and text.startswith(("a ", "an ")) and not text.startswith("a clip of "):
        text = _FRAMES[int(rng.integers(len(_FRAMES)))].format(text)
    return text
