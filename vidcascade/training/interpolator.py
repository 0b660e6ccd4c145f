"""Training the network that makes frames between two others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from vidcascade.interpolation.model import load_interpolator
from vidcascade.interpolation.warp_network import Correction, WarpNetwork, compose
from vidcascade.interpolation.warp_prior import prior_of
from vidcascade.nn.precision import working_dtype
from vidcascade.training.checkpoints import load_checkpoint, save_checkpoint
from vidcascade.training.health import check_finite
from vidcascade.training.interpolator_data import CELL, Batch, FlowStore, draw_batch
from vidcascade.training.muon import GramMuon
from vidcascade.video.atomic import atomic_path

__all__ = ["InterpolatorSettings", "interpolation_loss", "train_interpolator"]

FLOW_LOSS = 2.0  # weight of the flows' distance to the known ones
_FLAT = 0.25  # part of a run before the learning rates begin to fall
_LOG = "log.jsonl"


@dataclass(frozen=True)
class InterpolatorSettings:
    """A run.

    Attributes:
        out: folder of checkpoint, log and result.
        steps: of the whole run; the learning rates fall to zero over the last three quarters.
        batch: examples of 192 × 192 pixels in a step.
        muon_lr: learning rate of the matrices inside the blocks.
        adam_lr: learning rate of everything else.
        warmup: steps over which both rise.
        ema: decay of the averaged weights.
        seed: of the examples.
        max_minutes: of the whole run, interruptions not counted: where time runs out before the
            steps do, the learning rates fall with the time.
        together: examples that are worked on at once; the gradients of a batch's parts add up.
        save_every: steps between checkpoints.
        log_every: steps between log lines.
        init: folder of weights to start from.
        compile: compile the blocks, which takes minutes and a C++ compiler.
    """

    out: Path
    steps: int = 12000
    batch: int = 8
    muon_lr: float = 4e-3
    adam_lr: float = 8e-4
    warmup: int = 50
    ema: float = 0.998
    seed: int = 0
    max_minutes: float | None = None
    save_every: int = 250
    log_every: int = 50
    init: Path | None = None
    compile: bool = False
    together: int = 8


def interpolation_loss(given: Correction, batch: Batch) -> tuple[Tensor, Tensor]:
    """What is minimised, (B,), and the mean squared error of each prediction (in [0, 1]²).

    The logarithm of each example's error, since quality is judged by the mean of PSNRs: without
    it, the few examples that nobody can predict would take nearly all of the gradient. A share of
    an absolute error keeps outliers from ruling one picture. The flows are also pulled to those
    found with the middle frame at hand, wherever these show it better than the prior does.
    """
    error = (compose(batch.first, batch.second, given, batch.time) - batch.middle) * 0.5
    square = error.square()
    squared = square.mean((1, 2, 3))
    absolute = (square + 1e-6).sqrt().mean((1, 2, 3))
    pulled = _flow_error(given.coarse, batch)
    pulled = pulled + _flow_error(F.avg_pool2d(given.flows[..., ::2, ::2], CELL // 2), batch)
    loss = 0.5 * (squared + 3e-5).log() + (absolute + 3e-3).log() + FLOW_LOSS * pulled
    return loss, squared.detach()


def _flow_error(cells: Tensor, batch: Batch) -> Tensor:
    """Robust distance to the known flows, where they are worth more than the prior: (B,)."""
    apart = (cells - batch.known).abs().unflatten(1, (2, 2)).sum(2)
    return (batch.worth * torch.log1p(apart)).mean((2, 3)).sum(1)


def build_optimisers(
    network: nn.Module, settings: InterpolatorSettings
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for the rest."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        hidden = parameter.ndim == 2 and ".conv_" in name
        (matrices if hidden else others).append(parameter)
    return [
        torch.optim.AdamW(others, lr=settings.adam_lr, betas=(0.9, 0.99), weight_decay=1e-4),
        GramMuon(matrices, lr=settings.muon_lr, weight_decay=0.01),
    ]


def train_interpolator(
    settings: InterpolatorSettings,
    stores: Sequence[FlowStore],
    report: Callable[[dict[str, float]], None] = lambda line: None,
) -> Path:
    """Train, or continue, a run; returns the folder of the averaged weights (``out/network``).

    Raises:
        UsageError: there is no folder to start from.
        VidCascadeError: the loss is not finite, the checkpoint does not fit, or the weights to
            start from are damaged.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    told = json.dumps(asdict(settings), default=str, indent=1)
    (settings.out / "settings.json").write_text(told + "\n", encoding="utf-8")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(settings.seed)
    network = WarpNetwork() if settings.init is None else load_interpolator(settings.init)
    network.to(device)
    ema = EMAModel(network.parameters(), decay=settings.ema, use_ema_warmup=True, power=0.75)
    optimisers = build_optimisers(network, settings)
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    step = load_checkpoint(settings.out, network, ema, optimisers)
    if settings.compile:
        # One graph for each width and size of feature maps: more than the default limit.
        torch._dynamo.config.cache_size_limit = 64
        network.compile_repeated_blocks(dynamic=False)
    half = working_dtype("bfloat16", device)
    begun = time.monotonic() - 60 * _trim(settings.out / _LOG, step)
    errors: list[Tensor] = []
    losses: list[float] = []
    whole = True  # whether what would be saved is what ``step`` steps have learnt
    try:
        while step < settings.steps:
            minutes = (time.monotonic() - begun) / 60
            done = step / settings.steps
            if settings.max_minutes is not None:
                done = max(done, minutes / settings.max_minutes)
            if done >= 1:
                break
            factor = min((step + 1) / settings.warmup, decayed(done))
            for optimiser, base in zip(optimisers, rates, strict=True):
                for group, rate in zip(optimiser.param_groups, base, strict=True):
                    group["lr"] = rate * factor
            batch = _to(draw_batch(stores, settings.batch, settings.seed, step), device)
            total = 0.0
            for part in _parts(batch, settings.together):
                prior = prior_of(part.ahead, part.back, part.time)
                with torch.autocast(device.type, torch.bfloat16, enabled=half is torch.bfloat16):
                    given = network(part.first, part.second, prior, part.time)
                loss, squared = interpolation_loss(given, part)
                loss = loss.sum() / len(batch.time)
                loss.backward()
                total += float(loss.detach())
                errors.append(squared)
            norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0))
            check_finite(total, norm, step, settings.out)
            whole = False
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            ema.step(network.parameters())
            step += 1
            whole = True
            losses.append(total)
            if step % settings.log_every == 0:
                psnr = float((-10 * torch.cat(errors).clamp(min=1e-6).log10()).mean())
                mean = sum(losses) / len(losses)
                minutes = (time.monotonic() - begun) / 60
                line = {"step": step, "loss": mean, "psnr": psnr, "norm": norm, "minutes": minutes}
                with (settings.out / _LOG).open("a", encoding="utf-8") as log:
                    log.write(json.dumps(line) + "\n")
                report(line)
                errors, losses = [], []
            if step % settings.save_every == 0:
                _save(settings.out, step, network, ema, optimisers)
    except KeyboardInterrupt:
        if whole:
            _save(settings.out, step, network, ema, optimisers)
        raise
    _save(settings.out, step, network, ema, optimisers)
    return settings.out / "network"


