"""The network that corrects an optical-flow prior into a frame between two others.

It works twice. A *coarse* part sees both frames at half size, warped by the prior, and corrects
the flows where motion is large (1/8 to 1/32 of the size). A *fine* part sees both frames warped
again by the corrected flows and decides, for each pixel, small corrections of the flow, which of
two motions holds beside a moving edge, which neighbour shows what is there (the other may cover
it), where nothing moves (a logo over a moving picture) and a residual colour. All heads start at
zero, so that an untrained network returns nearly the average of the two warps by the prior.

Sources: Jiang et al. 2018, *Super SloMo*, arXiv:1712.00080 (residual flow and visibility on a flow
prior); Huang et al. 2022, *RIFE*, arXiv:2011.06294 (intermediate flows refined from coarse to
fine, a mask and no separate synthesis).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from vidcascade.interpolation.warp_prior import (
    OFFSETS,
    Prior,
    enlarged,
    flows_of,
    sample,
    search,
)
from vidcascade.nn.blocks import MatrixConv2d

__all__ = [
    "GRANULARITY",
    "Correction",
    "WarpNetwork",
    "compose",
    "time_logit",
]

GRANULARITY = 32  # sides must be multiples: half size, then patches of 4, then two levels down
PATCH = 4
# Bring flows in pixels to about the size of pixel values.
COARSE_SCALE, FINE_SCALE = 16.0, 4.0
# What the heads' outputs are multiplied by: pixels, pixels, logits, colour. Small, since a step of
# Adam moves all weights of a head at once, and what moves a flow by pixels is noise.
COARSE_GAIN, FINE_GAIN, MASK_GAIN, COLOUR_GAIN = 4.0, 1.0, 2.0, 0.2
# What inputs are multiplied by. Norms make every pixel's features equally large, so what matters
# must not be small beside what does not: a misfit of a few levels beside the picture's own colour.
DIFFERENCE_GAIN, DETAIL_GAIN, COST_GAIN = 8.0, 3.0, 10.0
# The share of the motionless mix where the network says nothing: sigmoid(-6) = 0.0025.
HELD_BIAS = -6.0
# The same for the share of the searched motion: sigmoid(-5) = 0.0067.
GATE_BIAS = -5.0
# The same for the share of each followed motion: sigmoid(-3) = 0.047.
FOLLOW_BIAS = -3.0


@dataclass(frozen=True, eq=False)
class Correction:
    """What the network says about a frame at time t; float32.

    Attributes:
        coarse: flows after the coarse part at an eighth of the size, (B, 4, H/8, W/8): to the first
            and to the second frame, x then y each, in pixels of full size.
        flows: final flows, (B, 4, H, W).
        visible: logit of the first neighbour's share in the mix, (B, 1, H, W).
        held: share of the mix of both frames *without* motion, 0 to 1, (B, 1, H, W).
        residual: colour to add, (B, 3, H, W), in the frames' units.
    """

    coarse: Tensor
    flows: Tensor
    visible: Tensor
    held: Tensor
    residual: Tensor


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, without a shift (Ba et al. 2016).

    torch has a fused kernel for it on every device, and for an RMS norm on some.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape and dtype."""
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, x.shape[-1:], self.weight.to(x.dtype)).permute(0, 3, 1, 2)


class RefineBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions, the identity at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.conv_in = MatrixConv2d(width, width)
        self.conv_out = MatrixConv2d(width, width, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return x + self.conv_out(F.silu(self.conv_in(self.norm(x))))


class WarpNetwork(ModelMixin, ConfigMixin):
    """Corrects flows, decides visibility and adds what warping cannot make.

    Args:
        coarse: channels at 1/8, 1/16 and 1/32 of the size.
        coarse_depths: blocks on the way down at each of these (the last is the bottom).
        fine: channels at 1/4 of the size.
        fine_depth: blocks there.
        bridge: channels the coarse part hands to the fine one.
    """

    _supports_gradient_checkpointing = False
    _repeated_blocks: ClassVar[list[str]] = ["RefineBlock"]

    @register_to_config
    def __init__(
        self,
        coarse: Sequence[int] = (64, 96, 128),
        coarse_depths: Sequence[int] = (1, 1, 2),
        fine: int = 64,
        fine_depth: int = 2,
        bridge: int = 32,
    ) -> None:
        super().__init__()
        wide, mid, deep = coarse
        area = PATCH**2
        # Contrasts of both warps in patches, then at 1/8: flows (4), the round trips' misses (2),
        # the search (its costs and the motion it finds), the followed motions and what they and the
        # prior leave unlike (4 + 3), time (1).
        self.coarse_stem = MatrixConv2d(6 * area + 6 + len(OFFSETS) + 4 + 7 + 1, wide)
        self.coarse_down = _blocks(wide, coarse_depths[0])
        self.to_mid = nn.Conv2d(wide, mid, 2, stride=2)
        self.mid_down = _blocks(mid, coarse_depths[1])
        self.to_deep = nn.Conv2d(mid, deep, 2, stride=2)
        self.deep_blocks = _blocks(deep, coarse_depths[2])
        self.from_deep = nn.Conv2d(deep, 4 * mid, 1)
        self.mid_skip = nn.Conv2d(2 * mid, mid, 1)
        self.mid_up = _blocks(mid, coarse_depths[1])
        self.from_mid = nn.Conv2d(mid, 4 * wide, 1)
        self.coarse_skip = nn.Conv2d(2 * wide, wide, 1)
        self.coarse_up = _blocks(wide, coarse_depths[0])
        self.coarse_norm = ChannelNorm(wide)
        self.coarse_head = MatrixConv2d(wide, 5, gain=0.0)
        self.hand_over = nn.Conv2d(wide, 4 * bridge, 1)
        # How far apart both warps (3 + 1) and the unmoved frames are, one warp.
        self.fine_pictures = nn.Conv2d(10, fine, PATCH, stride=PATCH)
        # At 1/4: flows, misses, followed motions with what they leave unlike, time, the coarse
        # features.
        self.fine_fields = nn.Conv2d(6 + 7 + 1 + bridge, fine, 1)
        self.fine_blocks = _blocks(fine, fine_depth)
        self.fine_norm = ChannelNorm(fine)
        self.fine_flow = MatrixConv2d(fine, 4, gain=0.0)
        self.fine_head = nn.Conv2d(fine, 5 * area, 1)
        self.fine_follow = nn.Conv2d(fine, 2 * area // 4, 1)
        for head in (self.fine_head, self.fine_follow):
            nn.init.zeros_(head.weight)
            assert head.bias is not None
            nn.init.zeros_(head.bias)

    def forward(self, first: Tensor, second: Tensor, prior: Prior, time: Tensor) -> Correction:
        """Correct a prior.

        Args:
            first: the frame before, (B, 3, H, W) in [-1, 1], sides multiples of
                :data:`GRANULARITY`.
            second: the frame after, likewise.
            prior: of this pair and time, from :func:`prior_of`.
            time: of the missing frame, 0 to 1, (B,).
        """
        size = first.shape[-2:]
        x, follow, found = self._seen_small(first, second, prior, time)
        features = self._coarse(x)
        head = self.coarse_head(F.silu(self.coarse_norm(features))).float()
        delta = head[:, :4] * COARSE_GAIN
        delta = delta + torch.sigmoid(head[:, 4:] * MASK_GAIN + GATE_BIAS) * found

        # What the fine part sees tells the coarse part nothing about its own flows, as in RAFT
        # (Teed & Deng 2020, arXiv:2003.12039): the fine inputs need no gradient.
        pictures, fields = self._seen_full(first, second, delta.detach(), prior, follow, time)
        handed = F.pixel_shuffle(self.hand_over(features), 2).to(fields.dtype)
        fields = torch.cat((fields, handed), dim=1).contiguous(memory_format=torch.channels_last)
        x = self.fine_pictures(pictures) + self.fine_fields(fields)
        x = F.silu(self.fine_norm(self.fine_blocks(x)))
        head = F.pixel_shuffle(self.fine_head(x).float().contiguous(), PATCH)
        return Correction(
            coarse=F.avg_pool2d(prior.flows[..., ::2, ::2], 4) + delta,
            flows=prior.flows + enlarged(self._change(x, delta, prior, time), size),
            visible=head[:, :1] * MASK_GAIN + time_logit(time)[:, None, None, None],
            held=torch.sigmoid(head[:, 1:2] * MASK_GAIN + HELD_BIAS),
            residual=head[:, 2:] * COLOUR_GAIN,
        )

    def _change(self, x: Tensor, delta: Tensor, prior: Prior, time: Tensor) -> Tensor:
        """What is added to the prior's flows, (B, 4, H/2, W/2) in pixels of full size."""
        size = prior.followed.shape[-2:]
        fine = self.fine_flow(x).float() * FINE_GAIN
        change = enlarged(delta, size) + enlarged(fine, size)
        share = F.pixel_shuffle(self.fine_follow(x).float().contiguous(), PATCH // 2)
        share = torch.sigmoid(share * MASK_GAIN + FOLLOW_BIAS)
        plain = F.avg_pool2d(prior.flows, 2)
        for number in range(2):
            motion = prior.followed[:, 2 * number : 2 * number + 2]
            change = torch.lerp(change, flows_of(motion, time) - plain, share[:, number, None])
        return change

    @torch.no_grad()
    def _seen_small(
        self, first: Tensor, second: Tensor, prior: Prior, time: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the coarse part sees, at 1/8; the followed motions' part at 1/2; the search's."""
        half = F.avg_pool2d(prior.flows, 2) * 0.5
        small = [F.avg_pool2d(frame, 2) for frame in (first, second)]
        warps = [sample(s, half[:, 2 * i : 2 * i + 2]) for i, s in enumerate(small)]
        costs, found = search(warps[0], warps[1], time)
        unlike = [(warps[0] - warps[1]).abs().mean(1, keepdim=True)]
        plain = 2 * (half[:, 2:] - half[:, :2])
        motions = []
        for number in range(2):
            motion = prior.followed[:, 2 * number : 2 * number + 2]
            flows = flows_of(motion * 0.5, time)
            one, two = (sample(s, flows[:, 2 * i : 2 * i + 2]) for i, s in enumerate(small))
            unlike.append((one - two).abs().mean(1, keepdim=True))
            motions.append((motion - plain) / FINE_SCALE)
        follow = torch.cat((*motions, *(x * DIFFERENCE_GAIN for x in unlike)), dim=1)
        x = torch.cat(
            (
                F.pixel_unshuffle(torch.cat(_contrast(warps[0], warps[1]), dim=1), PATCH),
                F.avg_pool2d(half, 4) * (2 / COARSE_SCALE),
                F.avg_pool2d(prior.miss, 4).log1p(),
                costs * COST_GAIN,
                found / FINE_SCALE,
                F.avg_pool2d(follow, 4),
            ),
            dim=1,
        )
        x = torch.cat((x, _plane(time, x)), dim=1)
        return _channels_last(x, self.coarse_stem.weight.dtype), follow, found

    @torch.no_grad()
    def _seen_full(
        self,
        first: Tensor,
        second: Tensor,
        delta: Tensor,
        prior: Prior,
        follow: Tensor,
        time: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """What the fine part sees: pictures at full size, fields at 1/4."""
        dtype = self.coarse_stem.weight.dtype
        coarse = prior.flows + enlarged(delta, first.shape[-2:])
        warps = [sample(f, coarse[:, 2 * i : 2 * i + 2]) for i, f in enumerate((first, second))]
        differ = (warps[0] - warps[1]) * DIFFERENCE_GAIN
        apart = differ.abs().mean(1, keepdim=True)
        unmoved = (first - second) * (DIFFERENCE_GAIN / 2)
        pictures = torch.cat((differ, apart, unmoved, warps[0]), dim=1)
        fields = torch.cat(
            (
                F.avg_pool2d(coarse, PATCH) / FINE_SCALE,
                F.avg_pool2d(prior.miss, 2).log1p(),
                F.avg_pool2d(follow, 2),
            ),
            dim=1,
        )
        fields = torch.cat((fields, _plane(time, fields)), dim=1)
        return _channels_last(pictures, dtype), fields.to(dtype)

    def _coarse(self, x: Tensor) -> Tensor:
        kept = self.coarse_down(self.coarse_stem(x))
        middle = self.mid_down(self.to_mid(kept))
        deep = self.deep_blocks(self.to_deep(middle))
        up = F.pixel_shuffle(self.from_deep(deep), 2)
        middle = self.mid_up(self.mid_skip(torch.cat((up, middle), dim=1)))
        up = F.pixel_shuffle(self.from_mid(middle), 2)
        out: Tensor = self.coarse_up(self.coarse_skip(torch.cat((up, kept), dim=1)))
        return out


def compose(first: Tensor, second: Tensor, given: Correction, time: Tensor) -> Tensor:
    """The missing frame from its neighbours (B, 3, H, W): warped, mixed, with the residual."""
    one = sample(first, given.flows[:, :2], "bicubic")
    two = sample(second, given.flows[:, 2:], "bicubic")
    mixed = torch.lerp(two, one, torch.sigmoid(given.visible))
    held = torch.lerp(first, second, time[:, None, None, None])
    return torch.lerp(mixed, held, given.held) + given.residual


def _contrast(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Where two warps differ, and the detail of their mean without its colour, both enlarged."""
    mean = (one + two) * 0.5
    wide = enlarged(F.avg_pool2d(mean, 8), mean.shape[-2:])
    return (one - two) * DIFFERENCE_GAIN, (mean - wide) * DETAIL_GAIN


def time_logit(time: Tensor) -> Tensor:
    """Logit of the first neighbour's share, 1 - t, where both are equally good."""
    return torch.log1p(-time) - torch.log(time)


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(RefineBlock(width) for _ in range(depth)))


def _channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _plane(time: Tensor, like: Tensor) -> Tensor:
    return (time[:, None, None, None] - 0.5).expand(-1, 1, *like.shape[-2:])
