"""``vidcascade generate``: prompts become clips."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcascade.cli.options import per_stage, read_prompts
from vidcascade.errors import UsageError

if TYPE_CHECKING:
    from vidcascade.cascade.manifest import Manifest
    from vidcascade.cascade.pipeline import VidCascadePipeline
    from vidcascade.cascade.production import Report, Request
    from vidcascade.cascade.spec import CascadeSpec

_PER_STAGE = "A number for all stages, or by name: base=20,bridge=8."


def generate(
    out: Annotated[Path, typer.Option(help="mp4, webm, mkv, gif, webp or a folder of PNG.")],
    prompt: Annotated[list[str] | None, typer.Option(help="What to show; repeatable.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="File with a prompt on each line.")] = None,
    negative_prompt: Annotated[list[str] | None, typer.Option(help="What to avoid.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the first clip; the others count up [0].")
    ] = None,
    num: Annotated[int | None, typer.Option(help="Clips in all [one for each prompt].")] = None,
    steps: Annotated[str | None, typer.Option(help=f"Sampling steps. {_PER_STAGE}")] = None,
    guidance: Annotated[
        str | None, typer.Option(help="Guidance scale of the base, or by name: base=4,bridge=2.")
    ] = None,
    noise_aug: Annotated[
        str | None, typer.Option(help=f"Noise augmentation, VP σ in [0, 1). {_PER_STAGE}")
    ] = None,
    smoothing: Annotated[
        float | None, typer.Option(help="Temporal smoothing in the refiner, 0 to 1.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate of the file.")] = None,
    spec: Annotated[
        str | None, typer.Option(help="Spec to run the weights with [their own].")
    ] = None,
    weights: Annotated[str, typer.Option(help="Folder, bundled name or hub id.")] = "stickers",
    teacher: Annotated[
        bool,
        typer.Option("--teacher", help="Sample in full, not in few steps with distilled students."),
    ] = False,
    as_written: Annotated[
        bool,
        typer.Option("--as-written", help="Do not say prompts again in captions' words."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16 [the spec's].")
    ] = None,
    offload: Annotated[str, typer.Option(help="none, model or sequential.")] = "none",
    attention: Annotated[str, typer.Option(help="Attention backend: native, xformers, …")] = (
        "native"
    ),
    save_stages: Annotated[
        Path | None, typer.Option(help="Folder for every stage's result.")
    ] = None,
    stop_after: Annotated[str | None, typer.Option(help="Last stage to run.")] = None,
    from_stage: Annotated[
        Path | None, typer.Option(help="Go on from a file of --save-stages.")
    ] = None,
    from_manifest: Annotated[
        Path | None, typer.Option(help="Make a clip again from its manifest, or from the clip.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Turn prompts into clips with a trained cascade."""
    asked = [*(prompt or []), *(read_prompts(prompts) if prompts else [])]
    _check_sources(asked, from_stage, from_manifest)
    told = {"--seed": seed, "--num": num, "--negative-prompt": negative_prompt}
    if from_stage is not None:
        _refuse(told, "A stage file brings its own prompts and seeds")
    if from_manifest is not None:
        _refuse(told | {"--spec": spec}, "A manifest says how its clip was made")
    changes = {
        "steps": per_stage(steps, "--steps", int),
        "guidance": per_stage(guidance, "--guidance", float),
        "noise_augmentation": per_stage(noise_aug, "--noise-aug", float),
        "smoothing": smoothing,
    }
    if any(not text.strip() for text in asked):
        raise UsageError("The prompt is empty: say what the clip should show.")
    if teacher and from_manifest is not None:
        raise UsageError("A manifest says which networks made the clip: drop --teacher.")
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"--fps must be above 0 and at most 1000, not {fps:g}.")
    began = _process_start()
    from vidcascade.cascade.outputs import plan_outputs
    from vidcascade.cascade.production import Request, produce
    from vidcascade.cascade.result import StageResult
    from vidcascade.cascade.settings import Settings, with_settings
    from vidcascade.cascade.spec import CascadeSpec, SpecWarning
    from vidcascade.cli.progress import StageBars, peak_memory
    from vidcascade.cli.train import plain_warnings

    chosen = CascadeSpec.load(spec) if spec else None
    request = Request(
        prompts=asked,
        negative_prompts=negative_prompt or [""],
        seed=seed or 0,
        num=num,
        stop_after=stop_after,
        fps=fps,
        save_stages=save_stages,
        overwrite=force,
        start_from=StageResult.load(from_stage) if from_stage else None,
        **changes,  # type: ignore[arg-type]
    )
    expected: dict[str, str] = {}
    if from_manifest:
        from vidcascade.cascade.manifest import Manifest

        manifest = Manifest.load(from_manifest)
        request, chosen, expected = _repeat(request, manifest)
        weights = manifest.weights if weights == "stickers" and manifest.weights else weights
    # Everything that can be refused is refused before seconds are spent on loading.
    plan_outputs(out, request.count, force)
    with plain_warnings():
        pipeline = _load(
            weights, chosen, teacher, from_manifest is not None, device, dtype, offload, attention
        )
    if stop_after is not None:
        pipeline.spec.stage(stop_after)
    if request.start_from is not None:
        _warn_of_weights(pipeline, dict(request.start_from.weight_hashes), "stage file")
    with plain_warnings():
        running = with_settings(pipeline.spec, Settings(**changes))  # type: ignore[arg-type]
    if not as_written:
        read = _read(pipeline, asked)
        if read != asked:
            reworded = [a if a != r else "" for a, r in zip(asked, read, strict=True)]
            request, asked = replace(request, prompts=read, asked=reworded), read
    _warn_of_weights(pipeline, expected, "manifest")
    _warn(pipeline, asked, dtype)
    _warn_of_students(running, negative_prompt or [])
    loaded = time.time()
    with StageBars(running, request.count, quiet=json_) as bars, warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecWarning)  # of settings, which are told above
        report = produce(pipeline, request, out, weights, attention, bars)
    seconds = {"loading": loaded - began, **report.seconds, "total": time.time() - began}
    _print(report, seconds, peak_memory(), json_)


