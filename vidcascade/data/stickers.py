"""The sticker world: captioned clips drawn on the fly, with exact optical flow.

world = StickerWorld()
description = world.describe(seed=7)
scene = world.scene(description, seed=7)
frames = world.render(scene, 64, [k / 8 for k in range(16)])  # (16, 64, 64, 3) uint8
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidcascade.data import captions, render, sprites
from vidcascade.data.config import WorldConfig
from vidcascade.data.fetch import cache_folder, has_stickers
from vidcascade.data.motions import draw_motion
from vidcascade.data.scene import Camera, Description, Frame, Placement, Scene
from vidcascade.data.subjects import SUBJECTS
from vidcascade.data.words import BACKGROUNDS, CAMERAS, COLOURS, MOTIONS, SOLIDS

__all__ = ["DRAWING", "Description", "Scene", "StickerWorld"]

Split = Literal["train", "held_out", "all"]
Size = int | tuple[int, int]

_SIZES: dict[str | None, tuple[float, float]] = {
    None: (0.35, 0.50),
    "small": (0.22, 0.28),
    "large": (0.58, 0.66),
}
_TRIES = 2000

# Raised when the same settings come to draw something else: judges that were taught on what was
# drawn before are out of date. 2: spins turn about the vertical axis.
DRAWING = 2
_warned = False


def _warn_once(folder: Path) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"no stickers in {folder}, so the sticker world draws solids only: run "
            "scripts/fetch_stickers.py to fetch them",
            stacklevel=3,
        )


class StickerWorld:
    """Draws clips of stickers and solids that move over backgrounds.

    ``stickers`` is the folder of ``<code point>.webp`` files (``None``: the cache folder). When
    it holds none, only solids are drawn and a warning says so once.
    """

    def __init__(self, config: WorldConfig | None = None, stickers: Path | None = None) -> None:
        self.config = config or WorldConfig()
        self.folder = Path(stickers) if stickers is not None else cache_folder()
        self.has_stickers = has_stickers(self.folder)
        if not self.has_stickers and self.config.solid_share < 1:
            _warn_once(self.folder)
        self._names = {
            kind: self.config.names(kind)
            for kind in ("subjects", "solids", "colours", "motions", "backgrounds")
        }

    @property
    def training_split(self) -> Split:
        """The combinations to learn from: all of them where none are held out."""
        return "train" if self.config.held_out > 0 else "all"

    @property
    def testing_split(self) -> Split:
        """The combinations to measure on: all of them where none are held out."""
        return "held_out" if self.config.held_out > 0 else "all"

    # ------------------------------------------------------------------ discrete choices

    def describe(self, seed: int, split: Split = "all") -> Description:
        """The discrete choices and the caption: a pure function of the seed (>= 0).

        ``split="train"`` never shows a held-out (subject, motion, background) combination;
        ``"held_out"`` shows at least one; ``"all"`` ignores the hold-out. Raises ``ValueError``
        when the split is empty, for example with ``held_out=0``.
        """
        if split not in ("train", "held_out", "all"):
            raise ValueError(f'unknown split {split!r}: use "train", "held_out" or "all"')
        rng = np.random.default_rng((seed, 1))
        if split != "held_out" or self.config.held_out > 0:
            for _ in range(_TRIES):
                description = self._draw(rng)
                if split == "all" or self.is_held_out(description) == (split == "held_out"):
                    return description
        raise ValueError(
            f'the "{split}" split is empty with held_out={self.config.held_out}: change held_out '
            "or held_out_seed, or allow more subjects, motions and backgrounds"
        )

    def is_held_out(self, description: Description) -> bool:
        """Whether any (subject, motion, background) of ``description`` is held out."""
        if self.config.held_out <= 0:
            return False
        pairs = zip(description.subjects, description.motions, strict=True)
        return any(
            self._fraction(name, colour, motion, description.background) < self.config.held_out
            for (name, colour, _), motion in pairs
        )

    def _fraction(self, name: str, colour: str | None, motion: str, background: str) -> float:
        key = f"{self.config.held_out_seed}|{colour or ''}|{name}|{motion}|{background}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    def _draw(self, rng: np.random.Generator) -> Description:
        config = self.config
        background = _one(self._names["backgrounds"], rng)
        relation, motions = None, self._names["motions"]
        if rng.random() < config.two_subjects:
            relation = "left of" if rng.random() < 0.6 else "above"
            # a subject that moves along the line between them would leave its side
            axis = ("left", "right") if relation == "left of" else ("up", "down")
            calm = tuple(m for m in motions if not m.startswith("cross ") and m not in axis)
            relation, motions = (relation, calm) if calm else (None, motions)
        count = 2 if relation else 1
        chosen = [_motion(motions, rng)] * count
        if relation and rng.random() < 0.5:
            chosen[1] = _motion(motions, rng)
        subjects = [self._subject(rng)]
        while len(subjects) < count:
            other = self._subject(rng)
            if other[:2] != subjects[0][:2] or rng.random() < 0.05:  # twins are rare
                subjects.append(other)
        camera = None
        wants_camera = rng.random() < config.camera
        if wants_camera and relation is None and (kinds := _cameras(chosen[0])):
            camera = _one(kinds, rng)
        shadow = bool(rng.random() < config.shadows)
        text = captions.caption(subjects, chosen, background, camera, relation, rng)
        return Description(
            tuple(subjects), tuple(chosen), background, camera, shadow, text, relation
        )

    def _subject(self, rng: np.random.Generator) -> tuple[str, str | None, str | None]:
        is_solid = rng.random() < self.config.solid_share or not self.has_stickers
        size = None
        if rng.random() < self.config.size_words:
            size = "small" if rng.random() < 0.5 else "large"
        if is_solid:
            return _one(self._names["solids"], rng), _one(self._names["colours"], rng), size
        return _one(self._names["subjects"], rng), None, size

    # ------------------------------------------------------------------ continuous draws

    def scene(self, description: Description, seed: int, duration: float = 2.0) -> Scene:
        """Draw positions, speeds, phases and tints: pure in ``(description, seed, duration)``.

        ``duration`` is the clip's length in seconds (> 0, else ``ValueError``); motion extents
        are per duration.
        """
        if not duration > 0:
            raise ValueError(f"a clip of {duration} seconds is not possible: use more than 0")
        rng = np.random.default_rng((seed, 2))
        placed = []
        for k, ((name, colour, word), kind) in enumerate(
            zip(description.subjects, description.motions, strict=True)
        ):
            low, high = _SIZES[word]
            size = float(rng.uniform(low, high))
            centre, room = (0.0, 0.0), 1.0
            if description.relation:
                side = (-0.25, 0.25)[k] + float(rng.uniform(-0.02, 0.02))
                centre = (side, 0.0) if description.relation == "left of" else (0.0, side)
                room, size = 0.55, 0.2 + 0.42 * size
            motion = draw_motion(kind, rng, duration, size, centre, room)
            tint = rng.uniform(-0.03, 0.03, 3) + rng.uniform(-0.05, 0.02)
            gain = (1 + float(tint[0]), 1 + float(tint[1]), 1 + float(tint[2]))
            placed.append(Placement(name, colour, size, motion, gain))
        camera_extent, dx, dy, strength = (float(v) for v in rng.uniform(0, 1, 4))
        background_seed = int(rng.integers(2**31))
        camera = None
        if description.camera:
            zoom = description.camera.startswith("zoom")
            extent = 0.30 + 0.12 * camera_extent if zoom else 0.24 + 0.12 * camera_extent
            camera = Camera(description.camera, extent, duration)
        shadow = (0.01 + 0.03 * dx, 0.025 + 0.03 * dy, 0.3 + 0.25 * strength)
        return Scene(
            tuple(placed),
            description.background,
            background_seed,
            camera,
            shadow if description.shadow else None,
            duration,
        )

    # ------------------------------------------------------------------ drawing

    def render(self, scene: Scene, size: Size, times: Sequence[float]) -> NDArray[np.uint8]:
        """Frames at ``times`` (seconds): uint8 RGB ``(T, H, W, 3)``.

        ``size`` is the side of a square or ``(height, width)``. The same scene at another size
        or at other times is the same picture, resampled.
        """
        return render.draw(scene, self._sprites(scene), Frame.of(size), times, masks=False)[0]

    def mask(self, scene: Scene, size: Size, times: Sequence[float]) -> NDArray[np.float32]:
        """The subjects' alpha at ``times``: float32 ``(T, H, W)`` in [0, 1], without shadows."""
        frame, drawn = Frame.of(size), self._sprites(scene)
        out = np.zeros((len(times), frame.height, frame.width), np.float32)
        for k, t in enumerate(times):
            for i, sprite in enumerate(drawn):
                out[k] += (1 - out[k]) * render.alpha(scene, sprite, i, frame, t)
        return out

    def render_with_mask(
        self, scene: Scene, size: Size, times: Sequence[float]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """:meth:`render` and :meth:`mask` in one pass."""
        video, cover = render.draw(scene, self._sprites(scene), Frame.of(size), times, masks=True)
        assert cover is not None
        return video, cover

    def flow(
        self, scene: Scene, size: Size, t0: float, t1: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Exact flow from ``t0`` to ``t1`` (seconds) on the grid of ``t0``.

        Returns the displacement float32 ``(H, W, 2)`` in pixels, (x, y), of the point seen in
        each pixel at ``t0`` (the front layer that covers more than half of it), and a bool
        ``(H, W)``: the point is inside the frame and not hidden at ``t1``. Shadows have no flow
        of their own: they move over the background like a change of light.
        """
        return render.exact_flow(scene, self._sprites(scene), Frame.of(size), t0, t1)

    def _sprites(self, scene: Scene) -> list[sprites.Sprite]:
        return [
            sprites.solid(p.name, p.colour)
            if p.colour is not None
            else sprites.sticker(self.folder, SUBJECTS[p.name].code)
            for p in scene.subjects
        ]

    # ------------------------------------------------------------------ words

    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """Every word and phrase of this world's captions, by kind (``"subjects"``, …)."""
        words = captions.vocabulary()
        tables = {"solids": SOLIDS, "colours": COLOURS, "motions": MOTIONS,
                  "backgrounds": BACKGROUNDS}  # fmt: skip
        for kind, table in tables.items():
            words[kind] = tuple(w for n in self._names[kind] for w in table[n])
        subjects = self._names["subjects"] if self.has_stickers else ()
        words["subjects"] = tuple(w for n in subjects for w in SUBJECTS[n].words)
        return words

    def synonyms(self) -> dict[str, str]:
        """Every word or phrase of this world mapped to its canonical name."""
        out: dict[str, str] = {}
        subjects = self._names["subjects"] if self.has_stickers else ()
        for name in subjects:
            out.update(dict.fromkeys(SUBJECTS[name].words, name))
        for kind, table in (("solids", SOLIDS), ("colours", COLOURS), ("motions", MOTIONS),
                            ("backgrounds", BACKGROUNDS)):  # fmt: skip
            for name in self._names[kind]:
                for word in table[name]:
                    out.setdefault(word, name)
        return out


def _one(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _motion(names: Sequence[str], rng: np.random.Generator) -> str:
    """Uniform, except that the four crossings together count little more than one motion."""
    weights = np.array([0.35 if n.startswith("cross ") else 1.0 for n in names])
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _cameras(motion: str) -> tuple[str, ...]:
    """The camera moves that leave a motion recognisable on the screen."""
    if motion.startswith("cross "):
        return ()
    # zooming on a subject that travels would push it out of the view
    banned: tuple[str, ...] = ()
    if motion in ("left", "right"):
        banned = ("pan left", "pan right", "zoom in", "zoom out")
    elif motion in ("up", "down", "bounce"):
        banned = ("pan up", "pan down", "zoom in", "zoom out")
    elif motion in ("grow", "shrink", "pulse"):
        banned = ("zoom in", "zoom out")
    return tuple(c for c in CAMERAS if c not in banned)
