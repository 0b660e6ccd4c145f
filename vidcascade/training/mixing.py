"""A folder's clips among those that the world draws."""

from __future__ import annotations

from pathlib import Path

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.data.config import MOST_FOLDERS
from vidcascade.data.known import learn
from vidcascade.errors import UsageError
from vidcascade.training.sources import ClipSource, FolderSource, MixedSource, WorldSource


def open_clips(
    spec: CascadeSpec, stage: str, folder: str | Path, share: float, seed: int = 0
) -> tuple[CascadeSpec, ClipSource, FolderSource]:
    """What a stage is trained on, given a folder of clips.

    Args:
        spec: of the cascade.
        stage: to train.
        folder: of captioned videos.
        share: of its clips, in (0, 1]; the world draws the rest.
        seed: of what the world draws.

    Returns:
        The spec, whose world is gone (share 1) or knows the captions' words as well; the source;
        and the folder alone.

    Raises:
        UsageError: a share that cannot be, a folder without captions, or no world to draw from.
        VidCascadeError: nothing in the folder can be used.
    """
    if share == 1.0:
        alone = spec.model_copy(update={"world": None})
        new = FolderSource.open(alone, stage, folder)
        return alone, new, new
    new = FolderSource.open(spec, stage, folder)
    return with_words(spec, new), mix(spec, stage, new, share, seed, "--data-share"), new


def mix(
    spec: CascadeSpec,
    stage: str,
    new: FolderSource,
    share: float,
    seed: int = 0,
    option: str = "--share",
) -> MixedSource:
    """New clips with probability ``share``, the drawn world's else.

    Raises:
        UsageError: a share outside (0, 1], or clips of the world that cannot be drawn here; told
            in terms of the command line's ``option``.
    """
    if not 0.0 < share <= 1.0:
        raise UsageError(f"The share of new clips must be in (0, 1], not {share:g}.")
    if share == 1.0:
        return MixedSource(new, new, share)
    if spec.world is None:
        raise UsageError(
            f"The cascade {spec.name} has no world that could draw the rest of the clips: train on "
            f"new clips alone with {option} 1, or put old ones into the folder."
        )
    old = WorldSource(spec, spec.stage(stage), seed)
    if not old.world.has_stickers and spec.world.solid_share < 1:
        raise UsageError(
            "The stickers that the rest of the clips are drawn with are not here: run "
            f"scripts/fetch_stickers.py, or train on new clips alone with {option} 1."
        )
    return MixedSource(new, old, share)


def with_words(spec: CascadeSpec, new: FolderSource) -> CascadeSpec:
    """The spec, whose world knows what the new captions add; the latest folders, if too many."""
    if spec.world is None:
        return spec
    found = learn((entry.caption for entry in new.folder.entries), spec.world)
    if found is None or found in spec.world.learnt:
        return spec
    world = spec.world.model_copy(update={"learnt": (*spec.world.learnt, found)[-MOST_FOLDERS:]})
    return spec.model_copy(update={"world": world})
