"""Clips and their manifests on disk: names, and writing both or neither."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidcascade.cascade.manifest import Manifest
from vidcascade.errors import UsageError
from vidcascade.video import atomic_path, check_output, write_clip


@dataclass(frozen=True)
class Output:
    """Where one clip and its manifest go."""

    clip: Path
    manifest: Path


def plan_outputs(out: Path, count: int, overwrite: bool) -> list[Output]:
    """Names for ``count`` clips: ``out`` itself, or ``out-0``, ``out-1``, … for several.

    Raises:
        UsageError: a suffix that cannot be written, an unwritable folder, or a file in the way.
    """
    outputs = []
    for index in range(count):
        clip = out if count == 1 else _numbered(out, index)
        check_output(clip, overwrite)
        outputs.append(Output(clip, manifest_path(clip)))
    for output in outputs:
        if output.manifest.exists() and not overwrite:
            raise UsageError(
                f"{output.manifest} exists already; choose another name or add --force."
            )
    return outputs


def manifest_path(clip: Path) -> Path:
    """``clip.mp4.json`` for ``clip.mp4``, ``frames.json`` for a folder of frames."""
    folder = clip.parent if clip.suffix.lower() == ".png" else clip
    return folder.with_name(f"{folder.name}.json")


def write_output(
    output: Output,
    frames: NDArray[np.uint8],
    fps: Fraction | float,
    manifest: Manifest,
    overwrite: bool,
) -> None:
    """Write clip and manifest; when the clip fails, the manifest is as it was.

    Args:
        output: from :func:`plan_outputs`.
        frames: uint8 (T, H, W, 3).
        fps: frames per second.
        manifest: goes beside the clip and, as a comment, into its metadata.
        overwrite: replace what is there.
    """
    metadata = {"title": manifest.prompt, "comment": manifest.to_json()}
    with atomic_path(output.manifest, overwrite) as temporary:
        temporary.write_text(manifest.to_json(indent=2) + "\n", encoding="utf-8")
        write_clip(output.clip, frames, fps, metadata=metadata, overwrite=overwrite)


def _numbered(out: Path, index: int) -> Path:
    if out.suffix.lower() == ".png":
        folder = out.parent
        return folder.with_name(f"{folder.name}-{index}") / out.name
    return out.with_name(f"{out.stem}-{index}{out.suffix}")
