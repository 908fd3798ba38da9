"""The members of SQLAlchemy that are not public, reached through this module alone.

tests/unit/test_private_members.py lists them and names the one that an installed version lacks. pyproject.toml bounds
SQLAlchemy to the versions for which it passed.
"""

import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import BindParameter, ColumnElement, Connection, Engine, Pool, QueuePool, and_, true
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_ as await_
from sqlalchemy.util import greenlet_spawn as greenlet_spawn
from sqlalchemy.util.queue import Empty as Empty
from sqlalchemy.util.queue import Full as Full
from sqlalchemy.util.queue import QueueCommon

PoolQueue = QueueCommon[ConnectionPoolEntry]
Q = TypeVar("Q", bound=PoolQueue)


class ExtensiblePool(QueuePool, Generic[Q]):
    """A QueuePool whose subclass names its `queue` and says how connections are lent, taken back and found broken."""

    queue: Q

    def __init_subclass__(cls, *, queue: type[Q], **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._queue_class = queue

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = cast(Q, self._pool)

    def lend(self) -> ConnectionPoolEntry:
        """The entry that serves a client, connected or not."""
        return super()._do_get()

    def take_back(self, entry: ConnectionPoolEntry) -> None:
        """Put an entry into the queue, or close it where that is full."""
        super()._do_return_conn(entry)

    def on_invalidate(self) -> None:
        """Called when a connection broke."""

    @property
    def maximum(self) -> int:
        """How many connections there may be at one time."""
        return self.size() + self._max_overflow

    def reserve_place(self) -> bool:
        """Count one more connection, unless there are `maximum`."""
        return self._inc_overflow()

    def free_place(self) -> None:
        self._dec_overflow()

    def open_entry(self) -> ConnectionPoolEntry:
        """A new connection, for which a place is reserved."""
        return self._create_connection()

    def invalidate_entry(self, entry: ConnectionPoolEntry, error: BaseException) -> None:
        """Close a broken connection and replace those that are as old before they are lent."""
        if self._invalidate_time < cast(Any, entry).starttime:
            self._invalidate_time = time.time()
        self.on_invalidate()
        entry.invalidate(error)

    def _do_get(self) -> ConnectionPoolEntry:
        return self.lend()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self.take_back(record)

    def _invalidate(
        self, connection: PoolProxiedConnection, exception: BaseException | None = None, _checkin: bool = True
    ) -> None:
        self.on_invalidate()
        super()._invalidate(connection, exception, _checkin)


def connect_entry(entry: ConnectionPoolEntry) -> None:
    """Connect an entry that is not connected, too old or marked as broken."""
    cast(Any, entry).get_connection()


def pings_before_use(pool: Pool) -> bool:
    """Whether the pool tests each connection before it lends it (`pool_pre_ping`)."""
    return pool._pre_ping


def may_have_listeners(connection: Connection) -> bool:
    """Whether events of this connection may have listeners; a connection without any does not even make their list."""
    return connection._has_events or connection.engine._has_events


def invalidate_pool(engine: Engine, connection: PoolProxiedConnection, error: BaseException) -> None:
    """Close a broken connection and replace those that are as old before they are lent, as SQLAlchemy does."""
    engine.pool._invalidate(connection, error)


def cache_key(clauses: Sequence[ColumnElement[bool]]) -> tuple[tuple[Any, ...], Sequence[BindParameter[Any]]]:
    """The key by which SQLAlchemy's own cache finds clauses that differ in their values alone, and these values."""
    key = and_(true(), *clauses)._generate_cache_key()
    assert key is not None
    return key.key, key.bindparams
