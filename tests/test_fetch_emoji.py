"""The animated emoji, fetched into a folder that trains a base; here from files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.loading import load_script
from vidcascade.data.folder import VideoFolder
from vidcascade.video.reading import read_clip

script = load_script("fetch_emoji")
TWO = {"red heart": "2764_fe0f", "owl": "1f989"}


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of two animations of two seconds: a moving square that turns from red to blue, on nothing."""
    monkeypatch.setattr(script, "EMOJI", TWO)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for code in TWO.values():
        frames = []
        for k in range(10):
            frame = np.zeros((64, 64, 4), np.uint8)
            frame[16:48, 12 + k : 44 + k] = (255, 0, 0, 255) if k < 5 else (0, 0, 255, 255)
            frames.append(Image.fromarray(frame))
        (shelf / f"{code}.webp").write_bytes(encoded(frames[0], frames[1:], 200))
    return shelf.as_uri() + "/{code}.webp"


def encoded(first: Image.Image, more: Sequence[Image.Image] = (), duration: int = 100) -> bytes:
    """An animated WebP, its frames ``duration`` ms long."""
    file = io.BytesIO()
    given = {"save_all": True, "append_images": list(more), "duration": duration}
    first.save(file, "WEBP", lossless=True, **given)
    return file.getvalue()


def test_a_folder_of_captioned_clips_is_made(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "emoji"
    assert script.main([str(out), "--address", address]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    folder = VideoFolder(out, 16)
    assert folder.skipped == []
    assert [entry.caption for entry in folder.entries] == [f"animated emoji: {n}" for n in TWO]
    clip = read_clip(folder.entries[0].path)
    assert clip.frames.shape == (48, 128, 128, 3)
    assert clip.fps == 24
    assert clip.frames[:, :16].min() > 245  # what was transparent is white
    middle = clip.frames[:, 64, 64].astype(int)
    assert (middle[:22, 0] > 200).all()
    assert (middle[26:, 2] > 200).all()
    # What is there is kept, unless asked.
    assert script.main([str(out), "--address", address]) == 2
    assert "exists already" in capsys.readouterr().err
    assert script.main([str(out), "--address", address, "--force"]) == 0
    (out / "mine.mp4").write_bytes(b"x")
    assert script.main([str(out), "--address", address, "--force"]) == 2
    assert "also holds mine.mp4" in capsys.readouterr().err
    assert (out / "mine.mp4").is_file()


def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "emoji"
    file = tmp_path / "shelf" / "1f989.webp"
    whole = file.read_bytes()
    still = Image.new("RGBA", (64, 64))
    for damage, reason in {
        b"no picture": "no WebP",
        whole[: len(whole) // 2]: "cannot be used",
        encoded(Image.new("RGB", (2000, 2000))): "2000 x 2000 pixels",
        encoded(still, [Image.new("RGBA", (64, 64), "red")], 20_000): "longer than 20 s",
        b"x" * (script.MOST_BYTES + 1): "more than an emoji",
        None: "could not be fetched",
    }.items():
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage)
        assert script.main([str(out), "--address", address]) == 1, reason
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
    for nonsense, code, reason in (
        ("nowhere/{code}", 1, "could not be fetched"),
        ("gopher://x/{code}", 1, "could not be fetched"),
        ("http://x:y/{code}", 1, "could not be fetched"),
        ("https://localhost/{id}", 2, "must have {code}"),
    ):
        assert script.main([str(out), "--address", nonsense]) == code
        assert reason in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shelf"]


def test_they_are_those_that_the_card_lists() -> None:
    card = (Path(__file__).parents[1] / "assets/weights/stickers/README.md").read_text()
    _, listed = card.split("as in `animated emoji: red heart`:\n", 1)
    names = listed.split("\n\n", 1)[0].strip().rstrip(".").split(", ")
    # In which order is the folder's affair that the base learnt from.
    assert sorted(names) == sorted(script.EMOJI)
    assert len(set(script.EMOJI.values())) == len(script.EMOJI) == 33
