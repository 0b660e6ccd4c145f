"""The outcome in words.

The composite is on the scale of ColorVideoVDP's losses: 1 is about what three of four viewers
notice beside a steady clip. The grades divide that scale; they are no standard.
"""

from __future__ import annotations

from vidcascade.metrics.composite import CAUSES, weights
from vidcascade.metrics.suite import ClipResult

__all__ = ["grade", "in_words", "main_cause", "state"]

_STEADY, _SLIGHT, _CLEAR = 0.3, 1.0, 2.5
_FROZEN_SHARE = 95.0
_STILL = 1.0

_WORDS = {
    "global_luminance": "the whole picture brightens and darkens",
    "regional_luminance": "parts of the picture brighten and darken",
    "texture": "fine texture changes from frame to frame",
    "chroma": "colours change from frame to frame",
    "swimming": "texture swims",
    "judder": "the picture moves in jerks",
}


def grade(flicker: float) -> str:
    """ "steady", "slight", "clear" or "strong"."""
    for limit, word in ((_STEADY, "steady"), (_SLIGHT, "slight"), (_CLEAR, "clear")):
        if flicker < limit:
            return word
    return "strong"


def state(result: ClipResult) -> str:
    """ "frozen" (nothing changes at all), "still" (nothing moves) or "moving"."""
    frozen = result.measures["frozen"].value
    if frozen is not None and frozen >= _FROZEN_SHARE:
        return "frozen"
    motion = result.measures["motion"].value
    return "still" if motion is not None and motion < _STILL else "moving"


def main_cause(result: ClipResult) -> str | None:
    """The cause that adds most to the composite, or None where nothing was measured."""
    factor = weights()
    parts = {name: factor[name] * (result.measures[name].value or 0.0) for name in CAUSES}
    best = max(parts, key=lambda name: parts[name])
    return best if parts[best] > 0 else None


def in_words(result: ClipResult) -> list[str]:
    """A few sentences for people, the most important first."""
    found = result.measures["flicker"]
    said = []
    if found.value is None:
        said.append(f"No flicker value: {found.note}.")
    elif state(result) == "frozen":
        said.append("Frozen: no frame differs from the one before, so nothing can flicker.")
    else:
        said.append(_amount(result, found.value))
        if found.worst_second is not None and found.worst_second > 1.5 * found.value:
            said.append(f"It is worst from {found.worst_at:.1f} s on ({found.worst_second:.2f}).")
    repeated = result.measures["duplicates"].value
    if repeated:
        said.append(f"{repeated:.0f} % of the steps repeat the frame before while others move.")
    seams = result.measures.get("seams")
    if seams is not None and seams.value is not None:
        if result.seams is not None and result.seams.certain:
            where = "flicker more than the rest"
        elif seams.value > 0:
            where = "cannot be told from the rest"
        else:
            where = "do not flicker more than the rest"
        said.append(f"Window borders {where} ({seams.note}).")
    said.append(_flashes(result))
    return said


def _amount(result: ClipResult, value: float) -> str:
    word = grade(value)
    if word == "steady":
        moves = "and nothing moves" if state(result) == "still" else "while it moves"
        return f"Steady ({value:.2f}), {moves}."
    cause = main_cause(result)
    why = f": mostly {_WORDS[cause]}" if cause else ""
    rhythm = ""
    if (result.measures["visibility"].value or 0) >= 1 and cause in (
        "global_luminance",
        "regional_luminance",
    ):
        rhythm = f", most visibly at {result.peak_hz:.1f} Hz"
    return f"{word.capitalize()} flicker ({value:.2f}){why}{rhythm}."


def _flashes(result: ClipResult) -> str:
    flashes = result.scan.flashes
    if flashes.verdict == "pass":
        return "Flashes: pass."
    detail = (
        f"{flashes.general} general and {flashes.red} red transitions within a second over the"
        f" whole picture, {flashes.local} in a quarter of its cells"
    )
    only = ""
    if flashes.global_verdict != flashes.verdict:
        only = f" (the whole picture's mean alone would be a {flashes.global_verdict})"
    return f"Flashes: {flashes.verdict}, {detail}{only}."
