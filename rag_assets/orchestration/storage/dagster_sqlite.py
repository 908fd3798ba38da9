"""Dagster's SQLite storages, which are not public, with what ours needs of them under public names.

tests/unit/test_private_members.py lists the members and names the one that an installed version lacks. Importing this
module needs nothing but the three classes, so that an installation works with any version of Dagster.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage as DagsterSqliteStorage
from sqlalchemy import Connection, Engine


def replace_storages(
    storage: DagsterSqliteStorage,
    make_runs: Callable[[str], SqliteRunStorage],
    make_events: Callable[[str], SqliteEventLogStorage],
) -> None:
    """Give a storage another history of runs, made of its address, and another event log, made of its folder."""
    storage._run_storage = make_runs(storage._run_storage._conn_string)
    storage._event_log_storage = make_events(storage._event_log_storage._base_dir)


class ExtensibleEventLog(SqliteEventLogStorage):
    """Dagster's event log: a file (`shard`) for each run, and one for what is asked across runs, `index_shard`.

    A subclass says how a file is connected to, made and written.
    """

    def __init__(self, base_dir: str) -> None:
        from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME

        self.index_shard: str = INDEX_SHARD_NAME
        super().__init__(base_dir)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    def connect_shard(self, shard: str) -> AbstractContextManager[Connection]:
        """A transaction in a file, which is made where it is missing."""
        return super()._connect(shard)

    def make_schema(self, engine: Engine, *, is_index: bool) -> None:
        super()._initdb(engine, is_index)

    def make_schema_once(self, shard: str, engine: Engine) -> None:
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)

    def store_latest_event(self, connection: Connection, event: dg.EventLogEntry, event_id: int) -> None:
        """Note an event as the latest of its kind of its asset."""
        super()._store_asset_event(connection, event, event_id)

    def has_asset_column(self, connection: Connection, column_name: str) -> bool:
        return bool(super()._has_asset_key_col_on_connection(connection, column_name))

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self.connect_shard(shard) as connection:
            yield connection

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        self.make_schema(engine, is_index=for_index_shard)

    def _store_asset_event(self, conn: Connection, event: dg.EventLogEntry, event_id: int) -> None:
        self.store_latest_event(conn, event, event_id)

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        return self.has_asset_column(conn, column_name)


class ExtensibleRunStorage(SqliteRunStorage):
    """Dagster's history of runs, of which a subclass says how the file is connected to."""

    @property
    def address(self) -> str:
        return str(self._conn_string)


def event_reader(
    log: SqliteEventLogStorage, run_id: str, cursor: str | None, callback: Callable[[dg.EventLogEntry, str], None]
) -> Callable[[], None]:
    """A function that calls back with the run's events since it was last called, and ends the watch with the run."""
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorageWatchdog

    read: Callable[[], None] = SqliteEventLogStorageWatchdog(log, run_id, callback, cursor)._process_log
    return read
