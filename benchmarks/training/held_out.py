"""One ruler for all variants: the velocity's squared error on the same clips, noise and levels.

Whatever a variant was trained on, what it predicts is brought to x and the error taken in
v = ε - x, with nothing weighted and nothing clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.stage import Stage
from vidcascade.data.stickers import StickerWorld
from vidcascade.diffusion.flow_matching import add_noise, per_sample
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype
from vidcascade.training.dataset import to_video
from vidcascade.training.objective import TextCache

# Bands of flow σ by the levels at which they are measured.
BANDS: dict[str, tuple[float, ...]] = {
    "σ 0.2": (0.15, 0.25),
    "σ 0.5": (0.45, 0.55),
    "σ 0.85": (0.8, 0.9),
    "σ 0.98": (0.97, 0.99),
}
# Far from any number that training counts through, and from other benchmarks' clips.
FIRST = 860_000_000


@dataclass(frozen=True)
class HeldOut:
    """Clips of combinations that training never shows.

    Attributes:
        target: (N, T, 3, H, W) in [-1, 1].
        cover: the subject's alpha, (N, T, 1, H, W).
        captions: one for each.
    """

    target: Tensor
    cover: Tensor
    captions: list[str]

    @classmethod
    def draw(cls, spec: CascadeSpec, count: int) -> HeldOut:
        """The first ``count`` of the spec's world, as its base should make them."""
        world, stage = StickerWorld(spec.world), spec.stages[0]
        times = [k / spec.fps for k in range(stage.frames)]
        videos, covers, captions = [], [], []
        for number in range(FIRST, FIRST + count):
            described = world.describe(number, world.testing_split)
            scene = world.scene(described, number, stage.frames / spec.fps)
            frames, cover = world.render_with_mask(scene, stage.size, times)
            videos.append(to_video(frames))
            covers.append(torch.from_numpy(cover)[None, :, None])
            captions.append(described.caption)
        return cls(torch.cat(videos), torch.cat(covers), captions)


@dataclass(frozen=True)
class Score:
    """What a network loses on the held-out clips.

    Attributes:
        bands: velocity-space mean squared error of each of :data:`BANDS`.
        subject: the same over the subject's pixels alone, mean of the bands.
        text: how much more is lost at the noisiest band with another clip's caption, relative to
            the loss with its own: what the network has from the text.
    """

    bands: tuple[float, ...]
    subject: float
    text: float

    @property
    def mean(self) -> float:
        """Mean of the bands."""
        return sum(self.bands) / len(self.bands)


@torch.no_grad()
def score(
    rule: Stage,
    network: SpaceTimeDenoiser,
    clips: HeldOut,
    text: TextCache,
    dtype: str,
    at_once: int = 8,
) -> Score:
    """Measure a network; the noise depends on clip and level alone."""
    wrong = [_other(clips.captions, k) for k in range(len(clips.captions))]
    bands, subjects = [], []
    for levels in BANDS.values():
        found = [_errors(rule, network, clips, s, clips.captions, text, dtype, at_once)
                 for s in levels]  # fmt: skip
        bands.append(sum(whole for whole, _ in found) / len(found))
        subjects.append(sum(subject for _, subject in found) / len(found))
    noisiest = list(BANDS.values())[-1]
    others = [_errors(rule, network, clips, s, wrong, text, dtype, at_once)[0] for s in noisiest]
    gain = sum(others) / len(others) / bands[-1] - 1
    return Score(tuple(bands), sum(subjects) / len(subjects), gain)


def _errors(
    rule: Stage, network: SpaceTimeDenoiser, clips: HeldOut, level: float,
    captions: list[str], text: TextCache, dtype: str, at_once: int,
) -> tuple[float, float]:  # fmt: skip
    """Mean squared error in v at one σ, of all pixels and of the subjects' alone."""
    device = network.device
    working = working_dtype(dtype, device)
    total = on_subject = 0.0
    for begin in range(0, len(captions), at_once):
        part = slice(begin, begin + at_once)
        target = clips.target[part].to(device)
        numbers = range(begin, begin + len(target))
        noise = torch.stack([_noise(k, level, target.shape[1:]) for k in numbers]).to(device)
        sigma = torch.full((len(target),), level, device=device)
        states, mask = (t.to(device) for t in text(captions[part]))
        with torch.autocast(device.type, working, enabled=working is not torch.float32):
            point = add_noise(target, noise, sigma)
            x = rule.predict(network, point, sigma, text=states, text_mask=mask)
        error = ((x.float() - target) / per_sample(sigma, target)).square()
        total += float(error.mean()) * len(target)
        on_subject += float((error.mean(2, keepdim=True) * clips.cover[part].to(device)).sum())
    return total / len(captions), on_subject / float(clips.cover.sum().clamp(min=1e-6))


def _noise(clip: int, level: float, shape: torch.Size) -> Tensor:
    generator = torch.Generator().manual_seed(FIRST + 1000 * clip + round(100 * level))
    return torch.randn(shape, generator=generator)


def _other(captions: list[str], number: int) -> str:
    """The next clip's caption that is a different one."""
    after = [*captions[number + 1 :], *captions[:number]]
    return next((c for c in after if c != captions[number]), "")
