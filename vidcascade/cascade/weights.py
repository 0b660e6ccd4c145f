"""Weights on disk: found, checked and loaded, with errors that say what is wrong."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from pathlib import Path
from typing import Any

import torch

from vidcascade.cascade.spec import StageSpec
from vidcascade.cascade.stage import Stage
from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.nn.denoiser import SpaceTimeDenoiser
from vidcascade.nn.loading import load_model

CHECKSUMS = "checksums.json"
SPEC_FILE = "spec.yaml"
MARKS = ("model_index.json", CHECKSUMS)  # by which a cascade's folder is known


def bundled_weights(name: str = "stickers") -> Path:
    """Folder of the weights that come with the package: in a wheel, or ``assets/`` of a checkout.

    Raises:
        VidCascadeError: this installation has none of that name.
    """
    found = _bundled(name)
    if found is None:
        raise VidCascadeError(
            f"This installation has no bundled weights called {name!r}: give --weights a folder or "
            "a hub id, or install vidcascade again."
        )
    return found


def _bundled(name: str) -> Path | None:
    inside = Path(str(importlib.resources.files("vidcascade"))) / "_bundled" / "weights" / name
    checkout = Path(__file__).parents[2] / "assets" / "weights" / name
    here = (f for f in (inside, checkout) if (f / "model_index.json").is_file())
    return next(here, None)


def resolve_weights(
    name: str | Path, revision: str | None = None, local_files_only: bool = False
) -> Path:
    """A folder for a folder, a bundled name or a hub id (which is downloaded).

    Raises:
        UsageError: nothing of that name.
        VidCascadeError: the download failed.
    """
    folder, text = Path(name), str(name)
    bare = Path(folder.name) == folder
    # A folder of somebody's pictures may be called "stickers" as well.
    if folder.is_dir() and not (bare and _bundled(text) and not (folder / SPEC_FILE).is_file()):
        return folder
    if bare and not folder.is_file():
        return bundled_weights(text)
    if text.count("/") != 1 or folder.exists() or text.startswith((".", "/", "~")):
        raise UsageError(
            f"There are no weights in {name}: give a folder that save_pretrained or "
            "`vidcascade assemble` wrote, or a hub id."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.yaml", "*.safetensors"]
    try:
        return Path(
            snapshot_download(
                text,
                revision=revision,
                allow_patterns=patterns,
                local_files_only=local_files_only,
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise VidCascadeError(
            f"The weights {text} are no folder here and could not be downloaded ({reason}): check "
            "the name and the connection."
        ) from error


def load_network(
    folder: Path,
    stage: Stage,
    text_width: int | None,
    running: bool = False,
    smaller: bool = False,
) -> SpaceTimeDenoiser:
    """The network of one stage, in float32 and evaluation mode.

    Args:
        folder: that holds it.
        stage: whose network it is.
        text_width: of the text encoder's states.
        running: it will only run, so it may be a student that became the network with a last step
            of its own, of which nothing could be taught or assembled.
        smaller: it may lack what the stage's network has more and what is the identity until it
            is trained: further blocks at a level, and the places of words.

    Raises:
        VidCascadeError: files that are missing, truncated, tampered with or of another network.
    """
    network = load_model(SpaceTimeDenoiser, folder)
    if network.final is not None and not running:
        raise VidCascadeError(
            f"The weights in {folder} are a student with a last step of its own, which only runs: "
            "take those that it was distilled from."
        )
    _check_config(network, stage, text_width, folder, smaller)
    return network


def _check_config(
    network: SpaceTimeDenoiser, stage: Stage, text_width: int | None, folder: Path, smaller: bool
) -> None:
    with torch.device("meta"):
        wanted = stage.build_network(text_width).config
    for key, value in wanted.items():
        found = network.config.get(key)
        if key == "final_below":  # no part of a spec
            continue
        if smaller and _grows(key, found, value):
            continue
        if not key.startswith("_") and _plain(found) != _plain(value):
            raise VidCascadeError(
                f"The weights in {folder} do not match the spec: stages.{stage.spec.name} wants "
                f"{key} {_plain(value)} and they have {_plain(found)}; use the spec they were "
                "trained with, or train these."
            )


def _grows(key: str, found: Any, wanted: Any) -> bool:
    """Whether a network with one setting begins as the same function as one with the other."""
    if key == "depths":
        alike = len(found) == len(wanted)
        return alike and all(had <= has for had, has in zip(found, wanted, strict=True))
    return key == "text_order" and not found


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def stage_folders(folder: Path, stages: tuple[StageSpec, ...]) -> dict[str, Path]:
    """Where each stage's network lies; a stage without a folder is refused."""
    folders = {stage.name: folder / stage.name for stage in stages}
    for name, place in folders.items():
        if not place.is_dir():
            raise VidCascadeError(
                f"The weights in {folder} have no stage {name!r}, which the spec wants: use the "
                "spec they were trained with."
            )
    return folders


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every safetensors file under a folder, by relative path."""
    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
        found[file.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def write_checksums(folder: Path) -> None:
    """Record the files' hashes beside them."""
    text = json.dumps({"sha256": file_hashes(folder)}, indent=2)
    (folder / CHECKSUMS).write_text(text + "\n", encoding="utf-8")


def verify_checksums(folder: Path) -> dict[str, str]:
    """Hashes of the weights; where checksums were recorded, files that differ are refused."""
    found = file_hashes(folder)
    record = folder / CHECKSUMS
    if not record.is_file():
        return found
    try:
        expected = json.loads(record.read_text(encoding="utf-8"))["sha256"]
        names = {str(name): str(value) for name, value in expected.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VidCascadeError(
            f"{record} cannot be read as checksums: get the weights again."
        ) from error
    for name, value in names.items():
        if found.get(name) != value:
            state = "is missing" if name not in found else "is truncated or was changed"
            raise VidCascadeError(
                f"{folder / name} {state} (its checksum differs from {CHECKSUMS}): get the "
                "weights again."
            )
    return found
