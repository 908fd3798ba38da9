"""Prefetching: a thread produces one item ahead of the consumer, and stops with it."""

import threading
import time
from collections.abc import Iterator

import pytest

from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.prefetch import GRACE_S, on_stop, prefetch


class Producer:
    """Produces numbers; records how many, and the thread that closed it."""

    def __init__(self, number: int = 5, *, fails_at: int | None = None) -> None:
        self.produced = 0
        self.closed_by: str | None = None
        self._number, self._fails_at = number, fails_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self._number):
                if number == self._fails_at:
                    raise ValueError("no more of them")
                self.produced += 1
                yield number
        finally:
            self.closed_by = threading.current_thread().name


def test_all_items_arrive_in_order() -> None:
    producer = Producer(100)
    assert list(prefetch(iter(producer))) == list(range(100))
    assert producer.closed_by == "prefetch"


def test_an_empty_stream_is_empty() -> None:
    assert list(prefetch(iter(()))) == []


def test_the_producer_is_one_item_ahead() -> None:
    producer = Producer(50)
    stream = prefetch(iter(producer))
    for taken in range(3):
        assert next(stream) == taken
        time.sleep(0.1)
        # The consumer has one item, and one is ready.
        assert producer.produced == taken + 2
    stream.close()


def test_producer_and_consumer_work_concurrently() -> None:
    started_events = [threading.Event() for _ in range(3)]

    def numbers() -> Iterator[int]:
        for number, event in enumerate(started_events):
            event.set()
            yield number

    for number in prefetch(numbers()):
        # The next item is started while this one is in use.
        assert all(event.wait(10) for event in started_events[number + 1 : number + 2])


def test_an_error_of_the_producer_is_raised_after_the_preceding_items() -> None:
    stream = prefetch(iter(Producer(fails_at=3)))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more of them"):
        next(stream)


def test_an_error_of_the_consumer_stops_and_closes_the_producer() -> None:
    producer = Producer(1_000_000)

    def consume() -> None:
        for number in prefetch(iter(producer)):
            if number == 3:
                raise KeyError(number)

    with pytest.raises(KeyError):
        consume()
    assert producer.produced < 10
    assert producer.closed_by == "prefetch"
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_a_stream_that_is_never_iterated_starts_no_thread() -> None:
    producer = Producer()
    prefetch(iter(producer)).close()
    assert producer.produced == 0


def test_a_producer_without_consumer_stops_at_its_next_progress_report() -> None:
    reported = threading.Event()

    def endless() -> Iterator[int]:
        yield 0
        # An item that takes forever, but reports progress.
        while True:
            report_progress("long", 1, None, "pieces")
            reported.set()
            time.sleep(0.001)

    stream = prefetch(endless())
    assert next(stream) == 0
    assert reported.wait(10)
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < GRACE_S / 2
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}
    report_progress("another", 1, None, "pieces")


def test_on_stop_wakes_a_waiting_producer_when_the_stream_is_closed() -> None:
    waiting_started, woken = threading.Event(), threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        with on_stop(woken.set):
            waiting_started.set()
            assert woken.wait(GRACE_S * 2)
        yield 1

    stream = prefetch(waiting())
    assert next(stream) == 0
    assert waiting_started.wait(10)
    assert not woken.is_set()
    stream.close()
    assert woken.is_set()
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_close_gives_up_on_a_producer_that_does_not_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rag_assets.pipeline.stages.prefetch.GRACE_S", 0.1)
    caplog.set_level("INFO")
    busy, over, closed = (threading.Event() for _ in range(3))

    def stubborn() -> Iterator[int]:
        try:
            yield 0
            busy.set()
            assert over.wait(60)
            yield 1
        finally:
            closed.set()

    stream = prefetch(stubborn())
    assert next(stream) == 0
    assert busy.wait(10)
    stream.close()
    assert "did not stop within 0.1 s" in caplog.text
    over.set()
    assert closed.wait(10), "the producer is closed once it can stop"
