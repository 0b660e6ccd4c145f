"""Outputs that are either complete or not there.

Everything is made under a temporary name in the target's own folder (a rename across file
systems is not atomic) and renamed when it is complete.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from vidcascade.errors import UsageError, VidCascadeError

__all__ = ["atomic_path", "check_own_folder", "check_parent", "check_replaceable", "disk_error"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def check_parent(target: Path) -> None:
    """Raise :class:`UsageError` unless the folder of ``target`` exists and can be written to."""
    parent = target.parent
    if not parent.exists():
        raise UsageError(f"Folder {parent} does not exist; create it or write somewhere else.")
    if not parent.is_dir():
        raise UsageError(f"{parent} is not a folder; write somewhere else.")
    try:
        # Trying is the only sure way: permissions say nothing of read-only or special file systems.
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        if error.errno in _FULL:
            return  # the write itself will tell, and may need less than it seems
        raise UsageError(f"Folder {parent} cannot be written to; write somewhere else.") from error


def check_replaceable(target: Path, overwrite: bool) -> None:
    """Raise :class:`UsageError` when ``target`` exists and may not be replaced."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise UsageError(f"{target} exists already; choose another name or add --force.")
    if not target.is_dir() and not target.is_file() and not target.is_symlink():
        raise UsageError(f"{target} is not an ordinary file; choose another name.")


def check_own_folder(target: Path, overwrite: bool, marks: Collection[str]) -> None:
    """As :func:`check_replaceable`, for a folder: only one of our own kind is ever replaced.

    Args:
        target: the folder.
        overwrite: it may be replaced.
        marks: files of which one at least lies in every such folder.

    Raises:
        UsageError: it exists and may not be replaced, or holds something else: "force" must not
            cost somebody their clips.
    """
    check_replaceable(target, overwrite)
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not any((target / mark).is_file() for mark in marks):
        raise UsageError(
            f"{target} holds other things than what would be written there; choose another folder."
        )


def disk_error(error: BaseException, target: Path) -> VidCascadeError | None:
    """The one-sentence error for a full or refusing disk, or None for any other failure.

    Goes by ``errno`` and not by class: FFmpeg's errors carry it without being ``OSError``.
    """
    code = getattr(error, "errno", None)
    if code in _FULL:
        return VidCascadeError(
            f"{target} could not be written because the disk (or its quota) is full; "
            "free some space or write somewhere else."
        )
    # A denied *read* in the caller's own work must not be blamed on the output.
    name = getattr(error, "filename", None)
    if code in _DENIED and name and Path(os.fsdecode(name)).parent == target.parent:
        return VidCascadeError(
            f"{target} could not be written: permission denied; "
            "change the folder's permissions or write somewhere else."
        )
    return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file to disk, so that a full disk shows now and not after the rename."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _swap_folder(temporary: Path, target: Path) -> None:
    """Put folder ``temporary`` in the place of folder ``target`` (os.replace cannot)."""
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def atomic_path(target: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` when the block ends.

    The block creates a file or a folder at the yielded path, which has the suffix of
    ``target``. When the block raises, ``KeyboardInterrupt`` included, whatever it made is
    removed and ``target`` is as it was. A symbolic link as target keeps pointing where it did:
    what it points to is replaced.

    Raises:
        UsageError: the folder is missing or read-only, or ``target`` exists and not
            ``overwrite``, or a folder would replace a file or the other way round.
        VidCascadeError: the disk is full.
    """
    shown = Path(target)
    real = Path(os.path.realpath(shown)) if shown.is_symlink() else shown
    check_parent(real)
    check_replaceable(real, overwrite)
    # Short, so that a long target name does not exceed the file system's limit.
    temporary = real.with_name(f".{real.stem[:40]}.{uuid.uuid4().hex[:8]}.tmp{real.suffix}")
    try:
        yield temporary
        if not temporary.is_dir():
            _sync(temporary)
        check_replaceable(real, overwrite)  # somebody may have made it in the meantime
        if real.exists() and real.is_dir() != temporary.is_dir():
            kind = "folder" if real.is_dir() else "file"
            raise UsageError(f"{shown} is a {kind} already; choose another name.")
        if real.is_dir():
            _swap_folder(temporary, real)
        else:
            temporary.replace(real)
    except Exception as error:
        explained = disk_error(error, real)
        if explained is not None:
            raise explained from error
        raise
    finally:
        _remove(temporary)
