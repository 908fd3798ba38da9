"""While a space lacks vectors, every answer reports how many."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event

from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.execution import coverage
from rag_assets.search.results import Degraded
from rag_assets.search.retriever import Retriever
from tests.support.installation.command_line import Cli
from tests.support.installation.command_line import cli as cli
from tests.support.json_shapes import STATUS, assert_shape
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

VECTOR = [1.0] * 384
HALF = "DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) % 2 = 0"
# Parts of the two statements of a check.
STATISTICS_CALL = "pg_stat_get_tuples_deleted"
TEXTS = "SELECT count(DISTINCT content_hash) FROM rag.document_chunks"


def eventually(condition: Callable[[], bool], *, within_s: float = 60) -> bool:
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def hold_checks(engine: Engine) -> tuple[threading.Event, threading.Event]:
    """Two events: the first is set when a check begins; the check waits for the second."""
    looking, may_end = threading.Event(), threading.Event()

    def hold(*given: Any) -> None:
        if STATISTICS_CALL in given[2]:
            looking.set()
            assert may_end.wait(timeout=60)

    event.listen(engine, "before_cursor_execute", hold)
    return looking, may_end


def test_running_and_new_retrievers_report_deleted_vectors(built: Engine) -> None:
    running = Retriever(built)
    assert running.search(VECTOR).degraded is None
    gone = change_database(built, HALF)
    [(texts,)] = rows(built, TEXTS)
    expected = Degraded(texts, gone)
    found = Retriever(built).search(VECTOR)
    assert found.degraded == expected
    assert len(found.hits) == 10
    assert eventually(lambda: running.search(VECTOR).degraded == expected)
    assert running.similar(found.hits[0].chunk_id).degraded == expected


def test_a_repaired_space_is_no_longer_degraded(built: Engine) -> None:
    change_database(built, "CREATE TABLE kept AS SELECT * FROM rag.embeddings")
    change_database(built, HALF)
    running = Retriever(built)
    assert running.search(VECTOR).degraded is not None
    change_database(built, "INSERT INTO rag.embeddings SELECT * FROM kept ON CONFLICT DO NOTHING")
    assert eventually(lambda: running.search(VECTOR).degraded is None)


def test_only_the_first_search_waits_for_a_check(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 0.0)
    searching = Retriever(built)
    searching.search(VECTOR)
    looking, may_end = hold_checks(built)
    gone = change_database(built, HALF)
    # This search starts a check, and the searches after it start no other.
    assert [searching.search(VECTOR).degraded for _ in range(3)] == [None] * 3
    assert looking.wait(timeout=60)
    may_end.set()
    assert eventually(lambda: searching.search(VECTOR).degraded is not None)
    found = searching.search(VECTOR).degraded
    assert found is not None
    assert found.missing == gone


def test_missing_vectors_are_reported_in_an_event_loop_too(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 0.0)

    async def ask() -> list[Degraded | None]:
        engine = make_async_engine(built.url, options=EngineOptions(pool_size=2))
        searching = AsyncRetriever(engine)
        before = (await searching.search(VECTOR)).degraded
        gone = await asyncio.to_thread(change_database, built, HALF)
        # A session that stays open may keep its statistics for ten seconds.
        built.dispose()
        end = time.monotonic() + 60
        while (after := (await searching.search(VECTOR)).degraded) is None and time.monotonic() < end:
            await asyncio.sleep(0.05)
        # While a check is running.
        await engine.dispose()
        assert after is not None
        assert after.missing == gone
        return [before]

    assert asyncio.run(ask()) == [None]


def test_disposing_the_engine_closes_the_connection_of_a_check(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 0.0)
    engine = make_engine(built.url, application_name="ended", options=EngineOptions(pool_size=2))
    searching = Retriever(engine)
    searching.search(VECTOR)
    looking, may_end = hold_checks(engine)
    searching.search(VECTOR)
    assert looking.wait(timeout=60)
    engine.dispose()
    may_end.set()
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ended' AND datname = current_database()"
    assert eventually(lambda: rows(built, left) == [(0,)])


def test_searches_do_not_count_vectors(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 1e6)
    searching = Retriever(built)
    searching.search(VECTOR)
    sent: list[str] = []
    event.listen(built, "before_cursor_execute", lambda *given: sent.append(given[2]))
    for _ in range(5):
        searching.search(VECTOR)
    assert len(sent) == 5


def test_an_expensive_count_is_not_repeated_while_statistics_are_unchanged(
    built: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHECK_INTERVAL_S", "CHEAP_COUNT_S"):
        monkeypatch.setattr(coverage, name, 0.0)
    searching = Retriever(built)
    # Autovacuum changes the statistics too.
    change_database(built, "ALTER TABLE rag.embeddings_1 SET (autovacuum_enabled = off)")
    change_database(built, "ALTER TABLE rag.document_chunks SET (autovacuum_enabled = off)")
    searching.search(VECTOR)
    sent: list[str] = []
    event.listen(built, "before_cursor_execute", lambda *given: sent.append(given[2]))

    def checks() -> int:
        return len([statement for statement in sent if STATISTICS_CALL in statement])

    assert eventually(lambda: bool(searching.search(VECTOR).hits) and checks() >= 3)
    assert not [statement for statement in sent if "count(DISTINCT" in statement]


def test_the_command_line_reports_missing_vectors(built: Engine, cli: Cli) -> None:
    assert cli("search", "whale", "--json").json["degraded"] is None
    assert cli("status", "--json").json["degraded"] == []
    gone = change_database(built, HALF)
    [(texts,)] = rows(built, TEXTS)
    assert cli("search", "whale", "--json").json["degraded"] == {"texts": texts, "missing": gone}
    said = cli("status", "--json").json
    assert_shape(said, STATUS)
    assert said["degraded"] == [{"space": 1, "texts": texts, "missing": gone}]
    line = f"space 1 is degraded: {gone} of {texts} texts have no vector; run rag-assets repair, unless"
    assert line in cli("search", "whale").out
    assert line in cli("status").out


def test_the_search_runs_the_check_itself_where_no_thread_can_be_started(
    built: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 0.0)
    monkeypatch.setattr("rag_assets.search.execution.concurrency._thread.start_new_thread", none)
    searching = Retriever(built)
    assert searching.search(VECTOR).degraded is None
    gone = change_database(built, HALF)
    assert eventually(lambda: searching.search(VECTOR).degraded is not None)
    found = searching.search(VECTOR).degraded
    assert found is not None
    assert found.missing == gone
