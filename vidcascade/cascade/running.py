"""Running one stage: noise, conditioning and text in, a video out.

Everything random comes from a sample's *key*, one integer, split by stage, round and purpose. So a
sample is the same alone or in a batch, and a stage run again from a saved result draws the noise
that it would have drawn in a whole run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcascade.cascade.augment import frame_noise
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.smoothing import TemporalSmoother
from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import Conditioning, Stage
from vidcascade.diffusion.guidance import Guidance
from vidcascade.diffusion.sampling import Predictor, sample
from vidcascade.diffusion.schedules import Schedule
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser

Seeds = torch.Generator | int | Sequence[torch.Generator | int]

StepCallback = Callable[[int, float, Tensor], None]


@dataclass(frozen=True)
class TextStates:
    """Token states of the prompts and of what guidance moves away from, (B, L, D) each.

    The masks (B, L) are True at tokens.
    """

    states: Tensor
    mask: Tensor
    negative_states: Tensor
    negative_mask: Tensor

    def part(self, which: slice) -> TextStates:
        """Some samples of the batch."""
        return TextStates(
            self.states[which],
            self.mask[which],
            self.negative_states[which],
            self.negative_mask[which],
        )

    def to(self, device: torch.device | str) -> TextStates:
        """All tensors on that device."""
        return TextStates(
            self.states.to(device),
            self.mask.to(device),
            self.negative_states.to(device),
            self.negative_mask.to(device),
        )


def key_of(generator: torch.Generator) -> int:
    """Draw a sample's key from the user's generator."""
    return int(torch.randint(0, 2**62, (1,), generator=generator, device=generator.device))


def draw_keys(generator: Seeds | None, samples: int) -> list[int]:
    """A key for each sample, from what a caller of the pipeline gives as generator.

    Raises:
        UsageError: another number of generators than of samples.
    """
    if generator is None:
        drawn = torch.randint(0, 2**62, (samples,))
        return [int(key) for key in drawn]
    if isinstance(generator, int):
        generator = [generator + number for number in range(samples)]
    if isinstance(generator, torch.Generator):
        return [key_of(generator) for _ in range(samples)]
    if len(generator) != samples:
        raise UsageError(f"There are {samples} samples and {len(generator)} generators.")
    return [
        key_of(torch.Generator().manual_seed(g) if isinstance(g, int) else g) for g in generator
    ]


def generator_for(key: int, *purpose: object) -> torch.Generator:
    """A CPU generator that depends on a sample's key and on what it is for, and on nothing else."""
    text = "/".join(str(word) for word in (key, *purpose))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def schedule_of(spec: StageSpec) -> Schedule:
    """A fresh schedule of a stage; multistep solvers keep history, so each run needs its own."""
    start = spec.start_sigma if spec.kind == "refiner" else 1.0
    return Schedule(spec.scheduler, spec.steps, spec.shift, start)


@torch.no_grad()
def run_stage(
    spec: StageSpec,
    network: SpaceTimeDenoiser,
    keys: list[int],
    previous: Tensor | None = None,
    text: TextStates | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_step: StepCallback | None = None,
    rule: Stage | None = None,
) -> Tensor:
    """Sample one stage, all of its rounds.

    Args:
        spec: the stage.
        network: its network, on ``device`` (or with an offload hook that brings it there).
        keys: one for each sample.
        previous: the stage before's video (B, T, 3, h, w) in [-1, 1]; None for a base.
        text: for networks that read text.
        device: where to compute.
        dtype: what to compute in; the sample itself is kept in float32.
        on_step: called after each step with its index (over all rounds), σ and predicted x.
        rule: what the network's output is taken for; None is what the stage's kind says.

    Returns:
        (B, T, 3, size, size) float32 in [-1, 1], on the CPU.
    """
    rule = rule or make_stage(spec)
    rounds = spec.rounds if spec.kind == "bridge" else 1
    video = previous
    text = None if text is None or not spec.network.text else text.to(device)
    for number in range(rounds):
        video = _round(rule, network, keys, number, video, text, device, dtype, on_step)
    assert video is not None
    return video


