"""In an event loop, a search waits without blocking the loop, and is cancelled with its task."""

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from rag_assets.db.connections.sqlalchemy_internals import greenlet_spawn
from rag_assets.search.execution.concurrency import LoopConcurrency

_NAME = ContextVar("_NAME", default="nobody")
_CONCURRENCY = LoopConcurrency()


def _pause() -> None:
    _CONCURRENCY.sleep(0)


def test_concurrent_searches_do_not_mix() -> None:
    def search(number: int) -> list[int]:
        found = []
        for pauses in range(3):
            for _ in range(pauses):
                _pause()
            found.append(_CONCURRENCY.run_blocking(int, number))
        return found

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(greenlet_spawn(search, number) for number in range(100)))

    assert asyncio.run(main()) == [[number] * 3 for number in range(100)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_the_caller_gets_the_same_exception_object(error: BaseException) -> None:
    def search() -> None:
        _pause()
        raise error

    async def main() -> BaseException:
        with pytest.raises(type(error)) as caught:
            await greenlet_spawn(search)
        return caught.value

    assert asyncio.run(main()) is error


def test_an_error_of_blocking_work_is_raised_in_the_search() -> None:
    def search() -> str:
        with pytest.raises(ZeroDivisionError):
            _CONCURRENCY.run_blocking(lambda: 1 / 0)
        return _CONCURRENCY.run_blocking(lambda: "went on")

    assert asyncio.run(greenlet_spawn(search)) == "went on"


def test_a_cancelled_search_can_wait_during_cleanup() -> None:
    steps: list[str] = []

    def search() -> None:
        try:
            _CONCURRENCY.sleep(60)
        except asyncio.CancelledError:
            _CONCURRENCY.sleep(0.001)
            steps.append("cleaned up")
            raise

    async def main() -> None:
        task = asyncio.ensure_future(greenlet_spawn(search))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert steps == ["cleaned up"]


def test_a_search_whose_coroutine_is_dropped_runs_its_finally_blocks() -> None:
    steps: list[str] = []

    def search() -> None:
        try:
            _CONCURRENCY.sleep(60)
        finally:
            steps.append("ended")

    async def main() -> None:
        coroutine = greenlet_spawn(search)
        coroutine.send(None)
        coroutine.close()

    asyncio.run(main())
    assert steps == ["ended"]


def test_a_search_uses_the_context_variables_of_its_task() -> None:
    def search(name: str) -> tuple[str, str, str]:
        before = _NAME.get()
        _NAME.set(name)
        _pause()
        return before, _NAME.get(), _CONCURRENCY.run_blocking(_NAME.get)

    async def search_in_task(name: str) -> tuple[tuple[str, str, str], str]:
        _NAME.set(f"the task of {name}")
        return await greenlet_spawn(search, name), _NAME.get()

    async def main() -> list[Any]:
        return [
            *await asyncio.gather(*(search_in_task(name) for name in ("Ada", "Bob"))),
            await greenlet_spawn(_NAME.get),
        ]

    assert asyncio.run(main()) == [
        (("the task of Ada", "Ada", "Ada"), "Ada"),
        (("the task of Bob", "Bob", "Bob"), "Bob"),
        "nobody",
    ]


class _Result:
    pass


@pytest.mark.parametrize("fails", [False, True])
def test_no_frame_keeps_the_objects_of_a_search_alive(fails: bool) -> None:
    def search(result: _Result) -> _Result:
        _pause()
        if fails:
            raise ValueError(result)
        return result

    async def main() -> weakref.ref[_Result]:
        result = _Result()
        try:
            await greenlet_spawn(search, result)
        except ValueError:
            assert fails
        return weakref.ref(result)

    reference = asyncio.run(main())
    gc.collect()
    assert reference() is None


def test_background_work_continues_after_its_search_has_ended() -> None:
    ended = threading.Event()

    def background_work() -> None:
        _CONCURRENCY.sleep(0.01)
        ended.set()

    async def main() -> None:
        await greenlet_spawn(_CONCURRENCY.start_in_background, background_work)
        assert not ended.is_set()
        async with asyncio.timeout(10):
            while not ended.is_set():
                await asyncio.sleep(0.001)

    asyncio.run(main())
