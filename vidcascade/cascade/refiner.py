"""The refiner: more pixels for the same frames, from a truncated schedule."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from vidcascade.cascade.augment import augment, unscale
from vidcascade.cascade.stage import Conditioning, Stage, resize


class RefinerStage(Stage):
    """Adds a residual to its upsampled input; untrained, it returns that input."""

    cond_channels: ClassVar[int] = 3

    def condition(self, previous: Tensor, augmentation: Tensor, noise: Tensor) -> Conditioning:
        """Bicubic upsampling of the augmented video (B, T, 3, h, w) to the stage's size."""
        given = unscale(augment(previous, noise, augmentation), augmentation)
        size = self.spec.size
        return Conditioning(video=resize(given, size), clean=resize(previous, size))

    def network_cond(self, given: Conditioning) -> Tensor:
        """The upsampled, lightly augmented video."""
        return given.video

    def to_x(self, output: Tensor, given: Conditioning | None, augmentation: Tensor) -> Tensor:
        """The input plus the predicted residual."""
        assert given is not None
        return given.video + output

    def start(self, given: Conditioning | None) -> Tensor | None:
        """The truncated schedule starts from the clean upsampled video (Meng et al. 2022)."""
        return None if given is None else given.clean
