"""An index built anew beside the one that is there, which goes on serving until then."""

from psycopg import sql
from sqlalchemy import Engine, text

from rag_assets.db import hnsw
from rag_assets.db.ddl import execute
from rag_assets.db.engine import direct_engine
from rag_assets.db.locks import exclusively
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.settings import Settings


def rebuild_index(engine: Engine, space: EmbeddingSpace, settings: Settings) -> None:
    name = hnsw.index_name(space.id)
    direct = direct_engine(engine, f"rebuilding the index {name}")
    with (
        exclusively(engine, f"index of space {space.id}", wait_s=settings.lock_wait_s),
        direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        try:
            connection.execute(text("SELECT set_config('statement_timeout', '0', false)"))
            memory = f"{settings.index_build_memory_mb}MB"
            connection.execute(text("SELECT set_config('maintenance_work_mem', :memory, false)"), {"memory": memory})
            execute(connection, sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(SCHEMA, name)))
        finally:
            connection.invalidate()
