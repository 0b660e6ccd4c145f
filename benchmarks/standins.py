"""What a stage is compared with: the same step done without any learning.

Videos are (1, T, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidcascade.cascade.bridge import BridgeStage
from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import resize


def bicubic(video: Tensor, size: int) -> Tensor:
    """Each frame enlarged by itself."""
    return resize(video, size).clamp(-1, 1)


def blend(video: Tensor, spec: StageSpec) -> Tensor:
    """Missing frames of a bridge by :func:`between`; then bicubic."""
    for _ in range(spec.rounds):
        video = between(video, spec.fill == "extend")
    return bicubic(video, spec.size)


def between(video: Tensor, extend: bool = True) -> Tensor:
    """Missing frames are the mean of their neighbours, the last one is held.

    (1, T, 3, H, W) → 2T frames, or 2T - 1 without ``extend``.
    """
    mixed = (video[:, :-1] + video[:, 1:]) / 2
    slots = [video[:, :1]]
    for k in range(mixed.shape[1]):
        slots += [mixed[:, k : k + 1], video[:, k + 1 : k + 2]]
    if extend:
        slots.append(video[:, -1:])
    return torch.cat(slots, dim=1)


def flow_warp(video: Tensor, spec: StageSpec) -> Tensor:
    """The bridge without its network: both neighbours warped along DIS flow and averaged."""
    rule = BridgeStage(spec)
    for _ in range(spec.rounds):
        given = rule.condition(video, torch.zeros(1), torch.zeros_like(video))
        height, width = given.video.shape[-2:]
        nothing = torch.zeros(1, given.video.shape[1], rule.out_channels, height, width)
        video = rule.to_x(nothing, given, torch.zeros(1))
    return video.clamp(-1, 1)
