"""The network that corrects an optical-flow prior into a frame between two others.

It works twice. A *coarse* part sees both frames at half size, warped by the prior, and corrects
the flows where motion is large (1/8 to 1/32 of the size). A *fine* part sees both frames warped
again by the corrected flows and decides, for each pixel, small corrections of the flow, which
neighbour shows what is there (the other may cover it), where nothing moves (a logo over a moving
picture) and a residual colour. All heads start at zero, so that an untrained network returns the
average of the two warps by the prior.

Sources: Jiang et al. 2018, *Super SloMo*, arXiv:1712.00080 (residual flow and visibility on a flow
prior); Huang et al. 2022, *RIFE*, arXiv:2011.06294 (intermediate flows refined from coarse to
fine, a mask and no separate synthesis).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from vidcascade.nn.blocks import MatrixConv2d, PixelNorm

__all__ = [
    "GRANULARITY",
    "Correction",
    "WarpNetwork",
    "compose",
    "prior_of",
    "sample",
    "time_logit",
]

GRANULARITY = 32  # sides must be multiples: half size, then patches of 4, then two levels down
PATCH = 4
_STEPS = (-4, -2, -1, 0, 1, 2, 4)
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
# Where the prior may have missed a motion: offsets tried, in pixels at 1/4 of the size, and how
# sharply the best of them is chosen, in units of the frames.
OFFSETS = tuple((x, y) for y in _STEPS for x in _STEPS)
SHARPNESS = 0.03


@dataclass(frozen=True, eq=False)
class Correction:
    """What the network says about a frame at time t; all (B, ·, H, W) in float32.

    Attributes:
        coarse: flows after the coarse part, (B, 4, H, W): to the first and to the second frame,
            x then y each, in pixels.
        flows: final flows, likewise.
        visible: logit of the first neighbour's share in the mix, (B, 1, H, W).
        held: share of the mix of both frames *without* motion, 0 to 1, (B, 1, H, W).
        residual: colour to add, (B, 3, H, W), in the frames' units.
    """

    coarse: Tensor
    flows: Tensor
    visible: Tensor
    held: Tensor
    residual: Tensor


class RefineBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions, the identity at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
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
        # the search (its costs and the motion it finds), time (1).
        self.coarse_stem = MatrixConv2d(6 * area + 6 + len(OFFSETS) + 4 + 1, wide)
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
        self.coarse_norm = PixelNorm(wide)
        self.coarse_head = MatrixConv2d(wide, 5, gain=0.0)
        self.hand_over = nn.Conv2d(wide, 4 * bridge, 1)
        # Contrasts of both warps, how far apart they and the unmoved frames are, one warp.
        self.fine_pictures = nn.Conv2d(13, fine, PATCH, stride=PATCH)
        # At 1/4: flows, misses, time, the coarse features.
        self.fine_fields = nn.Conv2d(7 + bridge, fine, 1)
        self.fine_blocks = _blocks(fine, fine_depth)
        self.fine_norm = PixelNorm(fine)
        self.fine_flow = MatrixConv2d(fine, 4, gain=0.0)
        self.fine_head = nn.Conv2d(fine, 5 * area, 1)
        nn.init.zeros_(self.fine_head.weight)
        assert self.fine_head.bias is not None
        nn.init.zeros_(self.fine_head.bias)

    def forward(
        self, first: Tensor, second: Tensor, prior: Tensor, miss: Tensor, time: Tensor
    ) -> Correction:
        """Correct a prior.

        Args:
            first: the frame before, (B, 3, H, W) in [-1, 1], sides multiples of
                :data:`GRANULARITY`.
            second: the frame after, likewise.
            prior: flows from the missing frame to the first and to the second, (B, 4, H, W) in
                pixels.
            miss: how far, in pixels, a round trip from each neighbour fails to come back, seen from
                the missing frame, (B, 2, H/2, W/2), as :func:`prior_of` gives it.
            time: of the missing frame, 0 to 1, (B,).
        """
        dtype = self.coarse_stem.weight.dtype
        size = first.shape[-2:]
        half = F.avg_pool2d(prior, 2) * 0.5
        small = [F.avg_pool2d(frame, 2) for frame in (first, second)]
        warps = [sample(s, half[:, 2 * i : 2 * i + 2]) for i, s in enumerate(small)]
        costs, found = _search(warps[0], warps[1], time)
        x = torch.cat(
            (
                F.pixel_unshuffle(torch.cat(_contrast(warps[0], warps[1]), dim=1), PATCH),
                F.avg_pool2d(half, 4) * (2 / COARSE_SCALE),
                F.avg_pool2d(miss, 4).log1p(),
                costs * COST_GAIN,
                found / FINE_SCALE,
            ),
            dim=1,
        )
        x = torch.cat((x, _plane(time, x)), dim=1)
        features = self._coarse(_channels_last(x, dtype))
        head = self.coarse_head(F.silu(self.coarse_norm(features))).float()
        delta = head[:, :4] * COARSE_GAIN
        delta = delta + torch.sigmoid(head[:, 4:] * MASK_GAIN + GATE_BIAS) * found
        coarse = prior + _enlarged(delta, size)

        warps = [sample(f, coarse[:, 2 * i : 2 * i + 2]) for i, f in enumerate((first, second))]
        differ, detail = _contrast(warps[0], warps[1])
        apart = differ.abs().mean(1, keepdim=True)
        unmoved = (first - second) * (DIFFERENCE_GAIN / 2)
        pictures = torch.cat(
            [p.to(dtype) for p in (differ, detail, apart, unmoved, warps[0])], dim=1
        ).contiguous(memory_format=torch.channels_last)
        fields = torch.cat(
            (
                F.avg_pool2d(coarse, PATCH) / FINE_SCALE,
                F.avg_pool2d(miss, 2).log1p(),
            ),
            dim=1,
        )
        fields = torch.cat((fields, _plane(time, fields)), dim=1).to(dtype)
        handed = F.pixel_shuffle(self.hand_over(features), 2).to(dtype)
        fields = torch.cat((fields, handed), dim=1).contiguous(memory_format=torch.channels_last)
        x = self.fine_pictures(pictures) + self.fine_fields(fields)
        x = F.silu(self.fine_norm(self.fine_blocks(x)))
        delta = self.fine_flow(x).float() * FINE_GAIN
        head = F.pixel_shuffle(self.fine_head(x).float().contiguous(), PATCH)
        return Correction(
            coarse=coarse,
            flows=coarse + _enlarged(delta, size),
            visible=head[:, :1] * MASK_GAIN + time_logit(time)[:, None, None, None],
            held=torch.sigmoid(head[:, 1:2] * MASK_GAIN + HELD_BIAS),
            residual=head[:, 2:] * COLOUR_GAIN,
        )

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
    """The missing frame from its neighbours (B, 3, H, W): warped, mixed, with the residual.

    The residual fades out where both neighbours agree and nothing moves, so that what stands still
    stays as it is.
    """
    one = sample(first, given.flows[:, :2], "bicubic")
    two = sample(second, given.flows[:, 2:], "bicubic")
    mixed = torch.lerp(two, one, torch.sigmoid(given.visible))
    held = torch.lerp(first, second, time[:, None, None, None])
    return torch.lerp(mixed, held, given.held) + given.residual


def prior_of(ahead: Tensor, back: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """What the network is given to correct, from the flows between its two frames.

    Args:
        ahead: flow from the first frame to the second, (B, 2, H, W) in pixels, even sides.
        back: from the second to the first.
        time: of the missing frame, 0 to 1, (B,).

    Returns:
        Flows from the missing frame to both, (B, 4, H, W), as
        :func:`vidcascade.flow.midpoint.intermediate_flows`; and the misses (B, 2, H/2, W/2): how
        many pixels a round trip from the first frame, and from the second, ends beside its start,
        looked up where the missing frame looks up their pixels. What is seen in one neighbour
        alone has a large miss there.
    """
    t = time[:, None, None, None]
    prior = torch.cat(
        (back * (t * t) - ahead * (t * (1 - t)), ahead * ((1 - t) ** 2) - back * (t * (1 - t))), 1
    )
    one, two, half = (F.avg_pool2d(flow, 2) * 0.5 for flow in (ahead, back, prior))
    first = (one + sample(two, one)).square().sum(1, keepdim=True).sqrt()
    second = (two + sample(one, two)).square().sum(1, keepdim=True).sqrt()
    return prior, 2 * torch.cat((sample(first, half[:, :2]), sample(second, half[:, 2:])), dim=1)


@torch.no_grad()
def _search(first: Tensor, second: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Motions, symmetric about the missing frame, that would make the warped neighbours agree.

    A bilateral cost volume (Park et al. 2020, *BMBC*, arXiv:2007.12622) of plain colour
    differences: it finds small things that move fast, which the flow's pyramid loses.

    Args:
        first: the first neighbour at half size, warped by the prior, (B, 3, h, w).
        second: the second one.
        time: of the missing frame, (B,).

    Returns:
        At a quarter of the given size: costs relative to no offset (B, offsets, ·, ·), and the
        change of both flows to the best offset, (B, 4, ·, ·) in pixels of full size.
    """
    reach = max(abs(step) for step in _STEPS)
    pair = [F.avg_pool2d(x, 2) for x in (first, second)]
    height, width = pair[0].shape[-2:]
    one, two = (F.pad(x, (reach,) * 4, mode="replicate") for x in pair)
    costs = []
    for x, y in OFFSETS:
        a = one[..., reach - y : reach - y + height, reach - x : reach - x + width]
        b = two[..., reach + y : reach + y + height, reach + x : reach + x + width]
        costs.append((a - b).abs().mean(1))
    cost = F.avg_pool2d(torch.stack(costs, dim=1), 4, stride=2, padding=1)
    cost = F.avg_pool2d(cost, 3, stride=1, padding=1)
    cost = cost - cost[:, len(OFFSETS) // 2, None]
    chance = torch.softmax(cost / -SHARPNESS, dim=1)
    steps = torch.tensor(OFFSETS, dtype=cost.dtype, device=cost.device) * 4
    best = torch.einsum("bnhw,nc->bchw", chance, steps)
    t = time[:, None, None, None]
    return cost, torch.cat((best * (-2 * t), best * (2 * (1 - t))), dim=1)


def _contrast(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Where two warps differ, and the detail of their mean without its colour, both enlarged."""
    mean = (one + two) * 0.5
    wide = _enlarged(F.avg_pool2d(mean, 8), mean.shape[-2:])
    return (one - two) * DIFFERENCE_GAIN, (mean - wide) * DETAIL_GAIN


def sample(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """``out(p) = image(p + flow(p))``, clamped to the border; differentiable in the flow.

    Faster than :func:`vidcascade.flow.warp.warp`, and exact only to rounding.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, x then y.
        mode: ``"bilinear"`` or ``"bicubic"``.
    """
    height, width = image.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=torch.float32) + flow[:, 0].float()
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None] + flow[:, 1].float()
    grid = torch.stack((x * (2 / width) + (1 / width - 1), y * (2 / height) + (1 / height - 1)), -1)
    return F.grid_sample(image.float(), grid, mode=mode, padding_mode="border", align_corners=False)


def time_logit(time: Tensor) -> Tensor:
    """Logit of the first neighbour's share, 1 - t, where both are equally good."""
    return torch.log1p(-time) - torch.log(time)


def parameters_of(network: nn.Module) -> int:
    """Number of parameters."""
    return sum(math.prod(p.shape) for p in network.parameters())


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(RefineBlock(width) for _ in range(depth)))


def _channels_last(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def _plane(time: Tensor, like: Tensor) -> Tensor:
    return (time[:, None, None, None] - 0.5).expand(-1, 1, *like.shape[-2:])


def _enlarged(flow: Tensor, size: Sequence[int]) -> Tensor:
    """A field on the pixel grid of a larger size; its values, in pixels of that size, stay."""
    return F.interpolate(flow, size=tuple(size), mode="bilinear", align_corners=False)
