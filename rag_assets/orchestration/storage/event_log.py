"""Dagster's event log in SQLite, with connections that stay open and one commit for events that are stored together."""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect

from rag_assets.orchestration.storage.event_watcher import PollingEventLog
from rag_assets.orchestration.storage.open_files import OpenFiles
from rag_assets.orchestration.storage.pool_claims import PoolWaitingEventLog


class PooledEventLog(PoolWaitingEventLog, PollingEventLog):
    """Dagster's event log, in the same files."""

    def __init__(self, base_dir: str) -> None:
        self._files = OpenFiles()
        # Tables, columns and indexes that were found: Dagster asks for them with each event or asset, and they stay.
        self._found: set[tuple[str, str]] = set()
        self._transactions: dict[str, Connection] | None = None
        self._latest_events: dict[tuple[str, str], tuple[dg.EventLogEntry, int]] = {}
        # Reentrant: a thread that stores events together holds it throughout, and connects meanwhile.
        self._files_lock = threading.RLock()
        super().__init__(base_dir)

    def store_event(self, event: dg.EventLogEntry) -> None:
        with self._one_commit_per_file():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store all events or none: where this fails, Dagster stores them one by one, and none may be there twice."""
        with self._one_commit_per_file():
            super().store_event_batch(events)

    def store_latest_event(self, connection: Connection, event: dg.EventLogEntry, event_id: int) -> None:
        """Of the events of an asset's partitions that are stored together, note the last one only."""
        dagster_event = event.get_dagster_event()
        if self._transactions is None or dagster_event.asset_key is None:
            super().store_latest_event(connection, event, event_id)
            return
        kind = (dagster_event.asset_key.to_string(), dagster_event.event_type_value)
        self._latest_events.pop(kind, None)
        self._latest_events[kind] = (event, event_id)

    def has_table(self, table_name: str) -> bool:
        if ("table", table_name) not in self._found:
            with self._files.engine(self.conn_string_for_shard(self.index_shard)).connect() as connection:
                return self._remember("table", table_name, inspect(connection).has_table(table_name))
        return True

    def has_secondary_index(self, name: str) -> bool:
        return ("index", name) in self._found or self._remember("index", name, super().has_secondary_index(name))

    def has_asset_key_col(self, column_name: str) -> bool:
        return ("column", column_name) in self._found or super().has_asset_key_col(column_name)

    def has_asset_column(self, connection: Connection, column_name: str) -> bool:
        if ("column", column_name) in self._found:
            return True
        return self._remember("column", column_name, super().has_asset_column(connection, column_name))

    def _remember(self, kind: str, name: str, exists: bool) -> bool:
        if exists:
            self._found.add((kind, name))
        return exists

    @contextmanager
    def _one_commit_per_file(self) -> Iterator[None]:
        """Put what this thread writes to each file into one transaction."""
        with self._files_lock:
            if self._transactions is not None:
                yield
                return
            try:
                with ExitStack() as self._open_transactions:
                    self._transactions = {}
                    yield
                    for event, event_id in self._latest_events.values():
                        super().store_latest_event(self._transactions[self.index_shard], event, event_id)
            finally:
                self._transactions = None
                self._latest_events.clear()

    @contextmanager
    def connect_shard(self, shard: str) -> Iterator[Connection]:
        with self._files_lock:
            if self._transactions is None:
                with self._begin(shard) as connection:
                    yield connection
                return
            if shard not in self._transactions:
                self._transactions[shard] = self._open_transactions.enter_context(self._begin(shard))
            yield self._transactions[shard]

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        engine = self._files.engine(self.conn_string_for_shard(shard))
        self.make_schema_once(shard, engine)
        with engine.connect() as connection, connection.begin():
            yield connection

    def make_schema(self, engine: Engine, *, is_index: bool) -> None:
        """Copy an empty file for a new run: to make one, Dagster reads all its migrations three times."""
        path = Path(str(engine.url.database))
        # An OSError may mean that another process has just made the file: Dagster then adds what is missing in it.
        with suppress(OSError):
            if not is_index and not path.exists():
                self._copy_empty_file(path)
                return
        super().make_schema(engine, is_index=is_index)

    def _copy_empty_file(self, path: Path) -> None:
        empty = path.with_name(f"empty-{dg.__version__}.sqlite")
        with TemporaryDirectory(dir=path.parent) as folder:
            new = Path(folder, "new")
            if not empty.exists():
                engine = create_engine(f"sqlite:///{new}", poolclass=NullPool)
                super().make_schema(engine, is_index=False)
                new.replace(empty)
            shutil.copyfile(empty, new)
            with new.open("rb") as file:
                os.fsync(file)
            os.link(new, path)

    def wipe(self) -> None:
        # It deletes files, which no open connection may go on writing.
        self._files.close()
        self._found.clear()
        super().wipe()

    def dispose(self) -> None:
        self.end_watches()
        self._files.close()
        super().dispose()
