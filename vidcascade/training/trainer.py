"""The training loop of one stage, on accelerate.

Everything random is a function of (seed, step), never of what ran before, so that a resumed run
has the same losses as one that was not interrupted.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader, Dataset

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.checkpoints import load_checkpoint, save_checkpoint
from vidcascade.training.dataset import Example, WorldDataset, collate
from vidcascade.training.objective import TextCache, stage_loss
from vidcascade.training.optimisers import build_optimisers, scheduled_rate

NOISE_BINS = 4


@dataclass(frozen=True)
class RunSettings:
    """How to run, as opposed to what to train.

    Attributes:
        out: folder of the run: checkpoint, logs and sample sheets.
        max_minutes: stop (with a checkpoint) after this long.
        sheet_every, save_every, log_every: in steps; 0 is never.
        workers: processes that draw examples.
        init: folder of weights to start from.
        seed: of examples and noise.
    """

    out: Path
    max_minutes: float | None = None
    sheet_every: int = 500
    save_every: int = 250
    log_every: int = 20
    workers: int = 1
    init: Path | None = None
    seed: int = 0


@dataclass
class Progress:
    """One line of the log: losses are means since the line before."""

    step: int
    minutes: float
    loss: float
    by_noise: list[float]
    grad_norm: float
    clips_per_second: float
    waiting: float


def train_stage(
    spec: CascadeSpec,
    stage_name: str,
    settings: RunSettings,
    report: Callable[[Progress], None] = lambda line: None,
    sheet: Callable[[SpaceTimeDenoiser, int], None] | None = None,
    dataset: Callable[[int, int], Dataset[Example]] | None = None,
) -> Path:
    """Train one stage; returns the folder that holds its EMA weights (``out/network``).

    ``report`` gets a line every ``log_every`` steps, ``sheet`` the EMA network every
    ``sheet_every``. ``dataset(count, first)`` replaces the sticker world.

    Raises:
        VidCascadeError: the loss is not finite, or the checkpoint does not fit.
    """
    stage_spec = spec.stage(stage_name)
    recipe = stage_spec.training
    rule = make_stage(stage_spec)
    settings.out.mkdir(parents=True, exist_ok=True)
    precision = {"bfloat16": "bf16", "float16": "fp16"}.get(spec.dtype, "no")
    accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
    set_seed(settings.seed)
    text = None
    text_width = None
    if stage_spec.network.text:
        encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
        text_width, text = encoder.width, TextCache(encoder)
    network = rule.build_network(text_width)
    if settings.init is not None:
        network.load_state_dict(SpaceTimeDenoiser.from_pretrained(settings.init).state_dict())
    ema = EMAModel(network.parameters(), decay=recipe.ema, use_ema_warmup=True, power=0.75)
    optimisers = build_optimisers(network, recipe)
    rates = [[group["lr"] for group in o.param_groups] for o in optimisers]
    step = load_checkpoint(settings.out, network, ema, optimisers)
    model, *prepared = accelerator.prepare(network, *optimisers)
    ema.to(accelerator.device)

    count = (recipe.steps - step) * recipe.batch
    if dataset is None:
        examples: Dataset[Example] = WorldDataset(
            spec, stage_spec, max(count, 0), settings.seed, first=step * recipe.batch
        )
    else:
        examples = dataset(max(count, 0), step * recipe.batch)
    batches = _batches(examples, recipe.batch, settings.workers)

    def save() -> None:
        if accelerator.is_main_process:
            save_checkpoint(settings.out, step, network, ema, optimisers)

    def averaged() -> SpaceTimeDenoiser:
        twin = rule.build_network(text_width)
        ema.copy_to(twin.parameters())
        return twin.eval()

    begun = since = time.monotonic()
    losses: list[torch.Tensor] = []
    sigmas: list[torch.Tensor] = []
    waited, norm = 0.0, 0.0
    while step < recipe.steps:
        asked = time.monotonic()
        batch = next(batches)
        waited += time.monotonic() - asked
        factor = scheduled_rate(step, recipe.steps, recipe.warmup)
        for optimiser, base in zip(prepared, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * factor
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        with accelerator.autocast():
            loss, sigma = stage_loss(rule, model, _to(batch, accelerator.device), text, generator)
        accelerator.backward(loss.mean())
        norm = float(accelerator.clip_grad_norm_(model.parameters(), recipe.clip_norm) or 0.0)
        value = float(loss.detach().mean())
        if not math.isfinite(value) or not math.isfinite(norm):
            raise VidCascadeError(
                f"Training stopped at step {step}: the loss is {value} and the gradient norm "
                f"{norm}; lower muon_lr and adam_lr or raise warmup, then run again from the last "
                f"checkpoint in {settings.out}."
            )
        for optimiser in prepared:
            optimiser.step()
            optimiser.zero_grad()
        ema.step(network.parameters())
        step += 1
        losses.append(loss.detach().cpu())
        sigmas.append(sigma.cpu())
        if settings.log_every and step % settings.log_every == 0:
            now = time.monotonic()
            line = Progress(
                step,
                (now - begun) / 60,
                float(torch.cat(losses).mean()),
                _by_noise(torch.cat(losses), torch.cat(sigmas)),
                norm,
                len(losses) * recipe.batch / (now - since),
                waited / (now - since),
            )
            _log(settings.out / "log.csv", line)
            report(line)
            losses, sigmas, waited, since = [], [], 0.0, now
        if settings.save_every and step % settings.save_every == 0:
            save()
        if sheet is not None and settings.sheet_every and step % settings.sheet_every == 0:
            sheet(averaged(), step)
        if settings.max_minutes and time.monotonic() - begun > settings.max_minutes * 60:
            break
    save()
    target = settings.out / "network"
    if accelerator.is_main_process:
        averaged().save_pretrained(target)
    return target


def _batches(dataset: Dataset[Example], size: int, workers: int) -> Iterator[Example]:
    loader = DataLoader(
        dataset, size, num_workers=workers, collate_fn=collate, worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
        # A forked child of a process that has run OpenMP hangs at its first parallel region.
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    return iter(loader)


def _one_thread(worker: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _to(batch: Example, device: torch.device) -> Example:
    return Example(
        batch.target.to(device),
        None if batch.weight is None else batch.weight.to(device),
        batch.positions.to(device),
        batch.captions,
        None if batch.given is None else batch.given.to(device),
        batch.augmentation.to(device),
    )


def _by_noise(losses: torch.Tensor, sigmas: torch.Tensor) -> list[float]:
    bins = (sigmas * NOISE_BINS).long().clamp(max=NOISE_BINS - 1)
    return [
        float(losses[bins == k].mean()) if (bins == k).any() else float("nan")
        for k in range(NOISE_BINS)
    ]


def _log(path: Path, line: Progress) -> None:
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh:
            bins = [f"loss_sigma_{k}_of_{NOISE_BINS}" for k in range(NOISE_BINS)]
            writer.writerow(
                ["step", "minutes", "loss", *bins, "grad_norm", "clips_per_second", "waiting"]
            )
        numbers = [line.minutes, line.loss, *line.by_noise, line.grad_norm]
        numbers += [line.clips_per_second, line.waiting]
        writer.writerow([line.step, *(f"{value:.5g}" for value in numbers)])