def _round(
    rule: Stage,
    network: SpaceTimeDenoiser,
    keys: list[int],
    number: int,
    previous: Tensor | None,
    text: TextStates | None,
    device: torch.device | str,
    dtype: torch.dtype,
    on_step: StepCallback | None,
) -> Tensor:
    spec = rule.spec
    level = torch.full((len(keys),), spec.noise_augmentation)
    given: Conditioning | None = None
    frames = spec.frames
    if previous is not None:
        shape = tuple(previous.shape[1:])
        own = [
            frame_noise(shape, generator_for(key, spec.name, number, "condition")) for key in keys
        ]
        given = rule.condition(previous.float().cpu(), level, torch.stack(own)).to(device)
        frames = given.video.shape[1]
    shape = (frames, 3, spec.size, spec.size)
    shared = spec.smoothing.noise_correlation
    noise = torch.stack(
        [frame_noise(shape, generator_for(k, spec.name, number, "sample"), shared) for k in keys]
    )
    start = rule.start(given)
    adjust = None
    if start is not None and spec.smoothing.strength > 0 and frames > 1:
        adjust = TemporalSmoother(start, spec.smoothing.strength)
    guide = spec.guidance
    guidance = Guidance(guide.scale, *guide.interval, guide.dynamic_threshold)
    if text is None:
        guidance = Guidance()  # nothing to be guided away from
    schedule = schedule_of(spec)
    offset = number * schedule.steps

    def report(index: int, sigma: float, x: Tensor) -> None:
        if on_step is not None:
            on_step(offset + index, sigma, x)

    predict = bind(rule, network, given, level.to(device), text, dtype)
    return sample(predict, noise.to(device), schedule, guidance, start, adjust, report).cpu()


def bind(
    rule: Stage,
    network: SpaceTimeDenoiser,
    given: Conditioning | None,
    augmentation: Tensor,
    text: TextStates | None,
    dtype: torch.dtype = torch.float32,
    positions: Tensor | None = None,
) -> Predictor:
    """The network with its conditioning, as the sampling loop wants it."""

    def predict(sample: Tensor, sigma: Tensor, conditional: bool) -> Tensor:
        states = mask = None
        if text is not None:
            states = text.states if conditional else text.negative_states
            mask = text.mask if conditional else text.negative_mask
        with _autocast(network, sample.device, dtype):
            return rule.predict(
                network, sample, sigma, given, augmentation, states, mask, positions
            )

    return predict


def _autocast(
    network: SpaceTimeDenoiser, device: torch.device, dtype: torch.dtype
) -> AbstractContextManager[None]:
    # Weights that were loaded in a narrow dtype compute in it anyway.
    enabled = dtype is not torch.float32 and network.dtype is torch.float32
    return torch.autocast(device.type, dtype, enabled=enabled)


def span_of(
    names: list[str], start_from: StageResult | None, stop_after: str | None
) -> tuple[int, int]:
    """Numbers of the first and the last stage of a run.

    Args:
        names: of all stages.
        start_from: what the run goes on from, if anything.
        stop_after: the last stage to run, if it is not the cascade's last.

    Raises:
        UsageError: a stage that there is not, or a run of none.
    """
    if stop_after is not None and stop_after not in names:
        raise UsageError(f"There is no stage {stop_after!r}: choose from {', '.join(names)}.")
    if start_from is not None and start_from.stage not in names:
        raise UsageError(
            f"The saved result is of stage {start_from.stage!r}, and this cascade has "
            f"{', '.join(names)}."
        )
    first = 0 if start_from is None else names.index(start_from.stage) + 1
    last = len(names) - 1 if stop_after is None else names.index(stop_after)
    if first > last:
        raise UsageError(
            f"Nothing is left to run after {names[first - 1]}: start from an earlier stage, or "
            "stop after a later one."
        )
    return first, last
