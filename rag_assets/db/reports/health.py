"""Whether an installation can serve: what a load balancer, a container or a person on duty asks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.pooler import link_of
from rag_assets.db.index.state import index_state
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema import migrations
from rag_assets.db.schema.extension import MINIMUM, pgvector_version
from rag_assets.errors import RagAssetsError

# Of the server's connections in use; beyond this, new processes will soon find none.
MOST_IN_USE = 0.9


@dataclass(frozen=True, slots=True)
class Health:
    """One thing that was looked at; `detail` says what was found, and what to do where it is not well."""

    name: str
    healthy: bool
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "healthy": self.healthy, "detail": self.detail}


def check_health(engine: Engine) -> list[Health]:
    """Connect, direct, extension, migrations, index, pool; those after a failed connect are not looked at."""
    checks: dict[str, Callable[[Connection], tuple[bool, str]]] = {
        "extension": _extension,
        "schema": _schema,
        "index": _index,
        "pool": _pool,
    }
    found = [_connect(engine), *_direct(engine)]
    return found + [_looked_at(engine, name, look) for name, look in checks.items() if found[0].healthy]


def _looked_at(engine: Engine, name: str, look: Callable[[Connection], tuple[bool, str]]) -> Health:
    try:
        with engine.connect() as connection:
            return Health(name, *look(connection))
    except (SQLAlchemyError, RagAssetsError) as error:
        return Health(name, healthy=False, detail=_reason(error))


def _connect(engine: Engine) -> Health:
    def look(connection: Connection) -> tuple[bool, str]:
        started = time.perf_counter()
        version = connection.scalar(text("SELECT current_setting('server_version')"))
        took_ms = (time.perf_counter() - started) * 1000
        link = link_of(engine)
        through = " through a pooler" if link is not None and link.pooled else ""
        return True, f"PostgreSQL {version}{through}, a round trip takes {took_ms:.1f} ms"

    return _looked_at(engine, "connect", look)


def _direct(engine: Engine) -> list[Health]:
    """The way past the pooler, where there is one."""
    from rag_assets.db.connections.engines import direct_engine

    link = link_of(engine)
    if link is None or not (link.pooled or link.options.direct_url):
        return []
    try:
        with direct_engine(engine, "ingest").connect() as connection:
            connection.execute(select(1))
    except (SQLAlchemyError, RagAssetsError) as error:
        return [Health("direct", healthy=False, detail=_reason(error))]
    return [Health("direct", healthy=True, detail="the server's own address answers")]


def _extension(connection: Connection) -> tuple[bool, str]:
    version = pgvector_version(connection)
    if version is None:
        return False, "pgvector is not created in this database: run rag-assets db upgrade"
    enough = tuple(int(part) for part in version.split(".") if part.isdigit()) >= MINIMUM
    return enough, f"pgvector {version}" + ("" if enough else ", and 0.8.4 is needed: ALTER EXTENSION vector UPDATE")


def _schema(connection: Connection) -> tuple[bool, str]:
    current, head = migrations.revision_in(connection), migrations.head_revision()
    said = f"revision {current or 'none'} of {head}"
    return current == head, said if current == head else f"{said}: run rag-assets db upgrade"


def _index(connection: Connection) -> tuple[bool, str]:
    """Every live space is searched through its index; and nothing invalid lies about in the schema."""
    if connection.scalar(select(func.to_regclass(f"{SCHEMA}.embedding_spaces"))) is None:
        return False, "there are no tables yet: run rag-assets ingest"
    invalid = connection.scalars(
        text(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE c.relnamespace = to_regnamespace(:schema) AND NOT (i.indisvalid AND i.indisready) "
            "AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) "
            "ORDER BY 1"
        ),
        {"schema": SCHEMA},
    ).all()
    if invalid:
        return False, f"invalid: {', '.join(invalid)}: run rag-assets ingest"
    with Session(bind=connection, expire_on_commit=False) as session:
        live = session.scalars(select(EmbeddingSpace).where(EmbeddingSpace.status == "live")).all()
    for space in live:
        state = index_state(connection, space)
        if not state.serves:
            return False, f"the index of live space {space.id} is {state.value}: run rag-assets ingest"
    if not live:
        return True, "no space is live yet: run rag-assets ingest to have something to search"
    return True, f"valid, of {len(live)} live space{'s' if len(live) > 1 else ''}"


def _pool(connection: Connection) -> tuple[bool, str]:
    """Room in the server for what this process may open, and nobody waiting in vain."""
    statistics = pool_statistics(connection.engine)
    used, allowed = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
            "current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
    ).one()
    said = (
        f"{statistics.in_use} of {statistics.maximum} in use, {statistics.waiting} waiting, "
        f"{statistics.timeouts} timed out; the server has {used} of {allowed} connections in use"
    )
    link = link_of(connection.engine)
    pooled = link is not None and link.pooled
    if statistics.maximum > allowed and not pooled:
        return False, f"{said}: lower RAG_ASSETS_POOL_SIZE and RAG_ASSETS_POOL_OVERFLOW, or raise max_connections"
    if used > MOST_IN_USE * allowed:
        return False, f"{said}: raise max_connections, or put a pooler in front"
    return statistics.timeouts == 0, said


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
