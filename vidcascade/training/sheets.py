"""Sample sheets during training: a video model is judged with eyes first."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from vidcascade.cascade.augment import frame_noise
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.diffusion.guidance import Guidance
from vidcascade.diffusion.sampling import Predictor, sample
from vidcascade.diffusion.schedules import Schedule
from vidcascade.errors import VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.dataset import Example, StageDataset
from vidcascade.training.sources import ClipSource, WorldSource
from vidcascade.video.atomic import atomic_path
from vidcascade.video.sheet import contact_sheet

CLIPS = 6
# A young network paints grey; it has collapsed when it falls back to that, or never leaves it.
YOUNG = 2000
# Far from any seed that people give: the training clips should not be the sheet's.
SEED = 999_983


class SheetWriter:
    """Draws the same few captions with each network it is given, as ``samples-<step>.png``.

    A bridge or refiner is shown three rows for each clip: its input, its output, the truth.
    ``source`` gives the clips; None is the sticker world.
    """

    def __init__(
        self, spec: CascadeSpec, stage_name: str, folder: Path, source: ClipSource | None = None
    ) -> None:
        self.stage = spec.stage(stage_name)
        self.rule = make_stage(self.stage)
        self.dtype = spec.dtype
        self.folder = folder
        plain = spec.with_recipe(stage_name, crop=None, degradation=0.0)
        stage = plain.stage(stage_name)
        count = CLIPS if self.stage.kind == "base" else 2
        clips = source or WorldSource(plain, stage, SEED)
        examples = StageDataset(plain, stage, clips, count, SEED)
        self.examples = [examples[k] for k in range(count)]
        self.was_alive = False
        self.encoder = None
        if self.stage.network.text:
            self.encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)

    @torch.no_grad()
    def __call__(self, network: SpaceTimeDenoiser, step: int) -> np.ndarray:
        """Sample on the network's device, write the sheet and return it, uint8 (H, W, 3).

        Raises:
            VidCascadeError: every sample is one flat colour.
        """
        device = network.device
        rows: list[np.ndarray] = []
        labels: list[str] = []
        flat = 0
        for number, example in enumerate(self.examples):
            shape = tuple(example.target.shape[1:])
            generator = torch.Generator().manual_seed(number)
            rho = self.stage.smoothing.noise_correlation
            noise = frame_noise(shape, generator, rho)[None].to(device)
            predict = self._predictor(network, example.to(device))
            guide = self.stage.guidance
            start = self.rule.start(example.given)
            start = None if start is None else start.to(device)
            schedule = Schedule(
                self.stage.scheduler, self.stage.steps, self.stage.shift,
                self.stage.start_sigma if start is not None else 1.0,
            )  # fmt: skip
            scale = Guidance(guide.scale, *guide.interval, guide.dynamic_threshold)
            dtype = working_dtype(self.dtype, device)
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                video = sample(predict, noise, schedule, scale, start)
            flat += float(video.std()) < 0.02
            if example.given is not None:
                rows.append(to_uint8(example.given.video))
                labels.append("input")
            rows.append(to_uint8(video))
            labels.append(example.captions[0])
            if example.given is not None:
                rows.append(to_uint8(example.target))
                labels.append("truth")
        with atomic_path(self.folder / f"samples-{step:06d}.png", overwrite=True) as path:
            picture = contact_sheet(rows, labels)
            iio.imwrite(path, picture, extension=".png")
        if flat < len(self.examples):
            self.was_alive = True
        elif self.was_alive or step >= YOUNG:
            raise VidCascadeError(
                f"Training stopped at step {step}: every sample is one flat colour (see "
                f"{self.folder}), so the network has collapsed; lower the learning rates."
            )
        return picture

    def _predictor(self, network: SpaceTimeDenoiser, example: Example) -> Predictor:
        device = network.device
        text = {c: self._text(example.captions[0] if c else "", device) for c in (True, False)}

        def predict(sample: Tensor, sigma: Tensor, conditional: bool) -> Tensor:
            states, mask = text[conditional]
            return self.rule.predict(
                network,
                sample,
                sigma,
                example.given,
                example.augmentation,
                states,
                mask,
                example.positions,
            )

        return predict

    def _text(self, caption: str, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        if self.encoder is None:
            return None, None
        states, mask = self.encoder.encode([caption])
        return states.to(device), mask.to(device)


def to_uint8(video: Tensor) -> np.ndarray:
    """(1, T, 3, H, W) in [-1, 1] → uint8 (T, H, W, 3)."""
    pixels = ((video[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()
