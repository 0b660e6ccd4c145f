"""What the defaults should be, from paired differences over clips.

A value is recommended in place of the default only if it lowers flicker on the base's samples by
more than chance and loses neither sharpness there nor PSNR on true inputs by more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.flicker.sweep import SAMPLED, TRUE, Group, Setting, Values
from benchmarks.intervals import CONFIDENCE, LEAST_CLIPS, few_interval
from vidcascade.metrics.composite import CAUSES, weights
from vidcascade.metrics.statistics import Interval

__all__ = ["Verdict", "change", "judge", "on_noise"]

# What a steadier setting must not lose: (input, measure, its name and unit).
_KEPT = ((SAMPLED, "sharpness", "sharpness"), (TRUE, "psnr", "PSNR"))


@dataclass(frozen=True)
class Verdict:
    """What one group's default should be.

    Attributes:
        group: The setting.
        default: Its value in the spec that was run.
        best: The value that it should have.
        why: One sentence with the differences behind it.
    """

    group: Group
    default: float
    best: float
    why: str


def change(
    values: Values,
    source: str,
    measure: str,
    setting: Setting,
    against: Setting,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """``setting`` minus ``against``, clips paired; None where fewer than two clips have both."""
    pairs = np.subtract(
        values[source][setting.name][measure], values[source][against.name][measure]
    )
    known = pairs[np.isfinite(pairs)]
    return few_interval(known, confidence) if len(known) > 1 else None


def judge(members: Sequence[Setting], values: Values) -> Verdict:
    """The verdict on one group, whose settings hold exactly one default."""
    (default,) = [s for s in members if s.default]
    others = [s for s in members if not s.default]
    # So many chances to find one by chance: the level is shared among them (Bonferroni).
    confidence = 1 - (1 - CONFIDENCE) / max(len(others), 1)
    steadier: list[tuple[float, Setting, Interval]] = []
    for setting in others:
        found = change(values, SAMPLED, "flicker", setting, default, confidence)
        if found is not None and found.high < 0:
            steadier.append((found.mean, setting, found))
    steadier.sort(key=lambda entry: entry[0])
    costs = []
    for _, setting, found in steadier:
        lost = []
        for source, measure, name in _KEPT:
            kept = change(values, source, measure, setting, default)
            if kept is None or kept.high < 0:
                lost.append(name if kept is None else f"{name} {_text(kept, 2)}")
        gain = f"{setting.value:g} changes flicker by {_text(found)}"
        if not lost:
            kept_text = ", ".join(
                f"{name} {_text(kept, 2)}"
                for source, measure, name in _KEPT
                if (kept := change(values, source, measure, setting, default)) is not None
            )
            return Verdict(default.group, default.value, setting.value, f"{gain}; {kept_text}")
        costs.append(f"{gain} but costs {' and '.join(lost)}")
    if costs:
        return Verdict(default.group, default.value, default.value, "; ".join(costs))
    return Verdict(
        default.group, default.value, default.value, _nothing(others, default, values, confidence)
    )


def _nothing(others: Sequence[Setting], default: Setting, values: Values, confidence: float) -> str:
    found = [
        (interval.mean, setting, interval)
        for setting in others
        if (interval := change(values, SAMPLED, "flicker", setting, default, confidence))
    ]
    if not found or not any(np.isfinite(entry[2].low) for entry in found):
        return f"too few clips to say more: {LEAST_CLIPS} that can be followed are needed"
    _, setting, interval = min(found, key=lambda entry: entry[0])
    return (
        "no other value lowers flicker by more than chance;"
        f" the steadiest, {setting.value:g}, changes it by {_text(interval)}"
    )


def on_noise(members: Sequence[Setting], values: Values) -> list[str]:
    """Does noise augmentation at the bridge's input lower flicker? In sentences, with why.

    Args:
        members: The group's settings, σ = 0 among them.
        values: Of all settings, the causes' values among the measures.
    """
    zero = next(s for s in members if s.value == 0)
    others = [s for s in members if s.value > 0]
    confidence = 1 - (1 - CONFIDENCE) / max(len(others), 1)
    lines = []
    for source in (SAMPLED, TRUE):
        lower, higher, known = [], [], 0
        for setting in others:
            found = change(values, source, "flicker", setting, zero, confidence)
            if found is None or not np.isfinite(found.low):
                continue
            known += 1
            text = f"σ {setting.value:g}: {_text(found)}"
            if found.high < 0:
                lower.append(text)
            elif found.low > 0:
                higher.append(text)
        if not known:
            lines.append(f"On {source} too few clips could be followed to say anything.")
        elif lower:
            lines.append(f"On {source} it lowers flicker against σ 0 ({'; '.join(lower)}).")
        else:
            lines.append(f"On {source} no σ lowers flicker by more than chance against σ 0.")
        if higher:
            lines.append(f"On {source} it raises flicker ({'; '.join(higher)}).")
    lines += [line for s in (SAMPLED, TRUE) if (line := _causes(s, zero, others, values))]
    return lines


def _causes(source: str, zero: Setting, others: Sequence[Setting], values: Values) -> str:
    """Which cause makes up the flicker, and which ones the strongest noise moves."""
    factor = weights()
    energy = {}
    for cause in CAUSES:
        numbers = np.asarray(values[source][zero.name][cause], dtype=np.float64)
        known = numbers[np.isfinite(numbers)]
        if len(known):
            energy[cause] = float(np.square(factor[cause] * known).mean())
    total = sum(energy.values())
    if not total or not others:
        return ""
    first = max(energy, key=lambda cause: energy[cause])
    strongest = max(others, key=lambda s: s.value)
    moved, measured = [], False
    for cause in CAUSES:
        found = change(values, source, cause, strongest, zero)
        measured |= found is not None and bool(np.isfinite(found.low))
        if found is not None and factor[cause] > 0 and (found.high < 0 or found.low > 0):
            moved.append(f"{_words(cause)} {_text(found)}")
    share = (
        f"On {source} {100 * energy[first] / total:.0f} % of the flicker's energy at σ 0 is"
        f" {_words(first)}"
    )
    if not measured:
        return f"{share}."
    moves = ", ".join(moved) if moved else "no cause by more than chance"
    return f"{share}; σ {strongest.value:g} moves {moves}."


def _words(cause: str) -> str:
    return cause.replace("_", " ")


def _text(interval: Interval, digits: int = 3) -> str:
    mean, low, high = (f"{end:+.{digits}f}" for end in interval)
    return f"{mean} ({low} to {high})"
