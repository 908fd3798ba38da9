"""The base classes of the repositories, and how one of their methods runs: one operation in one transaction."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

from psycopg.errors import CardinalityViolation, CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation
from sqlalchemy import Connection, Engine

from rag_assets.db.access.viewer import Viewer, current_viewer, declare_viewer
from rag_assets.db.connections.retry import run_read, run_read_async, run_write, run_write_async
from rag_assets.db.session.server_errors import explained_errors
from rag_assets.errors import RagAssetsError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")

# `write_once` is for operations that consume an iterator: they cannot be repeated when the connection breaks.
Access = Literal["read", "write", "write_once"]


class Repository:
    """Base of the async repositories. Each method is one transaction: it is applied completely or not at all.

    Methods that only read use `reader` where it is given. When a connection breaks, a method is repeated where that
    is safe (see `rag_assets.db.connections.retry`). Values that a table refuses raise UsageError.
    """

    # Whom its methods read for; None for the owner. Set by `read_for`.
    _viewer: Viewer | None = None

    def __init__(self, engine: "AsyncEngine", *, reader: "AsyncEngine | None" = None) -> None:
        self._engine = engine
        self._reader = reader or engine


class SyncRepository:
    """Base of the blocking repositories; otherwise like `Repository`, and with the same operations."""

    _viewer: Viewer | None = None

    def __init__(self, engine: Engine, *, reader: Engine | None = None) -> None:
        self._engine = engine
        self._reader = reader or engine


def read_for(repository: object, viewer: Viewer) -> None:
    """Let a repository read what the viewer may, and nothing else, and write nothing."""
    if not isinstance(repository, Repository | SyncRepository):
        raise UsageError(
            f"a client with a principal cannot make a {type(repository).__name__}; derive it from Repository."
        )
    repository._viewer = viewer


def _declared(operation: Callable[Concatenate[Connection, P], R], viewer: Viewer) -> Callable[..., R]:
    def read(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        declare_viewer(connection, viewer)
        return operation(connection, *args, **kwargs)

    return read


def _refuse_write(viewer: Viewer | None) -> None:
    if viewer is not None:
        raise UsageError("this client reads for a principal, and writes nothing; write with a client without one.")


def async_method(
    operation: Callable[Concatenate[Connection, P], R], access: Access = "write"
) -> Callable[Concatenate[Repository, P], Coroutine[Any, Any, R]]:
    """The operation as an async method, with its docstring and its signature without the connection."""

    async def method(self: Repository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with translate_errors():
            viewer = self._viewer or current_viewer()
            if access != "read":
                _refuse_write(viewer)
            match access:
                case "read" if viewer is not None:
                    reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
                    return await run_read_async(reader, _declared(operation, viewer), *args, **kwargs)
                case "read":
                    return await run_read_async(self._reader, operation, *args, **kwargs)
                case "write":
                    return await run_write_async(self._engine, operation, *args, **kwargs)
                case "write_once":
                    async with self._engine.begin() as connection:
                        return await connection.run_sync(operation, *args, **kwargs)

    update_wrapper(method, operation)
    return method


def sync_method(
    operation: Callable[Concatenate[Connection, P], R], access: Access = "write"
) -> Callable[Concatenate[SyncRepository, P], R]:
    """Same as `async_method`, for a blocking method."""

    def method(self: SyncRepository, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with translate_errors():
            viewer = self._viewer or current_viewer()
            if access != "read":
                _refuse_write(viewer)
            match access:
                case "read" if viewer is not None:
                    reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
                    return run_read(reader, _declared(operation, viewer), *args, **kwargs)
                case "read":
                    return run_read(self._reader, operation, *args, **kwargs)
                case "write":
                    return run_write(self._engine, operation, *args, **kwargs)
                case "write_once":
                    with self._engine.begin() as connection:
                        return operation(connection, *args, **kwargs)

    update_wrapper(method, operation)
    return method


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise UsageError where a value violates a constraint of its table, and explain other errors of the database."""
    try:
        with explained_errors():
            yield
    except RagAssetsError as error:
        message = _constraint_message(getattr(error.__cause__, "orig", None))
        if message is None:
            raise
        raise UsageError(message) from error.__cause__


def _constraint_message(error: BaseException | None) -> str | None:
    match error:
        case ForeignKeyViolation(diag=diag):
            return f"{diag.table_name} refers to a row that does not exist: {diag.message_detail}"
        case UniqueViolation(diag=diag):
            return f"{diag.table_name} has such a row already: {diag.message_detail}"
        case CheckViolation(diag=diag):
            return f"the values violate the constraint {diag.constraint_name} of {diag.table_name}; correct them."
        case NotNullViolation(diag=diag):
            return f"{diag.table_name}.{diag.column_name} is missing; give a value."
        case CardinalityViolation():
            return "two of the rows have the same key; give each row once."
        case _:
            return None
