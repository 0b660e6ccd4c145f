"""Methods of frame interpolation behind one function each: ours and what people use."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidcascade.flow.midpoint import average_of_warps, midpoint_prior
from vidcascade.interpolation.between import Between, make_between

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Given:
    """``around``: four frames, the outer ones for context; ``times`` between the inner two."""

    around: tuple[Picture, Picture, Picture, Picture]
    times: tuple[float, ...]

    @property
    def pair(self) -> tuple[Picture, Picture]:
        """The two neighbours."""
        return self.around[1], self.around[2]


Method = Callable[[Given], list[Picture]]


def make_methods(
    qualities: Sequence[str], rife: Path, weights: Path | None = None
) -> tuple[dict[str, Method], list[str]]:
    """Methods by name, and why others are missing.

    ``weights``: of our network, instead of those that come with the package.
    """
    methods: dict[str, Method] = {"blend": _blend, "DIS warp": _dis}
    left_out = []
    if shutil.which("ffmpeg"):
        methods["ffmpeg mci"] = _minterpolate
    else:
        left_out.append("ffmpeg is not installed: minterpolate left out")
    if (rife / "rife-ncnn-vulkan").is_file():
        methods["RIFE 4.6"] = partial(_recursively, lambda a, b: _rife(a, b, rife))
    else:
        left_out.append(f"no RIFE in {rife} (scripts/install_rife.py): left out")
    for quality in qualities:
        if weights is not None and quality != "fast":
            from vidcascade.interpolation.model import NetworkBetween

            between: Between = NetworkBetween(quality, weights=weights)
        else:
            between = make_between(quality)
        network = "no network" if quality == "fast" else "network"
        methods[f"ours, {quality} ({network})"] = partial(_ours, between)
    return methods, left_out


def recursive(methods: dict[str, Method]) -> dict[str, Method]:
    """Ours again, by midpoints of midpoints instead of the times themselves."""

    def middle(method: Method, first: Picture, second: Picture) -> Picture:
        return method(Given((first, first, second, second), (0.5,)))[0]

    return {
        f"{name}, recursive": partial(_recursively, partial(middle, method))
        for name, method in methods.items()
        if name.startswith("ours")
    }


def _ours(between: Between, given: Given) -> list[Picture]:
    return list(between(*given.pair, given.times))


def _blend(given: Given) -> list[Picture]:
    first, second = (f.astype(np.float32) for f in given.pair)
    return [np.rint(first * (1 - t) + second * t).astype(np.uint8) for t in given.times]


def _dis(given: Given) -> list[Picture]:
    first, second = given.pair
    return [
        average_of_warps(first, second, *midpoint_prior(first, second, t), t) for t in given.times
    ]


def _recursively(middle: Callable[[Picture, Picture], Picture], given: Given) -> list[Picture]:
    """By midpoints of midpoints, as RIFE is used for 4x and 8x."""

    def between(first: Picture, second: Picture, rounds: int) -> list[Picture]:
        if rounds == 0:
            return []
        made = middle(first, second)
        rest = rounds - 1
        return [*between(first, made, rest), made, *between(made, second, rest)]

    return between(*given.pair, (len(given.times) + 1).bit_length() - 1)


def _minterpolate(given: Given) -> list[Picture]:
    height, width = given.pair[0].shape[:2]
    # It starts late and drops the tail: the frames at both ends are given several times.
    frames = [given.around[0]] * 2 + list(given.around) + [given.around[3]] * 3
    more = len(given.times) + 1
    command = [
        "ffmpeg", "-v", "error", "-threads", "1", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", "10", "-i", "-", "-vf",
        f"minterpolate=fps={10 * more}:mi_mode=mci:scd=none",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-",
    ]  # fmt: skip
    raw = b"".join(np.ascontiguousarray(f).tobytes() for f in frames)
    done = subprocess.run(command, input=raw, capture_output=True, check=True, timeout=600)
    made = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    # Those after the one that is most like the first neighbour.
    first = given.pair[0].astype(np.int16)
    errors = [np.abs(frame - first).mean() for frame in made[: 1 - more]]
    place = int(np.argmin(errors)) + 1
    return list(made[place : place + more - 1])


def _rife(first: Picture, second: Picture, folder: Path) -> Picture:
    height, width = first.shape[:2]
    # Its ncnn build gives garbage unless both sides are multiples of 32.
    pad = ((0, -height % 32), (0, -width % 32), (0, 0))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for number, frame in enumerate((first, second)):
            Image.fromarray(np.pad(frame, pad, "edge")).save(scratch / f"{number}.png")
        command = [
            str((folder / "rife-ncnn-vulkan").resolve()), "-0", str(scratch / "0.png"), "-1",
            str(scratch / "1.png"), "-o", str(scratch / "out.png"), "-g", "-1", "-j", "1:1:1",
            "-m", str((folder / "rife-v4.6").resolve()),
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, check=True, timeout=600)
        with Image.open(scratch / "out.png") as image:
            return np.asarray(image.convert("RGB"))[:height, :width]
