"""Clip, frame rates, contact sheets, atomic paths and the lazy package."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vidcascade.errors import UsageError
from vidcascade.video import Clip, as_fps, atomic_path, contact_sheet


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (24, Fraction(24)),
        (23.976, Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94005994, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        (Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_as_fps(given: float | str | Fraction, exact: Fraction) -> None:
    assert as_fps(given) == exact


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "fast", "1/0"])
def test_as_fps_refuses(wrong: float | str) -> None:
    with pytest.raises(UsageError, match="Frame rate"):
        as_fps(wrong)


def test_clip_is_validated(frames: NDArray[np.uint8]) -> None:
    times = np.arange(12) / 24
    clip = Clip(frames, times, Fraction(24))
    assert (len(clip), clip.height, clip.width) == (12, 48, 64)
    assert clip.duration == pytest.approx(0.5)
    wrong = [
        (frames / 255.0, times, Fraction(24)),
        (frames[..., :2], times, Fraction(24)),
        (frames[:0], times[:0], Fraction(24)),
        (frames, times[:-1], Fraction(24)),
        (frames, times[::-1].copy(), Fraction(24)),
        (frames, times.astype(np.float32), Fraction(24)),
        (frames, times, 24.0),
        (frames, times, Fraction(0)),
    ]
    for parts in wrong:
        with pytest.raises(ValueError, match="Clip"):
            Clip(*parts)  # type: ignore[arg-type]


def test_contact_sheet(frames: NDArray[np.uint8]) -> None:
    sheet = contact_sheet([frames, frames[:2, :30, :40]], ["a long label " * 9, "b"], columns=4)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 4 + 4 * (64 + 4)
    bare = contact_sheet([frames], columns=4)
    assert bare.shape == (4 + 48 + 4, 276, 3)
    assert np.array_equal(bare[4:52, 4:68], frames[0])
    assert np.array_equal(bare[4:52, 208:272], frames[-1])
    for arguments in (([],), ([frames], ["a", "b"]), ([frames], None, 0), ([frames[0]],)):
        with pytest.raises(ValueError, match=r"[Cc]lip|columns"):
            contact_sheet(*arguments)


def test_atomic_file_and_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.json") as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".json")
        temporary.write_text("1")
        assert not (tmp_path / "a.json").exists()
    with pytest.raises(UsageError, match="--force"), atomic_path(tmp_path / "a.json"):
        pass
    context = atomic_path(tmp_path / "a.json", overwrite=True)
    context.__enter__().write_text("2")
    error = KeyboardInterrupt()
    assert not context.__exit__(KeyboardInterrupt, error, None)  # not swallowed
    assert (tmp_path / "a.json").read_text() == "1"
    for text in ("old", "new"):
        with atomic_path(tmp_path / "checkpoint", overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / "x").write_text(text)
    assert (tmp_path / "checkpoint" / "x").read_text() == "new"
    context = atomic_path(tmp_path / "checkpoint", overwrite=True)
    context.__enter__().write_text("a file")
    with pytest.raises(UsageError, match="folder already"):
        context.__exit__(None, None, None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "checkpoint"]


def test_the_package_is_lazy() -> None:
    code = (
        "import sys, vidcascade.video as v; v.check_output, v.write_clip, v.read_clip;"
        "heavy = {'av', 'decord', 'PIL', 'torch', 'cv2', 'imageio'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    import vidcascade.video

    with pytest.raises(AttributeError):
        vidcascade.video.nothing  # noqa: B018
