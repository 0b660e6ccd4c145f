"""Teaching the recogniser on rendered frames, in minutes on a CPU.

It sees what the world draws and never what a generator makes, so that it can judge one. Frames are
blurred, shifted, made noisy, faded and made gaudy at random, so that it learns what things look
like rather than how the renderer draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcascade.data.config import WorldConfig
from vidcascade.data.stickers import Description, StickerWorld
from vidcascade.errors import UsageError
from vidcascade.metrics.adherence.recogniser import SIDE, Recogniser, subject_label

__all__ = ["Lessons", "teach"]

# What it takes to tell so many names apart, by true clips alone.
SCENES_EACH, STEPS_EACH = 142, 48
FEW_NAMES = 64


@dataclass(frozen=True)
class Lessons:
    """How the recogniser is taught.

    Attributes:
        scenes: rendered clips to take frames from.
        each: frames of each.
        steps, batch, rate: of AdamW with a cosine schedule.
        seed: of everything random.
        width: of the recogniser.
        contrast, saturation: least and most of what frames are multiplied by. Guidance and
            distillation make colours stronger than the world's, which must not name a subject.
    """

    scenes: int = 6000
    each: int = 2
    steps: int = 2500
    batch: int = 48
    rate: float = 3e-3
    seed: int = 4242
    width: int = 24
    contrast: tuple[float, float] = (0.8, 1.3)
    saturation: tuple[float, float] = (0.8, 1.5)

    @classmethod
    def for_world(
        cls, world: StickerWorld, scenes: int | None = None, steps: int | None = None
    ) -> Lessons:
        """Lessons for as many names as a world has; ``scenes`` and ``steps`` may be given.

        Raises:
            UsageError: fewer than one of them.
        """
        if any(number is not None and number < 1 for number in (scenes, steps)):
            raise UsageError("A recogniser is taught for at least one step on at least one clip.")
        names = len(labels_of(world.config, world.has_stickers))
        return cls(
            scenes=max(cls.scenes, SCENES_EACH * names) if scenes is None else scenes,
            steps=max(cls.steps, STEPS_EACH * names) if steps is None else steps,
            width=cls.width if names <= FEW_NAMES else 32,
        )


@dataclass(frozen=True)
class _Pool:
    frames: Tensor  # (N, 3, 64, 64) uint8
    masks: Tensor  # (N, 32, 32) uint8, 0 to 255
    subjects: Tensor  # (N,)
    backgrounds: Tensor  # (N,)


def labels_of(world: WorldConfig, stickers: bool = True) -> list[tuple[str, str | None]]:
    """(name, colour) of everything that the world draws; without stickers only its solids."""
    named: list[tuple[str, str | None]] = []
    if stickers and world.solid_share < 1:
        named += [(name, None) for name in world.names("subjects")]
    if world.solid_share > 0 or not stickers:
        named += [(s, c) for s in world.names("solids") for c in world.names("colours")]
    return named


def teach(
    world: StickerWorld,
    lessons: Lessons | None = None,
    duration: float = 2.0,
    report: Callable[[str, int, int], None] | None = None,
) -> Recogniser:
    """A recogniser for everything that ``world`` draws.

    Args:
        world: what to learn; its hold-out is ignored, since a judge has to know all combinations.
        lessons: how long and how.
        duration: of the clips that frames come from, in seconds.
        report: called now and then with what is being done, how much is done and of how much.
    """
    lessons = lessons or Lessons()
    report = report or (lambda what, done, total: None)
    kinds = labels_of(world.config, world.has_stickers)
    pool = _render(world, kinds, lessons, duration, report)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lessons.seed)
        network = Recogniser(
            [subject_label(*k) for k in kinds], world.config.names("backgrounds"), lessons.width
        )
        _train(network, pool, lessons, report)
    return network.eval()


def _render(
    world: StickerWorld,
    kinds: list[tuple[str, str | None]],
    lessons: Lessons,
    duration: float,
    report: Callable[[str, int, int], None],
) -> _Pool:
    rng = np.random.default_rng(lessons.seed)
    motions, backgrounds = world.config.names("motions"), world.config.names("backgrounds")
    count = lessons.scenes * lessons.each
    frames = np.empty((count, SIDE, SIDE, 3), np.uint8)
    masks = np.empty((count, SIDE // 2, SIDE // 2), np.uint8)
    subjects, places = [], []
    for k in range(lessons.scenes):
        # Every kind equally often, however rare the world makes it.
        kind, place = int(rng.integers(len(kinds))), int(rng.integers(len(backgrounds)))
        size = (None, None, None, "small", "large")[int(rng.integers(5))]
        shadow = bool(rng.random() < world.config.shadows)
        motion = motions[int(rng.integers(len(motions)))]
        described = Description(
            ((*kinds[kind], size),), (motion,), backgrounds[place], None, shadow, ""
        )
        scene = world.scene(described, int(rng.integers(2**62)), duration)
        times = sorted(rng.uniform(0, duration, lessons.each).tolist())
        video, cover = world.render_with_mask(scene, SIDE, times)
        rows = slice(k * lessons.each, (k + 1) * lessons.each)
        frames[rows] = video
        small = [cv2.resize(c, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA) for c in cover]
        masks[rows] = np.round(np.stack(small) * 255)
        subjects += [kind] * lessons.each
        places += [place] * lessons.each
        if k % 500 == 499:
            report("rendering", k + 1, lessons.scenes)
    return _Pool(
        torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(masks),
        torch.tensor(subjects),
        torch.tensor(places),
    )


def _train(
    network: Recogniser, pool: _Pool, lessons: Lessons, report: Callable[[str, int, int], None]
) -> None:
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=lessons.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lessons.rate, lessons.steps)
    naming = nn.CrossEntropyLoss(label_smoothing=0.05)
    for step in range(lessons.steps):
        rows = torch.randint(len(pool.subjects), (lessons.batch,))
        frames, masks = disturb(
            pool.frames[rows].float() / 127.5 - 1, pool.masks[rows] / 255.0, lessons
        )
        subject, background, outline = network(frames.to(memory_format=torch.channels_last))
        loss = naming(subject, pool.subjects[rows]) + naming(background, pool.backgrounds[rows])
        loss = loss + 2 * F.binary_cross_entropy_with_logits(outline, masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            report(f"teaching (loss {loss.item():.2f})", step + 1, lessons.steps)


def disturb(frames: Tensor, masks: Tensor, lessons: Lessons) -> tuple[Tensor, Tensor]:
    """Light random damage, drawn from torch's global generator.

    Args:
        frames: (N, 3, 64, 64) in [-1, 1].
        masks: (N, 32, 32) in [0, 1]; shifted along with the frames.
        lessons: how strong colours may become.
    """
    count = len(frames)
    # Shifts by a whole pixel of the mask, the edge repeated.
    dx, dy = (int(v) for v in torch.randint(-2, 3, (2,)))
    frames = _shift(frames, 2 * dx, 2 * dy)
    masks = _shift(masks[:, None], dx, dy)[:, 0]
    # Each frame between itself and a blurred copy: what a generator leaves out is detail.
    sigma = float(torch.rand(()) * 1.5 + 0.5)
    share = torch.rand(count, 1, 1, 1)
    frames = torch.lerp(frames, _blur(frames, sigma), share)
    contrast = torch.empty(count, 1, 1, 1).uniform_(*lessons.contrast)
    saturation = torch.empty(count, 1, 1, 1).uniform_(*lessons.saturation)
    frames = torch.lerp(frames.mean(1, keepdim=True), frames, saturation)
    tint = 0.12 * (torch.rand(count, 3, 1, 1) - 0.5) + 0.12 * (torch.rand(count, 1, 1, 1) - 0.5)
    noise = 0.12 * torch.rand(count, 1, 1, 1) * torch.randn_like(frames)
    return (frames * contrast + tint + noise).clamp(-1, 1), masks


def _shift(images: Tensor, dx: int, dy: int) -> Tensor:
    """Move (N, C, H, W) right by ``dx`` and down by ``dy`` pixels."""
    height, width = images.shape[-2:]
    reach = max(abs(dx), abs(dy), 1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    top, left = reach - dy, reach - dx
    return padded[..., top : top + height, left : left + width]


def _blur(images: Tensor, sigma: float) -> Tensor:
    reach = 4
    grid = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-0.5 * (grid / sigma) ** 2)
    line = line / line.sum()
    channels = images.shape[1]
    flat = F.pad(images, (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, line.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(flat, line.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
