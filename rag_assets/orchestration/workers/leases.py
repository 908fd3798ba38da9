"""Leases: while a worker executes a run, its session holds an advisory lock, which ends with the worker.

A killed process loses it at once, a machine that vanished after VANISHED_S, when the server gives up its connection.
"""

import os
import signal
import threading
import time
from contextlib import suppress

import dagster as dg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.orchestration.storage.dagster_database import dagster_database_url
from rag_assets.settings.settings import Settings

# "ragw": the first half of the locks' names.
LEASE_CLASS = 0x72616777
POLL_INTERVAL_S = 2.0
VANISHED_S = 60

_HOLD = text("SELECT pg_try_advisory_lock_shared(:class, hashtext(:run))")
_IS_HELD = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = CAST(:class AS oid) AND objid::bigint = hashtext(:run)::bigint & 4294967295)"
)
_ANSWER = text("SELECT 1")
# Only where the connection is TCP; elsewhere the server ignores them.
_KEEPALIVES = text(
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '60000', false)"
)


def lease_engine(settings: Settings) -> Engine:
    options = EngineOptions(
        application_name=f"{settings.application_name} lease", pool_size=1, pooler=False, unlimited=True
    )
    return make_engine(dagster_database_url(settings), options=options)


def is_leased(engine: Engine, run_id: str) -> bool:
    """Whether a worker is executing the run."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.scalar(_IS_HELD, {"class": LEASE_CLASS, "run": run_id}))


class Lease:
    """Held from `start` to `end` by this process; interrupts the process when its run is to be cancelled."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        self._run_id = run_id
        self._engine = lease_engine(settings)
        self._ended = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._keep, name=f"lease of {run_id}", daemon=True)

    def start(self) -> None:
        self._hold()
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._engine.dispose()

    def _hold(self) -> None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_KEEPALIVES)
        connection.execute(_HOLD, {"class": LEASE_CLASS, "run": self._run_id})
        self._connection = connection

    def _keep(self) -> None:
        instance: dg.DagsterInstance | None = None
        while not self._ended.wait(POLL_INTERVAL_S):
            # A lost connection is opened again: the launcher waits a while before it gives a run up. Dagster's storage
            # raises errors of its own.
            with suppress(Exception):
                self._answer()
                instance = instance or dg.DagsterInstance.get()
                self._interrupt_if_canceling(instance)
        if instance is not None:
            instance.dispose()
        if self._connection is not None:
            with suppress(DBAPIError):
                self._connection.detach()
                self._connection.close()

    def _answer(self) -> None:
        assert self._connection is not None
        try:
            self._connection.execute(_ANSWER)
        except DBAPIError:
            self._connection.close()
            self._hold()

    def _interrupt_if_canceling(self, instance: dg.DagsterInstance) -> None:
        run = instance.get_run_by_id(self._run_id)
        if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
            # As Dagster's own launcher does: the run reports that it was cancelled, and ends.
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(POLL_INTERVAL_S)
