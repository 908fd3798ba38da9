"""VACUUM of the tables that have come to need it, by what the server counts of dead rows."""

from collections.abc import Sequence

from psycopg import sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.models import SCHEMA
from rag_assets.db.schema.ddl import execute

# What fewer dead rows take is nobody's concern.
LEAST_DEAD_ROWS = 50

_NEEDY = text(
    "SELECT relname FROM pg_stat_user_tables WHERE schemaname = :schema AND n_dead_tup >= :least "
    "AND n_dead_tup >= :share * (n_live_tup + n_dead_tup) ORDER BY relname"
)


def needy_tables(engine: Engine, dead_share: float) -> list[str]:
    """Tables of which at least this share of the rows is dead; the server's figures may be seconds old."""
    with engine.connect() as connection:
        values = {"schema": SCHEMA, "least": LEAST_DEAD_ROWS, "share": dead_share}
        return list(connection.scalars(_NEEDY, values))


def vacuum(engine: Engine, tables: Sequence[str], *, wait_s: float) -> list[str]:
    """VACUUM and ANALYZE these tables one by one; returns those that were done.

    One that somebody holds for longer than `wait_s`, as a migration may, is left to the next time.
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
                    execute(connection, sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(SCHEMA, table)))
                except LockNotAvailable:
                    continue
                done.append(table)
        finally:
            # What was set ends with its session, and does not go back to the pool.
            connection.invalidate()
    return done
