"""Searches that are too slow or cut off, or lack a database, a table or a permission; and what they leave behind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.execution import coverage
from rag_assets.search.execution.concurrency import Concurrency
from rag_assets.search.execution.read_session import ReadSession
from rag_assets.search.retriever import Retriever
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

QUESTION = "whale in the winter storm"
# Every kind of search: through the graph, exact, text, with post-processing, several at once.
WAYS: list[Callable[[Retriever], Any]] = [
    lambda r: r.search(QUESTION, mode="vector"),
    lambda r: r.search(QUESTION, mode="vector", k=1000),
    lambda r: r.search(QUESTION, mode="vector", project="zoo"),
    lambda r: r.search(QUESTION, mode="vector", exact=True, distance="l1"),
    lambda r: r.search(QUESTION, mode="text", timeout_s=60),
    lambda r: r.search(QUESTION, mode="hybrid", mmr=0.5, context=1, ef_search=333),
    lambda r: r.search_many([QUESTION, "coral reef"], mode="vector", timeout_s=60),
    lambda r: r.similar(document=("zoo", "page03.md")),
    lambda r: r.centroid(project="zoo"),
    lambda r: r.aggregate(to=QUESTION),
]
SETTINGS = (
    *("hnsw.ef_search", "hnsw.iterative_scan", "hnsw.max_scan_tuples", "jit", "statement_timeout"),
    *("transaction_isolation", "enable_seqscan", "search_path", "work_mem"),
)


def retriever_of(engine: Engine) -> Retriever:
    return Retriever(engine, encoder=lambda space: HashEncoder())


@pytest.fixture
def reader(built: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine as searches use it: it does not test connections before their use."""
    # Background checks would use connections too.
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 1e6)
    engine = make_engine(built.url, options=EngineOptions(pre_ping=False, retry_s=5, pool_size=3))
    yield engine
    engine.dispose()


@contextmanager
def locked(engine: Engine, table: str) -> Iterator[None]:
    """Locks the table against all other sessions."""
    with engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE rag.{table}"))
        yield


def statements_of(engine: Engine) -> int:
    """The number of statements that other connections to this database are running."""
    [(count,)] = rows(
        engine,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND state = 'active' AND backend_type = 'client backend'",
    )
    return int(count)


def shown(connection: Connection) -> dict[str, Any]:
    return {name: connection.scalar(text("SELECT current_setting(:name, true)"), {"name": name}) for name in SETTINGS}


def test_a_search_leaves_nothing_on_its_connection(reader: Engine, built: Engine) -> None:
    with reader.connect() as connection:
        # Load pgvector, which defines its settings.
        connection.execute(text("SELECT '[1]'::vector <=> '[1]'"))
        before = shown(connection)
    retriever = retriever_of(reader)
    for way in WAYS:
        assert way(retriever)
        connections = [reader.connect() for _ in range(3)]
        for connection in connections:
            assert [connection.connection.driver_connection.autocommit, connection.get_isolation_level()] == [
                False,
                "READ COMMITTED",
            ]
            after = shown(connection)
            assert {name: after[name] or before[name] for name in SETTINGS} == before
            # What the next user of the connection writes needs a commit.
            connection.execute(
                text(
                    "INSERT INTO rag.projects (id, name, source_uri, settings) "
                    "VALUES (gen_random_uuid(), 'next', 'x', '{}')"
                )
            )
            connection.close()
    assert rows(built, "SELECT count(*) FROM rag.projects WHERE name = 'next'") == [(0,)]
    assert pool_statistics(reader).in_use == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.search(QUESTION, mode="vector", timeout_s=0.2),
        lambda r: r.search(QUESTION, mode="text", timeout_s=0.2),
        lambda r: r.search(QUESTION, mode="hybrid", project="zoo", timeout_s=0.2),
        lambda r: r.search_many([QUESTION, QUESTION], exact=True, timeout_s=0.2),
        lambda r: r.centroid(timeout_s=0.2),
    ],
)
def test_a_search_that_exceeds_its_timeout_ends(reader: Engine, built: Engine, ask: Callable[[Retriever], Any]) -> None:
    retriever = retriever_of(reader)
    retriever.search(QUESTION, project="zoo")
    with locked(built, "document_chunks"):
        with pytest.raises(ServiceError, match=r"took longer than 0.2 s; give it more time, or ask for less"):
            ask(retriever)
        assert statements_of(built) == 0
        assert pool_statistics(reader).in_use == 0
    assert ask(retriever)


