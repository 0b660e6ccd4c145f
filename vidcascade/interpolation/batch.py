"""A folder of clips: one after the other, past those that fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.job import interpolate_file
from vidcascade.interpolation.outputs import SUFFIXES
from vidcascade.interpolation.settings import Interrupted, Progress, Report, Settings
from vidcascade.interpolation.unfinished import is_cut_short
from vidcascade.video.atomic import check_parent

__all__ = ["BatchReport", "interpolate_folder", "is_batch"]

_READ = {
    ".3gp", ".apng", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".webp", ".wmv", ".y4m",
}  # fmt: skip


@dataclass
class BatchReport:
    """What became of a folder.

    Attributes:
        done: reports of the clips that were made.
        failed: clips that could not be, and why.
    """

    done: list[Report] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it: the last of ``done`` is cut short, and clips may be left."""
        return any(report.interrupted for report in self.done)


def is_batch(source: str | os.PathLike[str]) -> bool:
    """Whether ``source`` is a folder of clips, and not a folder of PNG frames or a file."""
    folder = Path(source)
    return folder.is_dir() and not any(p.stem.isdigit() for p in folder.glob("*.png"))


def interpolate_folder(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    progress: Callable[[Path, int, int], Progress | None] | None = None,
) -> BatchReport:
    """Interpolate every clip of a folder into files of the same names in another.

    A clip whose own type cannot be written becomes an ``.mkv``. A clip that fails is noted and
    the next one is taken; so is, with ``settings.resume``, one whose output is there already and
    whole. Ctrl-C ends the folder, whatever is kept of the clip that it came in.

    Args:
        source: folder; clips in folders within it are not taken.
        output: folder, made when it is not there.
        settings: for every clip.
        progress: called with a clip, its number from 0 and the number of clips; returns what to
            call as :func:`interpolate_file` does, or None.

    Raises :class:`UsageError` when there is no clip, or the output is the input or not a folder.
    """
    folder, target = Path(source), Path(output)
    clips = sorted(p for p in folder.iterdir() if p.suffix.lower() in _READ and p.is_file())
    if not clips:
        raise UsageError(f"Folder {folder} holds no clips; give a folder of video files.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, and {folder} holds several clips; name a folder.")
    if target.exists() and target.samefile(folder):
        raise UsageError(f"{target} is the input itself; give the output another folder.")
    check_parent(target)
    made = not target.exists()
    target.mkdir(exist_ok=True)
    report = BatchReport()
    taken: set[str] = set()
    for number, clip in enumerate(clips):
        suffix = clip.suffix.lower() if clip.suffix.lower() in SUFFIXES else ".mkv"
        # "a.avi" and "a.mkv" would both become "a.mkv".
        name = clip.stem + suffix if clip.stem + suffix not in taken else clip.name + suffix
        taken.add(name)
        try:
            step = progress(clip, number, len(clips)) if progress is not None else None
            again = _again(settings, target / name)
            if settings.resume and not again.resume and not settings.overwrite:
                continue  # it was finished before
            report.done.append(interpolate_file(clip, target / name, again, step))
            if report.interrupted:
                break
        except Interrupted:
            raise
        except VidCascadeError as error:
            report.failed.append((clip, str(error)))
        except Exception as error:  # one odd clip must not cost the night's work
            report.failed.append((clip, f"{type(error).__name__}: {error}"))
    if made and not any(target.iterdir()):
        target.rmdir()
    return report


def _again(settings: Settings, output: Path) -> Settings:
    """The settings for one clip of a folder that may have been gone through before."""
    if not settings.resume or not output.exists():
        return settings
    # What an interrupt left of it with --on-interrupt keep is replaced when the whole is there.
    cut_short = is_cut_short(output)
    return replace(settings, resume=cut_short, overwrite=settings.overwrite or cut_short)
