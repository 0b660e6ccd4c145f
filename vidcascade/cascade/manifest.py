"""The manifest: everything that is needed to make a clip again, and nothing about the machine.

It lies beside the clip (``clip.mp4.json``) and in the container's metadata, and
``vidcascade generate --from-manifest`` repeats it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import UsageError

_FORMAT = "vidcascade-manifest-1"


@dataclass(frozen=True)
class Manifest:
    """How one clip was made.

    Attributes:
        prompt, negative_prompt: the texts.
        seed: of the sample's generator.
        key: what the generator gave; all noise follows from it.
        spec: the cascade as it was run.
        weights: the name the weights were asked for by, and ``weight_hashes`` their SHA-256.
        sigmas: the flow σ of each step, by stage.
        stop_after: the last stage that ran.
        arithmetic: device, dtype and attention backend.
        versions: of this package, torch, diffusers and Python.
        asked: what the prompt is a reading of, in its writer's words; "" if it is as written.
        fps: frames per second of the file, where they were asked for; None is the spec's.
        start_from: the stage whose result was given, where nothing tells how that was made: such
            a clip cannot be made again from the manifest alone.
    """

    prompt: str
    negative_prompt: str
    seed: int | None
    key: int
    spec: CascadeSpec
    weights: str
    weight_hashes: Mapping[str, str]
    sigmas: Mapping[str, list[float]]
    stop_after: str
    arithmetic: Mapping[str, str]
    versions: Mapping[str, str]
    asked: str = ""
    fps: float | None = None
    start_from: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the spec included."""
        return {
            "format": _FORMAT,
            "prompt": self.prompt,
            **({"asked": self.asked} if self.asked else {}),
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "key": self.key,
            "weights": self.weights,
            "weight_hashes": dict(self.weight_hashes),
            **({"start_from": self.start_from} if self.start_from else {}),
            "stop_after": self.stop_after,
            **({} if self.fps is None else {"fps": self.fps}),
            "sigmas": {name: list(values) for name, values in self.sigmas.items()},
            "arithmetic": dict(self.arithmetic),
            "versions": dict(self.versions),
            # Words that people's own clips taught are theirs to publish.
            "spec": self.spec.model_dump(mode="json", exclude={"world": {"learnt"}}),
        }

    def to_json(self, indent: int | None = None) -> str:
        """The manifest as JSON; without indent it fits into a container's comment."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest from its JSON file, or from a clip that carries one.

        Raises:
            UsageError: no such file, or nothing that this version can read.
        """
        file = Path(path)
        if not file.exists():
            raise UsageError(f"There is no file {path}: give a manifest, or a clip that holds one.")
        if file.suffix.lower() == ".json":
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"{path} cannot be read as a manifest: give another.") from error
        else:
            from vidcascade.video import read_metadata

            text = read_metadata(file).get("comment", "")
            if not text:
                raise UsageError(f"{path} carries no manifest: give the .json beside it.")
        try:
            return cls._from(json.loads(text), str(path))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path} is not a manifest of this version ({_FORMAT}): give another."
            ) from error

    @classmethod
    def _from(cls, data: dict[str, Any], where: str) -> Manifest:
        if data["format"] != _FORMAT:
            raise ValueError(data["format"])
        return cls(
            prompt=str(data["prompt"]),
            negative_prompt=str(data["negative_prompt"]),
            seed=None if data["seed"] is None else int(data["seed"]),
            key=int(data["key"]),
            spec=CascadeSpec.from_dict(data["spec"], where=where),
            weights=str(data["weights"]),
            weight_hashes={str(k): str(v) for k, v in data["weight_hashes"].items()},
            sigmas={str(k): [float(s) for s in v] for k, v in data["sigmas"].items()},
            stop_after=str(data["stop_after"]),
            arithmetic={str(k): str(v) for k, v in data["arithmetic"].items()},
            versions={str(k): str(v) for k, v in data["versions"].items()},
            asked=str(data.get("asked") or ""),
            fps=None if data.get("fps") is None else float(data["fps"]),
            start_from=str(data.get("start_from") or ""),
        )


def versions() -> dict[str, str]:
    """Of what decides the result."""
    import diffusers
    import torch

    from vidcascade import __version__

    return {
        "vidcascade": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
    }
