"""Work on the database in one transaction, done again where its connection broke and that is safe.

A read can always be done again. A write can, as long as the break came before its COMMIT was sent: the server has then
rolled it back. Where the break came during COMMIT nobody knows, and the caller is told so. The operations given here
work on the connection alone, so that doing one again is the same as doing it once.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pooler import link_of
from rag_assets.db.connections.sqlalchemy_internals import greenlet_spawn
from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")
Operation = Callable[Concatenate[Connection, P], R]
Once = Callable[["Attempts", Engine, Callable[[Connection], R]], R]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# Serialization failure, deadlock: the transaction is rolled back, and done again it succeeds.
_CONFLICTS = ("40001", "40P01")
# Of what a server says when it refuses a connection, these pass; a wrong password or name does not.
_PASSING = ("starting up", "shutting down", "recovery", "too many", "connection slots", "server_login", "not yet")


def reading(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a read; raises ServiceError when the database stays away for longer than RAG_ASSETS_RETRY_S."""
    return _repeated(_read, engine, lambda connection: operation(connection, *args, **kwargs))


async def reading_async(engine: "AsyncEngine", operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The like for an event loop."""
    return await _repeated_async(_read, engine, lambda connection: operation(connection, *args, **kwargs))


def writing(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a write; raises ServiceError like `reading`, and where nobody knows whether it was committed."""
    return _repeated(_write, engine, lambda connection: operation(connection, *args, **kwargs))


async def writing_async(engine: "AsyncEngine", operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The like for an event loop."""
    return await _repeated_async(_write, engine, lambda connection: operation(connection, *args, **kwargs))


def rewriting(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a write that may as well be done twice, since it makes rows what they should be: also where the
    connection broke during COMMIT it is done again. Raises ServiceError like `reading`."""
    return _repeated(_read, engine, lambda connection: operation(connection, *args, **kwargs))


def _read(_attempts: "Attempts", engine: Engine, work: Callable[[Connection], R]) -> R:
    with engine.begin() as connection:
        return work(connection)


def _write(attempts: "Attempts", engine: Engine, work: Callable[[Connection], R]) -> R:
    attempts.committing = False
    with engine.connect() as connection:
        with connection.begin():
            result = work(connection)
            attempts.committing = True
        attempts.committing = False
    return result


def _repeated(once: "Once[R]", engine: Engine, work: Callable[[Connection], R]) -> R:
    attempts = Attempts(engine)
    while True:
        try:
            return once(attempts, engine, work)
        except DBAPIError as error:
            time.sleep(attempts.pause_s(error))


async def _repeated_async(once: "Once[R]", engine: "AsyncEngine", work: Callable[[Connection], R]) -> R:
    import asyncio

    attempts = Attempts(engine.sync_engine)
    while True:
        try:
            # One greenlet for the whole transaction: AsyncConnection makes one for each step, and that costs as much
            # as a small statement.
            return await greenlet_spawn(once, attempts, engine.sync_engine, work)
        except DBAPIError as error:
            await asyncio.sleep(attempts.pause_s(error))


class Attempts:
    """Says after each failure how long to pause before the next attempt, or raises what the caller is to see."""

    def __init__(self, engine: Engine, limit_s: float | None = None) -> None:
        self._engine = engine
        self._limit_s = limit_s
        self._started = time.monotonic()
        self._count = 0
        self.committing = False

    def pause_s(self, error: DBAPIError) -> float:
        lost = is_lost(error)
        reason = " ".join(str(error.orig).split())
        if not lost and getattr(error.orig, "sqlstate", None) not in _CONFLICTS:
            if reason.startswith("connection failed"):
                raise ServiceError(f"the database refuses the connection: {reason}; correct its address.") from error
            raise error
        if lost and self.committing:
            raise ServiceError(
                f"the connection broke while the work was being committed ({reason}); "
                "whether it was is not known: look before you do it again."
            ) from error
        passed_s = time.monotonic() - self._started
        # The first time it is mostly a connection that broke long ago, in the pool: the next one is new.
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._count - 1)) if self._count else 0.0
        self._count += 1
        if passed_s + pause_s > self._allowed_s():
            raise ServiceError(
                f"the database does not answer: {reason} ({self._count} attempts in {passed_s:.1f} s); "
                "ask again when it is back."
            ) from error
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - so that many clients do not come back all at once

    def _allowed_s(self) -> float:
        link = link_of(self._engine)
        retry_s = (link.options if link else EngineOptions()).retry_s
        return retry_s if self._limit_s is None else min(retry_s, self._limit_s)


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection broke, or could not be made for a reason that passes."""
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError) or getattr(error.orig, "sqlstate", None) is not None:
        return False
    said = str(error.orig)
    return "FATAL" not in said or any(words in said for words in _PASSING)
