"""Training for a fixed time of the processor, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import torch
from diffusers.training_utils import EMAModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training.variants import Variant
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.diffusion.flow_matching import SIGMA_FLOOR
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype
from vidcascade.training.dataset import Example, WorldDataset, collate
from vidcascade.training.device import use_plain_attention
from vidcascade.training.draws import Draws
from vidcascade.training.objective import TextCache, stage_loss
from vidcascade.training.optimisers import build_optimisers, scheduled_rate

_ENDLESS = 10_000_000


class Clock:
    """Seconds spent inside ``with clock:``: of this process's CPU time, or of the wall's on a GPU.

    CPU time does not count what other processes take of a shared core. Several threads would count
    several times: use one.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()

    def __enter__(self) -> Clock:
        """Start."""
        self._begun = self._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Stop, and add up."""
        self.seconds += self._now() - self._begun


@dataclass(frozen=True)
class Trained:
    """What came of a budget.

    Attributes:
        networks: the averaged network by its decay, the recipe's own first.
        parameters: of the network.
        flops: of a training step on one clip, forward and backward.
        steps, clips: taken and seen; a single frame counts as its part of a clip, a crop as one.
        seconds: on the clock.
        loss: mean of the last tenth of the steps, in the unit that was trained on.
    """

    networks: dict[float, SpaceTimeDenoiser]
    parameters: int
    flops: float
    steps: int
    clips: float
    seconds: float
    loss: float


def train(
    spec: CascadeSpec,
    stage: StageSpec,
    variant: Variant,
    text: TextCache,
    seconds: float,
    device: torch.device,
) -> Trained:
    """Train one stage of ``spec`` for ``seconds`` of the clock, as ``variant`` says.

    Drawing clips and encoding captions are off the clock: they are the same for all variants, and
    a GPU's run has them done elsewhere. So are averages beyond the recipe's own.
    """
    recipe = stage.training
    network = variant.build(stage, text.encoder.width).to(device)
    use_plain_attention(network, device)
    read = text if stage.network.text else None
    flops = _count(spec, stage, variant, network, read)
    optimisers = build_optimisers(network, recipe)
    rates = [[group["lr"] for group in o.param_groups] for o in optimisers]
    averages = {
        decay: EMAModel(network.parameters(), decay=decay, use_ema_warmup=True, power=0.75)
        for decay in dict.fromkeys((recipe.ema, *variant.decays))
    }
    dtype = working_dtype(spec.dtype, device)
    rule, clock = variant.rule(stage), Clock(device)
    steps, clips, losses = 0, 0.0, list[float]()
    for batch, first, worth in _batches(spec, stage, variant, clock, seconds):
        if read is not None:
            read(batch.captions)
        batch = batch.to(device)
        with clock:
            factor = scheduled_rate(
                steps, _ENDLESS, recipe.warmup, progress=clock.seconds / seconds
            )
            for optimiser, given in zip(optimisers, rates, strict=True):
                for group, rate in zip(optimiser.param_groups, given, strict=True):
                    group["lr"] = rate * factor
            draws = Draws.of(variant.seed, range(first, first + len(batch.captions)))
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                loss, sigma = stage_loss(rule, network, batch, read, draws)
                if variant.loss == "x":
                    loss = loss * sigma.clamp(min=SIGMA_FLOOR).square()
            mean = loss.mean()
            mean.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
            averages[recipe.ema].step(network.parameters())
        for decay, ema in averages.items():
            if decay != recipe.ema:
                ema.step(network.parameters())
        steps, clips = steps + 1, clips + worth
        losses.append(float(mean.detach()))
    end = losses[-max(1, steps // 10) :]
    networks = {}
    for decay, ema in averages.items():
        networks[decay] = variant.build(stage, text.encoder.width).to(device).eval()
        use_plain_attention(networks[decay], device)
        ema.copy_to(networks[decay].parameters())
    return Trained(
        networks, sum(p.numel() for p in network.parameters()), flops, steps, clips,
        clock.seconds, sum(end) / max(len(end), 1),
    )  # fmt: skip


def _batches(
    spec: CascadeSpec, stage: StageSpec, variant: Variant, clock: Clock, seconds: float
) -> Iterator[tuple[Example, int, float]]:
    """Batches until the time is up: what to train on, its first number, and its worth in clips."""
    number = 0
    if variant.space > 0:
        # What scripts/train_bundled.py begins with: as many pixels a step, less noise.
        many = stage.training.batch * stage.frames
        stills = spec.with_recipe(
            stage.name, frames=1, batch=many, repeats=1, shift=2.0, sigma_std=1.0
        )
        data = WorldDataset(stills, stills.stage(stage.name), _ENDLESS, variant.seed)
        while clock.seconds < variant.space * seconds:
            yield collate([data[number + k] for k in range(many)]), number, many / stage.frames
            number += many
    batch, repeats = stage.training.batch, stage.training.repeats
    data = WorldDataset(spec, stage, _ENDLESS, variant.seed)
    while clock.seconds < seconds:
        clips = [data[number // repeats + k] for k in range(batch // repeats)]
        yield collate(clips).repeated(repeats), number, float(batch)
        number += batch


def _count(
    spec: CascadeSpec, stage: StageSpec, variant: Variant, network: SpaceTimeDenoiser,
    text: TextCache | None,
) -> float:  # fmt: skip
    """Operations of the matrix products and convolutions of a step on one example."""
    batch = WorldDataset(spec, stage, 1, variant.seed)[0].to(network.device)
    if text is not None:
        text(batch.captions)
    counter = FlopCounterMode(display=False)
    with counter:
        loss, _ = stage_loss(variant.rule(stage), network, batch, text, Draws.of(0, [0]))
        loss.mean().backward()
    network.zero_grad()
    return float(counter.get_total_flops())
