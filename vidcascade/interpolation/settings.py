"""What to do with a clip, and what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.timeline import check_factor
from vidcascade.video.clip import as_fps

__all__ = ["MAX_FPS", "Interrupted", "Progress", "Report", "Settings"]

Progress = Callable[[int, int], None]
MAX_FPS = 1000
_CHOICES = {
    "duplicates": ("keep", "replace"),
    "on_interrupt": ("discard", "keep", "resumable"),
}


@dataclass(frozen=True)
class Settings:
    """What to do with a clip.

    Attributes:
        factor: output frames for each source frame, 2 to 64; excludes ``fps``.
        fps: output frames per second, any rate.
        quality: "fast", "balanced" or "best", see :func:`make_between`.
        steps: diffusion steps, >= 1.
        device: torch device.
        start, end: part of the clip to take, seconds; None for all of it.
        duplicates: "keep" shows repeated frames as they are, "replace" makes them anew from the
            frames around them.
        cuts: look for scene cuts, and never make anything across one.
        codec, crf, encoder: see :func:`vidcascade.interpolation.outputs.choose`.
        audio, subtitles: copy them.
        on_interrupt: what Ctrl-C leaves: "discard" nothing, "keep" a playable file of what is
            done, "resumable" what ``resume`` goes on from; so does "keep" where it comes while
            the file is written.
        resume: go on with a job that was left unfinished.
        overwrite: replace an existing output.
    """

    factor: int | None = None
    fps: Fraction | float | str | None = None
    quality: str = "balanced"
    steps: int = 1
    device: str = "cpu"
    start: Fraction = Fraction(0)
    end: Fraction | None = None
    duplicates: str = "keep"
    cuts: bool = True
    codec: str | None = None
    crf: int | None = None
    encoder: dict[str, str] = field(default_factory=dict)
    audio: bool = True
    subtitles: bool = True
    on_interrupt: str = "discard"
    resume: bool = False
    overwrite: bool = False

    @property
    def rate(self) -> Fraction:
        """``fps`` as an exact fraction; 59.94 in any spelling is 60000/1001."""
        assert self.fps is not None
        return as_fps(self.fps)

    def __post_init__(self) -> None:
        if (self.factor is None) == (self.fps is None):
            raise UsageError("Give either a factor (--factor 2) or a frame rate (--fps 60).")
        if self.factor is not None:
            check_factor(self.factor)
        if self.fps is not None and self.rate > MAX_FPS:
            raise UsageError(f"The frame rate must be at most {MAX_FPS}, not {self.fps}.")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                option = name.replace("_", "-")
                raise UsageError(
                    f"--{option} must be {' or '.join(allowed)}, not {getattr(self, name)!r}."
                )
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise UsageError("--end must lie after --start, and neither below zero.")


@dataclass
class Report:
    """What was done.

    Attributes:
        source, output: the files.
        width, height: of the frames, pixels.
        fps_in, fps_out: nominal frames per second.
        duration: seconds, of the part that was taken and of the output.
        frames_in, frames_out: counted.
        originals, made, held: the output's frames: shown as they were decoded, made, and shown
            again (at cuts, at the end, between duplicates).
        cuts: times of the scene cuts, seconds.
        duplicates: number of frames that only repeat the one before.
        encoding: codec and pixel format.
        seconds: what it took.
        interrupted: the output ends where Ctrl-C came.
        notes: what the user should know.
    """

    source: Path
    output: Path
    width: int = 0
    height: int = 0
    fps_in: Fraction = Fraction(0)
    fps_out: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    frames_in: int = 0
    frames_out: int = 0
    originals: int = 0
    made: int = 0
    held: int = 0
    cuts: list[float] = field(default_factory=list)
    duplicates: int = 0
    encoding: str = ""
    seconds: float = 0.0
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Path):
                found[name] = str(value)
            else:
                found[name] = round(float(value), 6) if isinstance(value, Fraction) else value
        return found

    def lines(self) -> list[str]:
        """Everything as a person reads it."""
        what = (
            f"{self.output}: {self.frames_in} frames at {float(self.fps_in):g} fps became "
            f"{self.frames_out} at {float(self.fps_out):g} fps, {float(self.duration):.3f} s of "
            f"{self.width} × {self.height}, {self.encoding}"
        )
        kinds = f"{self.originals} originals, {self.made} made, {self.held} held"
        speed = f"{self.seconds:.1f} s, {self.frames_out / max(self.seconds, 1e-9):.1f} frames/s"
        lines = [what, f"{kinds}; {speed}"]
        if self.cuts:
            shown = ", ".join(f"{time:.2f}" for time in self.cuts[:12])
            more = f" and {len(self.cuts) - 12} more" if len(self.cuts) > 12 else ""
            lines.append(f"scene cuts at {shown}{more} s: the frame before is held")
        if self.duplicates:
            lines.append(f"{self.duplicates} of the frames repeat the one before")
        if self.interrupted:
            lines.append("interrupted: this is what was done")
        return lines


class Interrupted(VidCascadeError):
    """Ctrl-C, where something is left to go on with."""

    exit_code = 130
