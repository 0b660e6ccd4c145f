"""What an output file can hold: containers, codecs, pixel formats."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidcascade.errors import UsageError
from vidcascade.interpolation.planes import Canvas
from vidcascade.video.atomic import check_parent, check_replaceable
from vidcascade.video.writing import GIF_FPS
from vidcascade.video.x264 import repeatable

__all__ = ["CODECS", "SUFFIXES", "Format", "check_rate", "check_target", "choose", "target_kind"]

# Suffix → (FFmpeg muxer, codecs that it holds, the first one being the default).
_VIDEO = {
    ".mp4": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "hevc", "av1")),
    ".mov": ("mov", ("h264", "hevc", "prores")),
    ".mkv": ("matroska", ("h264", "hevc", "av1", "vp9", "ffv1", "prores")),
    ".webm": ("webm", ("vp9", "av1")),
}
_PICTURES = {".gif": "gif", ".webp": "webp", ".png": "png"}
SUFFIXES = (*_VIDEO, *_PICTURES)
# Codec → (FFmpeg encoder, its options, its option for quality with the default and the range).
CODECS: dict[str, tuple[str, dict[str, str], tuple[str, int, int, int] | None]] = {
    "h264": ("libx264", {}, ("crf", 16, 0, 51)),
    "hevc": ("libx265", {"x265-params": "log-level=error"}, ("crf", 18, 0, 51)),
    "av1": ("libsvtav1", {"preset": "8", "svtav1-params": "lp=2"}, ("crf", 24, 1, 63)),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "good", "cpu-used": "3", "row-mt": "1", "b": "0"},
        ("crf", 20, 0, 63),
    ),
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1", "g": "1"}, None),
    "prores": ("prores_ks", {"profile": "3"}, None),
}
# Instead of a codec's first choice, where it cannot hold the pixels as they are.
_INSTEAD = {"vp9": "av1"}
_LOSSLESS_RGB = ("gbrp", "rgb24", "bgr0")


@dataclass(frozen=True)
class Format:
    """How an output is encoded.

    Attributes:
        kind: "video", or "gif", "webp", "png" (a folder) for outputs of upright pictures.
        muxer: FFmpeg's name of the container, for videos.
        codec: a key of :data:`CODECS`.
        encoder, options: for FFmpeg.
        pixels: pixel format of the encoder.
        exact: original frames reach the encoder as they were decoded.
        note: what the user should know of the choice, or "".
    """

    kind: str
    muxer: str
    codec: str
    encoder: str
    options: dict[str, str]
    pixels: str
    exact: bool
    note: str = ""


def target_kind(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """The output's path and its suffix, ".png" for a folder of frames.

    Raises :class:`UsageError` for a name that cannot be written.
    """
    text = os.fspath(path)
    target = Path(text)
    if not text.strip() or target.name in ("", ".."):
        raise UsageError(f"{text!r} is not a name that can be written to; give a file name.")
    if text.endswith(("/", os.sep)) or not target.suffix:
        return target, ".png"
    suffix = target.suffix.lower()
    if suffix == ".png":
        if target.parent == Path():
            raise UsageError(f"PNG frames go into a folder; write {target.stem}/ instead.")
        return target.parent, ".png"
    if suffix not in SUFFIXES:
        known = ", ".join(s for s in SUFFIXES if s != ".png")
        raise UsageError(
            f"Cannot write {target.suffix} files; use {known}, or a folder name for PNG frames."
        )
    return target, suffix


def check_target(path: str | os.PathLike[str], source: Path, overwrite: bool) -> tuple[Path, str]:
    """:func:`target_kind` after the cheap checks, for before any work.

    Raises :class:`UsageError` when the output is the input, exists and not ``overwrite``, or its
    folder is missing or read-only.
    """
    target, suffix = target_kind(path)
    if os.path.lexists(target) and source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input itself; give the output another name.")
    check_parent(target)
    check_replaceable(target, overwrite)
    if target.exists() and target.is_dir() != (suffix == ".png"):
        what = "folder" if target.is_dir() else "file"
        raise UsageError(f"{target} is a {what} already; choose another name.")
    if target.is_dir():
        for item in target.iterdir():
            if item.is_dir() or item.suffix.lower() != ".png" or not item.stem.isdigit():
                raise UsageError(
                    f"{target} holds {item.name}, which is not a PNG frame; choose another folder."
                )
    return target, suffix


def check_rate(suffix: str, rate: Fraction) -> None:
    """Raise :class:`UsageError` for more frames per second than files of ``suffix`` can time."""
    if suffix == ".gif" and rate > GIF_FPS:
        raise UsageError(
            f"A .gif shows at most {GIF_FPS} frames per second, not {float(rate):g}; lower "
            "--factor or --fps, or write another type of file."
        )


def choose(
    suffix: str,
    canvas: Canvas,
    codec: str | None = None,
    crf: int | None = None,
    options: dict[str, str] | None = None,
) -> Format:
    """The encoding for frames of ``canvas`` into files of ``suffix``.

    Args:
        suffix: of :data:`SUFFIXES`.
        canvas: the source's frames.
        codec: a key of :data:`CODECS`; None takes the container's default.
        crf: quality, lower is better; None for the codec's default.
        options: further options of the encoder.

    Raises :class:`UsageError` for combinations that do not work.
    """
    if suffix in _PICTURES:
        return _pictures(suffix, canvas, codec, crf, options)
    muxer, held = _VIDEO[suffix]
    name = codec or held[0]
    if name not in CODECS:
        raise UsageError(f"Codec {name!r} is unknown; use one of {', '.join(CODECS)}.")
    if name not in held:
        fits = [s for s, (_, codecs) in _VIDEO.items() if name in codecs]
        raise UsageError(
            f"A {suffix} file cannot hold {name}; use {' or '.join(fits)}, or --codec {held[0]}."
        )
    pixels, exact = _pixels(name, canvas)
    if not exact and codec is None and _INSTEAD.get(name) in held:
        other, fits_exactly = _pixels(_INSTEAD[name], canvas)
        if fits_exactly:
            name, pixels, exact = _INSTEAD[name], other, True
    encoder, settings, quality = CODECS[name]
    settings = dict(settings)
    if name == "h264":  # or a resumed job would not end with the frames of an uninterrupted one
        settings |= repeatable()
    if quality is not None:
        option, default, low, high = quality
        if crf is not None and not low <= crf <= high:
            raise UsageError(f"--crf for {name} must be from {low} to {high}, not {crf}.")
        settings[option] = str(default if crf is None else crf)
    elif crf is not None:
        raise UsageError(f"--crf has no effect on {name}; leave it out.")
    note = ""
    if not exact:
        note = (
            f"{name} cannot store {canvas.name} of {canvas.width} × {canvas.height} pixels: the "
            f"frames are converted to {pixels}; --codec ffv1 in an .mkv keeps them exactly."
        )
    return Format("video", muxer, name, encoder, settings | (options or {}), pixels, exact, note)


def _pictures(
    suffix: str,
    canvas: Canvas,
    codec: str | None,
    crf: int | None,
    options: dict[str, str] | None,
) -> Format:
    if codec is not None or crf is not None or options:
        what = "a folder of PNG frames" if suffix == ".png" else f"{suffix} files"
        raise UsageError(f"--codec, --crf and --encoder have no effect on {what}; leave them out.")
    deep = suffix == ".png" and canvas.bits > 8
    pixels = ("rgba64le" if deep else "bgra") if canvas.has_alpha else "rgb48le" if deep else "bgr0"
    encoder, settings, _ = CODECS["ffv1"]
    return Format(_PICTURES[suffix], "", "ffv1", encoder, dict(settings), pixels, True)


def _pixels(codec: str, canvas: Canvas) -> tuple[str, bool]:
    """The encoder's pixel format nearest to the canvas, and whether nothing is lost by it."""
    encoder = av.Codec(CODECS[codec][0], "w")
    offered = [f.name for f in encoder.video_formats or []]
    odd = canvas.width % 2 or canvas.height % 2
    if codec in ("h264", "hevc") and odd:
        # These encoders refuse halved chroma at odd sizes.
        offered = [n for n in offered if "44" in n or n.startswith(("gray", "gbr"))]
    if codec != "ffv1":  # the others take RGB as well, but next to no player does
        offered = [n for n in offered if not n.startswith("gbr")]
    if canvas.name in offered:
        return canvas.name, True
    if canvas.name in ("rgb24", "bgr0", "rgba", "bgra", "gbrp", "gbrap"):
        alpha = canvas.has_alpha
        same = ("bgra", "gbrap", "rgba") if alpha else _LOSSLESS_RGB
        for name in same:
            if name in offered:
                return name, True
    return _nearest(canvas, offered), False


