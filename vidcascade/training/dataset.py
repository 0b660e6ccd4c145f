"""Training examples: pure functions of a number, so that a resumed run sees the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.stage import Conditioning, resize
from vidcascade.data.stickers import StickerWorld


@dataclass
class Example:
    """One training example (or a batch of them): target (B, T, 3, H, W) in [-1, 1]."""

    target: Tensor
    weight: Tensor | None
    positions: Tensor
    captions: list[str]
    given: Conditioning | None
    augmentation: Tensor


class WorldDataset(Dataset[Example]):
    """Clips of the sticker world, drawn for one stage of a cascade.

    Index i is example i of an endless sequence: description ``i mod captions`` of the training
    split, with positions, speeds and sizes drawn anew each time.
    """

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, count: int, seed: int = 0,
        stickers: Path | None = None, first: int = 0,
    ) -> None:  # fmt: skip
        self.spec, self.stage, self.count, self.seed, self.first = spec, stage, count, seed, first
        self.rule = make_stage(stage)
        self.world = StickerWorld(spec.world, stickers)
        self.split = "train" if spec.world.held_out > 0 else "all"
        index = spec.stages.index(stage)
        self.before = spec.stages[index - 1] if index else None
        self.duration = spec.stages[0].frames / spec.fps

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> Example:
        number = self.first + item
        rng = np.random.default_rng((self.seed, number))
        recipe = self.stage.training
        caption_seed = self.seed * 1_000_003 + number % recipe.captions
        described = self.world.describe(caption_seed, self.split)  # type: ignore[arg-type]
        scene = self.world.scene(described, int(rng.integers(2**62)), self.duration)
        rate = self.spec.fps_after(self.stage.name)
        chosen = self._frames(rng)
        times = [float(k) / rate for k in chosen]
        frames, cover = self.world.render_with_mask(scene, self.stage.size, times)
        target = to_video(frames)
        weight = None
        if recipe.subject_weight > 0:
            mask = torch.from_numpy(np.ascontiguousarray(cover))[None, :, None]
            weight = 1 + recipe.subject_weight * mask
            weight = weight / weight.mean()
        given, augmentation = None, torch.zeros(1)
        if self.before is not None:
            given, augmentation = self._condition(target, rng)
            target, weight, given = self._crop(target, weight, given, rng)
        return Example(
            target,
            weight,
            torch.tensor(chosen, dtype=torch.float32)[None],
            [described.caption],
            given,
            augmentation,
        )

    def _frames(self, rng: np.random.Generator) -> list[int]:
        total, wanted = self.stage.frames, self.stage.training.frames
        if wanted is None or wanted >= total:
            return list(range(total))
        if self.stage.kind == "base":
            return sorted(int(k) for k in rng.choice(total, wanted, replace=False))
        if self.stage.kind == "bridge":
            # A window of the timeline that starts at a known frame; `wanted` counts known ones.
            window = min(2 * wanted, total)
            start = 2 * int(rng.integers((total - window) // 2 + 1))
            return list(range(start, start + window))
        start = int(rng.integers(total - wanted + 1))
        return list(range(start, start + wanted))

    def _condition(self, target: Tensor, rng: np.random.Generator) -> tuple[Conditioning, Tensor]:
        assert self.before is not None
        low, high = self.stage.training.augmentation
        sigma = torch.tensor([rng.uniform(low, high)], dtype=torch.float32)
        source = target[:, ::2] if self.stage.kind == "bridge" else target
        previous = resize(source, self.before.size, "area")
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(previous.shape, generator=generator)
        return self.rule.condition(previous, sigma, noise), sigma

    def _crop(
        self, target: Tensor, weight: Tensor | None, given: Conditioning, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None, Conditioning]:
        side = self.stage.training.crop
        if side is None or side >= self.stage.size:
            return target, weight, given
        top, left = (int(k) for k in rng.integers(0, self.stage.size - side + 1, 2))
        window = (..., slice(top, top + side), slice(left, left + side))
        return (
            target[window],
            None if weight is None else weight[window],
            given.crop(top, left, side, side),
        )


def to_video(frames: np.ndarray) -> Tensor:
    """uint8 (T, H, W, 3) → float32 (1, T, 3, H, W) in [-1, 1]."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return video[None].float() / 127.5 - 1


def collate(items: list[Example]) -> Example:
    """Stack examples along the batch."""
    weights: list[Any] = [item.weight for item in items]
    givens = [item.given for item in items if item.given is not None]
    return Example(
        torch.cat([item.target for item in items]),
        None if weights[0] is None else torch.cat(weights),
        torch.cat([item.positions for item in items]),
        [caption for item in items for caption in item.captions],
        Conditioning.stack(givens) if givens else None,
        torch.cat([item.augmentation for item in items]),
    )
