"""Operations in a transaction of their own, which are repeated when the connection breaks and that is safe.

A read can always be repeated. A write can if the connection broke before COMMIT was sent: the server has rolled it
back. If it broke during COMMIT, the outcome is unknown, and an error says so. An operation must have no effect but on
the connection that it is given.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.connections.sqlalchemy_internals import greenlet_spawn
from rag_assets.db.session.server_errors import explain_error
from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")
Operation = Callable[Concatenate[Connection, P], R]
Attempt = Callable[["Attempts", Engine, Callable[[Connection], R]], R]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# Serialization failure, deadlock: the transaction was rolled back, and succeeds when it is repeated.
_CONFLICTS = ("40001", "40P01")
# The session was ended, by an administrator or with its server; the server is starting.
_ENDED = ("57P01", "57P02", "57P03")
# Reasons of a refused connection that pass; a wrong password or database name does not.
_TEMPORARY_REFUSALS = (
    "starting up",
    "shutting down",
    "recovery",
    "too many",
    "connection slots",
    "server_login",
    "not yet",
)


def run_read(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a read, and raise ServiceError when the database does not answer for RAG_ASSETS_RETRY_S."""
    return _repeat(_read, engine, lambda connection: operation(connection, *args, **kwargs))


async def run_read_async(
    engine: "AsyncEngine", operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs
) -> R:
    return await _repeat_async(_read, engine, lambda connection: operation(connection, *args, **kwargs))


def run_write(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a write, and raise ServiceError as `run_read` does, and when it is unknown whether it was committed."""
    return _repeat(_write, engine, lambda connection: operation(connection, *args, **kwargs))


async def run_write_async(
    engine: "AsyncEngine", operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs
) -> R:
    return await _repeat_async(_write, engine, lambda connection: operation(connection, *args, **kwargs))


def run_idempotent_write(engine: Engine, operation: "Operation[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a write that may be done twice with the same effect, and repeat it also after a break during COMMIT.

    Raises ServiceError as `run_read` does.
    """
    return _repeat(_read, engine, lambda connection: operation(connection, *args, **kwargs))


def run_repeatable(engine: Engine, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run work that opens connections of its own, and repeat it when one of them breaks.

    For work that may be done twice with the same effect, such as bringing something to a state. Raises ServiceError as
    `run_read` does.
    """
    attempts = Attempts(retry_limit_s(engine))
    while True:
        try:
            return work(*args, **kwargs)
        except (DBAPIError, psycopg.Error) as error:
            time.sleep(attempts.pause_s(error))


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


def _repeat(attempt: "Attempt[R]", engine: Engine, work: Callable[[Connection], R]) -> R:
    attempts = Attempts(retry_limit_s(engine))
    while True:
        try:
            return attempt(attempts, engine, work)
        except DBAPIError as error:
            time.sleep(attempts.pause_s(error))


async def _repeat_async(attempt: "Attempt[R]", engine: "AsyncEngine", work: Callable[[Connection], R]) -> R:
    import asyncio

    attempts = Attempts(retry_limit_s(engine.sync_engine))
    while True:
        try:
            # One greenlet for the whole transaction: AsyncConnection makes one for each step, and that costs as much
            # as a small statement.
            return await greenlet_spawn(attempt, attempts, engine.sync_engine, work)
        except DBAPIError as error:
            await asyncio.sleep(attempts.pause_s(error))


class Attempts:
    """Decides after each failure how long to pause before the next attempt, or raises the error for the caller."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._started = time.monotonic()
        self._count = 0
        self.committing = False

    def pause_s(self, error: DBAPIError | psycopg.Error) -> float:
        lost = is_lost(error)
        cause = _cause(error)
        reason = " ".join(str(cause).split())
        sqlstate = getattr(cause, "sqlstate", None)
        if not lost and sqlstate not in _CONFLICTS:
            if reason.startswith("connection failed"):
                raise ServiceError(f"the database refuses the connection: {reason}; correct its address.") from error
            raise error
        if lost and self.committing:
            raise ServiceError(
                f"the connection broke during COMMIT ({reason}), and it is not known whether the work was committed; "
                "check before you repeat it."
            ) from error
        elapsed_s = time.monotonic() - self._started
        # The first failure is mostly that of a pooled connection that broke earlier: the next one is new.
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._count - 1)) if self._count else 0.0
        self._count += 1
        if elapsed_s + pause_s > self._limit_s:
            if sqlstate is not None or "FATAL" in reason:
                # It answers, but only reads, is shutting down, or has no connection left.
                raise explain_error(error) or error from error
            raise ServiceError(
                f"the database does not answer: {reason} ({self._count} attempts in {elapsed_s:.1f} s); "
                "repeat the request when it is back."
            ) from error
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - so that clients do not retry all at once


def retry_limit_s(engine: Engine, limit_s: float | None = None) -> float:
    """RAG_ASSETS_RETRY_S, as the engine was made with, or the limit where that is lower."""
    setup = get_connection_setup(engine)
    retry_s = (setup.options if setup else EngineOptions()).retry_s
    return retry_s if limit_s is None else min(retry_s, limit_s)


def is_lost(error: DBAPIError | psycopg.Error) -> bool:
    """Whether the connection broke, or was refused for a reason that passes."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        if not isinstance(error, OperationalError):
            return False
    elif not isinstance(error, psycopg.OperationalError):
        return False
    sqlstate = getattr(_cause(error), "sqlstate", None)
    if sqlstate is not None:
        return not isinstance(error, DBAPIError) and sqlstate in _ENDED
    message = str(_cause(error))
    return "FATAL" not in message or any(words in message for words in _TEMPORARY_REFUSALS)


def _cause(error: DBAPIError | psycopg.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


# Names of version 0.1.
reading, reading_async, writing, writing_async = run_read, run_read_async, run_write, run_write_async
