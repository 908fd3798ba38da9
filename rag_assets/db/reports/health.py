"""Health checks of an installation, for load balancers, containers and operators."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.index.state import index_state
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema import migrations
from rag_assets.db.schema.extension import MINIMUM_VERSION, pgvector_version
from rag_assets.db.session.preconditions import read_facts
from rag_assets.errors import RagAssetsError

_MAY_CREATE_EXTENSION = text(
    "SELECT bool_or(has_database_privilege(current_database(), 'CREATE') "
    "AND (trusted OR NOT superuser OR current_setting('is_superuser')::bool)), quote_ident(current_user) "
    "FROM pg_available_extension_versions WHERE name = 'vector'"
)
# Above this share of max_connections in use, new processes will soon get no connection.
MAX_CONNECTIONS_SHARE = 0.9
# With less, the next index build or the next large run may fill the disk.
MIN_FREE_BYTES = 500 * 1000**2
MIN_FREE_FILES = 1_000
# What the server may ask for at one time: two segments of its log, and the growth of tables.
FULL_BYTES = 64 * 1000**2


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of one check; `detail` is the finding and, if it is not healthy, the next step."""

    name: str
    healthy: bool
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "healthy": self.healthy, "detail": self.detail}


def check_health(engine: Engine) -> list[HealthCheck]:
    """Check connect, direct, database, extension, schema, index and pool; after a failed connect only the first two."""
    checks: dict[str, Callable[[Connection], tuple[bool, str]]] = {
        "database": _check_database,
        "extension": _check_extension,
        "schema": _check_schema,
        "index": _check_index,
        "pool": _check_pool,
    }
    results = [_check_connect(engine), *_check_direct(engine)]
    return results + [_run_check(engine, name, check) for name, check in checks.items() if results[0].healthy]


def describe_full_disk(folder: Path) -> str | None:
    """How little room the disk of this folder has, where that can be why something failed."""
    free = shutil.disk_usage(_existing(folder)).free
    return f"only {free / 1000**2:,.0f} MB are free for {folder}; make room there" if free < FULL_BYTES else None


def check_disk(folder: Path | None) -> HealthCheck:
    """The disk of the state folder has room: it holds the history, and the data of the embedded server; None: neither.

    The disk of another server cannot be seen from here; hosts make a database read-only when it is full.
    """
    if folder is None:
        return HealthCheck("disk", healthy=True, detail="nothing is kept on the disk of this machine")
    present = _existing(folder)
    free, counts = shutil.disk_usage(present).free, os.statvfs(present)
    detail = f"{free / 1000**3:,.1f} GB free for {folder}"
    if free < MIN_FREE_BYTES:
        return HealthCheck("disk", healthy=False, detail=f"{detail}: make room there")
    if counts.f_files and counts.f_favail < MIN_FREE_FILES:
        return HealthCheck(
            "disk", healthy=False, detail=f"{detail}, but only {counts.f_favail} files: delete some there"
        )
    return HealthCheck("disk", healthy=True, detail=detail)


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


def _run_check(engine: Engine, name: str, check: Callable[[Connection], tuple[bool, str]]) -> HealthCheck:
    try:
        with engine.connect() as connection:
            return HealthCheck(name, *check(connection))
    except (SQLAlchemyError, RagAssetsError) as error:
        return HealthCheck(name, healthy=False, detail=_error_text(error))


def _check_connect(engine: Engine) -> HealthCheck:
    def check(connection: Connection) -> tuple[bool, str]:
        started = time.perf_counter()
        version = connection.scalar(text("SELECT current_setting('server_version')"))
        took_ms = (time.perf_counter() - started) * 1000
        link = get_connection_setup(engine)
        through = " through a pooler" if link is not None and link.pooled else ""
        return True, f"PostgreSQL {version}{through}, a round trip takes {took_ms:.1f} ms"

    return _run_check(engine, "connect", check)


