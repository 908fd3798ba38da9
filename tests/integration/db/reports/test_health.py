"""Health checks: every problem is reported with the next step."""

from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, make_url

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.database import dispose_engines
from rag_assets.db.reports.health import check_health
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

INDEX = "rag.ix_embeddings_1_hnsw"


def found(engine: Engine) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.healthy, check.detail) for check in check_health(engine)}


def test_a_built_installation_is_healthy(built: Engine) -> None:
    checks = found(built)
    assert list(checks) == ["connect", "database", "extension", "schema", "index", "pool"]
    assert all(healthy for healthy, _ in checks.values()), checks
    assert "valid, of 1 live space" in checks["index"][1]
    assert "1 of 5 in use, 0 waiting, 0 timed out" in checks["pool"][1]


def test_an_installation_before_its_first_ingest_is_healthy(engine: Engine) -> None:
    checks = found(engine)
    assert checks["index"] == (True, "no space is live yet: run rag-assets ingest")


@pytest.mark.parametrize(
    ("statement", "name", "said"),
    [
        (f"DROP INDEX {INDEX}", "index", "the index of live space 1 is absent: run rag-assets ingest"),
        (
            f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass",
            "index",
            "invalid: ix_embeddings_1_hnsw: run rag-assets ingest",
        ),
        (f"ALTER INDEX {INDEX} SET (ef_construction = 99)", "index", "the index of live space 1 is stale"),
        ("UPDATE rag.alembic_version SET version_num = '0001'", "schema", "revision 0001 of "),
        ("DROP TABLE rag.alembic_version", "schema", "revision none of "),
        ("UPDATE pg_extension SET extversion = '0.8.1' WHERE extname = 'vector'", "extension", "0.8.4 is needed"),
    ],
)
def test_a_problem_is_reported_and_the_other_checks_run(built: Engine, statement: str, name: str, said: str) -> None:
    change_database(built, statement)
    checks = found(built)
    assert said in checks[name][1]
    assert {other for other, (healthy, _) in checks.items() if not healthy} == {name}


def test_an_empty_database_is_unhealthy(empty_database: URL) -> None:
    engine = make_engine(empty_database)
    checks = found(engine)
    engine.dispose()
    assert {name for name, (healthy, _) in checks.items() if not healthy} == {"extension", "schema", "index"}


def test_an_unreachable_database_is_reported_and_nothing_else_is_checked() -> None:
    engine = make_engine(make_url("postgresql+psycopg://nobody@127.0.0.1:1/nowhere"))
    [check] = check_health(engine)
    assert (check.name, check.healthy) == ("connect", False)
    assert "refused" in check.detail
    assert "\n" not in check.detail


def test_a_pool_larger_than_the_server_allows_is_reported(database: URL) -> None:
    engine = make_engine(database)
    [(allowed,)] = rows(engine, "SELECT current_setting('max_connections')::int")
    engine.dispose()
    engine = make_engine(database, options=EngineOptions(pool_size=allowed - 10, pool_overflow=20))
    healthy, detail = found(engine)["pool"]
    engine.dispose()
    assert not healthy
    assert "lower RAG_ASSETS_POOL_SIZE" in detail


def test_timeouts_of_the_pool_are_reported(database: URL) -> None:
    engine = make_engine(database, options=EngineOptions(pool_size=1, pool_timeout_s=0.05))
    with engine.connect(), pytest.raises(Exception, match="were in use"):
        engine.connect()
    healthy, detail = found(engine)["pool"]
    engine.dispose()
    assert not healthy
    assert "1 timed out" in detail


def test_a_direct_address_that_does_not_answer_is_reported(database: URL) -> None:
    nowhere = make_url("postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    engine = make_engine(database, options=EngineOptions(direct_url=nowhere))
    checks = found(engine)
    engine.dispose()
    dispose_engines()
    assert {name for name, (healthy, _) in checks.items() if not healthy} == {"direct"}


def test_the_checks_need_one_connection(database: URL, tmp_path: Path) -> None:
    engine = make_engine(database, options=EngineOptions(pool_size=1, pool_timeout_s=1))
    assert all(healthy for healthy, _ in found(engine).values())
    engine.dispose()
