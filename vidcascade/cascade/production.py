"""From a request to clips on disk: what ``vidcascade generate`` does, for scripts as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.manifest import Manifest, versions
from vidcascade.cascade.outputs import Output, plan_outputs, write_output
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import key_of, schedule_of
from vidcascade.cascade.settings import Settings, with_settings
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError
from vidcascade.nn.precision import working_dtype
from vidcascade.video import as_fps
from vidcascade.video.atomic import check_parent

_SEEDS = 2**64  # what a generator takes


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        prompts: one or more; clips take them in turn.
        negative_prompts: one for all, or one for each prompt.
        seed: of the first clip; the others count up from it.
        num: clips in all; None is one for each prompt.
        keys: instead of seeds, from a manifest.
        start_from: a saved stage result, which brings prompts and keys.
        stop_after: the last stage to run.
        steps, guidance, noise_augmentation, smoothing, fps: see
            :class:`vidcascade.cascade.settings.Settings`; fps is the written clip's.
        save_stages: a folder for every stage's result.
        overwrite: replace files that are there.
        asked: for the manifests, what each of the prompts is a reading of; "" where it is as
            written.
    """

    prompts: Sequence[str] = ()
    negative_prompts: Sequence[str] = ("",)
    seed: int = 0
    num: int | None = None
    keys: Sequence[int] | None = None
    start_from: StageResult | None = None
    stop_after: str | None = None
    steps: int | Mapping[str, int] | None = None
    guidance: float | Mapping[str, float] | None = None
    noise_augmentation: float | Mapping[str, float] | None = None
    smoothing: float | None = None
    fps: float | None = None
    save_stages: Path | None = None
    overwrite: bool = False
    asked: Sequence[str] = ()

    @property
    def count(self) -> int:
        """How many clips there will be.

        Raises:
            UsageError: no prompts, fewer clips than prompts, or none at all.
        """
        if self.start_from is not None:
            return len(self.start_from.keys)
        if not self.prompts:
            raise UsageError("There is no prompt: say what the clip should show.")
        count = len(self.prompts) if self.num is None else self.num
        if count < 1:
            raise UsageError(f"{count} clips cannot be made: ask for 1 or more.")
        if count < len(self.prompts):
            raise UsageError(
                f"{len(self.prompts)} prompts cannot be shown in {count} clips: give --num "
                f"{len(self.prompts)} or more, or fewer prompts."
            )
        return count


@dataclass
class Report:
    """What was made.

    Attributes:
        outputs: files, in the order of the samples.
        manifests: the same order.
        seconds: how long each part took, by name (stages, ``writing``).
        frames, size, fps: of every clip.
    """

    outputs: list[Output]
    manifests: list[Manifest]
    seconds: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    size: int = 0
    fps: float = 0.0


