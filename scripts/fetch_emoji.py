"""Fetch the animated emoji that the bundled base learnt: ``python scripts/fetch_emoji.py emoji``.

They are Noto Animated Emoji (Google, CC BY 4.0). The folder gets a clip of each, on white,
128 × 128 at 24 fps, and their captions in ``metadata.jsonl``: what ``--data`` and ``--clips`` read.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from vidcascade.data.folder import METADATA
from vidcascade.errors import UsageError, VidCascadeError, in_one_sentence
from vidcascade.video.atomic import atomic_path
from vidcascade.video.writing import write_clip

ADDRESS = "https://fonts.gstatic.com/s/e/notoemoji/latest/{code}/512.webp"
SIDE, RATE = 128, 24
# None of them is nearly as large.
MOST_BYTES, MOST_PIXELS, MOST_SECONDS = 16 * 2**20, 1024**2, 20.0

# Code points as the animations are filed by them.
EMOJI: dict[str, str] = {
    "red heart": "2764_fe0f", "orange heart": "1f9e1", "yellow heart": "1f49b",
    "green heart": "1f49a", "blue heart": "1f499", "purple heart": "1f49c",
    "broken heart": "1f494", "smile": "1f600", "wink": "1f609", "laughing": "1f606",
    "sunglasses face": "1f60e", "heart eyes": "1f60d", "nerd face": "1f913", "alien": "1f47d",
    "skull": "1f480", "jack o lantern": "1f383", "fire": "1f525",
    "moon face first quarter": "1f31b", "snowflake": "2744_fe0f", "volcano": "1f30b",
    "cow face": "1f42e", "kangaroo": "1f998", "rabbit": "1f407", "owl": "1f989", "rose": "1f339",
    "popcorn": "1f37f", "hot beverage": "2615", "sun with face": "1f31e", "thumbs up": "1f44d",
    "globe showing americas": "1f30e", "eyes": "1f440", "whale": "1f40b", "snail": "1f40c",
}  # fmt: skip


def download(address: str) -> bytes:
    """The bytes at an address.

    Raises:
        VidCascadeError: it cannot be reached, or sends too much.
    """
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            data: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise VidCascadeError(
            f"{address} could not be fetched ({reason}): check the network and try again."
        ) from None
    if len(data) > MOST_BYTES:
        raise VidCascadeError(f"{address} sends more than an emoji: give another --address.")
    return data


def on_white(data: bytes) -> Iterator[NDArray[np.uint8]]:
    """Frames of an animated picture at ``RATE``, uint8 (SIDE, SIDE, 3), its transparency white.

    Raises:
        VidCascadeError: it is no WebP, or larger or longer than an emoji.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels")
            shown, drawn = 0.0, 0  # seconds of animation so far, frames given
            for frame in ImageSequence.Iterator(picture):
                flat = Image.new("RGBA", frame.size, "white")
                flat.alpha_composite(frame.convert("RGBA"))
                shown += max(frame.info.get("duration", 0), 1) / 1000  # known once it is decoded
                small = np.asarray(flat.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
                if shown > MOST_SECONDS:
                    raise ValueError(f"longer than {MOST_SECONDS:g} s")
                while drawn / RATE < shown:
                    yield small
                    drawn += 1
    except (OSError, EOFError, ValueError, Image.DecompressionBombError) as error:
        reason = "no WebP" if isinstance(error, UnidentifiedImageError) else str(error) or "damaged"
        raise VidCascadeError(
            f"An animation cannot be used ({reason}): try again, or give another --address."
        ) from None


def fetch(into: Path, address: str = ADDRESS, force: bool = False) -> Path:
    """Fetch all of them into a new folder; returns it.

    Args:
        into: appears when it is complete.
        address: of one animation, with ``{code}`` in it.
        force: replace a folder that this made.

    Raises:
        UsageError: there is something else already, or the address names no code point.
        VidCascadeError: one cannot be fetched or read.
    """
    if "{code}" not in address:
        raise UsageError("The address must have {code} where the emoji's code point goes.")
    names = {emoji: f"{emoji.replace(' ', '-')}.mp4" for emoji in EMOJI}
    if force and into.is_dir():
        # Other people's clips would be gone for good.
        foreign = sorted({path.name for path in into.iterdir()} - {METADATA, *names.values()})
        if foreign:
            raise UsageError(f"{into} also holds {foreign[0]}: choose another folder.")
    with atomic_path(into, force) as temporary:
        temporary.mkdir()
        lines = []
        for emoji, code in EMOJI.items():
            data = download(address.replace("{code}", code))
            write_clip(temporary / names[emoji], on_white(data), RATE)
            line = {"file_name": names[emoji], "text": f"animated emoji: {emoji}"}
            lines.append(json.dumps(line))
        (temporary / METADATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return into


@in_one_sentence
def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, fetch, print the folder; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("into", type=Path, help="folder to make")
    parser.add_argument("--force", action="store_true", help="replace it if it is there")
    parser.add_argument("--address", default=ADDRESS, help="of an animation ({code}: code point)")
    args = parser.parse_args(arguments)
    print(fetch(args.into, args.address, args.force))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
