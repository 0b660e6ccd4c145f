"""The words of the world: solids, colours, sizes, motions, backgrounds and cameras.

Plain tables without numpy. The first word of an entry is the commonest one and is drawn more
often; every other word is a synonym that the caption model should also understand.
"""

from __future__ import annotations

SOLIDS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "sphere", "orb"),
    "cube": ("cube", "box", "block"),
    "cone": ("cone",),
    "cylinder": ("cylinder", "tube"),
    "pyramid": ("pyramid",),
    "ring": ("ring", "torus", "hoop"),
    "star": ("star", "five-pointed star"),
    "heart": ("heart", "love heart"),
    "capsule": ("capsule", "pill"),
    "crystal": ("crystal", "octahedron"),
}

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "tangerine-coloured"),
    "yellow": ("yellow", "golden", "lemon-yellow"),
    "green": ("green", "emerald", "lime green"),
    "blue": ("blue", "royal blue", "azure"),
    "cyan": ("cyan", "turquoise", "teal"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose pink"),
    "brown": ("brown", "chocolate brown"),
    "white": ("white", "ivory"),
    "grey": ("grey", "gray", "silver"),
    "black": ("black", "jet black"),
}

SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
}

MOTIONS: dict[str, tuple[str, ...]] = {
    "up": ("flying up", "moving up", "rising", "going up", "moving upwards", "floating up"),
    "down": ("falling", "moving down", "falling down", "going down", "sinking", "moving downwards"),
    "left": ("moving left", "moving to the left", "going left", "flying left", "sliding left"),
    "right": (
        "moving right",
        "moving to the right",
        "going right",
        "flying right",
        "sliding right",
    ),
    "bounce": ("bouncing", "bouncing up and down", "jumping up and down", "hopping"),
    "spin": ("spinning", "rotating", "turning around", "spinning around", "twirling"),
    "swing": ("swinging", "swinging back and forth", "swinging from side to side"),
    "grow": ("growing", "getting bigger", "becoming larger", "coming closer", "expanding"),
    "shrink": ("shrinking", "getting smaller", "becoming smaller", "moving away"),
    "pulse": ("pulsing", "pulsating", "throbbing", "beating"),
    "orbit": ("moving in a circle", "circling", "going round in circles", "orbiting"),
    "shake": ("shaking", "trembling", "wobbling", "shivering", "vibrating"),
    "tumble": ("tumbling", "turning head over heels", "turning cartwheels", "somersaulting"),
    "still": ("standing still", "not moving", "staying still", "staying in place"),
    "cross right": (
        "crossing the frame from left to right",
        "crossing from left to right",
        "passing from left to right",
    ),
    "cross left": (
        "crossing the frame from right to left",
        "crossing from right to left",
        "passing from right to left",
    ),
    "cross up": (
        "crossing the frame from bottom to top",
        "crossing from bottom to top",
        "passing from bottom to top",
    ),
    "cross down": (
        "crossing the frame from top to bottom",
        "crossing from top to bottom",
        "passing from top to bottom",
    ),
}

BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "sky": ("in the sky", "in a blue sky", "among the clouds", "in a cloudy blue sky"),
    "night": ("at night", "in the night sky", "under the stars", "in a starry night"),
    "sunset": ("at sunset", "in the sunset", "at dusk", "in front of an orange sunset"),
    "meadow": ("over a meadow", "on a green meadow", "over the grass", "in a green field"),
    "ocean": ("over the ocean", "at sea", "over the sea", "above the water"),
    "desert": ("in the desert", "over sand dunes", "in a sandy desert"),
    "snow": ("in the snow", "in winter", "over a snowy landscape", "while it snows"),
    "space": ("in outer space", "in space", "in a purple galaxy", "among the stars of a nebula"),
    "underwater": ("underwater", "under water", "deep in the sea", "below the waves"),
    "checkerboard": (
        "on a checkerboard",
        "in front of a checkerboard",
        "on a chequered background",
    ),
    "stripes": ("on a striped background", "in front of stripes", "on stripes"),
    "dots": ("on a polka dot background", "in front of polka dots", "on polka dots"),
    "bricks": ("in front of a brick wall", "against a brick wall", "on a brick wall"),
    "wood": ("on a wooden table", "on wood", "on wooden planks", "in front of wooden boards"),
    "grey": ("on a grey background", "in a grey studio", "on plain grey", "on a gray background"),
    "white": ("on a white background", "in a white studio", "on plain white"),
}

CAMERAS: dict[str, tuple[str, ...]] = {
    "pan left": ("camera pans left", "the camera moves left", "panning left"),
    "pan right": ("camera pans right", "the camera moves right", "panning right"),
    "pan up": ("camera tilts up", "the camera moves up", "panning up"),
    "pan down": ("camera tilts down", "the camera moves down", "panning down"),
    "zoom in": ("camera zooms in", "the camera zooms in", "zooming in"),
    "zoom out": ("camera zooms out", "the camera zooms out", "zooming out"),
}

RELATIONS: dict[str, tuple[str, ...]] = {
    # the first subject's place relative to the second
    "left of": (
        "{a} on the left and {b} on the right",
        "{a} to the left of {b}",
        "{a} and {b}",
        "{a} beside {b}",
    ),
    "above": ("{a} above {b}", "{a} at the top and {b} at the bottom", "{a} over {b}"),
}
