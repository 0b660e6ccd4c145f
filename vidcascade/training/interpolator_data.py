"""Batches of triplets for the interpolation network, with the flows it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidcascade.data.triplets import TripletStore
from vidcascade.errors import UsageError
from vidcascade.flow.dis import dis_flow
from vidcascade.interpolation.prior import flows_between
from vidcascade.interpolation.warp_prior import prior_of, sample
from vidcascade.video.atomic import atomic_path

__all__ = ["CELL", "Batch", "FlowStore", "draw_batch", "lesson"]

CELL = 8  # side, in pixels, of the squares in which flows are compared
_GIVEN, _KNOWN = "given.npy", "known.npy"


@dataclass(frozen=True, eq=False)
class Batch:
    """Triplets with flows.

    Attributes:
        first, middle, second: (B, 3, H, W) in [-1, 1].
        ahead: flow from the first to the second, (B, 2, H, W) in pixels.
        back: flow from the second to the first, likewise.
        known: flows from the middle frame to the first and to the second, found with the middle
            frame at hand: what the network should arrive at, (B, 4, H/8, W/8).
        worth: how much better each of the two shows the middle frame than the prior does, 0 to 1,
            (B, 2, H/8, W/8).
        time: of the middle frame, (B,).
    """

    first: Tensor
    middle: Tensor
    second: Tensor
    ahead: Tensor
    back: Tensor
    known: Tensor
    worth: Tensor
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
        given, known = folder / _GIVEN, folder / _KNOWN
        if not (given.is_file() and known.is_file()):
            self._find_flows(given, known, size)
        self._given, self._known = (
            np.load(file, mmap_mode="r", allow_pickle=False) for file in (given, known)
        )
        if not len(self._given) == len(self._known) == len(self.triplets):
            raise UsageError(f"{given} belongs to other triplets: remove it.")

    def __len__(self) -> int:
        return len(self.triplets)

    def _find_flows(self, given: Path, known: Path, size: int) -> None:
        count, cells = len(self.triplets), size // CELL
        with atomic_path(given) as one, atomic_path(known) as two:
            flows = np.lib.format.open_memmap(one, "w+", np.float16, (count, size, size, 4))
            lessons = np.lib.format.open_memmap(two, "w+", np.float16, (count, cells, cells, 6))
            for number in range(count):
                triplet = self.triplets[number]
                first, middle, second = triplet.frames
                between = np.concatenate(flows_between(first, second), axis=-1)
                seen = np.concatenate((dis_flow(middle, first), dis_flow(middle, second)), axis=-1)
                flows[number] = between
                lessons[number] = lesson(triplet.frames, between, seen, triplet.time)
            flows.flush()
            lessons.flush()

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], float]:
        """One crop, turned, mirrored and played either way.

        Frames, flows between them (H, W, 4), known flows and their worth (H/8, W/8, 6), time.
        """
        number = int(rng.integers(len(self)))
        triplet = self.triplets[number]
        size, crop = triplet.frames.shape[1], self.crop
        top, left = (int(v) * CELL for v in rng.integers((size - crop) // CELL + 1, size=2))
        frames = triplet.frames[:, top : top + crop, left : left + crop]
        given = self._given[number, top : top + crop, left : left + crop].astype(np.float32)
        top, left, cells = top // CELL, left // CELL, crop // CELL
        known = self._known[number, top : top + cells, left : left + cells].astype(np.float32)
        time = triplet.time
        if rng.random() < 0.5:  # played backwards
            frames, given, known = frames[::-1], given[..., _SWAPPED[:4]], known[..., _SWAPPED]
            time = 1 - time
        if rng.random() < 0.5:
            frames, given, known = frames[:, :, ::-1], given[:, ::-1], known[:, ::-1]
            given, known = given * _MIRRORED[:4], known * _MIRRORED
        if rng.random() < 0.5:
            frames, given, known = frames[:, ::-1], given[::-1], known[::-1]
            given, known = given * _FLIPPED[:4], known * _FLIPPED
        if rng.random() < 0.5:  # transposed
            frames, given, known = (x.swapaxes(-2, -3) for x in (frames, given, known))
            given, known = given[..., _TURNED[:4]], known[..., _TURNED]
        if rng.random() < 0.3:
            frames = frames[..., rng.permutation(3)]
        if rng.random() < 0.3:
            frames = _graded(frames, rng)
        return frames, given, known, time


# What becomes of (x, y, x, y) of two flows and the worth of each.
_SWAPPED = [2, 3, 0, 1, 5, 4]
_TURNED = [1, 0, 3, 2, 4, 5]
_MIRRORED = np.array([-1, 1, -1, 1, 1, 1], np.float32)
_FLIPPED = np.array([1, -1, 1, -1, 1, 1], np.float32)


@torch.no_grad()
def lesson(
    frames: NDArray[np.uint8], given: NDArray[np.float32], known: NDArray[np.float32], time: float
) -> NDArray[np.float32]:
    """Known flows in cells, and what they are worth: (H/8, W/8, 6).

    Worth is how much smaller a cell's misfit is with the known flow than with the prior, as a part
    of both; seen at half size, which is cheap and blind to noise.

    Args:
        frames: first, middle, second, (3, H, W, 3) RGB uint8.
        given: flows first → second and second → first, (H, W, 4) in pixels.
        known: flows middle → first and middle → second, likewise.
        time: of the middle frame.
    """
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    first, middle, second = F.avg_pool2d(pictures / 127.5 - 1, 2)[:, None]
    flow, seen = (
        torch.from_numpy(np.array(x, np.float32)).permute(2, 0, 1)[None] for x in (given, known)
    )
    prior = prior_of(flow[:, :2], flow[:, 2:], torch.tensor([time])).flows
    errors = []
    for guess in (prior, seen):
        half = F.avg_pool2d(guess, 2) * 0.5
        both = [
            (sample(frame, half[:, 2 * i : 2 * i + 2]) - middle).abs().mean(1)
            for i, frame in enumerate((first, second))
        ]
        errors.append(F.avg_pool2d(torch.stack(both, dim=1), CELL // 2))
    worth = ((errors[0] - errors[1]) / (errors[0] + errors[1] + 0.02)).clamp(min=0)
    cells = torch.cat((F.avg_pool2d(seen, CELL), worth), dim=1)
    return np.asarray(cells[0].permute(1, 2, 0).numpy(), dtype=np.float32)


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
    given, known = (
        torch.from_numpy(np.stack([d[i] for d in drawn])).permute(0, 3, 1, 2).contiguous()
        for i in (1, 2)
    )
    return Batch(
        first=frames[0].contiguous(),
        middle=frames[1].contiguous(),
        second=frames[2].contiguous(),
        ahead=given[:, :2],
        back=given[:, 2:],
        known=known[:, :4],
        worth=known[:, 4:],
        time=torch.tensor([d[3] for d in drawn], dtype=torch.float32),
    )
