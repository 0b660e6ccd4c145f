"""The tiny cascade as a trainer sees it, and folders of clips made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import VidCascadeError
from vidcascade.training.sources import Drawn
from vidcascade.video import write_clip

STAGES = ("base", "bridge", "refiner")


def tiny(stage: str, **recipe: Any) -> CascadeSpec:
    """configs/tiny.yaml with small settings for training one stage."""
    return CascadeSpec.load("tiny").with_recipe(stage, **{"batch": 2, "warmup": 2} | recipe)


def counting_frames(count: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Frame k is grey of level 4·k, with a white bar at the left that a centred crop removes."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames += (4 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    frames[:, :, :4] = 255
    return frames


def write_metadata(folder: Path, lines: list[Any]) -> Path:
    """Write ``metadata.jsonl``: dicts as JSON, text and bytes as they are."""
    coded = [
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str)
        else json.dumps(line).encode()
        for line in lines
    ]  # fmt: skip
    (folder / "metadata.jsonl").write_bytes(b"\n".join(coded) + b"\n")
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three captioned clips: 30 fps, 8 fps, and a short one."""
    folder = tmp_path_factory.mktemp("clips")
    lines = []
    for name, count, fps in (("fast.mp4", 40, 30), ("slow.mp4", 20, 8), ("short.mp4", 9, 30)):
        write_clip(folder / name, counting_frames(count), fps)
        lines.append({"file_name": name, "text": f"a {name.split('.')[0]} clip"})
    return write_metadata(folder, lines)


class BrokenSource:
    """A source whose clips have gone away (it lives here so that workers can import it)."""

    def draw(self, *_: object) -> Drawn:
        raise VidCascadeError("The clips are gone: bring them back.")
