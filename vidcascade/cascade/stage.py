"""What all stages share: conditioning, and turning the network's output into x.

A stage is a network and a rule for what it is given. The rule has three parts, and each stage
kind is one small class that answers them: :meth:`Stage.condition`, :meth:`Stage.cond_channels`
and :meth:`Stage.to_x`. Training and sampling go through the same three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcascade.cascade.spec import StageSpec
from vidcascade.nn.denoiser import SpaceTimeDenoiser


@dataclass(frozen=True)
class Conditioning:
    """What a stage knows before it starts, at its own resolution; every field is (B, T, ·, H, W).

    Attributes:
        video: the previous stage's frames brought to this size (for a bridge the first neighbour).
        other: the bridge's second neighbour of each slot.
        flow: flows from each slot to its two neighbours in pixels, 4 channels (x, y, x, y).
        known: 1 where the slot holds a known frame, 1 channel.
        clean: ``video`` before noise augmentation, from which a truncated schedule starts.
    """

    video: Tensor
    other: Tensor | None = None
    flow: Tensor | None = None
    known: Tensor | None = None
    clean: Tensor | None = None

    def crop(self, top: int, left: int, height: int, width: int) -> Conditioning:
        """The same window of every field."""
        return self._map(lambda x: x[..., top : top + height, left : left + width])

    def to(self, device: torch.device | str) -> Conditioning:
        """All fields on that device."""
        return self._map(lambda x: x.to(device))

    def part(self, which: slice | Tensor) -> Conditioning:
        """Some samples of the batch: a range, or their numbers as an index."""
        return self._map(lambda x: x[which])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {k: v if v is None else change(v) for k, v in given.items()}
        return Conditioning(**changed)

    @staticmethod
    def stack(items: list[Conditioning]) -> Conditioning:
        """Concatenate along the batch."""
        first = items[0]
        merged = {
            f.name: torch.cat([getattr(item, f.name) for item in items])
            for f in fields(first)
            if getattr(first, f.name) is not None
        }
        return Conditioning(**merged)


class Stage(ABC):
    """One kind of stage; see the module's docstring."""

    cond_channels: ClassVar[int] = 0
    out_channels: ClassVar[int] = 3

    def __init__(self, spec: StageSpec) -> None:
        self.spec = spec

    @abstractmethod
    def condition(self, previous: Tensor, augmentation: Tensor, noise: Tensor) -> Conditioning:
        """Prepare the previous stage's video.

        Args:
            previous: (B, T, 3, H, W) in [-1, 1].
            augmentation: VP σ, (B,).
            noise: standard normal, the shape of ``previous``.
        """

    @abstractmethod
    def network_cond(self, given: Conditioning) -> Tensor | None:
        """What is concatenated to the sample: (B, T, cond_channels, H, W), or None."""

    @abstractmethod
    def to_x(self, output: Tensor, given: Conditioning | None, augmentation: Tensor) -> Tensor:
        """Network output (B, T, out_channels, H, W) → predicted x (B, T, 3, H, W)."""

    def start(self, given: Conditioning | None) -> Tensor | None:
        """x from which a truncated schedule starts, or None to start from noise."""
        return None

    def build_network(self, text_width: int | None) -> SpaceTimeDenoiser:
        """A fresh network of the spec's size."""
        net = self.spec.network
        return SpaceTimeDenoiser(
            cond_channels=self.cond_channels,
            out_channels=self.out_channels,
            patch=net.patch,
            channels=list(net.channels),
            depths=list(net.depths),
            spatial_attention=list(net.spatial_attention),
            temporal=list(net.temporal),
            head_dim=net.head_dim,
            text_width=text_width if net.text else None,
            frame_times=net.frame_times,
            text_order=net.text_order,
            coordinates=net.coordinates,
        )

    def predict(
        self,
        network: SpaceTimeDenoiser,
        sample: Tensor,
        sigma: Tensor,
        given: Conditioning | None = None,
        augmentation: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Predicted x (B, T, 3, H, W) for a noisy sample at flow σ (B,)."""
        if augmentation is None:
            augmentation = torch.zeros_like(sigma)
        cond = None if given is None else self.network_cond(given)
        output = network(sample, sigma, cond, augmentation, text, text_mask, positions)
        return self.to_x(output.float(), given, augmentation)


def resize(video: Tensor, size: int | tuple[int, int], mode: str = "bicubic") -> Tensor:
    """(B, T, C, H, W) to a new size; antialiased when it shrinks."""
    shape = (size, size) if isinstance(size, int) else size
    if tuple(video.shape[-2:]) == shape:
        return video
    flat = video.flatten(0, 1)
    shrinks = shape[0] < video.shape[-2]
    if shrinks and mode == "area":
        out = F.interpolate(flat, shape, mode="area")
    else:
        out = F.interpolate(flat, shape, mode=mode, align_corners=False, antialias=shrinks)
    return out.unflatten(0, video.shape[:2])
