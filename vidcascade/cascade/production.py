"""From a request to clips on disk: what ``vidcascade generate`` does, for scripts as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from vidcascade.video.writing import check_rate

_SEEDS = 2**64  # what a generator takes
_TOGETHER = 8  # clips that go through a GPU's networks at once


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
        VidCascadeError: writing failed; nothing half-written is left, and the clips before it are.
    """
    count = request.count
    if len(request.asked) not in (0, len(request.prompts)):
        raise UsageError(
            f"There are {len(request.prompts)} prompts, and {len(request.asked)} texts that they "
            "are readings of: give one for each, or none."
        )
    spec = with_settings(pipeline.spec, Settings(steps=request.steps))
    if request.fps is not None:
        as_fps(request.fps)
    last = spec.stage(request.stop_after or spec.stages[-1].name)
    check_rate(out, request.fps or spec.fps_after(last.name))
    outputs = plan_outputs(out, count, request.overwrite)
    if request.save_stages is not None:
        _plan_stages(request, outputs, spec)
    samples = _samples(request, count)
    if request.start_from is None:
        pipeline.check_prompts(samples.prompts, samples.negatives)
    clock = _StageClock(spec, count, on_step)
    report = Report(outputs, [])
    writing = 0.0
    together = 1 if pipeline._execution_device.type == "cpu" else _TOGETHER
    # A few at a time: what is made is on disk, and of hundreds of clips few are in memory.
    for begin in range(0, count, together):
        which = slice(begin, min(begin + together, count))
        clock.begin()
        result = pipeline(
            **_arguments(request, samples, which),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            noise_augmentation=request.noise_augmentation,
            smoothing=request.smoothing,
            stop_after=request.stop_after,
            output_type="pt",
            callback_on_step_end=clock,
        )
        clock.end()
        assert isinstance(result, CascadeOutput)
        began = time.monotonic()
        about = (_own_name(weights), attention)
        manifests = _manifests(pipeline, result, request, samples, which, *about)
        if request.save_stages is not None:
            _save_stages(request, result, outputs[which], samples.asked[which])
        fps = result.fps if request.fps is None else request.fps
        for output, clip, manifest in zip(outputs[which], result.frames, manifests, strict=True):
            pixels = (clip.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
            write_output(output, pixels, fps, manifest, request.overwrite)
        _, report.frames, _, report.size, _ = result.frames.shape
        report.manifests += manifests
        report.fps = fps
        writing += time.monotonic() - began
    report.seconds = clock.seconds | {"writing": writing}
    return report


@dataclass(frozen=True)
class _Samples:
    """What belongs to each clip, one of each for each."""

    prompts: list[str]
    negatives: list[str]
    seeds: list[int | None]
    keys: list[int]
    asked: list[str]


def _samples(request: Request, count: int) -> _Samples:
    unknown: list[int | None] = [None] * count
    given = request.start_from
    if given is not None:
        asked = given.asked or [""] * count
        return _Samples(given.prompts, given.negative_prompts, unknown, given.keys, asked)
    negatives = list(request.negative_prompts)
    if len(negatives) not in (1, len(request.prompts)):
        raise UsageError(
            f"There are {len(request.prompts)} prompts and {len(negatives)} negative prompts: "
            "give one for all, or one for each."
        )
    prompts, asked = list(request.prompts), list(request.asked) or [""]
    seeds, keys = unknown, list(request.keys or ())
    if request.keys is None:
        if request.seed < 0:
            raise UsageError(f"The seed must not be negative, and {request.seed} is.")
        if request.seed + count > _SEEDS:
            raise UsageError(f"The seeds must be below 2^64, and {request.seed} is too large.")
        seeds = [request.seed + i for i in range(count)]
        keys = [key_of(torch.Generator().manual_seed(request.seed + i)) for i in range(count)]
    elif len(keys) != count:
        raise UsageError(f"There are {count} samples and {len(keys)} keys: give one for each.")

    def in_turn(texts: list[str]) -> list[str]:
        return [texts[i % len(texts)] for i in range(count)]

    return _Samples(in_turn(prompts), in_turn(negatives), seeds, keys, in_turn(asked))


def _arguments(request: Request, samples: _Samples, which: slice) -> dict[str, Any]:
    if request.start_from is not None:
        return {"start_from": request.start_from.part(which)}
    return {
        "prompt": samples.prompts[which],
        "negative_prompt": samples.negatives[which],
        "keys": samples.keys[which],
    }


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
        self.seconds: dict[str, float] = {}
        self.done: dict[str, int] = {}
        self.stage = ""
        self.since = time.monotonic()

    def begin(self) -> None:
        """Some samples are begun."""
        self.since = time.monotonic()

    def __call__(self, pipeline: Any, step: int, sigma: float, about: dict[str, Any]) -> None:
        self.stage, which = about["stage"], about["samples"]
        self.end()  # preparing a stage (flow, noise) counts as the stage itself
        self.done[self.stage] = self.done.get(self.stage, 0) + which.stop - which.start
        if self.report is not None:
            self.report(self.stage, self.done[self.stage], self.totals[self.stage])

    def end(self) -> None:
        """What has passed was the stage's that is running."""
        now = time.monotonic()
        if self.stage:
            self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self.since
        self.since = now


def _own_name(weights: str) -> str:
    """Of a folder its last part, so that nobody's paths are told."""
    folder = Path(weights)
    if not weights or not folder.is_dir():
        return weights
    return folder.name or folder.resolve().name  # "." has none


def _manifests(
    pipeline: VidCascadePipeline,
    result: CascadeOutput,
    request: Request,
    samples: _Samples,
    which: slice,
    weights: str,
    attention: str,
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
    given = request.start_from
    return [
        Manifest(
            prompt,
            negative,
            seed,
            key,
            spec,
            weights,
            last.weight_hashes,
            {stage.name: schedule_of(stage).sigmas for stage in spec.stages},
            last.stage,
            arithmetic,
            versions(),
            asked=asked,
            fps=request.fps,
            start_from="" if given is None or given.spec is not None else given.stage,
        )
        for prompt, negative, seed, key, asked in zip(
            last.prompts, last.negative_prompts, samples.seeds[which], last.keys,
            samples.asked[which], strict=True,
        )
    ]  # fmt: skip


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


def _save_stages(
    request: Request, result: CascadeOutput, outputs: list[Output], asked: list[str]
) -> None:
    assert request.save_stages is not None
    request.save_stages.mkdir(exist_ok=True)
    for name, stage in result.stages.items():
        told = replace(stage, asked=asked)
        for index, output in enumerate(outputs):
            told.sample(index).save(_stage_file(request, output, name), request.overwrite)
