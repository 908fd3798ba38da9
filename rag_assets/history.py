"""Dagster's history in SQLite as Dagster keeps it, with its connections kept open from one event to the next.

Dagster opens and closes a file for every event, by a new SQLAlchemy engine, and whoever closes the last connection of
a file has SQLite write its log back into it. That is most of what a run with nothing to do takes. The files stay the
same: without the lines of dagster.yaml that name this storage, an installation goes on with Dagster's own.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import Connection, Engine, QueuePool, create_engine, inspect

# Each run has a file of its own, and a web server looks into many.
MOST_OPEN = 8


class SqliteHistory(DagsterSqliteStorage):
    """What `storage: custom:` in dagster.yaml names; `base_dir` is DAGSTER_HOME."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = _Runs(self._run_storage._conn_string)
        self._event_log_storage = _Events(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "SqliteHistory":
        return cls.from_local(inst_data=inst_data, **config_value)

    def dispose(self) -> None:
        self._run_storage.dispose()
        self._event_log_storage.dispose()
        super().dispose()


class _Engines:
    """One engine a file, with one connection that stays open; the files used last, at most MOST_OPEN."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Engine] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, address: str) -> Engine:
        with self._lock:
            engine = self._open.get(address)
            if engine is None:
                waits = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
                engine = create_engine(address, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=waits)
                self._open[address] = engine
            self._open.move_to_end(address)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].dispose()
            return engine

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1].dispose()


class _Events(SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        self._engines = _Engines()
        self._tables: set[str] = set()
        super().__init__(base_dir)

    def has_table(self, table_name: str) -> bool:
        """Dagster asks it of each event; a table that is there stays."""
        if table_name not in self._tables:
            with self._engines.of(self.conn_string_for_shard(INDEX_SHARD_NAME)).connect() as connection:
                if not inspect(connection).has_table(table_name):
                    return False
            self._tables.add(table_name)
        return True

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.of(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def wipe(self) -> None:
        # It deletes files, which nobody may go on writing into.
        self._engines.close()
        self._tables.clear()
        super().wipe()

    def dispose(self) -> None:
        self._engines.close()
        super().dispose()


class _Runs(SqliteRunStorage):
    def __init__(self, address: str) -> None:
        self._engines = _Engines()
        super().__init__(address)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engines.of(self._conn_string).connect() as connection, connection.begin():
            yield connection

    def dispose(self) -> None:
        self._engines.close()
        super().dispose()
