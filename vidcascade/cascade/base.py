"""The base stage: noise and a prompt, nothing else."""

from __future__ import annotations

from torch import Tensor

from vidcascade.cascade.stage import Conditioning, Stage


class BaseStage(Stage):
    """Predicts x directly; knows nothing but the prompt and each frame's place."""

    def condition(self, previous: Tensor, augmentation: Tensor, noise: Tensor) -> Conditioning:
        """A base has no predecessor."""
        raise TypeError("a base stage has no previous video")

    def network_cond(self, given: Conditioning) -> Tensor | None:
        """Nothing is concatenated."""
        return None

    def to_x(self, output: Tensor, given: Conditioning | None, augmentation: Tensor) -> Tensor:
        """The output is x."""
        return output
