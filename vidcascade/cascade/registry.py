"""Which class serves which kind of stage."""

from __future__ import annotations

from vidcascade.cascade.base import BaseStage
from vidcascade.cascade.bridge import BridgeStage
from vidcascade.cascade.refiner import RefinerStage
from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import Stage

_KINDS: dict[str, type[Stage]] = {
    "base": BaseStage,
    "bridge": BridgeStage,
    "refiner": RefinerStage,
}


def make_stage(spec: StageSpec) -> Stage:
    """The stage that a spec describes."""
    return _KINDS[spec.kind](spec)
