"""What a variant's clips show of their prompts: the adherence of each row, judged by one judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.adherence import ASKED, HELD_OUT, get_recogniser
from benchmarks.prompts import Prompt, world_prompts
from vidcascade.cascade.running import TextStates, key_of, run_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import Stage
from vidcascade.data.stickers import StickerWorld
from vidcascade.metrics.adherence.recogniser import Recogniser
from vidcascade.metrics.adherence.scores import Judgement, judge, share_right
from vidcascade.metrics.adherence.teaching import Lessons
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype
from vidcascade.training.objective import TextCache
from vidcascade.training.sheets import to_uint8

AT_ONCE = 8


@dataclass(frozen=True)
class Questions:
    """Held-out prompts, and who judges the clips that are made of them."""

    prompts: list[Prompt]
    recogniser: Recogniser

    @classmethod
    def draw(cls, spec: CascadeSpec, count: int, folder: Path, lessons: Lessons) -> Questions:
        """The first ``count`` held-out prompts of the spec's world; ``folder`` keeps the judge."""
        world = StickerWorld(spec.world)
        duration = spec.stages[0].frames / spec.fps
        recogniser = get_recogniser(world, folder, lessons, duration)
        return cls(world_prompts(world, world.testing_split, count, HELD_OUT), recogniser)

    def ask(
        self, rule: Stage, network: SpaceTimeDenoiser, text: TextCache, dtype: str
    ) -> list[Judgement]:
        """Sample a clip of each prompt as the stage's spec says, and judge it.

        The noise depends on the prompt alone, so that all variants start from the same.
        """
        found: list[Judgement] = []
        for begin in range(0, len(self.prompts), AT_ONCE):
            part = self.prompts[begin : begin + AT_ONCE]
            states, mask = text([p.text for p in part])
            without, without_mask = text([""] * len(part))
            videos = run_stage(
                rule.spec,
                network,
                [key_of(torch.Generator().manual_seed(p.seed)) for p in part],
                text=TextStates(states, mask, without, without_mask),
                device=network.device,
                dtype=working_dtype(dtype, network.device),
                rule=rule,
            )
            found += [
                judge(self.recogniser, to_uint8(video[None]), p.described, p.text)
                for video, p in zip(videos, part, strict=True)
            ]
        return found


def shares(judgements: list[Judgement]) -> dict[str, float]:
    """Share of clips in which an aspect is right, for aspects that every clip has."""
    found = {aspect: share_right(judgements, aspect) for aspect in ASKED}
    return {aspect: share[0][0] for aspect, share in found.items() if share is not None}
