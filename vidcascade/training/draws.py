"""Random numbers of a batch, each example from a generator of its own.

What is drawn for an example depends on its number alone: not on the batch's size, on the step at
which a run was taken up again, nor on how many processes share the batch.
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
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)

    @classmethod
    def of(cls, seed: int, numbers: Sequence[int]) -> Draws:
        """Fresh streams of the examples with these numbers."""
        out = []
        for number in numbers:
            low, high = np.random.SeedSequence((seed, number, _PURPOSE)).generate_state(2)
            out.append(torch.Generator().manual_seed(int(high) << 31 ^ int(low)))
        return cls(out)

    def part(self, rows: Sequence[int]) -> Draws:
        """The same streams, of some examples."""
        return Draws([self.generators[k] for k in rows])

    def uniform(self) -> Tensor:
        """One number in [0, 1) for each example, (B,)."""
        return torch.cat([torch.rand(1, generator=g) for g in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal, (B, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])
