"""The training loop of one stage, on accelerate.

Everything random is a function of (seed, step), never of what ran before, so that a resumed run
has the same losses as one that was not interrupted (on a GPU, but for rounding).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, set_seed
from diffusers.training_utils import EMAModel
from torch import nn

from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import load_network
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.lpips import LPIPS
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.checkpoints import (
    claim_start,
    load_checkpoint,
    save_checkpoint,
    trained_minutes,
)
from vidcascade.training.dataset import Example, StageDataset
from vidcascade.training.device import check_compiler, make_accelerator, use_plain_attention
from vidcascade.training.draws import Draws
from vidcascade.training.health import Divergence, Starvation, check_finite
from vidcascade.training.loading import batches
from vidcascade.training.logs import NOISE_BINS, Meter, Progress, RunLog
from vidcascade.training.objective import COMPILED_LENGTH, TextCache, stage_loss, untrained_loss
from vidcascade.training.optimisers import build_optimisers, scheduled_rate
from vidcascade.training.regenerate import Regenerator
from vidcascade.training.settings import RunSettings
from vidcascade.training.sharding import gathered, prepare, shard, sharding_asked, whole
from vidcascade.training.sources import ClipSource, WorldSource, warn_of_length
from vidcascade.video.atomic import atomic_path

__all__ = ["NOISE_BINS", "Progress", "RunSettings", "SheetMaker", "train_stage"]

# The health of a run is judged by some of its steps: a bridge's untrained prediction costs warps.
JUDGED_EVERY = 4

# Steps of a run that ends by the clock: more than it will reach.
ENDLESS = 10_000_000

# Draws a network's samples at a step; the picture, uint8 (H, W, 3), is also shown in TensorBoard.
SheetMaker = Callable[[SpaceTimeDenoiser, int], "np.ndarray | None"]


def train_stage(
    spec: CascadeSpec,
    stage_name: str,
    settings: RunSettings,
    report: Callable[[Progress], None] = lambda line: None,
    sheet: SheetMaker | None = None,
    source: ClipSource | None = None,
) -> Path:
    """Train one stage; returns the folder that holds its EMA weights (``out/network``).

    Started by ``accelerate launch`` on several devices, each takes its part of every batch, and of
    the network as well where FSDP was asked for.

    Args:
        spec: the cascade.
        stage_name: which of its stages.
        settings: of the run.
        report: gets a line every ``log_every`` steps.
        sheet: gets the EMA network every ``sheet_every`` steps.
        source: of clips; None is the sticker world.

    Raises:
        UsageError: a stage that the spec has not, a batch or network that cannot be shared out, a
            share of weights to keep that cannot be, a run that began with other weights, or LPIPS
            weights that count nothing, are not named, or are none.
        VidCascadeError: the loss is not finite, the samples have collapsed, the checkpoint does
            not fit, or clips or weights cannot be read.
    """
    if (spec.stage(stage_name).training.lpips > 0.0) != (settings.lpips is not None):
        raise UsageError(
            "How a clip looks counts where LPIPS weights are named and have a weight beside the "
            "error: give both lpips (--lpips FILE) and the setting of that name (--set "
            "lpips=0.004), or neither."
        )
    run = StageRun(spec, stage_name, settings, source)
    if run.is_main:
        claim_start(settings.out, settings.init)
    return run.complete(report, sheet)


class StageRun:
    """One run: its network, optimisers and logs, continued from the checkpoint if there is one.

    What is trained, on which loss, and what is written in the end are methods of their own, which
    distillation replaces.

    Attributes:
        RESULT: name of what is written into the run's folder.
    """

    RESULT = "network"

    def __init__(
        self, spec: CascadeSpec, stage_name: str, settings: RunSettings, source: ClipSource | None
    ) -> None:
        stage = spec.stage(stage_name)
        self.settings, self.recipe, self.rule = settings, stage.training, make_stage(stage)
        settings.out.mkdir(parents=True, exist_ok=True)
        sharded = sharding_asked()
        self.accelerator = make_accelerator(spec)
        self.ranks, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        # Clips of a step; each is the content of ``repeats`` examples.
        self.clips = self.recipe.batch // self.recipe.repeats
        if self.clips % self.ranks:
            least = self.ranks * self.recipe.repeats
            raise UsageError(
                f"A batch of {self.recipe.batch} cannot be shared by {self.ranks} processes: "
                f"choose a multiple of {least}."
            )
        device = self.accelerator.device
        set_seed(settings.seed)
        text = None
        self.text_width: int | None = None
        if stage.network.text or settings.previous:
            encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens).to(device)
            self.text_width = encoder.width
            padded = settings.compile and device.type == "cuda"
            text = TextCache(encoder, COMPILED_LENGTH if padded else 1)
        self.text = text if stage.network.text else None
        if self.text is not None and self.accelerator.is_main_process:
            warn_of_length(source, self.text.encoder)
        self.network = self.build()
        self.lpips = None
        if settings.lpips is not None:
            with torch.random.fork_rng(devices=[]):  # the same seed, the same run but for this
                self.lpips = LPIPS(settings.lpips).to(device)
        self.regenerate = None
        if settings.previous:
            self.regenerate = Regenerator.open(
                spec, stage_name, settings.previous, settings.previous_share,
                text, self.text_width, device,
            )  # fmt: skip
        if settings.compile:
            check_compiler(device)
        for network in self.denoisers():
            use_plain_attention(network, device)
            if settings.compile:
                network.compile_repeated_blocks()
        if sharded:
            shard(self.network, device)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        self.ema = EMAModel(
            self.trained, decay=self.recipe.ema, use_ema_warmup=True, power=0.75,
            foreach=device.type == "cuda" and not sharded,
        )  # fmt: skip
        self.optimisers = build_optimisers(self.network, self.recipe)
        self.rates = [[group["lr"] for group in o.param_groups] for o in self.optimisers]
        self.accelerator.wait_for_everyone()
        self.step = load_checkpoint(settings.out, self.network, self.ema, self.optimisers)
        self.model, self.prepared = prepare(self.accelerator, self.network, self.optimisers)
        self.ema.to(device)
        self.is_main = self.accelerator.is_main_process
        self.log = RunLog(settings.out, self.step, self.is_main)
        self.minutes = max(trained_minutes(settings.out), self.log.minutes)
        if self.ranks > 1:  # only the main process reads the log
            minutes = [self.minutes]
            broadcast_object_list(minutes)
            self.minutes = minutes[0]
        self.begun: float | None = None  # of the loop, by the monotonic clock
        self.saved = self.step or None  # the step of the checkpoint; there is none of step 0
        count = max(self.recipe.steps - self.step, 0) * self.clips
        self.data = StageDataset(
            spec, stage, source or WorldSource(spec, stage, settings.seed), count, settings.seed,
            self.step * self.clips, keep_previous=self.regenerate is not None,
        )  # fmt: skip

    def build(self) -> nn.Module:
        """What is trained."""
        network = self.rule.build_network(self.text_width)
        if self.settings.init is not None:
            # What a smaller network lacks stays as it was drawn: the identity.
            known, every = self.initial(smaller=True).state_dict(), network.state_dict()
            if self.settings.keep > 0.0 and known.keys() != every.keys():
                raise UsageError(
                    f"The weights in {self.settings.init} lack parts that the spec's network has: "
                    "train without keep (--keep), since there is nothing to keep of those."
                )
            network.load_state_dict(every | known)
        return network

    def initial(self, smaller: bool = False) -> SpaceTimeDenoiser:
        """The weights that the run starts from, read again; or those of a smaller network."""
        assert self.settings.init is not None
        # Its weights are drawn only to be replaced, so the run's random numbers are left alone.
        with torch.random.fork_rng(devices=[]):
            return load_network(self.settings.init, self.rule, self.text_width, smaller=smaller)

    def denoisers(self) -> list[SpaceTimeDenoiser]:
        """The networks in it."""
        return [
            module for module in self.network.modules() if isinstance(module, SpaceTimeDenoiser)
        ]

    def loss(self, batch: Example, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and σ of each example, (B,) both."""
        return stage_loss(self.rule, self.model, batch, self.text, draws, lpips=self.lpips)

    def untrained(self, batch: Example, sigma: torch.Tensor, draws: Draws) -> torch.Tensor | None:
        """What an untrained network would lose, (B,), if it can be said."""
        return untrained_loss(self.rule, batch, sigma, draws, self.lpips)

    def averaged(self) -> SpaceTimeDenoiser:
        """The network with the moving average of its weights, and some of what it started from."""
        new = self.learnt()
        if self.settings.keep > 0.0:
            with torch.no_grad():
                pairs = zip(new.parameters(), self.initial().parameters(), strict=True)
                for parameter, before in pairs:
                    parameter.lerp_(before, self.settings.keep)
        return new.eval()

    def learnt(self) -> SpaceTimeDenoiser:
        """The network with the moving average of its weights."""
        with torch.random.fork_rng(devices=[]):
            twin = self.rule.build_network(self.text_width)
        self.ema.copy_to(twin.parameters())
        return twin

    def write(self, path: Path) -> None:
        """Write the result, which does not exist yet."""
        self.averaged().save_pretrained(path)

    def complete(self, report: Callable[[Progress], None], sheet: SheetMaker | None) -> Path:
        """Train, and write the result; returns where it lies."""
        try:
            self.loop(report, sheet)
        finally:
            self.log.close()
        if self.saved != self.step:  # of which all processes think alike, unlike of files
            self._save()
        target = self.settings.out / self.RESULT
        with gathered(self.ema, self.is_main):
            if self.is_main:
                with atomic_path(target, overwrite=True) as temporary:
                    self.write(temporary)
        self.accelerator.wait_for_everyone()
        return target

    def loop(self, report: Callable[[Progress], None], sheet: SheetMaker | None) -> None:
        """Train until the steps are done or the time is up."""
        settings = self.settings
        examples = batches(self.data, self.clips, settings.workers, self.rank, self.ranks)
        hunger = Starvation(settings.workers)
        divergence = Divergence(self.recipe.warmup, settings.out)
        self.begun = begun = time.monotonic()
        meter = Meter(begun)
        budget = settings.budget_minutes
        norm, factor = 0.0, 1.0

        def sum_up(spent: float) -> Meter:
            now = time.monotonic()
            minutes = self.minutes + (now - begun) / 60
            left = self._minutes_left(meter.seconds_per_step(now), spent)
            line = meter.line(now, self.step, minutes, left, norm, factor)
            if self.is_main:
                self.log.write(line)
                report(line)
                hunger.see(line.waiting)
            return Meter(now)

        while self.step < self.recipe.steps:
            spent = self._spent(begun)
            if any(spent >= end for end in self._ends()):
                if settings.log_every > 0 and meter.steps:
                    sum_up(spent)  # so that the log tells of all the time
                break
            asked = time.monotonic()
            batch = next(examples).to(self.accelerator.device).repeated(self.recipe.repeats)
            meter.waited += time.monotonic() - asked
            factor = scheduled_rate(
                self.step, self.recipe.steps, self.recipe.warmup,
                progress=0.0 if budget is None else (self.minutes + spent) / budget,
            )  # fmt: skip
            loss, sigma, untrained, norm = self._advance(batch, factor)
            meter.add(loss, sigma)
            if untrained is not None:
                # All processes see the same losses, and so stop together.
                divergence.see(self.step, loss, untrained)
            if self._is_time(settings.log_every):
                meter = sum_up(spent)
            paused = time.monotonic()
            # The sheet first: it finds out whether the network is worth keeping.
            if sheet is not None and self._is_time(settings.sheet_every):
                self._draw(sheet)
            if self._is_time(settings.save_every):
                self._save()
            meter.paused += time.monotonic() - paused

    def _advance(
        self, batch: Example, factor: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, float]:
        """One step.

        Returns:
            Losses and σ of the whole batch's examples, now and then what an untrained network
            would lose on them, and the norm of the gradient.
        """
        for optimiser, rates in zip(self.prepared, self.rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        own = len(batch.captions)
        start = self.step * self.recipe.batch
        first = start + self.rank * own
        draws = Draws.of(
            self.settings.seed, range(first, first + own), self.accelerator.device, start
        )
        with self.accelerator.autocast():
            if self.regenerate is not None:
                batch = self.regenerate(batch, draws)
            loss, sigma = self.loss(batch, draws)
        self.accelerator.backward(loss.mean())
        parameters = self.model.parameters()
        clipped = self.accelerator.clip_grad_norm_(parameters, self.recipe.clip_norm)
        norm = 0.0 if clipped is None else float(whole(clipped))
        check_finite(float(loss.detach().mean()), norm, self.step, self.settings.out)
        for optimiser in self.prepared:
            optimiser.step()
            optimiser.zero_grad()
        self.ema.step(self.trained)
        judged = self.step % JUDGED_EVERY == 0
        untrained = self.untrained(batch, sigma, draws) if judged else None
        if untrained is not None:
            untrained = self.accelerator.gather(untrained)
        self.step += 1
        # The log is of the whole batch, whoever computed it.
        loss, sigma = self.accelerator.gather((loss.detach(), sigma))
        return loss, sigma, untrained, norm

    def _draw(self, sheet: SheetMaker) -> None:
        with gathered(self.ema, self.is_main):
            if self.is_main:
                picture = sheet(self.averaged().to(self.accelerator.device), self.step)
                if picture is not None:
                    self.log.picture(picture, self.step)

    def _save(self) -> None:
        self.saved = self.step
        passed = 0.0 if self.begun is None else (time.monotonic() - self.begun) / 60
        save_checkpoint(
            self.settings.out, self.step, self.network, self.ema, self.optimisers,
            self.minutes + passed, write=self.is_main,
        )  # fmt: skip

    def _is_time(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _spent(self, begun: float) -> float:
        """Minutes of this call; the same in all processes, which must decay and stop together."""
        minutes = [(time.monotonic() - begun) / 60]
        if self.ranks > 1 and self._ends():
            broadcast_object_list(minutes)
        return minutes[0]

    def _ends(self) -> list[float]:
        """Minutes of this call after which the clock ends it."""
        settings = self.settings
        ends = [] if settings.max_minutes is None else [settings.max_minutes]
        if settings.budget_minutes is not None:
            ends.append(settings.budget_minutes - self.minutes)
        return ends

    def _minutes_left(self, seconds_per_step: float, spent: float) -> float:
        by_steps = (self.recipe.steps - self.step) * seconds_per_step / 60
        return min([by_steps, *(max(end - spent, 0.0) for end in self._ends())])
