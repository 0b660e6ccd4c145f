"""The cascade and what could embarrass it, trained from nothing for the same processor time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.standins import between
from benchmarks.training.ablation import SPEC as SMALL
from benchmarks.training.budget import train
from benchmarks.training.variants import BASELINE
from vidcascade.cascade.assembling import assemble_cascade
from vidcascade.cascade.frames import CascadeOutput
from vidcascade.cascade.pipeline import VidCascadePipeline
from vidcascade.cascade.running import key_of, run_stage
from vidcascade.cascade.spec import CascadeSpec
from vidcascade.errors import VidCascadeError
from vidcascade.nn.precision import working_dtype
from vidcascade.nn.text import build_text_encoder
from vidcascade.training.objective import TextCache
from vidcascade.video.atomic import atomic_path

CONFIGS = Path(__file__).parents[1] / "configs"
# Minutes that scripts/train_bundled.py gives the stages; a cascade without one of them gives its
# time to the others in the same proportion.
SHARES = {"base": 180.0, "bridge": 40.0, "refiner": 25.0}
# The base's first sixth is spent on single frames, as there.
SPACE = 30.0 / 180.0


@dataclass(frozen=True)
class Arm:
    """One of the cascades that are compared."""

    name: str
    says: str
    file: Path


ARMS = (
    Arm("cascade", "base, bridge and refiner", CONFIGS / "stickers.yaml"),
    Arm("two stages", "base, frames blended, refiner", CONFIGS / "baselines" / "two_stage.yaml"),
    Arm("one stage", "one base", CONFIGS / "baselines" / "single_stage.yaml"),
)


@dataclass(frozen=True)
class Trained:
    """Where an arm's weights lie, and the minutes that their training took, if they are known."""

    weights: Path
    minutes: float | None


def load(arm: Arm, small: bool) -> CascadeSpec:
    """An arm's spec; ``small`` halves its widths and gives it the ablation's world."""
    spec = CascadeSpec.load(arm.file)
    if not small:
        return spec
    data = spec.model_dump(mode="json")
    world = CascadeSpec.load(SMALL)
    data["world"] = world.model_dump(mode="json")["world"]
    for stage in data["stages"]:
        net = stage["network"]
        net["channels"] = [c // 2 for c in net["channels"]]
        net["head_dim"] = min(net["head_dim"], *net["channels"])
        stage["training"]["captions"] = world.stages[0].training.captions
        # Students are another benchmark's affair.
        stage |= {"student": None, "distilled": False}
    return CascadeSpec.from_dict(data, where=arm.name)


def train_arm(
    arm: Arm,
    spec: CascadeSpec,
    minutes: float,
    folder: Path,
    say: Callable[[str], None] = print,
) -> Trained:
    """Train all stages of an arm into ``folder``; what is there already is kept.

    Raises:
        VidCascadeError: the folder holds an arm that was trained otherwise.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    _claim(
        folder, {"minutes": minutes, "spec": spec.model_dump(mode="json", exclude_defaults=True)}
    )
    total = sum(SHARES[stage.kind] for stage in spec.stages)
    text: TextCache | None = None
    costs: list[dict[str, float]] = []
    networks = {stage.name: folder / stage.name for stage in spec.stages}
    for stage in spec.stages:
        cost = folder / f"{stage.name}.json"
        if not cost.is_file():
            text = text or TextCache(
                build_text_encoder(spec.text.encoder, spec.text.max_tokens).to(device)
            )
            seconds = 60 * minutes * SHARES[stage.kind] / total
            space = SPACE if stage.kind == "base" else 0.0
            found = train(
                spec, stage, replace(BASELINE, space=space, decays=()), text, seconds, device
            )
            with atomic_path(networks[stage.name], overwrite=True) as temporary:
                found.networks[stage.training.ema].save_pretrained(temporary)
            about = {
                "seconds": found.seconds, "steps": found.steps, "clips": found.clips,
                "loss": found.loss,
            }  # fmt: skip
            with atomic_path(cost) as temporary:
                temporary.write_text(json.dumps(about), encoding="utf-8")
        costs.append(json.loads(cost.read_text(encoding="utf-8")))
        say(f"{arm.name}, {stage.name}: {costs[-1]}")
    weights = folder / "weights"
    if not weights.is_dir():
        assemble_cascade(spec, networks, weights)
    return Trained(weights, sum(cost["seconds"] for cost in costs) / 60)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    file = folder / "settings.json"
    text = json.dumps(settings, sort_keys=True)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise VidCascadeError(
            f"{folder} was trained with other settings: use the same ones, or another --out."
        )
    if not file.is_file():
        with atomic_path(file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def make(pipeline: VidCascadePipeline, prompt: str, seed: int) -> Tensor:
    """A clip at the last stage's size and the bridge's rate, (1, T, 3, H, W) in [-1, 1].

    Where a base is followed by no bridge, its frames are blended to twice their number first.
    """
    key = key_of(torch.Generator().manual_seed(seed))
    kinds = [stage.kind for stage in pipeline.spec.stages]
    names = [stage.name for stage in pipeline.spec.stages]
    blended = kinds == ["base", "refiner"]
    made = pipeline(
        [prompt], keys=[key], stop_after=names[0] if blended else None, output_type="pt"
    )
    assert isinstance(made, CascadeOutput)
    if not blended:
        return made.stages[names[-1]].video
    assert made.spec is not None
    refiner = made.spec.stages[1]
    device = pipeline._execution_device
    return run_stage(
        refiner,
        getattr(pipeline, refiner.name),
        [key],
        between(made.stages[names[0]].video),
        device=device,
        dtype=working_dtype(made.spec.dtype, device),
    )
