"""Metadata in files that FFmpeg cannot tag: GIF, WebP and folders of PNG frames.

GIF and WebP are changed by copying the file once with one block added, in bounded memory.
The tags travel as one JSON object, so that every key and any Unicode text survives.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.sax.saxutils import escape, unescape

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

__all__ = [
    "FPS_KEY",
    "clean",
    "png_info",
    "read_gif",
    "read_png",
    "read_webp",
    "tag_gif",
    "tag_webp",
]

FPS_KEY = "vidcascade_fps"
_NOISE = {"major_brand", "minor_version", "compatible_brands", "encoder"}
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:vidcascade="https://vidcascade.invalid/ns/"><vidcascade:tags>{}</vidcascade:tags>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
_OPEN, _CLOSE = "<vidcascade:tags>", "</vidcascade:tags>"


def clean(metadata: dict[str, str]) -> dict[str, str]:
    """Lower-case keys (Matroska shouts them) without what muxers add of themselves."""
    return {k.lower(): v for k, v in metadata.items() if k.lower() not in _NOISE}


def _parse(text: str) -> dict[str, str]:
    """Our own JSON object, or a foreign comment under the key ``comment``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
        return {str(k): v for k, v in value.items()}
    return {"comment": text}


def tag_gif(path: Path, metadata: dict[str, str], copy: Path) -> None:
    """Write ``path`` to ``copy`` with the tags in a GIF comment extension."""
    text = json.dumps(metadata).encode("ascii")
    with path.open("rb") as source, copy.open("wb") as out:
        header = source.read(13)
        out.write(header)
        if header[10] & 0x80:  # a global colour table follows: 3 bytes for each of 2^(n+1)
            out.write(source.read(3 << ((header[10] & 7) + 1)))
        out.write(b"\x21\xfe")
        for start in range(0, len(text), 255):
            block = text[start : start + 255]
            out.write(bytes([len(block)]) + block)
        out.write(b"\x00")
        shutil.copyfileobj(source, out)


def tag_webp(path: Path, metadata: dict[str, str], size: tuple[int, int], copy: Path) -> None:
    """Write ``path`` to ``copy`` with the tags in an XMP chunk; ``size`` is (width, height)."""
    chunk = _XMP.format(escape(json.dumps(metadata))).encode("ascii")
    with path.open("rb") as source, copy.open("wb") as out:
        source.read(12)
        out.write(b"RIFF\0\0\0\0WEBP")
        first = source.read(18)
        if first[:4] == b"VP8X":
            out.write(first[:8] + bytes([first[8] | 0x04]) + first[9:])
        else:  # a single frame is written in the simple layout, which has no room for tags
            out.write(b"VP8X" + struct.pack("<I", 10) + bytes([0x04, 0, 0, 0]))
            out.write(struct.pack("<I", size[0] - 1)[:3] + struct.pack("<I", size[1] - 1)[:3])
            out.write(first)
        shutil.copyfileobj(source, out)
        out.write(b"XMP " + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) & 1))
        _patch_riff_size(out)


def _patch_riff_size(out: IO[bytes]) -> None:
    size = out.tell() - 8
    out.seek(4)
    out.write(struct.pack("<I", size))


def read_gif(path: Path) -> dict[str, str]:
    """Tags of a GIF, empty when there are none."""
    from PIL import Image

    with Image.open(path) as image:
        comment = image.info.get("comment")
    return _parse(comment.decode("utf-8", "replace")) if comment else {}


def read_webp(path: Path) -> dict[str, str]:
    """Tags of a WebP written by :func:`tag_webp`, empty when there are none."""
    from PIL import Image

    with Image.open(path) as image:
        text = image.info.get("xmp", b"").decode("utf-8", "replace")
    start, end = text.find(_OPEN), text.find(_CLOSE)
    return _parse(unescape(text[start + len(_OPEN) : end])) if 0 <= start < end else {}


def png_info(metadata: dict[str, str]) -> PngInfo:
    """The tags as PNG iTXt chunks, one for each key."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, value)
    return info


def read_png(path: Path) -> dict[str, str]:
    """Text chunks of one PNG file."""
    from PIL import Image

    with Image.open(path) as image:
        # From info, which stops at the pixels: a text of many MB after them is not read.
        return {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
