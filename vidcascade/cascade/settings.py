"""Changing a cascade's sampling settings for one run, checked like the spec itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidcascade.cascade.spec import CascadeSpec, SpecWarning, StageSpec
from vidcascade.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """What a run may change; None keeps the spec's value.

    A number holds for every stage that has the setting, a mapping for the stages that it names.
    Guidance as a number is for bases, and for others that the spec guides: a bridge that reads
    text follows its input, and is guided only where that is asked for by name.
    """

    steps: int | Mapping[str, int] | None = None
    guidance: float | Mapping[str, float] | None = None
    noise_augmentation: float | Mapping[str, float] | None = None
    smoothing: float | Mapping[str, float] | None = None
    fps: float | None = None


def with_settings(spec: CascadeSpec, settings: Settings) -> CascadeSpec:
    """A copy of ``spec`` with the settings in their places.

    Warns of those that a stage's network was not trained for (:class:`SpecWarning`).

    Raises:
        UsageError: a stage that is not there, a setting it does not have, a value out of range.
    """
    data: dict[str, Any] = spec.model_dump(mode="json")
    for stage, plain in zip(spec.stages, data["stages"], strict=True):
        for name, value in _of(settings, spec, stage).items():
            _put(plain, name, value)
    if settings.fps is not None:
        data["fps"] = settings.fps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecWarning)
        changed = CascadeSpec.from_dict(data, where="settings")
    known = {doubt for stage in spec.stages for doubt in stage.doubts()}
    for doubt in (doubt for stage in changed.stages for doubt in stage.doubts()):
        if doubt not in known:  # the others were told when the spec was loaded
            warnings.warn(doubt, SpecWarning, stacklevel=2)
    return changed


def _of(settings: Settings, spec: CascadeSpec, stage: StageSpec) -> dict[str, float]:
    """The settings that concern one stage."""
    chosen: dict[str, float] = {}
    for name in ("steps", "guidance", "noise_augmentation", "smoothing"):
        value = getattr(settings, name)
        if value is None:
            continue
        if not isinstance(value, Mapping):
            if _has(stage, name) and not (name == "guidance" and _unguided(stage)):
                chosen[name] = value
            continue
        for wanted in value:
            if not _has(spec.stage(wanted), name):
                raise UsageError(
                    f"{name.replace('_', ' ')} has no effect on stage {wanted!r}, a "
                    f"{spec.stage(wanted).kind}: choose from {_those_with(spec, name)}."
                )
        if stage.name in value:
            chosen[name] = value[stage.name]
    return chosen


def _has(stage: StageSpec, name: str) -> bool:
    return {
        "steps": True,
        "guidance": stage.network.text,
        "noise_augmentation": stage.kind != "base",
        "smoothing": stage.kind == "refiner",
    }[name]


def _unguided(stage: StageSpec) -> bool:
    return stage.kind != "base" and stage.guidance.scale == 1.0


def _those_with(spec: CascadeSpec, name: str) -> str:
    return ", ".join(s.name for s in spec.stages if _has(s, name)) or "none of its stages"


def _put(plain: dict[str, Any], name: str, value: float) -> None:
    if name == "guidance":
        plain["guidance"]["scale"] = value
    elif name == "smoothing":
        plain["smoothing"]["strength"] = value
    else:
        plain[name] = value
