"""Dagster's history in SQLite as Dagster keeps it, with connections kept open and events committed together.

Dagster opens and closes a file for every event, by a new SQLAlchemy engine, and whoever closes the last connection of
a file has SQLite write its log back into it; and it commits an event several times, each of them a wait for the disk.
That is most of what a run with nothing to do takes. The files stay the same: without the lines of dagster.yaml that
name this storage, an installation goes on with Dagster's own.
"""

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster
from dagster import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, inspect

from rag_assets.orchestration.storage.event_watcher import RegularLooks
from rag_assets.orchestration.storage.pool_claims import PatientClaims

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


class _Events(PatientClaims, RegularLooks):
    def __init__(self, base_dir: str) -> None:
        self._engines = _Engines()
        self._there: set[tuple[str, str]] = set()
        self._together: dict[str, Connection] | None = None
        self._last: dict[tuple[str, str], tuple[EventLogEntry, int]] = {}
        super().__init__(base_dir)
        # Whoever stores events together holds it from the first to the last, and connects meanwhile.
        self._db_lock = threading.RLock()  # type: ignore[assignment]

    def store_event(self, event: EventLogEntry) -> None:
        with self._one_commit_a_file():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """All or none: Dagster stores them one by one where this fails, and none is to be there twice then."""
        with self._one_commit_a_file():
            super().store_event_batch(events)

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        """What an asset's last event was: of many partitions that are stored together, of the last one only."""
        of = event.get_dagster_event()
        if self._together is None or of.asset_key is None:
            super()._store_asset_event(conn, event, event_id)
            return
        kind = (of.asset_key.to_string(), of.event_type_value)
        self._last.pop(kind, None)
        self._last[kind] = (event, event_id)

    def get_maximum_record_id(self) -> int:
        """-1 before the first event: by None, a tick of automation would know no runs when it comes to the next one.

        Then what the first run of an installation makes would be followed by other runs that make it again.
        """
        latest = super().get_maximum_record_id()
        return -1 if latest is None else latest

    # Dagster asks these of each event or asset; a table, a column or an index that is there stays.

    def has_table(self, table_name: str) -> bool:
        if ("table", table_name) not in self._there:
            with self._engines.of(self.conn_string_for_shard(INDEX_SHARD_NAME)).connect() as connection:
                return self._remembered("table", table_name, inspect(connection).has_table(table_name))
        return True

    def has_secondary_index(self, name: str) -> bool:
        return ("index", name) in self._there or self._remembered("index", name, super().has_secondary_index(name))

    def has_asset_key_col(self, column_name: str) -> bool:
        return ("column", column_name) in self._there or super().has_asset_key_col(column_name)

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if ("column", column_name) in self._there:
            return True
        return self._remembered("column", column_name, super()._has_asset_key_col_on_connection(conn, column_name))

    def _remembered(self, kind: str, name: str, found: bool) -> bool:
        if found:
            self._there.add((kind, name))
        return found

    @contextmanager
    def _one_commit_a_file(self) -> Iterator[None]:
        """Whatever is written meanwhile, by this thread, in one transaction of each file."""
        with self._db_lock:
            if self._together is not None:
                yield
                return
            try:
                with ExitStack() as self._open:
                    self._together = {}
                    yield
                    for event, event_id in self._last.values():
                        super()._store_asset_event(self._together[INDEX_SHARD_NAME], event, event_id)
            finally:
                self._together = None
                self._last.clear()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._together is None:
                with self._begun(shard) as connection:
                    yield connection
                return
            if shard not in self._together:
                self._together[shard] = self._open.enter_context(self._begun(shard))
            yield self._together[shard]

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """A run's file is a copy of an empty one: to make one, Dagster reads all its migrations, three times."""
        path = Path(str(engine.url.database))
        # Also where another process has just made the file: then what is missing in it is made.
        with suppress(OSError):
            if not for_index_shard and not path.exists():
                self._copy_empty(path)
                return
        super()._initdb(engine, for_index_shard)

    def _copy_empty(self, path: Path) -> None:
        empty = path.with_name(f"empty-{dagster.__version__}.sqlite")
        with TemporaryDirectory(dir=path.parent) as folder:
            new = Path(folder, "new")
            if not empty.exists():
                engine = create_engine(f"sqlite:///{new}", poolclass=NullPool)
                super()._initdb(engine)
                new.replace(empty)
            shutil.copyfile(empty, new)
            with new.open("rb") as file:
                os.fsync(file)
            os.link(new, path)

    @contextmanager
    def _begun(self, shard: str) -> Iterator[Connection]:
        engine = self._engines.of(self.conn_string_for_shard(shard))
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        with engine.connect() as connection, connection.begin():
            yield connection

    def wipe(self) -> None:
        # It deletes files, which nobody may go on writing into.
        self._engines.close()
        self._there.clear()
        super().wipe()

    def dispose(self) -> None:
        self.end_watches()
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
