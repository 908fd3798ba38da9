"""VACUUM of the tables that need it, by the dead rows that the server counts."""

from collections.abc import Sequence

from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.models import SCHEMA
from rag_assets.db.schema.ddl import execute_ddl

# The space of fewer dead rows does not matter.
MIN_DEAD_ROWS = 50

_TABLES_TO_VACUUM = text(
    "SELECT relname FROM pg_stat_user_tables WHERE schemaname = :schema AND n_dead_tup >= :least "
    "AND n_dead_tup >= :share * (n_live_tup + n_dead_tup) ORDER BY relname"
)


def tables_to_vacuum(engine: Engine, dead_share: float) -> list[str]:
    """Tables with at least this share of dead rows; the server's figures can be some seconds old."""
    with engine.connect() as connection:
        values = {"schema": SCHEMA, "least": MIN_DEAD_ROWS, "share": dead_share}
        return list(connection.scalars(_TABLES_TO_VACUUM, values))


def vacuum_tables(engine: Engine, tables: Sequence[str], *, wait_s: float) -> list[str]:
    """VACUUM and ANALYZE these tables one by one; returns the names of those that were vacuumed.

    A table that is locked for longer than `wait_s`, for example by a migration, is skipped until the next run.
    """
    done: list[str] = []
    with direct_engine(engine, "VACUUM").connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            connection.execute(
                text("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', :wait, false)"),
                {"wait": f"{max(1, int(wait_s * 1000))}ms"},
            )
            for table in tables:
                try:
                    execute_ddl(connection, sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(SCHEMA, table)))
                except LockNotAvailable:
                    continue
                done.append(table)
        finally:
            # Close the session instead of returning it to the pool: the settings above belong to it.
            connection.invalidate()
    return done
