"""Fetching stickers: every failure is one clear sentence, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from vidcascade.data import fetch
from vidcascade.errors import UsageError, VidCascadeError


def _archive(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def fake_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``pack`` copies two small archives instead of running npm."""
    source = tmp_path / "registry"
    source.mkdir()
    stickers, names = fetch.SHA256
    sums = {
        stickers: _archive(
            source / stickers,
            {
                "package/assets/1f680.webp": b"rocket",
                "package/assets/evil.js": b"no",
                "package/assets/../../../escaped.webp": b"no",
                "package/index.js": b"no",
            },
        ),
        names: _archive(source / names, {"package/data-by-emoji.json": b"{}"}),
    }
    monkeypatch.setattr(fetch, "SHA256", sums)

    def pack(into: Path) -> None:
        for path in source.iterdir():
            (into / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(fetch, "pack", pack)
    return source


def test_fetch_unpacks_only_stickers(fake_pack: Path, tmp_path: Path) -> None:
    target = fetch.fetch_stickers(tmp_path / "cache" / "stickers")
    assert sorted(p.name for p in target.iterdir()) == ["1f680.webp", "data-by-emoji.json"]
    assert [p.name for p in target.parent.iterdir()] == ["stickers"]
    assert not list(tmp_path.rglob("escaped.webp"))
    (target / "2764.webp").write_bytes(b"of an older version")
    assert fetch.fetch_stickers(target) == target
    assert (target / "2764.webp").exists()
    fetch.fetch_stickers(target, force=True)
    assert sorted(p.name for p in target.iterdir()) == ["1f680.webp", "data-by-emoji.json"]


def test_what_is_not_stickers_is_never_replaced(fake_pack: Path, tmp_path: Path) -> None:
    clips, file = tmp_path / "clips", tmp_path / "file"
    (clips / "sub").mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"other things than stickers \(sub\)"):
        fetch.fetch_stickers(clips)
    (clips / "sub").rmdir()
    (clips / "1f680.webp").write_bytes(b"rocket")
    (clips / "kite.mp4").write_bytes(b"a clip")
    assert fetch.fetch_stickers(clips) == clips  # there are stickers, and nothing is done
    with pytest.raises(UsageError, match=r"other things than stickers \(kite\.mp4\)"):
        fetch.fetch_stickers(clips, force=True)
    with pytest.raises(UsageError, match="is not a folder"):
        fetch.fetch_stickers(file, force=True)
    assert (clips / "kite.mp4").read_bytes() == b"a clip"
    assert file.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "file", "registry"]


def test_a_folder_that_cannot_be_replaced_stays(
    fake_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "cache" / "stickers"
    target.mkdir(parents=True)
    (target / "2764.webp").write_bytes(b"heart")
    rename = Path.rename

    def fails(self: Path, to: Path) -> Path:
        if Path(to) == target and not (self / "2764.webp").exists():
            raise OSError("busy")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="busy"):
        fetch.fetch_stickers(target, force=True)
    assert [p.name for p in target.parent.iterdir()] == ["stickers"]
    assert [p.name for p in target.iterdir()] == ["2764.webp"]


def test_a_wrong_checksum_stops_before_unpacking(fake_pack: Path, tmp_path: Path) -> None:
    bad = next(iter(fetch.SHA256))
    (fake_pack / bad).write_bytes(b"something else")
    with pytest.raises(VidCascadeError, match="checksum"):
        fetch.fetch_stickers(tmp_path / "cache" / "stickers")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(VidCascadeError, match="npm was not found"):
        fetch.fetch_stickers(tmp_path / "stickers")
    assert list(tmp_path.iterdir()) == []


def test_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "npm error code ENOTFOUND\nmore")

    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr("subprocess.run", offline)
    with pytest.raises(VidCascadeError, match=r"ENOTFOUND.*network"):
        fetch.fetch_stickers(tmp_path / "stickers")


def test_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDCASCADE_CACHE", str(tmp_path))
    assert fetch.cache_folder() == tmp_path / "stickers-1.1.0"
    assert not fetch.has_stickers(fetch.cache_folder())
