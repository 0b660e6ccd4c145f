"""The recursive bridge: fills a timeline of 2n (or 2n-1) slots from n known frames.

Missing frames come from a *warp head*: the network corrects an optical-flow prior towards both
neighbours, chooses between the two warped neighbours pixel by pixel, and adds a residual, so
detail comes from the neighbours' own pixels (as in Super SloMo, Jiang et al. 2018). Before any
training the head returns the average of the two DIS warps, which is already a good frame.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vidcascade.cascade.augment import augment, unscale
from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import Conditioning, Stage, resize
from vidcascade.flow.dis import dis_flow
from vidcascade.flow.midpoint import extrapolated_flows, intermediate_flows
from vidcascade.flow.warp import warp

# Brings flows in pixels to about the size of pixel values, for the network's input and output.
FLOW_SCALE = 8.0


class BridgeStage(Stage):
    """Doubles the frame rate once; the pipeline applies it ``rounds`` times."""

    cond_channels: ClassVar[int] = 3 + 3 + 4 + 1
    out_channels: ClassVar[int] = 4 + 1 + 3

    def __init__(self, spec: StageSpec) -> None:
        super().__init__(spec)
        self.extend = spec.fill == "extend"

    def condition(self, previous: Tensor, augmentation: Tensor, noise: Tensor) -> Conditioning:
        """Known frames (B, n, 3, h, w) → a timeline of 2n or 2n-1 slots at the stage's size.

        ``noise`` has the shape of ``previous``. Flows are estimated on the frames before noise is
        added: they are a prior on motion, and the network is told how far to trust the pixels.
        """
        size = self.spec.size
        given = unscale(augment(previous, noise, augmentation), augmentation)
        frames = resize(given, size)
        flows = [self._slot_flows(video) for video in resize(previous, size)]
        count = frames.shape[1]
        slots = 2 * count if self.extend else 2 * count - 1
        first = [min(slot // 2, count - 1) for slot in range(slots)]
        second = [
            slot // 2 if slot % 2 == 0 else slot // 2 + 1 if slot // 2 + 1 < count else count - 2
            for slot in range(slots)
        ]
        known = torch.tensor([1.0 - slot % 2 for slot in range(slots)], device=frames.device)
        return Conditioning(
            video=frames[:, first],
            other=frames[:, [max(s, 0) for s in second]],
            flow=torch.stack(flows).to(frames),
            known=known[None, :, None, None, None].expand(len(flows), -1, 1, size, size),
        )

    def _slot_flows(self, video: Tensor) -> Tensor:
        """(n, 3, H, W) clean known frames → flows of each slot to its neighbours, (T, 4, H, W)."""
        pixels = ((video.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        frames = pixels.permute(0, 2, 3, 1).cpu().numpy()
        zero = np.zeros((4, *frames.shape[1:3]), np.float32)
        out: list[np.ndarray] = []
        back = None
        for a, b in itertools.pairwise(frames):
            ahead, back = dis_flow(a, b), dis_flow(b, a)
            to_a, to_b = intermediate_flows(ahead, back)
            out += [zero, _channels_first(to_a, to_b)]
        out.append(zero)
        if self.extend:
            # A single frame has no motion to continue: it is held.
            out.append(
                zero if back is None else _channels_first(*extrapolated_flows(back, step=0.5))
            )
        return torch.from_numpy(np.stack(out))

    def network_cond(self, given: Conditioning) -> Tensor:
        """Both warped neighbours, the flow prior and the mask of known slots."""
        first, second = self._warps(given, 0.0)
        assert given.flow is not None
        assert given.known is not None
        return torch.cat((first, second, given.flow / FLOW_SCALE, given.known), dim=2)

    def to_x(self, output: Tensor, given: Conditioning | None, augmentation: Tensor) -> Tensor:
        """Corrected warps, mixed by visibility, plus the residual."""
        assert given is not None
        delta, visible, residual = output.split((4, 1, 3), dim=2)
        first, second = self._warps(given, delta * FLOW_SCALE)
        return torch.lerp(second, first, torch.sigmoid(visible)) + residual

    @staticmethod
    def _warps(given: Conditioning, delta: Tensor | float) -> tuple[Tensor, Tensor]:
        assert given.flow is not None
        assert given.other is not None
        flow = (given.flow + delta).flatten(0, 1)
        shape = given.video.shape[:2]
        first = warp(given.video.flatten(0, 1), flow[:, :2]).unflatten(0, shape)
        second = warp(given.other.flatten(0, 1), flow[:, 2:]).unflatten(0, shape)
        return first, second


def _channels_first(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate((first, second), axis=-1).transpose(2, 0, 1)
