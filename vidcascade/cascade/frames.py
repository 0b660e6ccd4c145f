"""What a pipeline returns: frames as images, arrays or tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from diffusers.utils import BaseOutput
from torch import Tensor

from vidcascade.cascade.result import StageResult
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.video import write_clip

OutputType = Literal["pil", "np", "pt"]


@dataclass
class CascadeOutput(BaseOutput):
    """What a cascade returns.

    Attributes:
        frames: ``pil`` a list of lists of images; ``np`` float32 (B, T, H, W, 3) in [0, 1];
            ``pt`` float32 (B, T, 3, H, W) in [0, 1].
        fps: frames per second.
        stages: every stage's result, in the order in which they ran.
        spec: the spec as it was run, all settings of the call included.
    """

    frames: Any
    fps: float
    stages: dict[str, StageResult] = field(default_factory=dict)
    spec: CascadeSpec | None = None

    def save(self, path: str | Path, index: int = 0, overwrite: bool = False) -> None:
        """Write one of the clips; the suffix decides how (mp4, webm, mkv, gif, webp, folder).

        Raises:
            UsageError: a suffix that cannot be written, or a file in the way.
        """
        last = list(self.stages.values())[-1]
        clip = to_output(last.video[index : index + 1], "np")[0]
        write_clip(path, (clip * 255).round().astype(np.uint8), self.fps, overwrite=overwrite)


def to_output(video: Tensor, output_type: OutputType) -> Any:
    """(B, T, 3, H, W) in [-1, 1] → frames of the asked type, see :class:`CascadeOutput`."""
    unit = (video.float() / 2 + 0.5).clamp(0, 1)
    if output_type == "pt":
        return unit
    array = unit.permute(0, 1, 3, 4, 2).cpu().numpy()
    if output_type == "np":
        return array
    from PIL import Image

    pixels = (array * 255).round().astype(np.uint8)
    return [[Image.fromarray(frame) for frame in clip] for clip in pixels]
