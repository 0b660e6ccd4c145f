"""A first guess at the flow between two frames that sees the whole picture at once.

Dense inverse search goes from coarse to fine, and loses what is small and moves farther than its
own size: at the coarse levels there is only the ground behind it. Here small patches of the first
frame, reduced to a few thousand cells, are compared with those of the second near and far; matches
that hold both ways are kept, and the rest is filled from kept neighbours of the same colour.
Search from this guess then starts in the right place.

Source of the idea: Revaud et al. 2015, *EpicFlow*, arXiv:1501.02565 (sparse matches, edge-aware
filling, then variational refinement); here the matches are plain patches, exhaustively compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CELLS", "Guess", "guess_motion"]

CELLS = 2304  # at most: memory and time grow with the square
_SMALLEST = 4.0  # side of a cell in pixels, at least
_SIGMA = 1.5  # of the weights in a patch, cells
_EFFORT = 3e-5  # what distance adds to a cost, per square of cells: of equal matches the nearest
_CLOSE = 2  # cells; a match farther off must be better than those as close as this
_BETTER, _NOISE = 0.85, 1e-3  # by this part, and by this much
_AGREE = 2.0  # cells; a round trip that misses by no more is a match
_COLOUR, _NEAR = 0.12, 1.5  # how far filling looks: colour in 0 to 1, distance in cells
_AROUND = 3  # cells to each side that filling looks at
# Brightness and two differences of colour from red, green and blue.
_CHANNELS = ((0.299, 0.587, 0.114), (0.5, -0.5, 0.0), (-0.25, -0.25, 0.5))


@dataclass(frozen=True, eq=False)
class Guess:
    """Rough motion between two frames, on a coarse grid, whatever the frames' size.

    Attributes:
        ahead: first → second, float32 (h, w, 2), as parts of the picture's width and height.
        back: second → first, likewise.
    """

    ahead: NDArray[np.float32]
    back: NDArray[np.float32]

    def flows(self, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``ahead`` and ``back`` at a size, float32 (H, W, 2), x then y, in pixels."""
        stretch = np.array([width, height], np.float32)
        flows = []
        for grid in (self.ahead, self.back):
            flow = cv2.resize(grid * stretch, (width, height), interpolation=cv2.INTER_LINEAR)
            flows.append(np.asarray(flow, dtype=np.float32).reshape(height, width, 2))
        return flows[0], flows[1]

    def farthest(self, height: int, width: int) -> float:
        """How far things move, in pixels of a size: all but the hundredth that moves most."""
        both = np.concatenate((self.ahead.reshape(-1, 2), self.back.reshape(-1, 2)))
        lengths = np.linalg.norm(both * np.array([width, height], np.float32), axis=1)
        return float(np.percentile(lengths, 99))


@torch.no_grad()
def guess_motion(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Guess:
    """A rough look at how two frames, (H, W, 3) RGB uint8 of one size, differ by motion."""
    height, width = first.shape[:2]
    side = max(_SMALLEST, (height * width / CELLS) ** 0.5)
    size = max(1, round(width / side)), max(1, round(height / side))
    small = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (first, second)]
    pictures = [torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 - 0.5 for x in small]
    places = _places(*size)
    one, two = (torch.cat((_patches(x), places * _EFFORT**0.5), dim=1) for x in pictures)
    ahead, back = _nearest(one, two, size), _nearest(two, one, size)
    pairs = (ahead, back), (back, ahead)
    moves = torch.stack([(places[there] - places).T for there, _ in pairs])
    missed = torch.stack([(places[again[there]] - places).abs().sum(1) for there, again in pairs])
    shape = (size[1], size[0])
    sure = (missed <= _AGREE).view(2, 1, *shape)
    filled = _filled(torch.cat(pictures), moves.view(2, 2, *shape), sure)
    parts = (filled / torch.tensor(size)[:, None, None]).permute(0, 2, 3, 1).contiguous().numpy()
    flows = np.asarray(parts, dtype=np.float32)
    return Guess(flows[0], flows[1])


