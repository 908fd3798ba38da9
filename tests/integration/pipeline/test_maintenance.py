"""Maintenance: what it removes, rebuilds, vacuums and prewarms, and what it does not change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.index import state
from rag_assets.db.schema.vacuum import MIN_DEAD_ROWS, tables_to_vacuum, vacuum_tables
from rag_assets.db.spaces.text_kinds import BUILT_IN_KINDS
from rag_assets.pipeline.maintenance import run_maintenance
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.repositories import SyncMemories, SyncSessions, SyncUsers
from rag_assets.settings.settings import load_settings
from tests.integration.search.execution.test_coverage import eventually
from tests.support.database.damages import add_half_a_space
from tests.support.pipeline.check_runs import change_database, failed_names, run_checks
from tests.support.pipeline.runs import rows

INDEX = "rag.ix_embeddings_1_hnsw"


def run(engine: Engine) -> dict[str, Any]:
    settings = load_settings()
    return run_maintenance(engine, settings, {kind: target_space(settings, kind) for kind in BUILT_IN_KINDS})


def index_oid(engine: Engine) -> int:
    [(oid,)] = rows(engine, "SELECT to_regclass(:name)::oid", name=INDEX)
    return int(oid)


def test_an_intact_installation_is_not_changed(built: Engine) -> None:
    before = index_oid(built)
    figures = run(built)
    assert (figures["orphans_removed"], figures["spaces_dropped"], figures["prewarmed_blocks"]) == (0, 0, 0)
    [index] = figures["indexes"]
    assert (index["found"], index["recall"] >= 0.95) == ("valid", True)
    assert index_oid(built) == before
    assert figures["failed_checks"] == []
    assert failed_names(run_checks(full=False)) == set()


def test_a_damage_that_no_trigger_saw_is_found(built: Engine) -> None:
    with built.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE rag.document_chunks SET chunk_text = chunk_text || '!'"))
    [failed] = run(built)["failed_checks"]
    assert failed["check"] == "offsets_reproduce_text of chunks"
    assert "differ from the text at their offsets" in failed["reason"]


def test_orphan_vectors_are_removed_and_vacuumed(built: Engine) -> None:
    added = change_database(
        built,
        "INSERT INTO rag.embeddings SELECT 1, sha256(content_hash), embedding FROM rag.embeddings "
        "ORDER BY content_hash LIMIT 30",
    )
    figures = run(built)
    assert figures["orphans_removed"] == added == 30
    assert "embeddings_1" in figures["vacuumed"]
    assert failed_names(run_checks()) == set()


def test_a_bloated_index_is_rebuilt(built: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_INDEX_DEAD_SHARE_LIMIT", "0.3")
    monkeypatch.setattr(state, "_MIN_DEAD_BYTES", 0)
    before = index_oid(built)
    change_database(
        built, "DELETE FROM rag.documents WHERE project_id = (SELECT id FROM rag.projects WHERE name = 'zoo')"
    )
    figures = run(built)
    [index] = figures["indexes"]
    assert index["found"] == "bloated"
    assert 0.3 < index["dead_share"] < 0.7
    assert index_oid(built) != before
    assert run(built)["indexes"][0]["found"] == "valid"
    assert failed_names(run_checks()) == set()


def test_an_index_with_low_recall_is_rebuilt(built: Engine) -> None:
    # The vectors change while the index is not maintained, so the graph lacks them.
    change_database(built, f"UPDATE pg_index SET indisready = false WHERE indexrelid = '{INDEX}'::regclass")
    change_database(
        built,
        "UPDATE rag.embeddings SET embedding = embedding * array_fill(-1::real, ARRAY[384])::vector, checksum = NULL "
        "WHERE get_byte(content_hash, 0) < 128",
    )
    change_database(built, f"UPDATE pg_index SET indisready = true WHERE indexrelid = '{INDEX}'::regclass")
    [index] = run(built)["indexes"]
    assert (index["found"], index["recall"] < 0.95) == ("degraded", True)
    [index] = run(built)["indexes"]
    assert (index["found"], index["recall"] >= 0.95) == ("valid", True)
    assert failed_names(run_checks()) == set()


def test_expired_sessions_and_memories_are_removed_after_the_retention_time(
    built: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    user = SyncUsers(built).create("a@example.org")
    for _ in range(2):
        SyncSessions(built).create(user.id)
    for number, expires_at in enumerate((now - timedelta(days=40), now - timedelta(days=1), now + timedelta(days=1))):
        SyncMemories(built).remember(f"memory {number}", expires_at=expires_at)
    change_database(
        built,
        "UPDATE rag.sessions SET expires_at = now() - interval '40 days' "
        "WHERE id = (SELECT id FROM rag.sessions ORDER BY id LIMIT 1)",
    )
    figures = run(built)
    assert (figures["sessions_removed"], figures["memories_forgotten"], figures["memories_removed"]) == (1, 2, 1)
    assert rows(built, "SELECT content, deleted_at IS NULL FROM rag.memories ORDER BY 1") == [
        ("memory 1", False),
        ("memory 2", True),
    ]
    monkeypatch.setenv("RAG_ASSETS_EXPIRED_KEPT_DAYS", "0")
    assert run(built)["memories_removed"] == 1


def test_retired_spaces_are_dropped_and_unfinished_ones_kept(built: Engine) -> None:
    add_half_a_space(built)
    figures = run(built)
    assert figures["spaces_dropped"] == 0
    assert [(index["space"], index["found"]) for index in figures["indexes"]] == [(1, "valid"), (2, None)]
    change_database(built, "UPDATE rag.embedding_spaces SET status = 'retired' WHERE id = 2")
    assert run(built)["spaces_dropped"] == 1
    assert rows(built, "SELECT id FROM rag.embedding_spaces") == [(1,)]


def test_tables_with_many_dead_rows_are_vacuumed(built: Engine) -> None:
    change_database(built, "ALTER TABLE rag.document_chunks SET (autovacuum_enabled = off)")
    assert "document_chunks" not in tables_to_vacuum(built, 0.1)
    with built.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        dead = connection.execute(text("UPDATE rag.document_chunks SET heading_path = heading_path")).rowcount
    assert dead > MIN_DEAD_ROWS
    assert eventually(lambda: "document_chunks" in tables_to_vacuum(built, 0.1))
    assert "document_chunks" in run(built)["vacuumed"]
    assert eventually(lambda: "document_chunks" not in tables_to_vacuum(built, 0.1))


def test_a_locked_table_is_not_vacuumed(built: Engine) -> None:
    with built.begin() as connection:
        connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
        assert vacuum_tables(built, ["documents", "projects"], wait_s=0.2) == ["projects"]


def test_indexes_are_prewarmed_if_the_extension_is_installed(built: Engine) -> None:
    # The embedded server lacks the extension: define a function of the same signature that records its calls.
    change_database(built, "CREATE TABLE warmed (relation regclass)")
    change_database(
        built,
        "CREATE FUNCTION pg_prewarm(regclass, text DEFAULT 'buffer') RETURNS bigint LANGUAGE sql AS "
        "'INSERT INTO warmed VALUES ($1); SELECT 7::bigint'",
    )
    assert run(built)["prewarmed_blocks"] == 7
    assert rows(built, "SELECT relation::text FROM warmed") == [(INDEX,)]