def test_the_statement_timeout_of_the_engine_applies_to_searches(built: Engine) -> None:
    engine = make_engine(built.url, options=EngineOptions(statement_timeout_s=0.2))
    retriever = retriever_of(engine)
    for way in WAYS[:3]:
        assert way(retriever)
        with locked(built, "document_chunks"), pytest.raises(ServiceError, match="longer than the database allows"):
            way(retriever)
    # The timeout of a search replaces it.
    with locked(built, "document_chunks"), pytest.raises(ServiceError, match=r"longer than 0.4 s"):
        retriever.search(QUESTION, timeout_s=0.4)
    engine.dispose()


def kill(engine: Engine, database: str) -> int:
    """Terminate every connection to the database except that of `engine`."""
    killed = rows(
        engine,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = :name AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        name=database,
    )
    return len(killed)


def test_searches_succeed_after_all_connections_broke(reader: Engine, built: Engine, admin: Engine) -> None:
    retriever = retriever_of(reader)
    expected = [way(retriever) for way in WAYS]
    database = built.url.database
    assert database
    for way, answer in zip(WAYS, expected, strict=True):
        opened = [reader.connect() for _ in range(3)]
        for connection in opened:
            connection.close()
        assert kill(admin, database) >= 3
        found = way(retriever)
        assert getattr(found, "hits", found) == getattr(answer, "hits", found)
    assert pool_statistics(reader).in_use == 0


def test_a_search_whose_connection_breaks_is_repeated(reader: Engine, built: Engine, admin: Engine) -> None:
    retriever = retriever_of(reader)
    expected = retriever.search(QUESTION, mode="vector").hits
    found: list[Any] = []
    searching = threading.Thread(target=lambda: found.append(retriever.search(QUESTION, mode="vector").hits))
    locker = built.connect()
    locker.execute(text("LOCK TABLE rag.documents"))
    pid = locker.scalar(text("SELECT pg_backend_pid()"))
    searching.start()
    waiting = (
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> :pid"
    )
    while not (blocked := rows(built, waiting, pid=pid)) and searching.is_alive():
        time.sleep(0.01)
    rows(admin, "SELECT pg_terminate_backend(:pid, 5000)", pid=blocked[0][0])
    locker.rollback()
    locker.close()
    searching.join(timeout=30)
    assert found == [expected]


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_database_that_stays_away_is_a_service_error(built: Engine, admin: Engine, autocommit: bool) -> None:
    engine = make_engine(built.url, options=EngineOptions(pre_ping=False, retry_s=0.3, autocommit=autocommit))
    retriever = retriever_of(engine)
    assert retriever.search(QUESTION).hits
    database = built.url.database
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
    try:
        kill(admin, str(database))
        for way in WAYS:
            with pytest.raises(ServiceError):
                way(retriever)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"))
    # The same retriever works again when the database is back.
    assert all(way(retriever) for way in WAYS)
    engine.dispose()


def test_a_refused_connection_is_a_service_error(built: Engine) -> None:
    nowhere = make_engine(URL.create("postgresql+psycopg", "u", host="127.0.0.1", port=1, database="d"),
                          options=EngineOptions(retry_s=0.2))  # fmt: skip
    for way in WAYS:
        with pytest.raises(ServiceError, match=r"the database does not answer: .*repeat the request when it is back"):
            way(retriever_of(nowhere))
    # A search's own timeout ends its retries earlier.
    patient = make_engine(nowhere.url, options=EngineOptions(retry_s=300))
    with pytest.raises(ServiceError, match="does not answer"):
        ReadSession(patient, Concurrency()).read(lambda connection: connection.scalar(text("SELECT 1")), timeout_s=0.2)


