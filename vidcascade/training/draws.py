"""Random numbers of a batch, each example from a generator of its own.

What is drawn for an example on one kind of device depends on its number alone: not on the batch's
size, on the step at which a run was taken up again, nor on how many processes share the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_PURPOSE = 4  # the data set draws its examples from streams 0 to 3 of the same numbers


class Draws:
    """Draws for B examples; each call goes on with every example's own stream.

    Args:
        generators: CPU generators, one for each example.
        device: where noise is drawn. A GPU draws a batch of clips in the time in which a CPU core
            draws one clip; its numbers are others than a CPU's.
        common: a number in [0, 1) that all of a batch have in common, whoever works on its parts.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        device: torch.device | str = "cpu",
        common: float = 0.0,
    ) -> None:
        self.generators = list(generators)
        self.device = torch.device(device)
        self.common = common

    @classmethod
    def of(
        cls,
        seed: int,
        numbers: Sequence[int],
        device: torch.device | str = "cpu",
        first: int | None = None,
    ) -> Draws:
        """Fresh streams of the examples with these numbers.

        Args:
            seed: of the run.
            numbers: of the examples.
            device: where noise is drawn.
            first: number of the batch's first example, where these are a part of the batch.
        """
        start = _stream(seed, numbers[0] if first is None else first)
        common = float(torch.rand(1, generator=start))
        return cls([_stream(seed, number) for number in numbers], device, common)

    def part(self, rows: Sequence[int]) -> Draws:
        """The same streams, of some examples."""
        return Draws([self.generators[k] for k in rows], self.device, self.common)

    def uniform(self) -> Tensor:
        """One number in [0, 1) for each example, (B,)."""
        return torch.cat([torch.rand(1, generator=g) for g in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, (B, *shape): noise on a GPU if that is the device."""
        if self.device.type != "cuda" or not shape:
            return torch.stack([torch.randn(shape, generator=g) for g in self.generators])
        out = torch.empty((len(self.generators), *shape), device=self.device)
        there = torch.Generator(self.device)
        for row, own in zip(out, self.generators, strict=True):
            there.manual_seed(int(torch.randint(2**62, (), generator=own)))
            row.normal_(generator=there)
        return out


def _stream(seed: int, number: int) -> torch.Generator:
    low, high = np.random.SeedSequence((seed, number, _PURPOSE)).generate_state(2)
    return torch.Generator().manual_seed(int(high) << 31 ^ int(low))
