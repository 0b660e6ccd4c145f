"""Threads with short queues: everything in order, errors where they belong, nobody left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidcascade.interpolation.overlap import Sink, ahead

LONG = 10.0  # seconds; nothing here waits so long unless it is broken


class OddError(Exception):
    """Of the items or of what takes them."""


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("vidcascade-")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert ours() == []


def eventually(met: Callable[[], bool]) -> bool:
    """Whether a condition comes true in good time."""
    end = time.monotonic() + LONG
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers())), st.integers(1, 4))
def test_all_items_come_in_order(items: list[int | None], size: int) -> None:
    assert list(ahead(items, size)) == items
    assert list(ahead(iter(items), size)) == items


def test_work_goes_ahead_so_far_and_no_further() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            begun.append(number)
            yield number

    stream: Any = ahead(items(), 3)
    assert begun == []  # nothing is worked out before anybody asks
    assert next(stream) == 0
    # One is held by the thread while three wait for the consumer, who has one.
    assert eventually(lambda: len(begun) == 5)
    time.sleep(0.05)
    assert len(begun) == 5
    assert next(stream) == 1
    assert eventually(lambda: len(begun) == 6)
    stream.close()


def test_items_are_worked_out_in_another_thread() -> None:
    def items() -> Iterator[int]:
        yield threading.get_ident()

    assert list(ahead(items(), 1)) != [threading.get_ident()]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 6), st.integers(1, 3))
def test_an_error_comes_after_what_was_made_before_it(good: int, size: int) -> None:
    def items() -> Iterator[int]:
        yield from range(good)
        raise OddError("broken")

    stream = ahead(items(), size)
    assert [next(stream) for _ in range(good)] == list(range(good))
    with pytest.raises(OddError, match="broken"):
        next(stream)


def test_interrupts_in_the_thread_are_handed_on() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    stream: Any = ahead(items(), 2)
    assert next(stream) == 1
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_who_stops_early_stops_the_work_and_closes_its_source() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.append(number)

    source = items()  # held on to, so that nothing but the thread can have closed it
    stream: Any = ahead(source, 2)
    assert [next(stream), next(stream)] == [0, 1]
    stream.close()
    assert ours() == []
    assert len(closed) == 1
    assert closed[0] <= 5
    with pytest.raises(StopIteration):
        next(stream)


def test_a_source_that_is_used_up_is_closed_as_well() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    assert list(ahead(items(), 1)) == [1]
    assert closed == [True]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers())), st.integers(1, 4))
def test_everything_given_is_taken_in_order(items: list[int | None], size: int) -> None:
    taken: list[int | None] = []
    sink: Sink[int | None] = Sink(taken.append, size)
    for item in items:
        sink.put(item)
    sink.close()
    assert taken == items
    sink.close()  # again is no harm
    assert taken == items


def test_who_gives_waits_while_too_many_wait() -> None:
    gate, taken = threading.Event(), []

    def take(item: int) -> None:
        assert gate.wait(LONG)
        taken.append(item)

    sink: Sink[int] = Sink(take, 2)
    given_ = []

    def give() -> None:
        for number in range(6):
            sink.put(number)
            given_.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    # One is being taken and two wait: the fourth has to.
    assert eventually(lambda: len(given_) == 3)
    time.sleep(0.05)
    assert (given_, taken) == ([0, 1, 2], [])
    gate.set()
    giver.join(LONG)
    sink.close()
    assert taken == given_ == list(range(6))


def test_an_error_is_told_to_who_gives_next_and_the_rest_is_not_taken() -> None:
    taken = []

    def take(item: int) -> None:
        taken.append(item)
        if item == 1:
            raise OddError("full")

    sink: Sink[int] = Sink(take, 3)
    sink.put(0)
    sink.put(1)
    assert eventually(lambda: taken == [0, 1] and sink._error is not None)
    for number in (2, 3, 4, 5, 6):  # more than fit the queue: nobody waits for ever
        with pytest.raises(OddError, match="full"):
            sink.put(number)
    with pytest.raises(OddError, match="full"):
        sink.close()
    assert taken == [0, 1]
    with pytest.raises(OddError, match="full"):
        sink.close()


def test_closing_tells_of_an_error_of_the_last_item() -> None:
    def take(item: int) -> None:
        raise OddError(str(item))

    sink: Sink[int] = Sink(take, 1)
    sink.put(7)
    with pytest.raises(OddError, match="7"):
        sink.close()


def test_dropping_takes_nothing_more_and_raises_nothing() -> None:
    gate, begun, taken = threading.Event(), threading.Event(), []

    def take(item: int) -> None:
        begun.set()
        assert gate.wait(LONG)
        taken.append(item)

    sink: Sink[int] = Sink(take, 3)
    for number in range(4):
        sink.put(number)
    assert begun.wait(LONG)
    dropper = threading.Thread(target=sink.drop)
    dropper.start()
    assert eventually(lambda: sink._error is not None)
    gate.set()
    dropper.join(LONG)
    assert not dropper.is_alive()
    assert taken == [0]  # what was begun is ended


def test_dropping_after_an_error_is_quiet_too() -> None:
    def take(item: int) -> None:
        raise OddError

    sink: Sink[int] = Sink(take, 1)
    sink.put(1)
    sink.drop()
    sink.drop()


INTERRUPTED = """
import random, signal
from vidcascade.interpolation import overlap
from vidcascade.interpolation.overlap import Sink, ahead

overlap._WAKE = 0.01
signal.signal(signal.SIGALRM, signal.default_int_handler)
random.seed(0)
for _ in range(400):
    sink = Sink(lambda item: None, 4)
    stream = ahead(iter(range(10**9)), 3)
    next(stream)
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 2e-3))
        for item in stream:
            sink.put(item)
    except KeyboardInterrupt:
        pass
    sink.drop()
    stream.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_at_any_moment_leaves_both_sides_able_to_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False,
        timeout=12 * LONG,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