@pytest.mark.parametrize("schema", ["none", "bare", "empty"])
def test_searches_of_an_empty_database_name_the_command(engine: Engine, empty_database: URL, schema: str) -> None:
    used = engine if schema == "empty" else make_engine(empty_database)
    if schema == "bare":
        with used.begin() as connection:
            connection.execute(text("CREATE SCHEMA rag"))
    for way in (*WAYS, lambda r: r.explain_hit("00000000-0000-0000-0000-000000000000")):
        with pytest.raises(ServiceError, match="no space is live; run rag-assets ingest first"):
            way(retriever_of(used))
    used.dispose()


def test_the_error_names_a_lost_table(built: Engine) -> None:
    retriever = retriever_of(built)
    assert retriever.search(QUESTION).hits
    with built.begin() as connection:
        connection.execute(text("DROP TABLE rag.embeddings_1 CASCADE"))
    for way in WAYS[:4]:
        with pytest.raises(
            ServiceError, match=r'gone: relation "rag.embeddings_1" does not exist; run rag-assets ingest'
        ):
            way(retriever)


def test_searches_work_where_nothing_may_be_written(built: Engine) -> None:
    question = "asked where nobody may write"
    expected = retriever_of(built).search(question).hits
    change_database(built, "DELETE FROM rag.query_vectors")
    read_only = built.url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    engine = make_engine(read_only, options=EngineOptions(pre_ping=False))
    retriever = retriever_of(engine)
    started = time.monotonic()
    assert retriever.search(question).hits == expected
    assert [retriever.search(f"{question} {number}").hits[0].rank for number in range(3)] == [1, 1, 1]
    assert rows(built, "SELECT count(*) FROM rag.query_vectors") == [(0,)]
    # The refused write was not retried as a broken connection is.
    assert time.monotonic() - started < EngineOptions().retry_s
    assert pool_statistics(engine).opened <= 3
    engine.dispose()


def test_an_unknown_project_is_refused_before_the_model_is_loaded(built: Engine) -> None:
    def none(space: Any) -> Any:
        raise AssertionError("the model was asked")

    with pytest.raises(UsageError, match=r"no project 'nobody' \(known: sea, zoo\)"):
        Retriever(built, encoder=none).search(QUESTION, project=["zoo", "nobody"])


def test_unusual_queries_are_answered_or_refused(built: Engine) -> None:
    retriever = retriever_of(built)
    odd = [
        *(
            "a & b | !c <-> :* 'x' \\ whale",
            "'; DROP TABLE rag.documents; --",
            '"' * 10_001,
            "(" * 10_000,
            "whale " * 3_000,
        ),
        *("!!! ???", "the of and", "\u202ewhale", "e\u0301" * 5_000, "🦓" * 3_000, "%s %(k)s :k {k}", "whale\x01\x7f"),
        *("x" * 20_000, '"' + "x" * 5_000 + '"', "-".join(["ab"] * 6_000), ".".join(["ab"] * 6_000)),
        *(" ".join(f"word{number}" for number in range(2_000)), " ".join(f"-{number}a" for number in range(2_600))),
        '"' + " ".join(f"w{number}" for number in range(2_800)) + '"',
    ]
    for question in odd:
        assert len(retriever.search(question, mode="text", k=3).hits) <= 3
        if len(question) < 1_000:
            assert len(retriever.search(question, mode="hybrid", k=3).hits) == 3
    assert len(rows(built, "SELECT 1 FROM rag.documents")) > 0


def test_exceeding_a_limit_of_the_server_is_a_usage_error(built: Engine) -> None:
    deep = text("SELECT CAST(repeat('[', 50000) AS jsonb)")
    with pytest.raises(UsageError, match=r"too much for the database: stack depth limit exceeded; ask for less"):
        ReadSession(built, Concurrency()).read(lambda connection: connection.scalar(deep))