def _check_sources(prompts: list[str], from_stage: Path | None, from_manifest: Path | None) -> None:
    given = sum((bool(prompts), from_stage is not None, from_manifest is not None))
    if given == 0:
        raise UsageError(
            "There is no prompt: give --prompt, --prompts, --from-stage or --from-manifest."
        )
    if given > 1:
        raise UsageError(
            "Prompts, --from-stage and --from-manifest exclude one another: give one of them."
        )


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Options that would have no effect."""
    if names := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{why}: drop {' and '.join(names)}.")


def _repeat(request: Request, manifest: Manifest) -> tuple[Request, CascadeSpec, dict[str, str]]:
    """The request of a manifest, with what the user asks for differently on top."""
    if manifest.start_from:
        raise UsageError(
            f"That clip went on from a {manifest.start_from} of which its manifest does not know "
            "how it was made: give the stage's file with --from-stage."
        )
    repeated = replace(
        request,
        prompts=[manifest.prompt],
        negative_prompts=[manifest.negative_prompt],
        keys=[manifest.key],
        asked=[manifest.asked],
        num=None,
        stop_after=request.stop_after or manifest.stop_after,
        fps=request.fps or manifest.fps,
    )
    return repeated, manifest.spec, dict(manifest.weight_hashes)


def _load(
    weights: str,
    spec: CascadeSpec | None,
    teacher: bool,
    exact: bool,
    device: str,
    dtype: str | None,
    offload: str,
    attention: str,
) -> VidCascadePipeline:
    if offload not in ("none", "model", "sequential"):
        raise UsageError(f"--offload must be none, model or sequential, not {offload!r}.")
    if dtype not in (None, "float32", "bfloat16", "float16"):
        raise UsageError(f"--dtype must be float32, bfloat16 or float16, not {dtype!r}.")
    from diffusers.utils import logging

    logging.set_verbosity_error()
    from vidcascade.cascade.pipeline import VidCascadePipeline
    from vidcascade.cascade.students import with_students
    from vidcascade.cascade.weights import resolve_weights
    from vidcascade.nn.attention import check_backend
    from vidcascade.nn.precision import pick_device

    place = pick_device(device)
    if offload != "none" and place.type == "cpu":
        raise UsageError(f"--offload {offload} needs a GPU: drop it on the CPU.")
    check_backend(attention, place)
    if spec is not None and not teacher and not exact:
        spec = with_students(spec, resolve_weights(weights))
    pipeline = VidCascadePipeline.from_pretrained(weights, spec=spec, teacher=teacher)
    pipeline.set_progress_bar_config(disable=True)
    if dtype is not None:
        pipeline.spec = pipeline.spec.model_copy(update={"dtype": dtype})
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=place)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=place)
    else:
        pipeline.to(place)
    if attention != "native":
        pipeline.set_attention_backend(attention)
    return pipeline


def _read(pipeline: VidCascadePipeline, prompts: list[str]) -> list[str]:
    """Prompts in words that the cascade knows, with what was made of them told."""
    read = [pipeline.read(text) for text in prompts]
    for text, meant in dict(zip(prompts, read, strict=True)).items():
        if meant != text:
            typer.echo(
                f"vidcascade: {text!r} is read as {meant!r} (not with --as-written)", err=True
            )
    return read


def _warn_of_weights(pipeline: VidCascadePipeline, expected: dict[str, str], where: str) -> None:
    if expected and _of_networks(expected) != _of_networks(pipeline.weight_hashes):
        _say(f"these are not the weights that the {where} names: the clip will differ.")


def _warn(pipeline: VidCascadePipeline, prompts: list[str], dtype: str | None) -> None:
    """Say what will not be as the user may think."""
    from vidcascade.data.known import check_prompt, describe_world
    from vidcascade.nn.precision import working_dtype

    device = pipeline._execution_device
    if dtype is not None and str(working_dtype(dtype, device)) != f"torch.{dtype}":
        _say(f"this {device.type} has no {dtype} arithmetic: computing in float32.")
    world = pipeline.spec.world
    if world is None:
        return
    found = {text: check_prompt(text, world) for text in prompts}
    far = [text for text, known in found.items() if known.far]
    for text in far:
        _say(f"{text!r} is far from what these weights were trained on.")
    for text, known in found.items():
        if known.never_shown:
            missing = " and ".join(known.never_shown)
            _say(f"{text!r} asks for {missing}, which these weights were never shown.")
    if far:
        _say(f"they know {describe_world(world)}.")


def _of_networks(hashes: dict[str, str]) -> dict[str, str]:
    """Without the reader's: what it read is the prompt that the manifest holds."""
    from vidcascade.cascade.reading import READER

    return {name: digest for name, digest in hashes.items() if not name.startswith(f"{READER}/")}