def _patches(picture: Tensor) -> Tensor:
    """Around each cell 5 × 5 of brightness and 3 × 3 of colour, weighted: (cells, channels)."""
    seen = torch.einsum("cd,bdhw->bchw", torch.tensor(_CHANNELS), picture)
    parts = []
    for channels, reach in ((seen[:, :1], 2), (seen[:, 1:], 1)):
        offset = torch.arange(-reach, reach + 1)
        weight = torch.exp((offset[:, None] ** 2 + offset**2) / (-2 * _SIGMA**2)).flatten()
        weight = (weight / weight.sum()).sqrt().repeat(channels.shape[1])
        padded = F.pad(channels, (reach,) * 4, mode="replicate")
        parts.append(F.unfold(padded, 2 * reach + 1)[0].T * weight)
    return torch.cat(parts, dim=1)


@lru_cache(maxsize=4)
def _places(width: int, height: int) -> Tensor:
    """Column and row of each cell, (cells, 2)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), dim=1).float()


def _nearest(one: Tensor, two: Tensor, size: tuple[int, int]) -> Tensor:
    """For each row of ``one`` the number of the row of ``two`` that is like it: (cells,).

    Of those close by the best, unless one farther off is better by far: what repeats, and noise,
    has good matches everywhere.
    """
    # The square of the distance, less what is the same for all of a row, in one product.
    norm = two.square().sum(1, keepdim=True)
    ones = torch.ones(len(one), 1)
    cost = torch.cat((one * -2, ones), dim=1) @ torch.cat((two, norm), dim=1).T
    best = torch.from_numpy(cost.numpy().argmin(axis=1))  # torch's own is 15 times as slow
    around = _around(*size)
    near, place = cost.gather(1, around).min(1)
    rest = one.square().sum(1)
    far = cost.gather(1, best[:, None])[:, 0] + rest < _BETTER * (near + rest) - _NOISE
    return torch.where(far, best, around.gather(1, place[:, None])[:, 0])


@lru_cache(maxsize=4)
def _around(width: int, height: int) -> Tensor:
    """Numbers of the cells close to each, itself first: (cells, cells close by)."""
    places = _places(width, height).long()
    step = torch.arange(-_CLOSE, _CLOSE + 1)
    offsets = torch.stack(torch.meshgrid(step, step, indexing="ij"), dim=-1).flatten(0, 1)
    offsets = offsets[offsets.abs().sum(1).argsort(stable=True)]
    there = (places[:, None] + offsets).clamp(
        torch.zeros(2, dtype=torch.long), torch.tensor([width - 1, height - 1])
    )
    return there[..., 1] * width + there[..., 0]


def _filled(pictures: Tensor, flows: Tensor, sure: Tensor) -> Tensor:
    """Flows (2, 2, h, w) of both pictures (2, 3, h, w), from sure cells (2, 1, h, w) around."""
    blurred = F.avg_pool2d(F.pad(pictures, (1,) * 4, mode="replicate"), 3, stride=1)
    known = sure.float()
    total, share = _gathered(blurred, flows * known, known, 1)
    filled = total / share.clamp(min=1e-6)
    known = (share > 1e-3).float()
    if known.all():
        return filled
    total, share = _gathered(blurred, filled * known, known, 3)  # nothing sure was near
    return torch.where(known > 0, filled, total / share.clamp(min=1e-6))


def _gathered(pictures: Tensor, flows: Tensor, known: Tensor, spread: int) -> tuple[Tensor, Tensor]:
    """Weighted sums, by colour and distance, of flows and of what is known; steps of ``spread``."""
    reach = _AROUND * spread
    here = pictures * (0.5**0.5 / _COLOUR)
    height, width = here.shape[-2:]
    around = F.pad(here, (reach,) * 4)
    what = F.pad(torch.cat((flows, known), dim=1), (reach,) * 4)
    total = torch.zeros(len(here), 3, height, width)
    for y in range(0, 2 * reach + 1, spread):
        for x in range(0, 2 * reach + 1, spread):
            apart = (around[..., y : y + height, x : x + width] - here).square_().sum(1, True)
            apart += ((y - reach) ** 2 + (x - reach) ** 2) / (2 * (_NEAR * spread) ** 2)
            weight = apart.neg_().exp_()
            total.addcmul_(weight, what[..., y : y + height, x : x + width])
    return total[:, :2], total[:, 2:]
