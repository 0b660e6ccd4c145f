"""Weights are found by what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidcascade.cascade.spec import CascadeSpec
from vidcascade.cascade.weights import bundled_weights, resolve_weights
from vidcascade.errors import VidCascadeError


def test_somebodys_folder_of_that_name_does_not_hide_what_is_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("stickers", "tiny", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "holiday.jpg").write_bytes(b"")
    assert resolve_weights("stickers") == bundled_weights("stickers")
    assert CascadeSpec.load("stickers").name == "stickers"
    assert CascadeSpec.load("tiny").name == "tiny"
    assert resolve_weights("mine") == Path("mine")
    assert resolve_weights(tmp_path / "stickers") == tmp_path / "stickers"
    (tmp_path / "stickers" / "spec.yaml").write_text("")  # a cascade of one's own
    assert resolve_weights("stickers") == Path("stickers")
    with pytest.raises(VidCascadeError, match="no bundled weights"):
        resolve_weights("nothing-like-this")


def test_the_bundled_weights_are_small() -> None:
    files = bundled_weights().parent.rglob("*")
    assert sum(file.stat().st_size for file in files if file.is_file()) < 40 * 2**20
