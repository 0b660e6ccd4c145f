"""The one network of all stages: a space-time U-Net that predicts x."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from vidcascade.nn.blocks import (
    ConvBlock,
    Coordinates,
    JointAttention,
    Layout,
    MatrixConv2d,
    PixelNorm,
    SpatialAttention,
    TemporalAttention,
    TemporalConv,
    TextAttention,
)
from vidcascade.nn.embeddings import ScalarEmbedding

_TEXT_GROUPS = 8  # groups of features that choose their tokens by themselves


class SpaceTimeBlock(nn.Module):
    """Space, then text, then time; every part but the convolution is optional."""

    def __init__(
        self,
        width: int,
        embedding: int,
        head_dim: int,
        spatial_attention: bool,
        temporal: str,
        text_width: int | None,
        text_attention: str = "cross",
    ) -> None:
        super().__init__()
        self.conv = ConvBlock(width, embedding)
        self.space = self.text = None
        if spatial_attention:
            in_context = text_width if text_attention == "context" else None
            self.space = SpatialAttention(width, head_dim, in_context)
            if text_width and text_attention == "cross":
                self.text = TextAttention(width, text_width, head_dim)
        self.time: TemporalAttention | JointAttention | TemporalConv | None = None
        if temporal == "joint":
            self.time = JointAttention(width, head_dim)
        elif temporal == "attention":
            self.time = TemporalAttention(width, head_dim)
        elif temporal == "convolution":
            self.time = TemporalConv(width)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        text: Tensor | None,
        mask: Tensor | None,
        positions: Tensor,
    ) -> Tensor:
        """x (B·T, C, H, W), embedding (B·T, E), text (B, L, D), positions (B, T) → as x."""
        frames = positions.shape[1]
        x = self.conv(x, embedding)
        if self.space is not None:
            x = self.space(x, text, mask, frames)
        if self.text is not None and text is not None and mask is not None:
            x = self.text(x, text, mask, frames)
        if frames > 1:  # a single frame has nothing to mix with: pictures train space alone
            if isinstance(self.time, TemporalAttention | JointAttention):
                x = self.time(x, frames, positions)
            elif isinstance(self.time, TemporalConv):
                x = self.time(x, frames)
        return x


class SpaceTimeDenoiser(ModelMixin, ConfigMixin):
    """A U-Net over space-to-depth tokens with factorised space and time.

    A convolutional stem and head surround levels of :class:`SpaceTimeBlock`; the last level is the
    trunk. The same class serves base, bridge and refiner: they differ in ``cond_channels``,
    ``out_channels`` and size. Frames are numbered by ``positions``, so it may be trained on single
    frames or on any subset of a clip (Harvey et al. 2022) and run on whole clips.

    Args:
        in_channels: channels of the noisy sample.
        cond_channels: channels concatenated to it (conditioning video, masks, warps).
        out_channels: channels it returns.
        patch: pixels per token side at the finest level.
        channels, depths, spatial_attention, temporal: one entry for each level, finest first.
            ``temporal`` is ``none``, ``convolution``, ``attention`` (along time at each pixel) or
            ``joint`` (over all pixels of all frames).
        head_dim: channels of an attention head.
        text_width: features of the text's token states, or None for no text.
        text_attention: how levels with spatial attention read the tokens: ``cross`` in an attention
            of its own, ``context`` as further keys of the spatial one, ``none`` not at all; the
            pooled text modulates every block in any case.
        frame_times: add an embedding of each frame's position.
        coordinates: tell every level where in the picture a pixel is, and let the embedding draw a
            coarse layout. A stage that composes pictures needs it; one that works on crops must not
            have it.
        text_order: tell each token's place in the prompt. Of two nouns a sentence encoder hardly
            says which came first, and that is what tells which side each of two subjects is on.
        final_below: σ up to which a twin of this network, with weights of its own, predicts in its
            place (an expert for the last steps, as in eDiff-I, Balaji et al. 2022); 0 for none.
    """

    _supports_gradient_checkpointing = False
    _repeated_blocks: ClassVar[list[str]] = ["SpaceTimeBlock"]  # for compile_repeated_blocks()

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        cond_channels: int = 0,
        out_channels: int = 3,
        patch: int = 4,
        channels: Sequence[int] = (160, 320),
        depths: Sequence[int] = (3, 4),
        spatial_attention: Sequence[bool] = (False, True),
        temporal: Sequence[str] = ("none", "attention"),
        head_dim: int = 64,
        text_width: int | None = None,
        frame_times: bool = False,
        coordinates: bool = False,
        text_attention: str = "cross",
        text_order: bool = False,
        final_below: float = 0.0,
    ) -> None:
        super().__init__()
        if text_attention not in ("cross", "context", "none"):
            raise ValueError(
                f"text_attention must be cross, context or none, not {text_attention!r}"
            )
        embedding = 2 * channels[-1]
        self.noise_embedding = ScalarEmbedding(embedding, scale=1000.0)
        self.augmentation_embedding = ScalarEmbedding(embedding, scale=1000.0, zero_init=True)
        self.position_embedding = ScalarEmbedding(embedding, scale=10.0) if frame_times else None
        self.text_pool = nn.Linear(text_width, embedding) if text_width else None
        self.text_norm = nn.LayerNorm(text_width) if text_width else None
        self.token_places = None
        if text_width and text_order:
            self.token_places = ScalarEmbedding(text_width, scale=10.0, zero_init=True)
        # Which tokens count, for each group of features: a plain mean tells "moving left" from
        # "moving right" by a fifth of what its one different token does. Starts as the mean.
        self.text_weights = nn.Linear(text_width, _TEXT_GROUPS) if text_width else None
        if self.text_weights is not None:
            nn.init.zeros_(self.text_weights.weight)
            nn.init.zeros_(self.text_weights.bias)
        # "Moving left" means one thing in the first frame and the opposite in the last. A sum of
        # embeddings learns that slowly; their product says it directly.
        self.motion_embedding = None
        if text_width and frame_times:
            self.motion_embedding = nn.Linear(embedding, embedding)
            nn.init.zeros_(self.motion_embedding.weight)
            nn.init.zeros_(self.motion_embedding.bias)

        inputs = (in_channels + cond_channels) * patch**2
        self.stem = MatrixConv2d(inputs, channels[0])

        def blocks(level: int) -> nn.ModuleList:
            return nn.ModuleList(
                SpaceTimeBlock(
                    channels[level],
                    embedding,
                    head_dim,
                    spatial_attention[level],
                    temporal[level],
                    text_width,
                    text_attention,
                )
                for _ in range(depths[level])
            )

        last = len(channels) - 1
        self.down_blocks = nn.ModuleList(blocks(level) for level in range(last))
        self.downs = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 2, stride=2) for i in range(last)
        )
        self.trunk = blocks(last)
        self.ups = nn.ModuleList(
            nn.Conv2d(channels[i + 1], 4 * channels[i], 1) for i in reversed(range(last))
        )
        self.skips = nn.ModuleList(
            nn.Conv2d(2 * channels[i], channels[i], 1) for i in reversed(range(last))
        )
        self.up_blocks = nn.ModuleList(blocks(level) for level in reversed(range(last)))
        order = [*range(last), last, *reversed(range(last))]
        self.layout = Layout(embedding, channels[0]) if coordinates else None
        self.places = None
        if coordinates:
            self.places = nn.ModuleList(Coordinates(channels[level]) for level in order)
        self.head_norm = PixelNorm(channels[0])
        self.head = MatrixConv2d(channels[0], out_channels * patch**2, gain=0.0)
        self.final: SpaceTimeDenoiser | None = None
        if final_below > 0.0:
            alike = {k: v for k, v in self.config.items() if not k.startswith("_")}
            self.final = SpaceTimeDenoiser(**(alike | {"final_below": 0.0}))

    def split(self, below: float, twin: SpaceTimeDenoiser | None = None) -> SpaceTimeDenoiser:
        """Have a twin, or else a copy, predict at σ up to ``below``; returns it."""
        self.final = None
        self.register_to_config(final_below=0.0)
        self.final = copy.deepcopy(self) if twin is None else twin
        self.register_to_config(final_below=below)
        return self.final

    def forward(
        self,
        sample: Tensor,
        sigma: Tensor,
        cond: Tensor | None = None,
        augmentation: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Predict from a noisy video.

        Args:
            sample: ``(1-σ)·x + σ·ε``, (B, T, C, H, W); H and W multiples of the granularity.
            sigma: flow σ in [0, 1], (B,).
            cond: conditioning, (B, T, C', H, W).
            augmentation: VP σ of the noise in ``cond``, (B,); None means 0.
            text: token states (B, L, D), and ``text_mask`` (B, L) True where there is a token.
            positions: each frame's place, in frames, (B, T); None means 0, 1, …, T-1.

        Returns:
            (B, T, out_channels, H, W), in the sample's dtype.
        """
        if self.final is not None:
            given = (sample, sigma, cond, augmentation, text, text_mask, positions)
            return self._by_noise(self.final, given)
        return self._predict(sample, sigma, cond, augmentation, text, text_mask, positions)

    def _by_noise(self, final: SpaceTimeDenoiser, given: tuple[Any, ...]) -> Tensor:
        """Each sample by the network that is for its σ."""
        sample, sigma = given[:2]
        low = sigma <= self.config.final_below
        if low.all():
            return final._predict(*given)
        if not low.any():
            return self._predict(*given)
        shape = list(sample.shape)
        shape[2] = self.config.out_channels
        out = sample.new_empty(shape)
        for rows, network in ((low, final), (~low, self)):
            part: list[Any] = [None if each is None else each[rows] for each in given]
            out[rows] = network._predict(*part)
        return out

    def _predict(
        self,
        sample: Tensor,
        sigma: Tensor,
        cond: Tensor | None,
        augmentation: Tensor | None,
        text: Tensor | None,
        text_mask: Tensor | None,
        positions: Tensor | None,
    ) -> Tensor:
        batch, frames = sample.shape[:2]
        if positions is None:
            positions = torch.arange(frames, device=sample.device).expand(batch, frames)
        if augmentation is None:
            augmentation = torch.zeros_like(sigma)
        embedding = self.noise_embedding(sigma) + self.augmentation_embedding(augmentation)
        meaning: Tensor | None = None
        if self.text_pool is not None and self.text_norm is not None and text is not None:
            assert text_mask is not None
            text = self.text_norm(text.to(embedding.dtype))
            if self.token_places is not None:
                text = text + self.token_places(torch.arange(text.shape[1], device=text.device))
            meaning = self._meaning(text, text_mask)
            embedding = embedding + meaning
        embedding = embedding.repeat_interleave(frames, 0)
        if self.position_embedding is not None:
            place = self.position_embedding(positions.flatten())
            embedding = embedding + place
            if self.motion_embedding is not None and meaning is not None:
                meaning = meaning.repeat_interleave(frames, 0)
                width = place.shape[-1:]
                both = F.rms_norm(meaning, width) * F.rms_norm(place, width)
                embedding = embedding + self.motion_embedding(both)
        embedding = F.silu(embedding)

        x = sample if cond is None else torch.cat((sample, cond), dim=2)
        patch = self.config.patch
        x = F.pixel_unshuffle(rearrange(x, "b t c h w -> (b t) c h w"), patch)
        x = self.stem(x.contiguous(memory_format=torch.channels_last).to(self.stem.weight.dtype))
        if self.layout is not None:
            x = self.layout(x, embedding)
        kept: list[Tensor] = []
        given: tuple[Any, ...] = (embedding, text, text_mask, positions)
        places = iter(self.places or [nn.Identity()] * (2 * len(self.downs) + 1))
        for level, down in zip(self.down_blocks, self.downs, strict=True):
            x = next(places)(x)
            for block in cast("nn.ModuleList", level):
                x = block(x, *given)
            kept.append(x)
            x = down(x)
        x = next(places)(x)
        for block in self.trunk:
            x = block(x, *given)
        for up, skip, level in zip(self.ups, self.skips, self.up_blocks, strict=True):
            x = F.pixel_shuffle(up(x), 2)
            x = next(places)(skip(torch.cat((x, kept.pop()), dim=1)))
            for block in cast("nn.ModuleList", level):
                x = block(x, *given)
        x = F.pixel_shuffle(self.head(F.silu(self.head_norm(x))), patch)
        return rearrange(x, "(b t) c h w -> b t c h w", t=frames).to(sample.dtype)

    def _meaning(self, text: Tensor, mask: Tensor) -> Tensor:
        """Normalised token states (B, L, D) and their mask (B, L) → (B, E), a pooled prompt."""
        assert self.text_pool is not None
        assert self.text_weights is not None
        scores = self.text_weights(text).masked_fill(~mask[..., None], float("-inf"))
        # A prompt without tokens means nothing, and must not be NaN.
        shares = torch.nan_to_num(scores.softmax(dim=1))[..., None]
        features = self.text_pool(text).unflatten(-1, (_TEXT_GROUPS, -1))
        return (features * shares).sum(1).flatten(-2)