def decayed(done: float) -> float:
    """Factor on the learning rates when a part of the run is done: flat, then a line to zero."""
    return min(1.0, (1 - done) / (1 - _FLAT))


def _trim(log: Path, step: int) -> float:
    """Drop lines beyond ``step``, which are written again; the minutes that the others tell of."""
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return 0.0
    kept = {line: minutes for line in lines if (minutes := _minutes(line, step)) is not None}
    with atomic_path(log, overwrite=True) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    return max(kept.values(), default=0.0)


def _minutes(line: str, step: int) -> float | None:
    """What a line of the log tells; None if it is beyond ``step``, or cut off by a crash."""
    try:
        told = json.loads(line)
        return float(told["minutes"]) if told["step"] <= step else None
    except (ValueError, KeyError, TypeError):
        return None


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    """A batch in parts that fit a processor's cache; their gradients add up."""
    names = list(batch.__dataclass_fields__)
    for start in range(0, len(batch.time), size):
        yield Batch(**{name: getattr(batch, name)[start : start + size] for name in names})


def _save(
    out: Path,
    step: int,
    network: WarpNetwork,
    ema: EMAModel,
    optimisers: list[torch.optim.Optimizer],
) -> None:
    save_checkpoint(out, step, network, ema, optimisers)
    with torch.random.fork_rng(devices=[]):
        twin = WarpNetwork.from_config(network.config)
    ema.copy_to(twin.parameters())
    with atomic_path(out / "network", overwrite=True) as temporary:
        twin.save_pretrained(temporary)


def _to(batch: Batch, device: torch.device) -> Batch:
    return Batch(**{name: getattr(batch, name).to(device) for name in batch.__dataclass_fields__})
