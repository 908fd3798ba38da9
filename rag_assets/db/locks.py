"""Advisory locks, so that two runs never work on the same slice; a lock ends with its connection, also in a crash."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from rag_assets.db.connections.engines import direct_engine
from rag_assets.errors import BusyError

_POLL_INTERVAL_S = 0.1
# The number of a shard, and that of all shards.
ShardNumbers = tuple[int, int]
_WHOLE: ShardNumbers = (1, 1)
# The class of the second lock that each session takes, shared, by which `pg_locks` tells ours from those of other
# applications. ASCII codes of "rags".
LOCK_CLASS = 0x72616773
# The key of the first lock that a session takes for the lock `name`.
KEY_OF_NAME = "hashtextextended('rag_assets.' || CAST(:name AS text), 0)"
# Before the key: whether a row of `pg_locks` is such a lock.
IS_HELD_WITH_KEY = (
    "locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid::bigint << 32 | objid::bigint) ="
)
# Version 0.2.0 takes the first lock alone, so that alone excludes others.
_LOCK = (
    f"SELECT CASE WHEN {{function}}({KEY_OF_NAME}) "
    f"THEN pg_try_advisory_lock_shared({LOCK_CLASS}, hashtext(CAST(:name AS text))) ELSE false END"
)
_TRY = text(_LOCK.format(function="pg_try_advisory_lock"))
_TRY_SHARED = text(_LOCK.format(function="pg_try_advisory_lock_shared"))
_RELEASE = text("SELECT pg_advisory_unlock_all()")
_HOLDERS = text(
    "SELECT format('%s (backend %s, since %s)', a.application_name, a.pid, date_trunc('second', a.state_change)) "  # noqa: S608
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid), "
    f"LATERAL (SELECT {KEY_OF_NAME} AS key) k WHERE {IS_HELD_WITH_KEY} k.key"
)
# Sessions of version 0.2.0 are known by their names.
_OTHERS = text(
    "SELECT EXISTS (SELECT FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND pid <> pg_backend_pid() "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.objsubid = 2 AND l.classid = CAST(:class AS oid) "
    "OR l.objsubid = 1 AND starts_with(a.application_name, 'rag_assets')))"
)


# A shard's lock: shared of the project, by its number of shards, and of the shard. Shards of other numbers overlap.
_TRY_NUMBER = text("SELECT pg_try_advisory_lock_shared(hashtext('rag_assets.' || CAST(:name AS text)), :number)")
_OTHER_NUMBERS = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = hashtext('rag_assets.' || CAST(:name AS text))::bigint & 4294967295 AND objid <> :number)"
)


@contextmanager
def hold_lock(
    engine: Engine,
    name: str,
    *,
    wait_s: float,
    shared: bool = False,
    shard: ShardNumbers = _WHOLE,
    token: str | None = None,
) -> Iterator[None]:
    """Hold the lock `name`; a `shared` one excludes exclusive holders alone.

    The lock of a shard excludes the whole, the same shard, and the shards of another number. `token` names a lock of
    this holder alone, which says that it lives.

    Raises BusyError, which names the holders, when the lock is not free within `wait_s` seconds.
    """
    # A connection of its own, in autocommit: no transaction stays open while a model or an index build runs.
    direct = direct_engine(engine, f"the lock {name!r}")
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            _acquire(connection, name, wait_s=wait_s, shared=shared, shard=shard)
            if token is not None:
                connection.execute(_TRY, {"name": token})
            yield
            connection.execute(_RELEASE)
        except BaseException:
            # Ending the session frees the lock, whatever state it is in.
            connection.invalidate()
            raise


def _acquire(connection: Connection, name: str, *, wait_s: float, shared: bool, shard: ShardNumbers) -> None:
    # Polled: a statement that waits in the server keeps a snapshot, and a concurrent index build waits for all
    # snapshots. The build and the waiting statement would wait for each other.
    end = time.monotonic() + wait_s
    while not _try(connection, name, shared=shared, shard=shard):
        if time.monotonic() >= end:
            holders = ", ".join(connection.scalars(_HOLDERS, {"name": name})) or "a run that has just ended"
            raise BusyError(
                f"{name} has been locked by {holders} for more than {wait_s:g} s; "
                "wait for that run to end (or end it), then run again."
            )
        time.sleep(min(_POLL_INTERVAL_S, max(0.0, end - time.monotonic())))


def _try(connection: Connection, name: str, *, shared: bool, shard: ShardNumbers) -> bool:
    part, shards = shard
    if shards == 1:
        return bool(connection.scalar(_TRY_SHARED if shared else _TRY, {"name": name}))
    number = {"name": name, "number": shards}
    if (
        connection.scalar(_TRY_SHARED, {"name": name})
        and connection.scalar(_TRY_NUMBER, number)
        and not connection.scalar(_OTHER_NUMBERS, number)
        and (shared or connection.scalar(_TRY, {"name": f"{name}, shard {part} of {shards}"}))
    ):
        return True
    connection.execute(_RELEASE)
    # Runs with two numbers of shards must not meet here again and again.
    time.sleep(random.uniform(0, _POLL_INTERVAL_S))  # noqa: S311
    return False


def others_hold_locks(connection: Connection) -> bool:
    """Whether another session holds a lock of this package in this database, as each stage does."""
    return bool(connection.scalar(_OTHERS, {"class": LOCK_CLASS}))
