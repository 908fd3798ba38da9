"""Dagster's storage on PostgreSQL (dagster-postgres), with what ours needs of it under public names.

Importing it needs the extra `postgres`. tests/unit/test_private_members.py lists the members that are not public.
"""

from typing import Any

import dagster as dg
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from sqlalchemy import Engine, create_engine

from rag_assets.orchestration.storage.pool_claims import PoolWaitingEventLog

# A connection for the thread of the run, one for its heartbeat; a web server has more for a moment.
MOST_MORE_CONNECTIONS = 20
# Below the time after which proxies and firewalls drop idle connections.
RECYCLE_S = 240


class WaitingPostgresEventLog(PoolWaitingEventLog, PostgresEventLogStorage):
    """Dagster's event log on PostgreSQL, where a step that waits for a pool does so as with SQLite."""

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


class PooledPostgresStorage(DagsterPostgresStorage):
    """Dagster's storage on PostgreSQL with one pool of connections; Dagster opens one for each statement."""

    def __init__(self, address: str, inst_data: Any = None) -> None:
        super().__init__(address, inst_data=inst_data)
        self._event_log_storage = WaitingPostgresEventLog(address)
        engine = pooled_engine(address)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine


def pooled_engine(address: str) -> Engine:
    return create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        max_overflow=MOST_MORE_CONNECTIONS,
        pool_pre_ping=True,
        pool_recycle=RECYCLE_S,
        hide_parameters=True,
    )