def _check_direct(engine: Engine) -> list[HealthCheck]:
    """Check the direct connection, if there is a pooler or a direct URL."""
    from rag_assets.db.connections.engines import direct_engine

    link = get_connection_setup(engine)
    if link is None or not (link.pooled or link.options.direct_url):
        return []
    try:
        with direct_engine(engine, "ingest").connect() as connection:
            connection.execute(select(1))
    except (SQLAlchemyError, RagAssetsError) as error:
        return [HealthCheck("direct", healthy=False, detail=_error_text(error))]
    return [HealthCheck("direct", healthy=True, detail="the server's own address answers")]


def _check_database(connection: Connection) -> tuple[bool, str]:
    """What the database, the role and the session allow; a standby need not allow writing."""
    facts = read_facts(connection)
    writing = () if facts.is_standby else facts.obstacles_to_upgrading()
    obstacles = list(dict.fromkeys([*facts.obstacles_to_reading(), *writing]))
    reads_only = ", a standby, which can only be searched" if facts.is_standby else ""
    return not obstacles, " ".join(obstacles) or f"{facts.encoding}, role {facts.role} may use it{reads_only}"


def _check_extension(connection: Connection) -> tuple[bool, str]:
    version = pgvector_version(connection)
    if version is None:
        return False, _missing_extension(connection)
    if tuple(int(part) for part in version.split(".") if part.isdigit()) >= MINIMUM_VERSION:
        return True, f"pgvector {version}"
    return False, f"pgvector {version}, and 0.8.4 is needed: ALTER EXTENSION vector UPDATE"


def _missing_extension(connection: Connection) -> str:
    allowed, role = connection.execute(_MAY_CREATE_EXTENSION).one()
    if allowed is None:
        return "the server has no pgvector: install 0.8.4 or newer there"
    if not allowed:
        return (
            "pgvector is not created in this database: run rag-assets db upgrade, or, where role "
            f"{role} may not create it, let an administrator run: CREATE EXTENSION vector;"
        )
    return "pgvector is not created in this database: run rag-assets db upgrade"


def _check_schema(connection: Connection) -> tuple[bool, str]:
    current, head = migrations.read_revision(connection), migrations.head_revision()
    detail = f"revision {current or 'none'} of {head}"
    return current == head, detail if current == head else f"{detail}: run rag-assets db upgrade"


def _check_index(connection: Connection) -> tuple[bool, str]:
    """The index of every live space can serve searches, and the schema has no invalid index."""
    if connection.scalar(select(func.to_regclass(f"{SCHEMA}.embedding_spaces"))) is None:
        return False, "there are no tables yet: run rag-assets ingest"
    invalid = connection.scalars(
        text(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE c.relnamespace = to_regnamespace(:schema) AND NOT (i.indisvalid AND i.indisready) "
            "AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid "
            "AND p.datname = current_database()) "
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
        return True, "no space is live yet: run rag-assets ingest"
    return True, f"valid, of {len(live)} live space{'s' if len(live) > 1 else ''}"


def _check_pool(connection: Connection) -> tuple[bool, str]:
    """The server has connections left for this process, and no request timed out while it waited for one."""
    statistics = pool_statistics(connection.engine)
    used, allowed = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
            "current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
    ).one()
    detail = (
        f"{statistics.in_use} of {statistics.maximum} in use, {statistics.waiting} waiting, "
        f"{statistics.timeouts} timed out; the server has {used} of {allowed} connections in use"
    )
    link = get_connection_setup(connection.engine)
    pooled = link is not None and link.pooled
    if statistics.maximum > allowed and not pooled:
        return False, f"{detail}: lower RAG_ASSETS_POOL_SIZE and RAG_ASSETS_POOL_OVERFLOW, or raise max_connections"
    if used > MAX_CONNECTIONS_SHARE * allowed:
        return False, f"{detail}: raise max_connections, or put a pooler in front"
    return statistics.timeouts == 0, detail


def _error_text(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
