"""The maker of a stream works ahead, by so much, and ends with its user."""

import threading
import time
from collections.abc import Iterator

import pytest

from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.prefetch import GRACE_S, on_stop, prefetch


class Maker:
    """Numbers; remembers how many were made, and whether it was closed."""

    def __init__(self, number: int = 5, *, fails_at: int | None = None) -> None:
        self.made = 0
        self.closed_by: str | None = None
        self._number, self._fails_at = number, fails_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self._number):
                if number == self._fails_at:
                    raise ValueError("no more of them")
                self.made += 1
                yield number
        finally:
            self.closed_by = threading.current_thread().name


def test_items_come_in_order_and_end() -> None:
    maker = Maker(100)
    assert list(prefetch(iter(maker))) == list(range(100))
    assert maker.closed_by == "prefetch"


def test_an_empty_stream_is_empty() -> None:
    assert list(prefetch(iter(()))) == []


def test_the_maker_is_ahead_by_one() -> None:
    maker = Maker(50)
    stream = prefetch(iter(maker))
    for taken in range(3):
        assert next(stream) == taken
        time.sleep(0.1)
        # One with the user, and one in the maker's hand.
        assert maker.made == taken + 2
    stream.close()


def test_maker_and_user_work_at_the_same_time() -> None:
    begun = [threading.Event() for _ in range(3)]

    def numbers() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in prefetch(numbers()):
        # While this one is in use, the next one is begun.
        assert all(event.wait(10) for event in begun[number + 1 : number + 2])


def test_an_error_of_the_maker_comes_after_the_items_before_it() -> None:
    stream = prefetch(iter(Maker(fails_at=3)))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more of them"):
        next(stream)


def test_an_error_of_the_user_stops_and_closes_the_maker() -> None:
    maker = Maker(1_000_000)

    def use() -> None:
        for number in prefetch(iter(maker)):
            if number == 3:
                raise KeyError(number)

    with pytest.raises(KeyError):
        use()
    assert maker.made < 10
    assert maker.closed_by == "prefetch"
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_a_stream_that_is_never_begun_starts_no_thread() -> None:
    maker = Maker()
    prefetch(iter(maker)).close()
    assert maker.made == 0


def test_a_maker_whose_user_is_gone_ends_where_it_next_reports_progress() -> None:
    reported = threading.Event()

    def long() -> Iterator[int]:
        yield 0
        # One item that takes for ever, but says how far it is.
        while True:
            report_progress("long", 1, None, "pieces")
            reported.set()
            time.sleep(0.001)

    stream = prefetch(long())
    assert next(stream) == 0
    assert reported.wait(10)
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < GRACE_S / 2
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}
    report_progress("another", 1, None, "pieces")


def test_what_the_maker_waits_for_is_told_when_the_user_is_gone() -> None:
    waits, woken = threading.Event(), threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        with on_stop(woken.set):
            waits.set()
            assert woken.wait(GRACE_S * 2)
        yield 1

    stream = prefetch(waiting())
    assert next(stream) == 0
    assert waits.wait(10)
    assert not woken.is_set()
    stream.close()
    assert woken.is_set()
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_a_maker_that_cannot_be_stopped_is_left_behind(
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
    assert closed.wait(10), "it lets go as soon as it can"