def _nearest(canvas: Canvas, offered: list[str]) -> str:
    usable = [n for n in offered if not n.startswith(("yuvj", "nv", "gray", "ya"))]

    def badness(name: str) -> tuple[int, int, int, int]:
        other = Canvas(name, 2, 2)
        wants = 8 if canvas.bits == 8 else 10
        chroma = (
            0
            if _chroma(name) == _chroma(canvas.name)
            else 1 + abs(_chroma(name) - _chroma(canvas.name))
        )
        return (
            int(canvas.has_alpha and not other.has_alpha),
            abs(other.bits - wants),
            chroma,
            int(other.has_alpha),
        )

    from vidcascade.interpolation.planes import is_supported

    return min((n for n in usable if is_supported(n)), key=badness)


def _chroma(name: str) -> int:
    """Samples of chroma in 2 × 2 pixels, roughly; RGB counts as 4:2:0, which players take."""
    for text, samples in (("444", 4), ("422", 2), ("440", 2)):
        if text in name:
            return samples
    return 1


def check_encoder(form: Format, canvas: Canvas) -> None:
    """Raise :class:`UsageError` unless the encoder takes its options: before the work, not after.

    ``canvas``: of the frames that it is to be given.
    """
    try:
        with av.open(io.BytesIO(), "w", format="matroska") as container:
            stream = open_encoder(
                container, form, canvas, Fraction(1, 24), Fraction(24), Fraction(1)
            )
            stream.codec_context.open()
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"The {form.codec} encoder refuses {canvas.width} × {canvas.height} frames with these "
            f"options ({reason}); change --encoder, --crf or --codec."
        ) from error


def open_encoder(container: Any, made: Format, canvas: Canvas, tick: Any, rate: Any, aspect: Any
                 ) -> Any:  # fmt: skip
    """A video stream of ``container`` that encodes frames of ``canvas`` with times in ``tick``."""
    stream: Any = container.add_stream(made.encoder, rate=rate, options=dict(made.options))
    stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, canvas.name
    stream.time_base = tick
    context = stream.codec_context
    context.time_base = tick
    context.thread_type = "AUTO"
    if aspect not in (0, 1):
        context.sample_aspect_ratio = aspect
    context.colorspace, context.color_range = canvas.colorspace, canvas.color_range
    context.color_primaries, context.color_trc = canvas.primaries, canvas.trc
    return stream