def produce(
    pipeline: VidCascadePipeline,
    request: Request,
    out: Path,
    weights: str = "",
    attention: str = "native",
    on_step: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Generate and write clips.

    Args:
        pipeline: the cascade, on its device.
        request: what to make.
        out: file or folder; several clips get numbers.
        weights: name of the weights, for the manifest, which keeps of a folder only its own name.
        attention: name of the attention backend, for the manifest.
        on_step: called after each step with the stage's name, steps done and steps in all.

    Raises:
        UsageError: a request that cannot work; nothing has been written then.
        VidCascadeError: writing failed; nothing half-written is left.
    """
    count = request.count
    if len(request.asked) not in (0, len(request.prompts)):
        raise UsageError(
            f"There are {len(request.prompts)} prompts, and {len(request.asked)} texts that they "
            "are readings of: give one for each, or none."
        )
    if request.fps is not None:
        as_fps(request.fps)
    spec = with_settings(pipeline.spec, Settings(steps=request.steps))
    outputs = plan_outputs(out, count, request.overwrite)
    if request.save_stages is not None:
        _plan_stages(request, outputs, spec)
    seeds: list[int | None] = [None] * count
    arguments: dict[str, Any] = {}
    if request.start_from is not None:
        arguments["start_from"] = request.start_from
    else:
        prompts = [request.prompts[i % len(request.prompts)] for i in range(count)]
        negatives = list(request.negative_prompts)
        if len(negatives) not in (1, len(request.prompts)):
            raise UsageError(
                f"There are {len(request.prompts)} prompts and {len(negatives)} negative prompts: "
                "give one for all, or one for each."
            )
        arguments["prompt"] = prompts
        arguments["negative_prompt"] = [negatives[i % len(negatives)] for i in range(count)]
        if request.keys is not None:
            arguments["keys"] = list(request.keys)
        else:
            if request.seed < 0:
                raise UsageError(f"The seed must not be negative, and {request.seed} is.")
            if request.seed + count > _SEEDS:
                raise UsageError(f"The seeds must be below 2^64, and {request.seed} is too large.")
            seeds = [request.seed + i for i in range(count)]
            arguments["keys"] = [
                key_of(torch.Generator().manual_seed(request.seed + i)) for i in range(count)
            ]
    clock = _StageClock(spec, count, on_step)
    result = pipeline(
        **arguments,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        noise_augmentation=request.noise_augmentation,
        smoothing=request.smoothing,
        stop_after=request.stop_after,
        output_type="pt",
        callback_on_step_end=clock,
    )
    seconds = clock.finish()
    assert isinstance(result, CascadeOutput)
    fps = result.fps if request.fps is None else request.fps
    asked = [request.asked[i % len(request.asked)] if request.asked else "" for i in range(count)]
    manifests = _manifests(pipeline, result, seeds, _own_name(weights), attention, asked)
    began = time.monotonic()
    if request.save_stages is not None:
        _save_stages(request, result, outputs)
    for output, clip, manifest in zip(outputs, result.frames, manifests, strict=True):
        pixels = (clip.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
        write_output(output, pixels, fps, manifest, request.overwrite)
    seconds["writing"] = time.monotonic() - began
    _, frames, _, size, _ = result.frames.shape
    return Report(outputs, manifests, seconds, frames, size, fps)


class _StageClock:
    """Times the stages and reports their progress, as a pipeline callback."""

    def __init__(
        self, spec: CascadeSpec, samples: int, report: Callable[[str, int, int], None] | None
    ) -> None:
        self.report = report
        self.totals = {
            stage.name: stage.steps * samples * (stage.rounds if stage.kind == "bridge" else 1)
            for stage in spec.stages
        }
        self.began = self.since = time.monotonic()
        self.seconds: dict[str, float] = {}
        self.stage = ""
        self.done = 0

    def __call__(self, pipeline: Any, step: int, sigma: float, about: dict[str, Any]) -> None:
        name, which = about["stage"], about["samples"]
        if name != self.stage:
            self._end_stage()
            self.stage, self.done = name, 0
        self.done += which.stop - which.start
        self.seconds[name] = time.monotonic() - self.since
        if self.report is not None:
            self.report(name, self.done, self.totals[name])

    def _end_stage(self) -> None:
        # Preparing a stage (flow, noise) counts as the stage itself.
        self.since = self.since + self.seconds.get(self.stage, 0.0)

    def finish(self) -> dict[str, float]:
        """Seconds of each stage."""
        if self.stage:
            self.seconds[self.stage] = time.monotonic() - self.since
        return dict(self.seconds)


def _own_name(weights: str) -> str:
    """Of a folder its last part, so that nobody's paths are told."""
    folder = Path(weights)
    if not weights or not folder.is_dir():
        return weights
    return folder.name or folder.resolve().name  # "." has none


def _manifests(
    pipeline: VidCascadePipeline,
    result: CascadeOutput,
    seeds: Sequence[int | None],
    weights: str,
    attention: str,
    asked: Sequence[str],
) -> list[Manifest]:
    spec = result.spec
    assert spec is not None
    last = list(result.stages.values())[-1]
    device = pipeline._execution_device
    arithmetic = {
        "device": device.type,
        "dtype": str(working_dtype(spec.dtype, device)).removeprefix("torch."),
        "attention": attention,
    }
    sigmas = {stage.name: schedule_of(stage).sigmas for stage in spec.stages}
    return [
        Manifest(
            prompt,
            negative,
            seed,
            key,
            spec,
            weights,
            pipeline.weight_hashes,
            sigmas,
            last.stage,
            arithmetic,
            versions(),
            asked=read,
        )
        for prompt, negative, seed, key, read in zip(
            last.prompts, last.negative_prompts, seeds, last.keys, asked, strict=True
        )
    ]


def _stage_file(request: Request, output: Output, stage: str) -> Path:
    assert request.save_stages is not None
    return request.save_stages / f"{output.manifest.stem}.{stage}.safetensors"


def _plan_stages(request: Request, outputs: list[Output], spec: CascadeSpec) -> None:
    folder = request.save_stages
    assert folder is not None
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--save-stages {folder} is a file: give a folder.")
    if not folder.exists():
        check_parent(folder)
    if request.overwrite:
        return
    for output in outputs:
        for stage in spec.stages:
            there = _stage_file(request, output, stage.name)
            if there.exists():
                raise UsageError(f"{there} exists already; choose another folder or add --force.")


def _save_stages(request: Request, result: CascadeOutput, outputs: list[Output]) -> None:
    assert request.save_stages is not None
    request.save_stages.mkdir(exist_ok=True)
    for name, stage in result.stages.items():
        for index, output in enumerate(outputs):
            stage.sample(index).save(_stage_file(request, output, name), request.overwrite)
