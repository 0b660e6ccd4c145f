"""Batches of triplets for the interpolation network, with the flows it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.data.triplets import TripletStore
from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.interpolation.prior import flows_between
from vidcascade.video.atomic import atomic_path

__all__ = ["Batch", "FlowStore", "draw_batch"]

_FLOWS = "flows.npy"


@dataclass(frozen=True, eq=False)
class Batch:
    """Triplets with flows.

    Attributes:
        first, middle, second: (B, 3, H, W) in [-1, 1].
        ahead: flow from the first to the second, (B, 2, H, W) in pixels.
        back: flow from the second to the first, likewise.
        known: flows from the middle frame to the first and to the second, found with the middle
            frame at hand: what the network should arrive at, (B, 4, H, W).
        time: of the middle frame, (B,).
    """

    first: Tensor
    middle: Tensor
    second: Tensor
    ahead: Tensor
    back: Tensor
    known: Tensor
    time: Tensor


class FlowStore:
    """A :class:`TripletStore` with flows between its frames, found once.

    Between first and second frames, which is all that the network will be given, and from the
    middle frame to both, which it learns from (privileged flows, Huang et al. 2022).

    Flows are kept beside the triplets in half precision (an error below 0.02 pixels up to 32).

    Args:
        folder: of the triplets.
        weight: how often they are drawn, relative to other stores.
        crop: side of the squares that are cut from them, at most their size.
    """

    def __init__(self, folder: Path, weight: float = 1.0, crop: int = 192) -> None:
        self.triplets = TripletStore(folder)
        self.weight = weight
        size = self.triplets[0].frames.shape[1]
        if crop % 32 or not 0 < crop <= size:
            raise UsageError(f"A crop of {crop} does not fit: a multiple of 32 up to {size}.")
        self.crop = crop
        file = folder / _FLOWS
        if not file.is_file():
            self._find_flows(file, size)
        self._flows = np.load(file, mmap_mode="r", allow_pickle=False)
        if len(self._flows) != len(self.triplets):
            raise UsageError(f"{file} belongs to other triplets: remove it.")

    def __len__(self) -> int:
        return len(self.triplets)

    def _find_flows(self, file: Path, size: int) -> None:
        shape = (len(self.triplets), size, size, 8)
        with atomic_path(file) as temporary:
            flows = np.lib.format.open_memmap(temporary, "w+", dtype=np.float16, shape=shape)
            for number in range(len(self.triplets)):
                first, middle, second = self.triplets[number].frames
                known = dis_flow(middle, first), dis_flow(middle, second)
                given = flows_between(first, second)
                flows[number] = np.concatenate((*given, *known), axis=-1)
            flows.flush()

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
        """One crop, turned, mirrored and played either way: frames, flows (H, W, 8), time."""
        number = int(rng.integers(len(self)))
        triplet = self.triplets[number]
        size, crop = triplet.frames.shape[1], self.crop
        top, left = (int(v) for v in rng.integers(size - crop + 1, size=2))
        frames = triplet.frames[:, top : top + crop, left : left + crop]
        flows = self._flows[number, top : top + crop, left : left + crop].astype(np.float32)
        time = triplet.time
        if rng.random() < 0.5:  # played backwards
            frames, flows, time = frames[::-1], flows[..., [2, 3, 0, 1, 6, 7, 4, 5]], 1 - time
        if rng.random() < 0.5:
            frames, flows = frames[:, :, ::-1], flows[:, ::-1] * np.tile((-1, 1), 4)
        if rng.random() < 0.5:
            frames, flows = frames[:, ::-1], flows[::-1] * np.tile((1, -1), 4)
        if rng.random() < 0.5:  # transposed
            frames = frames.transpose(0, 2, 1, 3)
            flows = flows.transpose(1, 0, 2)[..., [1, 0, 3, 2, 5, 4, 7, 6]]
        if rng.random() < 0.3:
            frames = frames[..., rng.permutation(3)]
        if rng.random() < 0.3:
            frames = _graded(frames, rng)
        return frames, flows.astype(np.float32), time


def _graded(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another gamma, contrast and brightness, the same for the three frames."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.35, 0.35))
    levels = levels * rng.uniform(0.75, 1.0)
    levels = levels + rng.uniform(0, 1 - levels[-1])
    table = np.rint(levels * 255).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(frames), table), dtype=np.uint8)


def draw_batch(stores: Sequence[FlowStore], size: int, seed: int, step: int) -> Batch:
    """The batch of a step: a function of (seed, step) alone, so that runs can be continued.

    All examples of a batch come from stores of one crop; ``size`` examples have 192 × 192 pixels,
    and smaller crops come in larger batches of about as many pixels.
    """
    rng = np.random.default_rng((seed, step))
    weights = np.array([store.weight for store in stores], np.float64)
    crop = stores[int(rng.choice(len(stores), p=weights / weights.sum()))].crop
    alike = [store for store in stores if store.crop == crop]
    weights = np.array([store.weight for store in alike], np.float64)
    count = max(1, round(size * 192**2 / crop**2))
    drawn = [
        alike[int(rng.choice(len(alike), p=weights / weights.sum()))].draw(rng)
        for _ in range(count)
    ]
    frames = torch.from_numpy(np.stack([np.ascontiguousarray(d[0]) for d in drawn]))
    frames = frames.permute(1, 0, 4, 2, 3).float() / 127.5 - 1
    flows = torch.from_numpy(np.stack([d[1] for d in drawn])).permute(0, 3, 1, 2).contiguous()
    return Batch(
        first=frames[0].contiguous(),
        middle=frames[1].contiguous(),
        second=frames[2].contiguous(),
        ahead=flows[:, :2],
        back=flows[:, 2:4],
        known=flows[:, 4:],
        time=torch.tensor([d[2] for d in drawn], dtype=torch.float32),
    )
