"""Advisory locks that keep two runs of one slice apart; they end with the connection, so a crash frees them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.engine import direct_engine
from rag_assets.errors import ServiceError

_LOCK_NOT_AVAILABLE = "55P03"
_ACQUIRE = text("SELECT pg_advisory_lock(hashtextextended('rag_assets.' || CAST(:name AS text), 0))")
_ACQUIRE_SHARED = text("SELECT pg_advisory_lock_shared(hashtextextended('rag_assets.' || CAST(:name AS text), 0))")
# What the session had before comes back with the release: the connection belongs to a pool.
_LIMIT_WAIT = text(
    "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS lock_timeout, "
    "current_setting('statement_timeout') AS statement_timeout) "
    "SELECT lock_timeout, statement_timeout, set_config('lock_timeout', :limit, false), "
    "set_config('statement_timeout', '0', false) FROM before"
)
_RELEASE = text(
    "SELECT pg_advisory_unlock_all(), set_config('lock_timeout', :lock_timeout, false), "
    "set_config('statement_timeout', :statement_timeout, false)"
)
_HOLDERS = text(
    "SELECT format('%s (backend %s, since %s)', a.application_name, a.pid, date_trunc('second', a.state_change)) "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid), "
    "LATERAL (SELECT hashtextextended('rag_assets.' || CAST(:name AS text), 0) AS key) k "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database "
    "WHERE datname = current_database()) AND l.objsubid = 1 "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = k.key"
)


@contextmanager
def exclusively(engine: Engine, name: str, *, wait_s: float, shared: bool = False) -> Iterator[None]:
    """Hold the lock `name`; with `shared`, beside other sharers but not beside an exclusive holder.

    Raises ServiceError that says who holds it, when it is not free within `wait_s` seconds.
    """
    # A connection of its own, in autocommit: no transaction stays open while a model or an index build runs.
    direct = direct_engine(engine, f"the lock {name!r}")
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            # PostgreSQL reads a lock_timeout of 0 as "wait for ever".
            before = connection.execute(_LIMIT_WAIT, {"limit": f"{max(1, int(wait_s * 1000))}ms"}).one()
            _acquire(connection, name, wait_s=wait_s, shared=shared)
            yield
            connection.execute(
                _RELEASE, {"lock_timeout": before.lock_timeout, "statement_timeout": before.statement_timeout}
            )
        except BaseException:
            # Whatever happened, the session ends here, and with it its lock and its limit.
            connection.invalidate()
            raise


def _acquire(connection: Connection, name: str, *, wait_s: float, shared: bool) -> None:
    try:
        connection.execute(_ACQUIRE_SHARED if shared else _ACQUIRE, {"name": name})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        holders = ", ".join(connection.scalars(_HOLDERS, {"name": name})) or "a run that has just ended"
        raise ServiceError(
            f"{name} is in the hands of {holders} for more than {wait_s:g} s; "
            "wait for that run to end (or end it), then run again."
        ) from None
