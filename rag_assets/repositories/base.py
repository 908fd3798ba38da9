"""How a repository runs an operation: one function on a connection, one transaction, clear errors, async or not."""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from rag_assets.db.connections.retry import reading, reading_async, writing, writing_async
from rag_assets.repositories.core.error_messages import translate_errors

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")

# `once` is for what cannot be done again when its connection breaks: it consumes what it is given.
Access = Literal["read", "write", "once"]


class Repository:
    """Each method is one transaction: it is done wholly or not at all.

    With a `reader`, what only reads goes through its connections. Where a connection breaks, an operation is done
    again as far as that is safe (`rag_assets.db.connections.retry`).
    """

    def __init__(self, engine: "AsyncEngine", *, reader: "AsyncEngine | None" = None) -> None:
        self._engine = engine
        self._reader = reader or engine


class SyncRepository:
    """The twin of `Repository` for code without an event loop; it runs the very same functions."""

    def __init__(self, engine: Engine, *, reader: Engine | None = None) -> None:
        self._engine = engine
        self._reader = reader or engine


def async_method(
    operation: Callable[Concatenate[Connection, P], R], kind: Access = "write"
) -> Callable[Concatenate[Repository, P], Coroutine[Any, Any, R]]:
    """The operation as an async method, with its docstring and its signature but for the connection."""

    async def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with translate_errors():
            match kind:
                case "read":
                    return await reading_async(self._reader, operation, *args, **kwargs)
                case "write":
                    return await writing_async(self._engine, operation, *args, **kwargs)
                case "once":
                    async with self._engine.begin() as connection:
                        return await connection.run_sync(operation, *args, **kwargs)

    update_wrapper(method, operation)
    return method


def sync_method(
    operation: Callable[Concatenate[Connection, P], R], kind: Access = "write"
) -> Callable[Concatenate[SyncRepository, P], R]:
    """The operation as a method that waits."""

    def method(self: SyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with translate_errors():
            match kind:
                case "read":
                    return reading(self._reader, operation, *args, **kwargs)
                case "write":
                    return writing(self._engine, operation, *args, **kwargs)
                case "once":
                    with self._engine.begin() as connection:
                        return operation(connection, *args, **kwargs)

    update_wrapper(method, operation)
    return method
