"""Background work gives way: its thread and those that it starts, but not what runs at the priority of the process."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from rag_assets.db.session import priority
from rag_assets.db.session.priority import give_way, run_at_own_priority

pytestmark = pytest.mark.skipif(not hasattr(os, "setpriority"), reason="the system has no priorities")
NICEST = 19


@pytest.fixture(autouse=True)
def _background(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"nice": 0, "pid": 0, "foreground": None}.items():
        monkeypatch.setattr(priority._Background, name, value)
    yield
    if priority._Background.foreground is not None:
        priority._Background.foreground.shutdown()


def in_a_thread(work: Callable[[], object]) -> object:
    """Linux lets no thread raise its priority again: that of the tests must not change."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def own_priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_the_threads_of_background_work_give_way() -> None:
    def work() -> object:
        give_way(NICEST)
        return own_priority(), in_a_thread(own_priority)

    assert in_a_thread(work) == (NICEST, NICEST)


def test_servers_and_measurements_keep_their_priority() -> None:
    before = own_priority()

    def work() -> object:
        give_way(NICEST)
        return run_at_own_priority(own_priority)

    assert in_a_thread(work) == before
    # Where nothing gave way, no thread is needed.
    assert run_at_own_priority(threading.get_ident) != threading.get_ident()


def test_nothing_changes_with_0() -> None:
    def work() -> object:
        give_way(0)
        return own_priority(), run_at_own_priority(threading.get_ident) == threading.get_ident()

    assert in_a_thread(work) == (own_priority(), True)


def test_an_error_of_the_work_is_raised() -> None:
    def work() -> object:
        give_way(NICEST)
        with pytest.raises(ZeroDivisionError):
            run_at_own_priority(lambda: 1 / 0)
        return True

    assert in_a_thread(work)
