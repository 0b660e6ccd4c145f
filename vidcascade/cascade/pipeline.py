"""The pipeline: a cascade's networks and its spec, from prompts to videos."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from vidcascade.cascade import weights
from vidcascade.cascade.frames import CascadeOutput, OutputType, to_output
from vidcascade.cascade.reading import READER, load_reader, read_prompt
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.result import StageResult
from vidcascade.cascade.running import Seeds, TextStates, draw_keys, run_stage, span_of
from vidcascade.cascade.settings import Settings, with_settings
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.students import (
    STUDENT_FILE,
    merge_student,
    with_students,
    with_students_fused,
    without_students,
)
from vidcascade.errors import UsageError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.precision import working_dtype
from vidcascade.nn.reader import PromptReader

# Imported by name so that diffusers finds the classes which a saved pipeline names.
from vidcascade.nn.text import (  # noqa: F401
    MiniLMTextEncoder,
    TextEncoder,
    TransformersTextEncoder,
    build_text_encoder,
)

# (pipeline, step, flow σ, {"stage", "samples", "x"}), as diffusers' callback_on_step_end.
Callback = Callable[[Any, int, float, dict[str, Any]], Any]


class VidCascadePipeline(DiffusionPipeline):
    """Runs a cascade: ``pipeline("a rocket flying up at night").frames``.

    The components are the text encoder and one network for each stage of the spec, under the
    stage's name, so that diffusers' offloading, device placement and saving see them all.

    Args:
        text_encoder: shared by all stages.
        spec: the cascade.
        networks: one for each stage, by name.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        spec: CascadeSpec,
        networks: Mapping[str, SpaceTimeDenoiser],
    ) -> None:
        super().__init__()
        missing = [stage.name for stage in spec.stages if stage.name not in networks]
        if missing:
            raise UsageError(f"There is no network for stages {', '.join(missing)}.")
        self.spec = spec
        self.weight_hashes: dict[str, str] = {}
        # No component: it only chooses words, and runs on the CPU wherever the networks are.
        self.reader: PromptReader | None = None
        names = [stage.name for stage in spec.stages]
        self.register_modules(text_encoder=text_encoder, **{n: networks[n] for n in names})
        self.model_cpu_offload_seq = "->".join(("text_encoder", *names))

    @classmethod
    def _get_signature_keys(cls, obj: Any) -> tuple[list[str], list[str]]:
        # diffusers reads the components off __init__; ours depend on the spec.
        if isinstance(obj, type):
            return ["text_encoder"], []
        return sorted(["text_encoder", *(stage.name for stage in obj.spec.stages)]), []

    @classmethod
    def from_spec(cls, spec: CascadeSpec | str | Path, seed: int = 0) -> VidCascadePipeline:
        """An untrained cascade: bridges interpolate along the flow, refiners are bicubic."""
        spec = spec if isinstance(spec, CascadeSpec) else CascadeSpec.load(spec)
        encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = {
                stage.name: make_stage(stage).build_network(encoder.width).eval()
                for stage in spec.stages
            }
        return cls(encoder, spec, networks)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        spec: CascadeSpec | None = None,
        teacher: bool = False,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> VidCascadePipeline:
        """Load a folder that :meth:`save_pretrained` wrote, a bundled name or a hub id.

        Weights are safetensors only. Without ``dtype`` they are kept in float32 and computed with
        in the spec's dtype wherever the device has it; with it they are cast. ``spec`` replaces
        the folder's own: its networks must be the same, everything else may differ.

        Stages that come with a student, distilled to few steps, run it; with ``teacher`` they run
        the network that it was distilled from. A given ``spec`` says itself which (``distilled``;
        :func:`~vidcascade.cascade.students.with_students` sets it).

        Raises:
            UsageError: nothing there, or a spec that cannot work.
            VidCascadeError: damaged, tampered or mismatched weights.
        """
        name = os.fspath(pretrained_model_name_or_path)
        folder = weights.resolve_weights(name, revision, local_files_only)
        if not (folder / weights.SPEC_FILE).is_file():
            raise UsageError(
                f"{folder} holds no cascade ({weights.SPEC_FILE} is missing): give a folder that "
                "save_pretrained or `vidcascade assemble` wrote."
            )
        if spec is None:
            spec = CascadeSpec.load(folder / weights.SPEC_FILE)
            spec = spec if teacher else with_students(spec)
        elif teacher and any(stage.distilled for stage in spec.stages):
            raise UsageError(
                "The spec runs students (distilled): drop teacher, or change the spec."
            )
        hashes = weights.verify_checksums(folder)
        encoder = build_text_encoder(spec.text.encoder, spec.text.max_tokens)
        places = weights.stage_folders(folder, spec.stages)
        networks = {
            stage.name: weights.load_network(
                places[stage.name], make_stage(stage), encoder.width, running=True
            )
            for stage in spec.stages
        }
        for stage in spec.stages:
            if stage.distilled:
                assert stage.student is not None
                file = places[stage.name] / STUDENT_FILE
                merge_student(networks[stage.name], file, stage.student)
        pipeline = cls(encoder, spec, networks)
        pipeline.weight_hashes = hashes
        pipeline.reader = load_reader(folder, spec.text.encoder)
        cast = dtype or torch_dtype
        return pipeline if cast is None else pipeline.to(dtype=cast)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write networks, spec and checksums into a folder; safetensors only.

        A student that this pipeline runs is written as the stage's own network, and one that it
        does not run is left out.
        """
        if kwargs.pop("safe_serialization", True) is not True:
            raise UsageError("Cascades are saved as safetensors only: drop safe_serialization.")
        # diffusers would upload before spec and checksums are there, and load no other variant.
        if kwargs.pop("push_to_hub", False):
            raise UsageError("A cascade is uploaded by its push_to_hub(): drop it here.")
        if kwargs.pop("variant", None) is not None:
            raise UsageError("A cascade's files have no variants: drop variant.")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        super().save_pretrained(str(folder), safe_serialization=True, **kwargs)
        if self.reader is not None:
            self.reader.save_pretrained(folder / READER, safe_serialization=True)
        elif (folder / READER).is_dir():
            shutil.rmtree(folder / READER)  # of what lay here before
        spec = without_students(with_students_fused(self.spec), {})
        (folder / weights.SPEC_FILE).write_text(spec.to_yaml(), encoding="utf-8")
        weights.write_checksums(folder)

    def read(self, prompt: str) -> str:
        """The prompt, or what it means in words that the base learnt.

        See :func:`~vidcascade.cascade.reading.read_prompt`. Calling the pipeline reads nothing: it
        makes what it is given. Without a reader or a world, the prompt is returned as it is.
        """
        if self.reader is None or self.spec.world is None:
            return prompt
        self._check_prompt(prompt, empty=False)
        return read_prompt(prompt, self.spec.world, self.reader, self.text_encoder)

    def set_attention_backend(self, name: str) -> None:
        """Choose diffusers' attention backend for all networks: ``native``, ``xformers``, ….

        Raises:
            UsageError: unknown, not installed, or not usable on this device.
        """
        from vidcascade.nn.attention import check_backend

        check_backend(name, self._execution_device)
        for stage in self.spec.stages:
            getattr(self, stage.name).set_attention_backend(name)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        *,
        num_videos_per_prompt: int = 1,
        generator: Seeds | None = None,
        num_inference_steps: int | Mapping[str, int] | None = None,
        guidance_scale: float | Mapping[str, float] | None = None,
        noise_augmentation: float | Mapping[str, float] | None = None,
        smoothing: float | None = None,
        keys: Sequence[int] | None = None,
        start_from: StageResult | None = None,
        stop_after: str | None = None,
        output_type: OutputType = "pil",
        batch_size: int | None = None,
        callback_on_step_end: Callback | None = None,
        return_dict: bool = True,
    ) -> CascadeOutput | tuple[Any]:
        """Generate clips.

        Args:
            prompt: one or more; None only with ``start_from``.
            negative_prompt: what guidance moves away from; one for all, or one for each prompt.
            num_videos_per_prompt: samples of each prompt.
            generator: one for each sample, or one for all, from which they draw in turn; or seeds,
                where one number is the first sample's and the others count up. The same seed gives
                the same clip, alone or in a batch.
            keys: instead of generators, what they gave in an earlier run (see the manifest).
            num_inference_steps, guidance_scale, noise_augmentation: a number for every stage that
                has the setting (guidance: bases, and others that the spec guides), or numbers by
                stage name; None keeps the spec's. Noise augmentation is σ of a VP mix, in [0, 1).
            smoothing: strength of the refiner's temporal smoothing, in [0, 1].
            start_from: go on after this stage's result, with its prompts and keys.
            stop_after: name of the last stage to run.
            output_type: ``pil``, ``np`` or ``pt``, see :class:`CascadeOutput`.
            batch_size: samples that go through a network together. None is one at a time on a CPU,
                where results are then exactly those of a single sample, and all of them elsewhere.
            callback_on_step_end: called as ``callback(pipeline, step, sigma, about)`` with
                ``about["stage"]``, ``about["samples"]`` (a slice) and ``about["x"]`` (B, T, 3, H,
                W), the current prediction.
            return_dict: False returns ``(frames,)``.

        Raises:
            UsageError: settings that cannot work, with what would.
        """
        spec = with_settings(
            self.spec,
            Settings(num_inference_steps, guidance_scale, noise_augmentation, smoothing),
        )
        if output_type not in ("pil", "np", "pt"):
            raise UsageError(f"output_type must be pil, np or pt, not {output_type!r}.")
        names = [stage.name for stage in spec.stages]
        first, last = span_of(names, start_from, stop_after)
        result = self._begin(
            prompt, negative_prompt, num_videos_per_prompt, generator, keys, start_from, spec
        )
        device = self._execution_device
        dtype = working_dtype(spec.dtype, device)
        text = self._encode(result, spec)
        samples = len(result.keys)
        batch = batch_size or (1 if device.type == "cpu" else samples)
        kept: dict[str, StageResult] = {}
        video: Tensor | None = None if start_from is None else result.video
        for stage in spec.stages[first : last + 1]:
            network = getattr(self, stage.name)
            parts = []
            rounds = stage.rounds if stage.kind == "bridge" else 1
            chunks = range(0, samples, batch)
            with self.progress_bar(total=stage.steps * rounds * len(chunks)) as bar:
                bar.set_description(stage.name)
                for begin in chunks:
                    which = slice(begin, min(begin + batch, samples))

                    def on_step(
                        index: int, sigma: float, x: Tensor, name: str = stage.name,
                        which: slice = which, bar: Any = bar,
                    ) -> None:  # fmt: skip
                        bar.update()
                        if callback_on_step_end is not None:
                            about = {"stage": name, "samples": which, "x": x}
                            callback_on_step_end(self, index, sigma, about)

                    parts.append(
                        run_stage(
                            stage,
                            network,
                            result.keys[which],
                            None if video is None else video[which],
                            text.part(which) if stage.network.text else None,
                            device,
                            dtype,
                            on_step,
                        )
                    )
            video = torch.cat(parts)
            kept[stage.name] = replace(result, stage=stage.name, video=video)
        self.maybe_free_model_hooks()
        assert video is not None
        frames = to_output(video, output_type)
        if not return_dict:
            return (frames,)
        return CascadeOutput(frames, spec.fps_after(names[last]), kept, result.spec)

    def _begin(
        self,
        prompt: str | Sequence[str] | None,
        negative: str | Sequence[str] | None,
        each: int,
        generator: Seeds | None,
        keys: Sequence[int] | None,
        start_from: StageResult | None,
        spec: CascadeSpec,
    ) -> StageResult:
        """Prompts and keys of all samples (as a result of no stage yet, or the given one)."""
        if start_from is not None:
            others = (prompt, negative, generator, keys)
            if each != 1 or any(other is not None for other in others):
                raise UsageError(
                    "A saved stage result brings its own prompts and seeds: give no others."
                )
            start_from.check(spec)
            hashes = start_from.run_hashes(spec, self.weight_hashes)
            return replace(start_from, spec=start_from.run_spec(spec), weight_hashes=hashes)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt or [])
        if not prompts:
            raise UsageError("There is no prompt: say what the clip should show.")
        if each < 1:
            raise UsageError(f"num_videos_per_prompt must be at least 1, not {each}.")
        if negative is None or isinstance(negative, str):
            negatives = [negative or ""] * len(prompts)
        else:
            negatives = list(negative)
        if len(negatives) != len(prompts):
            raise UsageError(
                f"There are {len(prompts)} prompts and {len(negatives)} negative prompts: give one "
                "for all, or one for each."
            )
        self.check_prompts(prompts, negatives)
        prompts = [p for p in prompts for _ in range(each)]
        negatives = [n for n in negatives for _ in range(each)]
        if keys is None:
            keys = draw_keys(generator, len(prompts))
        elif len(keys) != len(prompts):
            raise UsageError(f"There are {len(prompts)} samples and {len(keys)} keys.")
        return StageResult(
            "", torch.empty(0), prompts, negatives, list(keys), spec, self.weight_hashes
        )

    def check_prompts(self, prompts: Sequence[str], negatives: Sequence[str] = ()) -> None:
        """Raise :class:`UsageError` unless all texts can be read; negatives may be empty."""
        for text in prompts:
            self._check_prompt(text, empty=False)
        for text in negatives:
            self._check_prompt(text, empty=True)

    def _check_prompt(self, text: str, empty: bool) -> None:
        if not isinstance(text, str):
            raise UsageError(f"A prompt must be text, not {type(text).__name__}.")
        if not empty and not text.strip():
            raise UsageError("The prompt is empty: say what the clip should show.")
        tokens, limit = self.text_encoder.count_tokens(text), self.spec.text.max_tokens
        if tokens > limit:
            raise UsageError(
                f"The prompt has {tokens} tokens and the text encoder reads {limit}: shorten "
                f"{text[:40]!r}…"
            )

    def _encode(self, result: StageResult, spec: CascadeSpec) -> TextStates:
        """Each text alone, so that padding never depends on its neighbours, then one batch."""
        texts = [*result.prompts, *result.negative_prompts]
        unique = {text: self.text_encoder.encode([text]) for text in dict.fromkeys(texts)}
        width = unique[texts[0]][0].shape[-1]

        def rows(chosen: list[str]) -> tuple[Tensor, Tensor]:
            states = torch.zeros(len(chosen), spec.text.max_tokens, width)
            mask = torch.zeros(len(chosen), spec.text.max_tokens, dtype=torch.bool)
            for index, text in enumerate(chosen):
                found, known = unique[text]
                states[index, : found.shape[1]] = found[0].float().cpu()
                mask[index, : found.shape[1]] = known[0].cpu()
            return states, mask

        return TextStates(*rows(result.prompts), *rows(result.negative_prompts))


__all__ = ["CascadeOutput", "VidCascadePipeline"]
