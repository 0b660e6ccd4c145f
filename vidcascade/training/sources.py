"""Where training clips come from: drawn worlds and folders of videos, behind one small face."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vidcascade.cascade.recipe import Recipe
from vidcascade.cascade.spec import CascadeSpec, SpecWarning, StageSpec
from vidcascade.data.folder import VideoFolder
from vidcascade.data.stickers import Description, StickerWorld
from vidcascade.errors import UsageError
from vidcascade.training.health import TrainingWarning

if TYPE_CHECKING:
    from vidcascade.nn.text import TextEncoder

_EMPHASISED = ("subjects", "solids", "motions", "backgrounds")
_PURPOSE = 5  # examples and their noise are drawn from streams 0 to 4 of the same numbers


@dataclass(frozen=True)
class Drawn:
    """Frames of one clip.

    Attributes:
        frames: uint8 (T, size, size, 3) RGB.
        caption: what they show; may be empty.
        cover: the subject's alpha, float32 (T, size, size) in [0, 1], where it is known.
        old: whether it is one of the old clips of a :class:`MixedSource`.
        more: what draws other clips of this caption by the same number, where something does.
    """

    frames: NDArray[np.uint8]
    caption: str
    cover: NDArray[np.float32] | None = None
    old: bool = False
    more: ClipSource | None = None


class ClipSource(Protocol):
    """An endless sequence of clips that can be looked at any number of times.

    Sources are sent to worker processes: they must pickle and hold nothing open.
    """

    def draw(
        self, number: int, size: int, times: Sequence[float], rng: np.random.Generator
    ) -> Drawn:
        """Clip ``number`` at ``times`` (seconds from its start), ``size`` pixels a side.

        Pure in its arguments: everything random comes from ``number`` and ``rng``.
        """
        ...


class WorldSource:
    """Clips of the sticker world: description ``number mod captions``, each time moved anew.

    Where something is emphasised, another description may be drawn in place of one without it.

    Raises:
        UsageError: a cascade that has no world.
    """

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, seed: int = 0, stickers: Path | None = None
    ) -> None:
        if spec.world is None:
            raise UsageError(
                f"The cascade {spec.name} has no world that could be drawn: train it on a folder "
                "of videos with --data."
            )
        self.world = StickerWorld(spec.world, stickers)
        self.duration = spec.stages[0].frames / spec.fps
        self.captions, self.seed = stage.training.captions, seed
        self.covers = stage.training.subject_weight > 0
        self.emphasis = stage.training.emphasis
        names = {kind: set(spec.world.names(kind)) for kind in _EMPHASISED}
        if unknown := sorted(set(self.emphasis) - set().union(*names.values())):
            raise UsageError(
                f"The world of {spec.name} has no subject, solid, motion or background "
                f"{unknown[0]!r} to emphasise."
            )
        share = spec.world.solid_share if self.world.has_stickers else 1.0
        names["subjects"] = names["subjects"] if share < 1 else set()
        names["solids"] = names["solids"] if share > 0 else set()
        if idle := sorted(set(self.emphasis) - set().union(*names.values())):
            warnings.warn(
                f"stages.{stage.name}: {idle[0]!r} is emphasised and never drawn in this world",
                SpecWarning,
                stacklevel=2,
            )

    def draw(
        self, number: int, size: int, times: Sequence[float], rng: np.random.Generator
    ) -> Drawn:
        """See :meth:`ClipSource.draw`."""
        described = self._describe(number)
        scene = self.world.scene(described, int(rng.integers(2**62)), self.duration)
        if not self.covers:
            return Drawn(self.world.render(scene, size, times), described.caption, more=self)
        frames, cover = self.world.render_with_mask(scene, size, times)
        return Drawn(frames, described.caption, cover, more=self)

    def _describe(self, number: int) -> Description:
        """Description ``number`` or, where chance rejects it for want of emphasis, another one.

        Not the one after it: what is emphasised would come in rows of the same caption.
        """
        split = self.world.training_split
        most = max(1.0, *self.emphasis.values()) if self.emphasis else 1.0
        rng = np.random.default_rng((self.seed, number, _PURPOSE))
        while True:
            described = self.world.describe(self.seed * 1_000_003 + number % self.captions, split)
            if rng.random() * most < self._share(described):
                return described
            number = int(rng.integers(self.captions))

    def _share(self, described: Description) -> float:
        """How often a description is taken: by the most and the least emphasised thing in it.

        (By the product of all, the rare clip that shows three of them would reject most others.)
        """
        subjects = [name for name, _, _ in described.subjects]
        names = (*subjects, *described.motions, described.background)
        shares = [self.emphasis.get(name, 1.0) for name in names]
        return max(1.0, *shares) * min(1.0, *shares)


class FolderSource:
    """Windows of the videos of a folder, each video as likely as any other."""

    def __init__(self, spec: CascadeSpec, stage: StageSpec, folder: VideoFolder) -> None:
        self.folder = folder
        self.rate = spec.fps_after(stage.name)
        self.frames = stage.frames

    @classmethod
    def open(
        cls, spec: CascadeSpec, stage_name: str, folder: str | Path, stills: bool = False
    ) -> FolderSource:
        """Look through a folder for one stage; arguments and errors as :class:`VideoFolder`."""
        stage = spec.stage(stage_name)
        return cls(spec, stage, VideoFolder(folder, stage.frames, stills))

    def draw(
        self, number: int, size: int, times: Sequence[float], rng: np.random.Generator
    ) -> Drawn:
        """See :meth:`ClipSource.draw`; ``number`` has no effect beyond what ``rng`` has."""
        frames, caption = self.folder.window(size, times, self.rate, self.frames, rng)
        return Drawn(frames, caption)


def warn_of_emphasis(recipe: Recipe, where: str) -> None:
    """Say that ``emphasis``, which chooses what is drawn, is idle where clips are only read.

    Args:
        recipe: of what is trained on a :class:`FolderSource` alone.
        where: the recipe's place in the spec.
    """
    if recipe.emphasis:
        warnings.warn(
            f"{where}.emphasis has no effect on a folder of clips: remove it",
            SpecWarning,
            stacklevel=2,
        )


def warn_of_length(source: ClipSource | None, encoder: TextEncoder) -> None:
    """Say how many of a folder's captions are longer than the encoder reads, if any are."""
    folders = source.new if isinstance(source, MixedSource) else source
    if not isinstance(folders, FolderSource):
        return
    captions = {entry.caption for entry in folders.folder.entries}
    long = sum(encoder.count_tokens(caption) > encoder.max_tokens for caption in captions)
    if long:
        warnings.warn(
            f"{long} of {len(captions)} captions are longer than the {encoder.max_tokens} tokens "
            "that are read of them: shorten them, or raise text.max_tokens in the spec",
            TrainingWarning,
            stacklevel=2,
        )


class MixedSource:
    """Clips of one source among those of another.

    What a network knows is forgotten when it is trained on new clips alone; going on with the old
    ones beside them keeps it (Ruiz et al. 2023, prior preservation).

    Args:
        new: taken with probability ``share``.
        old: taken else.
        share: in [0, 1].
    """

    def __init__(self, new: FolderSource, old: ClipSource, share: float) -> None:
        self.new, self.old, self.share = new, old, share

    def draw(
        self, number: int, size: int, times: Sequence[float], rng: np.random.Generator
    ) -> Drawn:
        """See :meth:`ClipSource.draw`; what comes from ``old`` is marked as such."""
        if rng.random() < self.share:
            return self.new.draw(number, size, times, rng)
        return replace(self.old.draw(number, size, times, rng), old=True)
