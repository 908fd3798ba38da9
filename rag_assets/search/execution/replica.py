"""Whether a read replica may answer searches: known by a check in the background, never waited for by a search."""

import threading
import time
from dataclasses import dataclass

from sqlalchemy import Engine, text

from rag_assets.db.database import autocommit_connection, new_engine
from rag_assets.db.reports.health import HealthCheck
from rag_assets.db.schema.migrations import head_revision, read_revision
from rag_assets.errors import RagAssetsError
from rag_assets.settings.settings import Settings

CHECK_INTERVAL_S = 1.0
_PRIMARY = text("SELECT pg_current_wal_lsn()::text")
# Of a replica that has all that the primary had, 0; else the age of the last transaction that it has, by the clock of
# its server, which is more than it is late by. NULL of a server that is no standby.
_STALENESS = text(
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN NULL "
    "WHEN pg_last_wal_replay_lsn() >= CAST(CAST(:lsn AS text) AS pg_lsn) THEN 0 "
    "ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())) END"
)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a check found. Without `staleness_s`, the replica may not answer, for this reason."""

    staleness_s: float | None
    reason: str = ""


def replica_settings(settings: Settings) -> Settings:
    """The settings with the replica as the database: tried once, since the primary can answer instead."""
    changes = {"database_url": settings.replica_url, "direct_database_url": None, "retry_s": 0.0, "pool_min": 0}
    return settings.model_copy(update=changes | {"connect_timeout_s": min(2, settings.connect_timeout_s)})


def check_replica(primary: Engine, replica: Engine, max_staleness_s: float) -> ReplicaState:
    """How far the replica is behind the primary; raises nothing."""
    lsn = None
    try:
        with autocommit_connection(primary) as connection:
            lsn = connection.scalar(_PRIMARY)
    except Exception:  # noqa: S110 - without the primary, the replica's own clock says how late it is
        pass
    try:
        with autocommit_connection(replica) as connection:
            staleness_s = connection.scalar(_STALENESS, {"lsn": lsn})
            revision = read_revision(connection)
    except Exception as error:
        reason = error if isinstance(error, RagAssetsError) else getattr(error, "orig", None) or error
        return ReplicaState(None, f"it does not answer ({' '.join(str(reason).split())})")
    if staleness_s is None:
        return ReplicaState(None, "it is no standby, or has replayed nothing yet")
    if revision != head_revision():
        return ReplicaState(None, f"its schema is at revision {revision or 'none'}, not at {head_revision()}")
    if staleness_s > max_staleness_s:
        return ReplicaState(None, f"it is {staleness_s:.1f} s behind, more than {max_staleness_s:g} s")
    return ReplicaState(float(staleness_s))


def check_replica_health(settings: Settings, primary: Engine) -> list[HealthCheck]:
    """The check `replica`, where there is one: searches work without it, from the database."""
    if settings.replica_url is None:
        return []
    replica = new_engine(replica_settings(settings), "read")
    try:
        state = check_replica(primary, replica, settings.replica_staleness_s)
    finally:
        replica.dispose()
    if state.staleness_s is None:
        detail = f"the replica answers no searches: {state.reason}; the database answers them meanwhile"
        return [HealthCheck("replica", healthy=False, detail=detail)]
    return [HealthCheck("replica", healthy=True, detail=f"at most {state.staleness_s:.1f} s behind")]


class ReplicaMonitor:
    """Knows whether the replica may answer, on connections of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._max_s = settings.replica_staleness_s
        self._state = ReplicaState(None, "it was not looked at yet")
        self._checked_at = -1e9
        self._checking = threading.Lock()
        self._engines: tuple[Engine, Engine] | None = None
        self._closed = False

    def staleness_s(self) -> float | None:
        """An upper bound of what the replica is behind now; None: ask the primary. Starts a check where one is due."""
        age_s = time.monotonic() - self._checked_at
        if age_s >= min(CHECK_INTERVAL_S, self._max_s / 4) and self._checking.acquire(blocking=False):
            threading.Thread(target=self._check, name="replica", daemon=True).start()
        known = self._state.staleness_s
        return known + age_s if known is not None and known + age_s <= self._max_s else None

    def report_failure(self) -> None:
        """A search has failed on the replica: the next ones ask the primary until a check has succeeded."""
        self._state = ReplicaState(None, "a search failed on it")

    def check(self) -> ReplicaState:
        """Check now, in this thread."""
        with self._checking:
            return self._look()

    def close(self) -> None:
        self._closed = True
        for engine in self._engines or ():
            engine.dispose()

    def _check(self) -> None:
        try:
            self._look()
        finally:
            self._checking.release()

    def _look(self) -> ReplicaState:
        if self._engines is None:
            one = self._settings.model_copy(update={"pool_size": 1, "pool_min": 0, "retry_s": 0.0})
            self._engines = new_engine(one, "read"), new_engine(replica_settings(one), "read")
        at = time.monotonic()
        state = check_replica(*self._engines, self._max_s)
        self._state, self._checked_at = state, at
        if self._closed:
            self.close()
        return state
