"""Turns of requests: how many run, wait, and belong to one caller."""

import asyncio

import pytest

from rag_assets.serve.http.admission import Admission, OverloadedError, TooManyRequestsError


def test_requests_run_in_the_order_in_which_they_came() -> None:
    async def order() -> list[int]:
        admission = Admission(running=1, queue=3, per_caller=9)
        await admission.enter("first")
        entered: list[int] = []

        async def enter(number: int) -> None:
            await admission.enter(f"caller {number}")
            entered.append(number)
            admission.leave(f"caller {number}")

        waiting = [asyncio.create_task(enter(number)) for number in range(3)]
        await asyncio.sleep(0)
        assert (admission.running, admission.waiting) == (1, 3)
        with pytest.raises(OverloadedError, match="3 requests wait already"):
            await admission.enter("late")
        admission.leave("first")
        await asyncio.gather(*waiting)
        assert (admission.running, admission.waiting) == (0, 0)
        return entered

    assert asyncio.run(order()) == [0, 1, 2]


def test_a_caller_has_a_limit_and_one_that_gives_up_leaves_no_trace() -> None:
    async def check() -> None:
        admission = Admission(running=1, queue=9, per_caller=2)
        await admission.enter("ada")
        waiting = asyncio.create_task(admission.enter("ada"))
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequestsError, match="2 requests at a time"):
            await admission.enter("ada")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        admission.leave("ada")
        await admission.enter("ada")
        assert (admission.running, admission.waiting) == (1, 0)

    asyncio.run(check())
