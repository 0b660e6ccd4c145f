"""An unfinished output: encoded segments in a folder beside it, so that a killed job can go on.

A segment holds a fixed number of output frames, begins with a key frame and is renamed into place
when it is complete. The frames are numbered inside it; their real times stand in a JSON file of
the same name, as exact fractions, since Matroska would round them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidcascade.errors import UsageError, VidCascadeError
from vidcascade.interpolation.outputs import Format, open_encoder
from vidcascade.interpolation.planes import Canvas
from vidcascade.video.atomic import disk_error

__all__ = ["Segment", "SegmentWriter", "Workshop", "frames_of", "packets_of"]

_OFFSET = 64  # frame numbers in a segment start here, so that decoding times stay above zero


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    Attributes:
        path: its file.
        counts: frames of each kind.
        delay: frames by which the encoder puts decoding before showing.
    """

    path: Path
    counts: dict[str, int]
    delay: int

    def __len__(self) -> int:
        return sum(self.counts.values())

    def times(self) -> list[Fraction]:
        """When each frame appears, seconds; read from disk, since there may be many."""
        told = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        return [Fraction(text) for text in told["times"]]


class Workshop:
    """The folder of segments beside an output."""

    def __init__(self, target: Path) -> None:
        """``target``: the output that is to be made."""
        self.target = target
        self.path = target.with_name(f".{target.name[:60]}.vidcascade")

    @property
    def exists(self) -> bool:
        """Whether a job for this output was left unfinished."""
        return self.path.is_dir()

    @property
    def has_segments(self) -> bool:
        """Whether any segment is complete."""
        return next(self._done(), None) is not None

    def open(self, about: dict[str, Any], resume: bool, overwrite: bool) -> list[Segment]:
        """Make the folder, or go on in it; the segments that are done.

        Args:
            about: what the job depends on; another job's segments are not mixed in.
            resume: go on where a job was left.
            overwrite: a left job may be thrown away.

        Raises :class:`UsageError` when there is an unfinished job and neither ``resume`` nor
        ``overwrite``, or when it is not the same job.
        """
        note = self.path / "job.json"
        if self.exists and not resume:
            if not overwrite:
                raise UsageError(
                    f"An unfinished job for {self.target} is in {self.path.name}; add --resume to "
                    "go on with it, or --force to start again."
                )
            self.remove()
        if self.exists:
            try:
                left = json.loads(note.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                left = None
            if left != about:
                raise UsageError(
                    f"The unfinished job for {self.target} had other settings or another input; "
                    "give the same ones, or start again with --force and without --resume."
                )
            return list(self._done())
        self.path.mkdir()
        note.write_text(json.dumps(about), encoding="utf-8")
        return []

    def _done(self) -> Iterator[Segment]:
        for number in range(10**6):
            path, note = self.file(number), self.file(number).with_suffix(".json")
            if not path.is_file() or not note.is_file():
                return
            try:
                told = json.loads(note.read_text(encoding="utf-8"))
                counts = {str(kind): int(count) for kind, count in told["counts"].items()}
                yield Segment(path, counts, int(told["delay"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                return

    def file(self, number: int) -> Path:
        """Where segment ``number`` is, or will be."""
        return self.path / f"{number:06d}.mkv"

    def remove(self) -> None:
        """Throw everything away."""
        shutil.rmtree(self.path, ignore_errors=True)


class SegmentWriter:
    """Encodes frames into one segment after the other."""

    def __init__(
        self,
        workshop: Workshop,
        form: Format,
        canvas: Canvas,
        tick: Fraction,
        rate: Fraction,
        aspect: Fraction,
        length: int,
        done: list[Segment],
    ) -> None:
        """Args:
        workshop: where to.
        form, canvas: how to encode, and the layout of the frames given.
        tick: unit of time of the encoder, seconds.
        rate: nominal frames per second of the output.
        aspect: shape of a pixel.
        length: output frames in a segment.
        done: finished segments to go on after.
        """
        self.workshop, self.form, self.canvas = workshop, form, canvas
        self.tick, self.rate, self.aspect, self.length = tick, rate, aspect, length
        self.finished = list(done)
        self._container: Any = None
        self._stream: Any = None
        self._times: list[Fraction] = []
        self._counts: dict[str, int] = {}
        self._delay = 0
        self._places: dict[int, int] = {}
        self._packets = 0

    def write(self, frame: Any, time: Fraction, kind: str) -> None:
        """Encode one frame; its ``pts`` is changed, its pixels are not."""
        with self._explained():
            if self._container is None:
                self._begin()
            stamp = round(time / self.tick)
            while stamp in self._places:
                stamp += 1
            self._places[stamp] = len(self._times)
            self._times.append(time)
            self._counts[kind] = self._counts.get(kind, 0) + 1
            frame.pts, frame.time_base = stamp, self.tick
            frame.pict_type = 0  # or the encoder would repeat the source's key frames
            self._mux(self._stream.encode(frame))
            if len(self._times) == self.length:
                self._end()

    def finish(self) -> list[Segment]:
        """Complete the last segment; all of them."""
        with self._explained():
            if self._container is not None:
                self._end()
        return self.finished

    def abandon(self) -> None:
        """Drop the segment that is not complete."""
        if self._container is not None:
            container, self._container = self._container, None
            with suppress(av.error.FFmpegError, OSError):
                container.close()
            self._part.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._part = self.workshop.file(len(self.finished)).with_suffix(".part")
        self._container = av.open(str(self._part), "w", format="matroska")
        self._stream = open_encoder(
            self._container, self.form, self.canvas, self.tick, self.rate, self.aspect
        )
        self._times, self._counts, self._places = [], {}, {}
        self._packets = self._delay = 0

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            place = self._places[packet.pts]
            self._delay = max(self._delay, self._packets - place)
            packet.pts = place + _OFFSET
            packet.dts = min(self._packets, packet.pts)
            packet.duration = 1
            packet.time_base = Fraction(1, 1000)
            self._packets += 1
            self._container.mux(packet)

    def _end(self) -> None:
        self._mux(self._stream.encode(None))
        container, self._container = self._container, None
        container.close()
        path = self.workshop.file(len(self.finished))
        note = path.with_suffix(".json")
        times = [str(t) for t in self._times]
        told = {"counts": self._counts, "delay": self._delay, "times": times}
        note.write_text(json.dumps(told), encoding="utf-8")
        self._part.replace(path)
        self.finished.append(Segment(path, self._counts, self._delay))

    def _explained(self) -> _Explained:
        return _Explained(self.workshop.target, self.form.codec)


class _Explained:
    """Turns failures of encoder and disk into one sentence."""

    def __init__(self, target: Path, codec: str) -> None:
        self.target, self.codec = target, codec

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | av.error.FFmpegError):
            full = disk_error(error, self.target)
            reason = getattr(error, "strerror", None) or error
            raise full or VidCascadeError(
                f"The {self.codec} encoder failed ({reason}); try another --codec."
            ) from error


def packets_of(segment: Segment) -> Iterator[tuple[int, Any]]:
    """Packets of a segment in decoding order, each with the number of its frame."""
    with av.open(str(segment.path)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pts is not None:
                yield round(packet.pts * packet.time_base * 1000) - _OFFSET, packet


def frames_of(segment: Segment) -> Iterator[Any]:
    """Decoded frames of a segment."""
    with av.open(str(segment.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)
