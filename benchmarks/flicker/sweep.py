"""What ``benchmarks.cascade_flicker`` sweeps: one setting of bridge or refiner at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidcascade.cascade.spec import StageSpec

__all__ = ["GROUPS", "SAMPLED", "TRUE", "Group", "Setting", "Values", "settings"]

# The two kinds of input that bridge and refiner run on.
TRUE, SAMPLED = "true inputs", "the base's samples"

# By input, setting and measure: one number per clip, NaN where there was none.
Values = Mapping[str, Mapping[str, Mapping[str, list[float]]]]


@dataclass(frozen=True)
class Group:
    """One setting that is swept.

    Attributes:
        name: As shown to people.
        kind: Of the stage that it belongs to.
        path: Keys that lead to it in the stage's part of a spec.
        values: What is tried beside the spec's own value.
        more: What is tried on request only, to save time.
    """

    name: str
    kind: str
    path: tuple[str, ...]
    values: tuple[float, ...]
    more: tuple[float, ...] = ()

    def of(self, stage: StageSpec) -> float:
        """The stage's own value."""
        found: Any = stage
        for key in self.path:
            found = getattr(found, key)
        return float(found)


GROUPS = (
    Group(
        "bridge noise augmentation σ", "bridge", ("noise_augmentation",), (0, 0.05, 0.1, 0.2, 0.3)
    ),
    Group("refiner noise augmentation σ", "refiner", ("noise_augmentation",), (), (0, 0.1, 0.2)),
    Group("smoothing strength", "refiner", ("smoothing", "strength"), (0, 0.5, 1)),
    Group("shared noise ρ", "refiner", ("smoothing", "noise_correlation"), (0, 0.5, 0.9)),
    Group("bridge steps", "bridge", ("steps",), (1, 2, 4)),
    Group("refiner steps", "refiner", ("steps",), (1, 2), (4,)),
)


@dataclass(frozen=True)
class Setting:
    """One value of one group; everything else is as in the spec."""

    group: Group
    value: float
    default: bool

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{self.group.name} {self.value:g}"

    def of(self, stage: StageSpec) -> StageSpec:
        """The stage with this setting."""
        if stage.kind != self.group.kind or self.default:
            return stage
        data: dict[str, Any] = stage.model_dump()
        inner = data
        for key in self.group.path[:-1]:
            inner = inner[key]
        last = self.group.path[-1]
        inner[last] = type(inner[last])(self.value)
        return StageSpec.model_validate(data)


def settings(bridge: StageSpec, refiner: StageSpec, everything: bool = False) -> list[Setting]:
    """Every group's values with the spec's own among them, in growing order.

    Args:
        bridge: The spec's.
        refiner: The spec's.
        everything: With the values that are tried on request only.
    """
    found = []
    for group in GROUPS:
        tried = (*group.values, *group.more) if everything else group.values
        if not tried:
            continue
        own = group.of(bridge if group.kind == "bridge" else refiner)
        for value in sorted({*map(float, tried), own}):
            found.append(Setting(group, value, value == own))
    return found
