"""What the ablation compares: one baseline, and variants that each change one thing of it.

Changes are written as functions of the spec's own numbers, so the same rows can be made of any
base: the small one of ``ablation.yaml`` on a CPU, a full one on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidcascade.cascade.base import BaseStage
from vidcascade.cascade.registry import make_stage
from vidcascade.cascade.spec import CascadeSpec, StageSpec
from vidcascade.cascade.stage import Conditioning, Stage
from vidcascade.diffusion.flow_matching import per_sample
from vidcascade.nn.denoiser import SpaceTimeDenoiser

Settings = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        name: of the row.
        says: what differs from the baseline, in words.
        network: new network settings from the baseline's.
        recipe: training settings that differ.
        predicts: what the network's output is taken for: x, or the velocity.
        loss: the space whose squared error is trained on.
        text_attention: how attention reads the prompt's tokens (see the network).
        pooled: whether the pooled prompt modulates the blocks (adaLN).
        space: share of the budget that is spent on single frames before clips.
        seed: of weights, examples and noise.
        budget: share of the budget that the row is given.
        decays: of averages of the weights that are measured beside the recipe's own.
    """

    name: str
    says: str
    network: Callable[[Settings], Settings] = field(default=lambda net: {})
    recipe: Mapping[str, Any] = field(default_factory=dict)
    predicts: Literal["x", "v"] = "x"
    loss: Literal["x", "v"] = "v"
    text_attention: Literal["cross", "context", "none"] = "cross"
    pooled: bool = True
    space: float = 0.0
    seed: int = 0
    budget: float = 1.0
    decays: tuple[float, ...] = ()

    def spec(self, spec: CascadeSpec) -> CascadeSpec:
        """A cascade of the changed base alone."""
        data = spec.stages[0].model_dump(mode="json")
        data["network"] |= self.network(data["network"])
        data["training"] |= self.recipe
        plain = spec.model_dump(mode="json") | {"stages": [data]}
        return CascadeSpec.from_dict(plain, where=self.name)

    def rule(self, stage: StageSpec) -> Stage:
        """The stage's rule, which turns outputs into x."""
        return VelocityStage(stage) if self.predicts == "v" else make_stage(stage)

    def build(self, stage: StageSpec, text_width: int) -> SpaceTimeDenoiser:
        """A fresh network; the same seed gives the same one."""
        torch.manual_seed(self.seed)
        network = self.rule(stage).build_network(text_width)
        if self.text_attention != "cross":
            torch.manual_seed(self.seed)
            config = {k: v for k, v in network.config.items() if not k.startswith("_")}
            network = SpaceTimeDenoiser(**config | {"text_attention": self.text_attention})
        if not self.pooled and network.text_pool is not None:
            _silence(network.text_pool)
        return network

    def settings(self) -> Settings:
        """What the row did beyond its spec, as JSON."""
        return {
            "predicts": self.predicts, "loss": self.loss, "text_attention": self.text_attention,
            "pooled": self.pooled, "space": self.space, "seed": self.seed, "budget": self.budget,
        }  # fmt: skip


class VelocityStage(BaseStage):
    """A base whose network predicts the velocity v = ε - x: x = z - σ·v. For the ablation only."""

    def predict(
        self,
        network: SpaceTimeDenoiser,
        sample: Tensor,
        sigma: Tensor,
        given: Conditioning | None = None,
        augmentation: Tensor | None = None,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`Stage.predict`."""
        v = super().predict(
            network, sample, sigma, given, augmentation, text, text_mask, positions
        )  # fmt: skip
        return sample - per_sample(sigma, sample) * v


def _silence(layer: nn.Linear) -> None:
    """Make a layer return zeros for ever."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
        parameter.requires_grad_(False)


def _scaled(width: float) -> Callable[[Settings], Settings]:
    def change(net: Settings) -> Settings:
        channels = [int(c * width) for c in net["channels"]]
        return {"channels": channels, "head_dim": min(net["head_dim"], min(channels))}

    return change


def _in_time(kind: str) -> Callable[[Settings], Settings]:
    """All levels mix frames in one way, but the finest: attention there would cost more than all
    the rest."""
    return lambda net: {"temporal": [net["temporal"][0], *[kind] * (len(net["temporal"]) - 1)]}


# The recipe's own decay is warmed up, and hardly felt by a short run.
DECAYS = (0.0, 0.9, 0.97, 0.99, 0.999)
BASELINE = Variant("baseline", "nothing", decays=DECAYS)
RESEEDED = Variant("baseline-seed-1", "nothing but the seed", seed=1, decays=DECAYS)

VARIANTS = (
    Variant("untrained", "no training: grey", budget=0.0),
    BASELINE,
    RESEEDED,
    Variant("predict-v", "the network predicts v", predicts="v"),
    Variant("loss-x", "loss in x", loss="x"),
    Variant("plain-loss", "the subject weighs no more than the rest",
            recipe={"subject_weight": 0.0}),
    Variant("adamw", "AdamW for all parameters, 1.5e-3", recipe={"muon_lr": 0.0}),
    Variant("adamw-4e-3", "AdamW for all parameters, 4e-3",
            recipe={"muon_lr": 0.0, "adam_lr": 4e-3}),
    Variant("shift-4", "training times shifted by 4", recipe={"shift": 4.0}),
    Variant("shift-1", "training times shifted by 1", recipe={"shift": 1.0}),
    Variant("wide", "twice the width", _scaled(2)),
    Variant("narrow", "half the width", _scaled(0.5)),
    Variant("deep", "twice the depth", lambda net: {"depths": [2 * d for d in net["depths"]]}),
    Variant("patch-2", "patches of half the side", lambda net: {"patch": net["patch"] // 2}),
    Variant("patch-8", "patches of twice the side", lambda net: {"patch": net["patch"] * 2}),
    Variant("factorised", "time: attention at each pixel below the finest level",
            _in_time("attention")),
    Variant("joint", "time: joint attention below the finest level", _in_time("joint")),
    Variant("convolution", "time: convolutions at all levels", _in_time("convolution")),
    Variant("pooled-only", "text: pooled (adaLN) only", text_attention="none"),
    Variant("cross-only", "text: cross-attention only", pooled=False),
    Variant("in-context", "text: in-context tokens instead of cross-attention",
            text_attention="context"),
    Variant("no-coordinates", "no coordinates, no layout", lambda net: {"coordinates": False}),
    Variant("no-frame-times", "frames are not numbered", lambda net: {"frame_times": False}),
    Variant("space-first", "a sixth of the budget on single frames first", space=1 / 6),
)  # fmt: skip


NAMED = {variant.name: variant for variant in VARIANTS}
