"""DDL at run time, which no migration can contain: the partitions of spaces, and the types of their vectors."""

import time
from collections.abc import Sequence

from psycopg import errors, sql
from sqlalchemy import Connection, text

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.errors import BusyError

# Whoever reads a table that a statement waits for waits behind that statement: no reader may notice.
_ATTEMPT_S = 0.2
_PAUSE_S = 0.5
_WAIT_S = 600.0

_LOCK_TIMEOUT = text("SELECT current_setting('lock_timeout')")
_SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :value, true)")
_HOLDERS = text(
    "SELECT DISTINCT format('%s (backend %s)', coalesce(nullif(a.application_name, ''), 'a session'), a.pid) "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.relation = to_regclass(:relation) AND l.granted AND pid <> pg_backend_pid() ORDER BY 1 LIMIT 3"
)


def execute_ddl(connection: Connection, statement: sql.Composable) -> None:
    """Run a composed statement in the connection's transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


def execute_exclusive_ddl(
    connection: Connection, statement: sql.Composable, relation: str, *, wait_s: float = _WAIT_S
) -> None:
    """Run a statement that excludes the readers of a relation, once there are none.

    It waits for a fraction of a second at a time: a reader that takes minutes, such as pg_dump, would make it wait, and
    all readers that come later would wait behind it. Raises BusyError, which names the readers, after `wait_s` seconds.
    """
    before = connection.scalar(_LOCK_TIMEOUT)
    end = time.monotonic() + wait_s
    while True:
        try:
            with connection.begin_nested():
                connection.execute(_SET_LOCK_TIMEOUT, {"value": f"{int(_ATTEMPT_S * 1000)}ms"})
                execute_ddl(connection, statement)
                connection.execute(_SET_LOCK_TIMEOUT, {"value": before})
            return
        except errors.LockNotAvailable as error:
            if time.monotonic() >= end:
                holders = ", ".join(connection.scalars(_HOLDERS, {"relation": relation})) or "others"
                raise BusyError(
                    f"{relation} has been in use by {holders} for more than {wait_s:g} s; "
                    "wait for them to end (or end them), then run again."
                ) from error
        time.sleep(_PAUSE_S)


def create_partition(connection: Connection, table: str, space_id: int, parts: Sequence[str] = ()) -> None:
    """Create what is missing of a space's partition; its rows are in `parts`, by the hashes of their keys, if given."""
    embeddings, partition = sql.Identifier(SCHEMA, "embeddings"), sql.Identifier(SCHEMA, table)
    statement = sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES IN ({}){}").format(
        partition,
        embeddings,
        sql.Literal(space_id),
        sql.SQL(" PARTITION BY HASH (content_hash)" if parts else ""),
    )
    execute_exclusive_ddl(connection, statement, f"{SCHEMA}.embeddings")
    for remainder, part in enumerate(parts):
        statement = sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})"
        ).format(sql.Identifier(SCHEMA, part), partition, sql.Literal(len(parts)), sql.Literal(remainder))
        execute_exclusive_ddl(connection, statement, f"{SCHEMA}.{table}")
    # A partition does not inherit triggers for statements.
    for watched in (table, *parts):
        execute_ddl(
            connection,
            sql.SQL("SELECT {}({}, 'record_vector_changes')").format(
                sql.Identifier(SCHEMA, "record_changes_of"), sql.Literal(f"{SCHEMA}.{watched}")
            ),
        )


def drop_table(connection: Connection, table: str) -> None:
    """Drop a table, or a partition with its place in `embeddings`, if it exists."""
    statement = sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table))
    execute_exclusive_ddl(connection, statement, f"{SCHEMA}.{table}")


def vector_type(space: EmbeddingSpace) -> sql.Composed:
    """`vector(384)` or `halfvec(384)`: the type in which vectors are compared, and that of the view's column."""
    # Binary quantization only proposes candidates, which are compared by their full vectors.
    type_ = "halfvec" if space.storage == "halfvec" else "vector"
    return sql.SQL("{}({})").format(sql.SQL(type_), sql.Literal(space.dimensions))
