"""A stage's result as a file, from which the cascade can go on later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video.atomic import atomic_path

_FORMAT = "vidcascade-stage-1"


@dataclass(frozen=True)
class StageResult:
    """What a stage made for each sample, and what the stages after it need to know.

    Attributes:
        stage: name of the stage.
        video: (B, T, 3, H, W) float32 in [-1, 1].
        prompts, negative_prompts: one for each sample.
        keys: one for each sample; all later noise follows from it.
        spec: the cascade as it was run up to here; None where nobody knows.
        weight_hashes: SHA-256 of its weights, by file.
        asked: one for each sample: what its prompt is a reading of, "" if it is as written; or
            none at all.
    """

    stage: str
    video: Tensor
    prompts: list[str]
    negative_prompts: list[str]
    keys: list[int]
    spec: CascadeSpec | None = None
    weight_hashes: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def run_spec(self, spec: CascadeSpec) -> CascadeSpec:
        """Of a run that goes on from here: up to here as it was, and ``spec`` after that."""
        if self.spec is None:
            return spec
        was = {stage.name: stage for stage in self.spec.stages}
        done = self._done(spec)
        stages = (was.get(s.name, s) if s.name in done else s for s in spec.stages)
        return spec.model_copy(update={"stages": tuple(stages)})

    def run_hashes(self, spec: CascadeSpec, hashes: Mapping[str, str]) -> dict[str, str]:
        """Likewise, of the weights, where ``hashes`` are those after this stage."""
        if self.spec is None:
            return dict(hashes)
        done = tuple(f"{name}/" for name in self._done(spec))
        before = {file: was for file, was in self.weight_hashes.items() if file.startswith(done)}
        after = {file: now for file, now in hashes.items() if not file.startswith(done)}
        return dict(sorted((before | after).items()))

    def _done(self, spec: CascadeSpec) -> list[str]:
        names = [stage.name for stage in spec.stages]
        return names[: names.index(self.stage) + 1]

    def check(self, spec: CascadeSpec) -> None:
        """Raise :class:`UsageError` unless ``spec`` can go on from here."""
        stage = spec.stage(self.stage)
        wanted = (stage.frames, 3, stage.size, stage.size)
        if self.video.ndim != 5 or tuple(self.video.shape[1:]) != wanted:
            raise UsageError(
                f"The saved {self.stage} result is {_shape(self.video)}, and this cascade's "
                f"{self.stage} makes {_words(wanted)}: use the cascade that it was made with."
            )
        if not torch.isfinite(self.video).all():
            raise UsageError(f"The saved {self.stage} result holds NaN or infinity: make it again.")
        lengths = {len(self.prompts), len(self.negative_prompts), len(self.keys)}
        lengths |= {len(self.asked)} if self.asked else set()
        if lengths != {self.video.shape[0]}:
            raise UsageError(
                f"The saved {self.stage} result holds {self.video.shape[0]} videos and other "
                "numbers of prompts or keys: make it again."
            )

    def sample(self, index: int) -> StageResult:
        """One sample as a result of its own."""
        return self.part(slice(index, index + 1))

    def part(self, which: slice) -> StageResult:
        """Some samples as a result of their own."""
        return replace(
            self,
            video=self.video[which],
            prompts=self.prompts[which],
            negative_prompts=self.negative_prompts[which],
            keys=self.keys[which],
            asked=self.asked[which],
        )

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a safetensors file, whole or not at all."""
        about = {
            "stage": self.stage,
            "prompts": self.prompts,
            "negative_prompts": self.negative_prompts,
            "keys": self.keys,
            "asked": self.asked,
            "weight_hashes": dict(self.weight_hashes),
        }
        if self.spec is not None:
            # Words that people's own clips taught are theirs to publish.
            about["spec"] = self.spec.model_dump(mode="json", exclude={"world": {"learnt"}})
        with atomic_path(path, overwrite) as temporary:
            save_file(
                {"video": self.video.float().contiguous()},
                temporary,
                {"format": _FORMAT, "about": json.dumps(about)},
            )

    @classmethod
    def load(cls, path: str | Path) -> StageResult:
        """Read what :meth:`save` wrote.

        Raises:
            UsageError: no such file, or not a stage result.
            VidCascadeError: a truncated or damaged file.
        """
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"There is no stage file {path}: give one that --save-stages wrote.")
        try:
            with safe_open(file, "pt") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("format") != _FORMAT or list(opened.keys()) != ["video"]:
                    raise UsageError(
                        f"{path} is not a stage file: give one that --save-stages wrote."
                    )
                video = opened.get_tensor("video")
            about = json.loads(metadata["about"])
            spec, hashes = about.get("spec"), about.get("weight_hashes") or {}
            return cls(
                str(about["stage"]),
                video.float(),
                [str(p) for p in about["prompts"]],
                [str(p) for p in about["negative_prompts"]],
                [int(k) for k in about["keys"]],
                None if spec is None else CascadeSpec.from_dict(spec, where=str(path)),
                {str(name): str(value) for name, value in hashes.items()},
                [str(text) for text in about.get("asked") or []],
            )
        except (
            SafetensorError, ValueError, KeyError, TypeError, AttributeError, OSError
        ) as error:  # fmt: skip
            raise VidCascadeError(
                f"The stage file {path} is truncated or damaged: make it again with --save-stages."
            ) from error


def _shape(video: Tensor) -> str:
    return _words(tuple(video.shape[1:])) if video.ndim == 5 else f"of shape {tuple(video.shape)}"


def _words(shape: tuple[int, ...]) -> str:
    frames, _, height, width = shape
    return f"{frames} frames of {width} × {height}"
