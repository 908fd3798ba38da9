"""How a repository runs an operation: one function on a connection, one transaction, clear errors, async or not."""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from rag_assets.db.repositories.refusals import clear_errors

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")


class Repository:
    """Each method is one transaction: it is done wholly or not at all."""

    def __init__(self, engine: "AsyncEngine") -> None:
        self._engine = engine


class SyncRepository:
    """The twin of `Repository` for code without an event loop; it runs the very same functions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine


def asynchronous(
    operation: Callable[Concatenate[Connection, P], R],
) -> Callable[Concatenate[Repository, P], Coroutine[Any, Any, R]]:
    """The operation as an async method, with its docstring and its signature but for the connection."""

    async def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with clear_errors():
            async with self._engine.begin() as connection:
                return await connection.run_sync(operation, *args, **kwargs)

    update_wrapper(method, operation)
    return method


def synchronous(operation: Callable[Concatenate[Connection, P], R]) -> Callable[Concatenate[SyncRepository, P], R]:
    """The operation as a method that waits."""

    def method(self: SyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with clear_errors(), self._engine.begin() as connection:
            return operation(connection, *args, **kwargs)

    update_wrapper(method, operation)
    return method
