"""A stage's result as a file, from which the cascade can go on later."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """

    stage: str
    video: Tensor
    prompts: list[str]
    negative_prompts: list[str]
    keys: list[int]

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
        if lengths != {self.video.shape[0]}:
            raise UsageError(
                f"The saved {self.stage} result holds {self.video.shape[0]} videos and other "
                "numbers of prompts or keys: make it again."
            )

    def sample(self, index: int) -> StageResult:
        """One sample as a result of its own."""
        return StageResult(
            self.stage,
            self.video[index : index + 1],
            [self.prompts[index]],
            [self.negative_prompts[index]],
            [self.keys[index]],
        )

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a safetensors file, whole or not at all."""
        about = {
            "stage": self.stage,
            "prompts": self.prompts,
            "negative_prompts": self.negative_prompts,
            "keys": self.keys,
        }
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
            return cls(
                str(about["stage"]),
                video.float(),
                [str(p) for p in about["prompts"]],
                [str(p) for p in about["negative_prompts"]],
                [int(k) for k in about["keys"]],
            )
        except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
            raise VidCascadeError(
                f"The stage file {path} is truncated or damaged: make it again with --save-stages."
            ) from error


def _shape(video: Tensor) -> str:
    return _words(tuple(video.shape[1:])) if video.ndim == 5 else f"of shape {tuple(video.shape)}"


def _words(shape: tuple[int, ...]) -> str:
    frames, _, height, width = shape
    return f"{frames} frames of {width} × {height}"
