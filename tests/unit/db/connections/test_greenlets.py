"""The bridge from coroutines into code that awaits by SQLAlchemy's `await_`."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from greenlet import getcurrent
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.util import await_

from rag_assets.db.connections import greenlets
from rag_assets.db.connections.greenlets import run_bridged

_NAME = ContextVar("_NAME", default="nobody")


async def _later(value: Any, pauses: int = 1) -> Any:
    for _ in range(pauses):
        await asyncio.sleep(0)
    return value


def _added(first: int, *, second: int) -> int:
    return await_(_later(first)) + await_(_later(second, 3))


def _failing(error: BaseException) -> None:
    await_(_later(1))
    raise error


def _walker() -> int:
    await_(_later(1))
    return id(getcurrent())


def test_what_work_gives_and_what_it_awaits() -> None:
    async def main() -> tuple[int, int]:
        return await run_bridged(_added, 1, second=2), await run_bridged(lambda: 5)

    assert asyncio.run(main()) == (3, 5)


def test_work_at_once_is_kept_apart() -> None:
    def counted(number: int) -> list[int]:
        return [await_(_later(number, pauses)) for pauses in range(1, 4)]

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(run_bridged(counted, number) for number in range(300)))

    assert asyncio.run(main()) == [[number] * 3 for number in range(300)]
    assert len(greenlets._IDLE.walkers) <= greenlets._MOST_IDLE


def test_what_work_raises_is_raised_and_the_next_work_is_done() -> None:
    async def main() -> int:
        for error in (ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()):
            with pytest.raises(type(error)) as caught:
                await run_bridged(_failing, error)
            assert caught.value is error
        return await run_bridged(_added, 1, second=2)

    assert asyncio.run(main()) == 3


def test_what_is_awaited_raises_where_it_is_awaited() -> None:
    def work() -> str:
        try:
            await_(asyncio.wait_for(asyncio.sleep(60), 0.001))
        except TimeoutError:
            return await_(_later("went on"))
        return "waited"

    assert asyncio.run(run_bridged(work)) == "went on"


def test_greenlets_serve_again() -> None:
    async def main() -> tuple[set[int], int]:
        first = {await run_bridged(_walker)}
        with pytest.raises(ValueError, match="no"):
            await run_bridged(_failing, ValueError("no"))
        return first, await run_bridged(_walker)

    first, again = asyncio.run(main())
    assert first == {again}


def test_a_cancelled_task_interrupts_its_work_which_can_still_await() -> None:
    said: list[str] = []

    def work() -> None:
        try:
            await_(asyncio.sleep(60))
        except asyncio.CancelledError:
            said.append(await_(_later("cleaned up")))
            raise

    async def main() -> int:
        task = asyncio.ensure_future(run_bridged(work))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await run_bridged(_added, 1, second=2)

    assert asyncio.run(main()) == 3
    assert said == ["cleaned up"]


def test_work_whose_coroutine_is_dropped_ends() -> None:
    said: list[str] = []

    def work() -> None:
        try:
            await_(_later(1))
        finally:
            said.append("ended")

    async def main() -> int:
        coroutine = run_bridged(work)
        coroutine.send(None)
        coroutine.close()
        return await run_bridged(_added, 1, second=2)

    assert asyncio.run(main()) == 3
    assert said == ["ended"]


def test_the_context_is_that_of_the_task() -> None:
    def work(name: str) -> tuple[str, str]:
        before = _NAME.get()
        _NAME.set(name)
        await_(_later(1))
        return before, _NAME.get()

    async def ask(name: str) -> tuple[tuple[str, str], str]:
        _NAME.set(f"the task of {name}")
        return await run_bridged(work, name), _NAME.get()

    async def main() -> list[Any]:
        return [
            *await asyncio.gather(*(ask(name) for name in ("Ada", "Bob"))),
            await run_bridged(_NAME.get),
        ]

    # As with SQLAlchemy's: what work sets, the task has.
    assert asyncio.run(main()) == [
        (("the task of Ada", "Ada"), "Ada"),
        (("the task of Bob", "Bob"), "Bob"),
        "nobody",
    ]


class _Thing:
    pass


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_what_was_done_is_kept(fails: bool) -> None:
    def work(given: _Thing) -> _Thing:
        await_(_later(1))
        if fails:
            raise ValueError(given)
        return given

    async def main() -> Callable[[], _Thing | None]:
        thing = _Thing()
        _THING.set(thing)
        try:
            await run_bridged(work, thing)
        except ValueError:
            assert fails
        return weakref.ref(thing)

    known = asyncio.run(main())
    gc.collect()
    assert known() is None


_THING: ContextVar[_Thing] = ContextVar("_THING")


def test_loops_of_several_threads() -> None:
    def one(number: int) -> tuple[int, int, list[int]]:
        async def main() -> list[int]:
            return [await run_bridged(_added, number, second=1) for _ in range(50)]

        found = asyncio.run(main())
        return threading.get_ident(), len(greenlets._IDLE.walkers), found

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(one, range(8)))
    assert [sums for _, _, sums in found] == [[number + 1] * 50 for number in range(8)]
    assert {idle for _, idle, _ in found} == {1}


def test_work_that_crosses_again() -> None:
    def outer() -> int:
        return await_(run_bridged(_added, 1, second=2)) + 1

    assert asyncio.run(run_bridged(outer)) == 4


def test_beside_the_bridge_nothing_is_awaited() -> None:
    asyncio.run(run_bridged(_added, 1, second=2))
    with pytest.raises(MissingGreenlet):
        _added(1, second=2)