def _warn_of_students(spec: CascadeSpec, negative_prompts: list[str]) -> None:
    """Students have learnt one number of steps, with the guidance inside."""
    for stage in spec.stages:
        if stage.student is None or not stage.distilled:
            continue
        other = [f"{stage.steps} steps"] if stage.steps != stage.student.steps else []
        other += [f"guidance {stage.guidance.scale:g}"] if stage.guidance.scale != 1.0 else []
        other += ["a negative prompt"] if any(text.strip() for text in negative_prompts) else []
        if other:
            _say(
                f"the {stage.name}'s student was distilled for {stage.student.steps} steps without "
                f"guidance, not for {' and '.join(other)}: use --teacher for that."
            )


def _say(text: str) -> None:
    typer.echo(f"vidcascade: warning: {text}", err=True)


def _process_start() -> float:
    """When the process began, so that the total is what a user waits."""
    import psutil

    return psutil.Process().create_time()


def _print(report: Report, seconds: dict[str, float], peak: float, as_json: bool) -> None:
    if as_json:
        import json

        clips = [
            {
                "clip": str(o.clip), "manifest": str(o.manifest), "prompt": m.prompt,
                **({"asked": m.asked} if m.asked else {}), "seed": m.seed,
            }
            for o, m in zip(report.outputs, report.manifests, strict=True)
        ]  # fmt: skip
        about = {
            "clips": clips,
            "frames": report.frames,
            "size": report.size,
            "fps": report.fps,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "peak_memory_bytes": int(peak),
        }
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    shape = f"{report.frames} frames of {report.size} × {report.size} at {report.fps:g} fps"
    for output in report.outputs:
        typer.echo(f"{output.clip}: {shape}; manifest {output.manifest.name}")
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    typer.echo(f"{parts}; peak memory {peak / 2**30:.2f} GiB")
