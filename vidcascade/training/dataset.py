"""Training examples: pure functions of a number, so that a resumed run sees the same ones.

A source gives frames (:mod:`vidcascade.training.sources`); what is here makes them an example for
one stage: which frames, what the stage is given of them, which part of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.stage import Conditioning, resize
from vidcascade.training.degrade import degrade
from vidcascade.training.sources import ClipSource, Drawn, WorldSource

MEAN_OF = 32  # clips in the target of an example of pure noise
_PURE = 6  # streams 0 to 5 of the same numbers are drawn from elsewhere


@dataclass
class Example:
    """One training example, or a batch of them.

    Attributes:
        target: (B, T, 3, H, W) in [-1, 1].
        weight: of each pixel's loss, (B, T, 1, H, W) with mean about 1, or None.
        positions: place of each frame in the clip, in frames, (B, T); of a bridge of several
            rounds, in the clip that the example's round makes.
        captions: one for each.
        given: what the stage knows beforehand; None for a base.
        augmentation: VP σ of the noise in ``given``, (B,).
        previous: the clean truth at the stage before's size and rate, whole frames
            (B, n, 3, h, w), where it was asked for.
        corner: top and left of the target in the whole frame, pixels, (B, 2), with ``previous``.
        old: whether it is one of the old clips among new ones, bool (B,).
        pure: whether it is seen at σ = 1 alone, where the target is a mean of many clips, bool
            (B,).
    """

    target: Tensor
    weight: Tensor | None
    positions: Tensor
    captions: list[str]
    given: Conditioning | None
    augmentation: Tensor
    previous: Tensor | None = None
    corner: Tensor | None = None
    old: Tensor | None = None
    pure: Tensor | None = None

    def to(self, device: torch.device) -> Example:
        """Everything that a network reads on that device; ``previous`` stays where it is."""
        return Example(
            self.target.to(device),
            None if self.weight is None else self.weight.to(device),
            self.positions.to(device),
            self.captions,
            None if self.given is None else self.given.to(device),
            self.augmentation.to(device),
            self.previous,
            self.corner,
            None if self.old is None else self.old.to(device),
            None if self.pure is None else self.pure.to(device),
        )

    def repeated(self, times: int) -> Example:
        """Every example so many times in a row."""
        if times == 1:
            return self

        def again(part: Any) -> Any:
            return part.repeat_interleave(times, 0) if isinstance(part, Tensor) else part

        changed = {f.name: again(getattr(self, f.name)) for f in fields(self)}
        changed["captions"] = [caption for caption in self.captions for _ in range(times)]
        if self.given is not None:
            rows = torch.arange(len(self.captions), device=self.target.device)
            changed["given"] = self.given.part(again(rows))
        return Example(**changed)


class StageDataset(Dataset[Example]):
    """Examples of one stage, from any source of clips.

    Of a bridge that is applied several times, each example is one of its rounds: from what a
    perfect round before would have made, or a perfect stage before for the first.

    Args:
        spec: the cascade, of which ``stage`` is a part.
        stage: the stage to train.
        source: of clips.
        count: number of examples.
        seed: of everything random.
        first: number of the first example; item i is example ``first + i`` of an endless sequence.
        keep_previous: fill :attr:`Example.previous`, which costs memory and traffic.
    """

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, source: ClipSource, count: int, seed: int = 0,
        first: int = 0, keep_previous: bool = False,
    ) -> None:  # fmt: skip
        self.spec, self.stage, self.source = spec, stage, source
        self.count, self.seed, self.first = count, seed, first
        self.keep_previous = keep_previous
        self.rule = make_stage(stage)
        index = spec.stages.index(stage)
        self.before = spec.stages[index - 1] if index else None
        self.rounds = stage.rounds if stage.kind == "bridge" else 1
        self.rate = spec.fps_after(stage.name)

    def __len__(self) -> int:
        """Number of examples."""
        return self.count

    def __getitem__(self, item: int) -> Example:
        """Example ``first + item``, as a batch of one."""
        number = self.first + item
        # One stream of random numbers for each purpose: switching degradation on, say, changes
        # neither the clips nor the noise.
        choices, clip, noise, damage = (
            np.random.default_rng((self.seed, number, purpose)) for purpose in range(4)
        )
        done = int(choices.integers(self.rounds)) if self.rounds > 1 else 0
        # The frames that the rounds to come will put in between are left out.
        stride = 2 ** (self.rounds - 1 - done)
        chosen = self._frames(choices, stride)
        times = [stride * k / self.rate for k in chosen]
        drawn = self.source.draw(number, self.stage.size, times, clip)
        pure = drawn.more is not None and self._is_pure(number)
        if pure:
            target, weight = self._mean(number, drawn, times, clip)
        else:
            target, weight = to_video(drawn.frames), self._weigh(drawn)
        positions = torch.tensor(chosen, dtype=torch.float32)[None]
        example = Example(target, weight, positions, [drawn.caption], None, torch.zeros(1))
        example.old, example.pure = torch.tensor([drawn.old]), torch.tensor([pure])
        if self.before is not None:
            size = self.stage.size if done else self.before.size
            previous = self._shrunken(target, size)
            example.given, example.augmentation = self._condition(previous, noise, damage)
            if self.keep_previous:
                example.previous = previous
            self._crop(example, choices)
        return example

    def _weigh(self, drawn: Drawn) -> Tensor | None:
        """What each pixel's error counts, (1, T, 1, H, W); None if all count alike."""
        emphasis = self.stage.training.subject_weight
        if emphasis == 0:
            return None
        if drawn.cover is None:
            # Where the subject is not known, all of the picture counts alike.
            return torch.ones(1, len(drawn.frames), 1, *drawn.frames.shape[1:3])
        mask = torch.from_numpy(np.ascontiguousarray(drawn.cover))[None, :, None]
        weight = 1 + emphasis * mask
        return weight / weight.mean()

    def _is_pure(self, number: int) -> bool:
        share = self.stage.training.pure_noise if self.stage.kind == "base" else 0.0
        return share > 0.0 and np.random.default_rng((self.seed, number, _PURE)).random() < share

    def _mean(
        self, number: int, drawn: Drawn, times: list[float], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Mean of many clips of the caption, and of their weights, by which it is weighed.

        So the squared error to it has, but for a constant, the mean of the errors to them all.
        """
        assert drawn.more is not None
        clips = [drawn]
        for _ in range(MEAN_OF - 1):
            clips.append(drawn.more.draw(number, self.stage.size, times, rng))
        videos = torch.cat([to_video(clip.frames) for clip in clips])
        found = [self._weigh(clip) for clip in clips]
        if found[0] is None:
            return videos.mean(0, keepdim=True), None
        weights = torch.cat([weight for weight in found if weight is not None])
        total = weights.sum(0, keepdim=True)
        return (weights * videos).sum(0, keepdim=True) / total, total / MEAN_OF

    def _frames(self, rng: np.random.Generator, stride: int) -> list[int]:
        total, wanted = len(range(0, self.stage.frames, stride)), self.stage.training.frames
        if self.rounds > 1:
            # Later rounds make more frames, and all examples of a batch must have as many.
            assert self.before is not None
            wanted = min(wanted or self.before.frames, self.before.frames)
        if wanted is None or wanted >= total:
            return list(range(total))
        if self.stage.kind == "base":
            return sorted(int(k) for k in rng.choice(total, wanted, replace=False))
        if self.stage.kind == "bridge":
            # A window of the timeline that starts at a known frame; `wanted` counts known ones.
            window = min(2 * wanted - (self.stage.fill == "between"), total)
            start = 2 * int(rng.integers((total - window) // 2 + 1))
            return list(range(start, start + window))
        start = int(rng.integers(total - wanted + 1))
        return list(range(start, start + wanted))

    def _shrunken(self, target: Tensor, size: int) -> Tensor:
        """What a perfect stage before would have made, (1, n, 3, h, w)."""
        return resize(target[:, ::2] if self.stage.kind == "bridge" else target, size, "area")

    def _condition(
        self, previous: Tensor, rng: np.random.Generator, damage: np.random.Generator
    ) -> tuple[Conditioning, Tensor]:
        low, high = self.stage.training.augmentation
        sigma = torch.tensor([rng.uniform(low, high)], dtype=torch.float32)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(previous.shape, generator=generator)
        if damage.random() < self.stage.training.degradation:
            previous = degrade(previous, damage)
        return self.rule.condition(previous, sigma, noise), sigma

    def _crop(self, example: Example, rng: np.random.Generator) -> None:
        side = self.stage.training.crop
        top = left = 0
        if side is not None and side < self.stage.size:
            top, left = (int(k) for k in rng.integers(0, self.stage.size - side + 1, 2))
            window = (..., slice(top, top + side), slice(left, left + side))
            example.target = example.target[window]
            if example.weight is not None:
                example.weight = example.weight[window]
            assert example.given is not None
            example.given = example.given.crop(top, left, side, side)
        if self.keep_previous:
            example.corner = torch.tensor([[top, left]])


class WorldDataset(StageDataset):
    """Clips of the sticker world, drawn for one stage of a cascade."""

    def __init__(
        self, spec: CascadeSpec, stage: StageSpec, count: int, seed: int = 0,
        stickers: Path | None = None, first: int = 0,
    ) -> None:  # fmt: skip
        source = WorldSource(spec, stage, seed, stickers)
        super().__init__(spec, stage, source, count, seed, first)


def to_video(frames: np.ndarray) -> Tensor:
    """uint8 (T, H, W, 3) → float32 (1, T, 3, H, W) in [-1, 1]."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return video[None].float() / 127.5 - 1


def collate(items: list[Example]) -> Example:
    """Stack examples along the batch."""
    givens = [item.given for item in items if item.given is not None]
    return Example(
        torch.cat([item.target for item in items]),
        _joined([item.weight for item in items]),
        torch.cat([item.positions for item in items]),
        [caption for item in items for caption in item.captions],
        Conditioning.stack(givens) if givens else None,
        torch.cat([item.augmentation for item in items]),
        _joined([item.previous for item in items]),
        _joined([item.corner for item in items]),
        _joined([item.old for item in items]),
        _joined([item.pure for item in items]),
    )


def _joined(parts: list[Any]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)
