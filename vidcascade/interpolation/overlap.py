"""Decoding, making and encoding at the same time: threads with short queues between them.

FFmpeg, OpenCV and torch let go of Python's lock while they work, so threads are enough. The
queues are short because a frame of 4K is 25 MB.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Sink", "ahead"]

Item = TypeVar("Item")
_WAKE = 0.2  # seconds after which a waiting thread looks whether it is still wanted


class _End:
    """Marks the end of a queue, with the error that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Line(Generic[Item]):
    """A queue with room for ``size`` items that Ctrl-C cannot break.

    :class:`queue.Queue` can be broken, being Python code that is interrupted anywhere: its lock
    stays taken, or a call to wake up is lost, and both sides wait for ever.
    """

    def __init__(self, size: int) -> None:
        self._items: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(size):
            self._room.put(None)

    def put(self, item: Item, wanted: Callable[[], bool]) -> None:
        """Wait for room and put the item there, unless it is not ``wanted`` any more."""
        while wanted():
            try:
                self._room.get(timeout=_WAKE)
            except queue.Empty:
                continue
            self._items.put(item)
            return

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; needs no room."""
        self._items.put(_End(error))

    def get(self) -> Item | _End:
        """The next item, or the end; waits for it."""
        while True:
            # With a time limit, so that Ctrl-C is noticed on every system.
            try:
                item = self._items.get(timeout=_WAKE)
            except queue.Empty:
                continue
            self._room.put(None)
            return item


def ahead(items: Iterable[Item], size: int) -> Iterator[Item]:
    """The items, worked out by another thread up to ``size`` ahead. Its errors are raised here.

    When the consumer stops early (closes the generator), the thread ends as well.
    """
    waiting: _Line[Item] = _Line(size)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in items:
                waiting.put(item, lambda: not stopped.is_set())
                if stopped.is_set():
                    return
            waiting.end()
        except BaseException as error:
            waiting.end(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="vidcascade-decode", daemon=True)
    thread.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


class Sink(Generic[Item]):
    """Hands items to a function that runs in another thread, at most ``size`` waiting."""

    def __init__(self, take: Callable[[Item], Any], size: int) -> None:
        """``take``: called for one item after the other."""
        self._take = take
        self._waiting: _Line[Item] = _Line(size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="vidcascade-encode", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Give an item; waits while too many wait. Raises what the function raised before."""
        self._waiting.put(item, self._thread.is_alive)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until everything given was taken. Raises what the function raised."""
        self._waiting.end()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def drop(self) -> None:
        """Stop without taking what waits; raises nothing."""
        if self._error is None:
            self._error = _DroppedError()
        self._waiting.end()
        self._thread.join()

    def _work(self) -> None:
        # After an error the queue is still emptied, so that nobody waits for ever.
        while True:
            item = self._waiting.get()
            if isinstance(item, _End):
                return
            if self._error is None:
                try:
                    self._take(item)
                except BaseException as error:
                    self._error = error


class _DroppedError(Exception):
    """Nobody wants the rest."""
