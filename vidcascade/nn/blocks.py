"""The blocks of the space-time denoiser. Feature maps are (N, C, H, W) with N = batch · frames.

Norms work on each pixel's channels alone, never over space or time, so that a block gives the
same answer for a crop, a window or a whole clip (but for borders).
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vidcascade.nn.attention import Attention, rms_norm


class MatrixConv2d(nn.Module):
    """A 3 × 3 convolution whose weight is kept as a matrix (out, in · 9).

    Matrix optimisers such as Muon (Jordan et al. 2024) then see it as what it is: a linear map.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.shape = (outputs, inputs, 3, 3)
        self.weight = nn.Parameter(torch.randn(outputs, inputs * 9) * gain / math.sqrt(inputs * 9))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) → (N, out, H, W)."""
        weight = self.weight.view(self.shape).to(memory_format=torch.channels_last)
        return F.conv2d(x, weight, self.bias, padding=1)


class PixelNorm(nn.Module):
    """RMS norm over the channels of each pixel (Zhang & Sennrich 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape and dtype."""
        return rms_norm(x.permute(0, 2, 3, 1), self.weight).permute(0, 3, 1, 2)


class Modulation(nn.Module):
    """Scale and shift from the embedding (adaLN, Peebles & Xie 2023), zero at the start."""

    def __init__(self, embedding: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (N, C, H, W), embedding (N, E) → x · (1 + scale) + shift."""
        scale, shift = self.linear(embedding)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class ConvBlock(nn.Module):
    """Residual block of two 3 × 3 convolutions, modulated between them."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.conv_in = MatrixConv2d(width, width)
        self.norm_mid = PixelNorm(width)
        self.modulation = Modulation(embedding, width)
        self.conv_out = MatrixConv2d(width, width, gain=0.0)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        hidden = self.conv_in(F.silu(self.norm(x)))
        hidden = F.silu(self.modulation(self.norm_mid(hidden), embedding))
        return x + self.conv_out(hidden)


class Coordinates(nn.Module):
    """Adds features of each pixel's place in the picture, the identity at the start.

    Convolutions know of a picture's borders only what padding leaks (Liu et al. 2018, CoordConv).
    Sinusoids of x and y in [-1, 1], so that a picture of another size has the same coordinates.
    """

    WAVES = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * (1 + 2 * self.WAVES), width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        height, width = x.shape[2:]
        rows, columns = (
            (torch.arange(n, device=x.device, dtype=torch.float32) + 0.5) / n * 2 - 1
            for n in (height, width)
        )
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        rates = math.pi / 2 * torch.arange(1, self.WAVES + 1, device=x.device)
        angles = (grid[..., None] * rates).flatten(-2)
        features = torch.cat((grid, angles.cos(), angles.sin()), dim=-1)
        return x + self.linear(features.to(self.linear.weight.dtype)).permute(2, 0, 1).to(x.dtype)


class Layout(nn.Module):
    """Adds a coarse picture that the embedding alone draws, nothing at the start.

    What a prompt says of a frame's layout is then learnt like a linear regression, and the blocks
    only have to follow it.
    """

    SIDE, CHANNELS = 8, 16

    def __init__(self, embedding: int, width: int) -> None:
        super().__init__()
        self.draw = nn.Linear(embedding, self.CHANNELS * self.SIDE**2)
        nn.init.zeros_(self.draw.weight)
        nn.init.zeros_(self.draw.bias)
        self.spread = nn.Conv2d(self.CHANNELS, width, 1, bias=False)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x (N, C, H, W), embedding (N, E) → the shape of x."""
        coarse = self.draw(embedding).view(-1, self.CHANNELS, self.SIDE, self.SIDE)
        sized = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        return x + self.spread(sized)


class SpatialAttention(nn.Module):
    """Self-attention within each frame; positions come from the convolutions around it.

    With ``text_width`` the prompt's tokens stand beside the pixels as further keys and values
    (in-context conditioning, as in GLIDE, Nichol et al. 2022).
    """

    def __init__(self, width: int, head_dim: int, text_width: int | None = None) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.attention = Attention(width, head_dim=head_dim)
        self.words = nn.Linear(text_width, width) if text_width else None

    def forward(
        self, x: Tensor, text: Tensor | None = None, mask: Tensor | None = None, frames: int = 1
    ) -> Tensor:
        """x (B·T, C, H, W), text (B, L, D), mask (B, L) → the shape of x."""
        tokens = rearrange(self.norm(x), "n c h w -> n (h w) c")
        context = keys = None
        if self.words is not None and text is not None and mask is not None:
            words = self.words(text).to(tokens.dtype).repeat_interleave(frames, 0)
            context = torch.cat((tokens, words), dim=1)
            keys = F.pad(mask, (tokens.shape[1], 0), value=True).repeat_interleave(frames, 0)
        out = self.attention(tokens, context, keys)
        return x + rearrange(out, "n (h w) c -> n c h w", h=x.shape[2])


class TextAttention(nn.Module):
    """Cross-attention from pixels to the prompt's token states."""

    def __init__(self, width: int, text_width: int, head_dim: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.attention = Attention(width, text_width, head_dim)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor, frames: int) -> Tensor:
        """x (B·T, C, H, W), text (B, L, D), mask (B, L) → the shape of x."""
        tokens = rearrange(self.norm(x), "(b t) c h w -> b (t h w) c", t=frames)
        out = self.attention(tokens, text, mask)
        return x + rearrange(
            out, "b (t h w) c -> (b t) c h w", t=frames, h=x.shape[2], w=x.shape[3]
        )


class TemporalAttention(nn.Module):
    """Self-attention along time at each pixel, the identity at the start."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.attention = Attention(width, head_dim=head_dim, rotary=True)

    def forward(self, x: Tensor, frames: int, positions: Tensor) -> Tensor:
        """x (B·T, C, H, W), positions (B, T) in frames → the shape of x."""
        height, width = x.shape[2:]
        tokens = rearrange(self.norm(x), "(b t) c h w -> (b h w) t c", t=frames)
        out = self.attention(tokens, positions=positions.repeat_interleave(height * width, 0))
        return x + rearrange(out, "(b h w) t c -> (b t) c h w", h=height, w=width)


class JointAttention(nn.Module):
    """Self-attention over all pixels of all frames, the identity at the start.

    Attention along time at each pixel cannot follow what moves to another one; this can, at a cost
    that only a coarse level can bear. Time and place are told apart by rotary positions.
    """

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.attention = Attention(width, head_dim=head_dim, rotary=True)

    def forward(self, x: Tensor, frames: int, positions: Tensor) -> Tensor:
        """x (B·T, C, H, W), positions (B, T) in frames → the shape of x."""
        height, width = x.shape[2:]
        tokens = rearrange(self.norm(x), "(b t) c h w -> b (t h w) c", t=frames)
        rows, columns = (torch.arange(n, device=x.device) for n in (height, width))
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).float()
        times = positions.float()[:, :, None, None, None].expand(-1, -1, height, width, 1)
        places = torch.cat((times, grid.expand(*times.shape[:2], -1, -1, -1)), dim=-1)
        attend = self._attend_uncompiled if x.device.type == "cpu" else self.attention
        out = attend(tokens, positions=places.flatten(1, 3))
        return x + rearrange(out, "b (t h w) c -> (b t) c h w", t=frames, h=height, w=width)

    @torch.compiler.disable
    def _attend_uncompiled(self, tokens: Tensor, positions: Tensor) -> Tensor:
        # torch 2.13 compiles this for CPUs into something whose gradient of the keys is not finite.
        return cast("Tensor", self.attention(tokens, positions=positions))


class TemporalConv(nn.Module):
    """Convolution over three neighbouring frames, the identity at the start.

    Written as three linear maps of shifted frames, which is faster than a 3-D convolution; past
    the ends a frame is repeated.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = PixelNorm(width)
        self.mix = nn.Linear(3 * width, width)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        video = rearrange(F.silu(self.norm(x)), "(b t) c h w -> b t h w c", t=frames)
        before = torch.cat((video[:, :1], video[:, :-1]), dim=1)
        after = torch.cat((video[:, 1:], video[:, -1:]), dim=1)
        out = self.mix(torch.cat((before, video, after), dim=-1))
        return x + rearrange(out, "b t h w c -> (b t) c h w")
