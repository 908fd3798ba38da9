"""rag-assets status: stored, pending and failed items, and health."""

import logging

import pytest
from sqlalchemy import URL, Engine, text

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import HEALTH, STATUS, assert_shape


def test_json_has_the_promised_shape_and_counts(built: Engine, cli: Cli) -> None:
    with built.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE rag.documents SET status = 'failed', error = 'why' WHERE file_path = 'copy2.txt'"
        )
        connection.exec_driver_sql(
            "DELETE FROM rag.document_chunkings WHERE document_id IN "
            "(SELECT id FROM rag.documents WHERE file_path = 'page00.md')"
        )
        connection.exec_driver_sql(
            "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings LIMIT 3)"
        )
    result = cli("status", "--json")
    assert result.code == 0, result.err
    found = result.json
    assert_shape(found, STATUS)
    assert found["pending"]["documents_to_chunk"] == 2
    assert found["pending"]["texts_to_embed"] >= 3
    assert found["failed_documents"] == [{"project": "zoo", "file_path": "copy2.txt", "reason": "why"}]
    assert [project["name"] for project in found["projects"]] == ["sea", "zoo"]
    assert [(space["status"], space["index_state"]) for space in found["spaces"]] == [("live", "valid")]
    assert found["database"]["schema_revision"] == found["database"]["schema_head"]
    assert "***" in found["database"]["url"]

    text_output = cli("status")
    assert text_output.code == 0
    for words in ("sea", "zoo", "copy2.txt", "why", "pending", "pgvector", "all-MiniLM-L6-v2"):
        assert words in text_output.out


def test_an_empty_database_has_a_status(
    empty_database: URL, settings: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cli("status", "--json").json
    assert_shape(found, STATUS)
    assert (found["projects"], found["spaces"], found["failed_documents"]) == ([], [], [])
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", empty_database.render_as_string(hide_password=False))
    found = cli("status", "--json").json
    assert_shape(found, STATUS)
    assert found["database"]["schema_revision"] is None
    assert cli("status").code == 0


def test_health_is_printed_and_sets_the_exit_code(built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    result = cli("status", "--health", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, HEALTH)
    assert result.json["healthy"]
    assert cli("status", "--health").out.count("ok      ") == len(result.json["checks"])

    with built.begin() as connection:
        connection.execute(text("DROP INDEX rag.ix_embeddings_1_hnsw"))
    result = cli("status", "--health", "--json")
    assert (result.code, result.json["healthy"]) == (3, False)
    assert [check["name"] for check in result.json["checks"] if not check["healthy"]] == ["index"]
    result = cli("status", "--health")
    assert result.code == 3
    assert "FAILED  index: the index of live space 1 is absent" in result.out

    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    result = cli("status", "--health", "--json")
    assert (result.code, result.json["healthy"]) == (3, False)
    assert_shape(result.json, HEALTH)


def test_statements_are_logged_to_stderr_on_request(
    settings: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("status", "--json").err == ""
    monkeypatch.setenv("RAG_ASSETS_LOG_QUERIES", "true")
    log = logging.getLogger("rag_assets.db.queries")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", logging.NOTSET)
    result = cli("status", "--json")
    assert_shape(result.json, STATUS)
    assert " ms (rag_assets): SELECT " in result.err
