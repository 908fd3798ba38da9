"""The status of an installation, read from its tables."""

import json

from sqlalchemy import URL, Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.schema import migrations
from rag_assets.pipeline.status import read_status
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows


def test_the_status_of_an_empty_database_is_empty(empty_database: URL) -> None:
    engine = make_engine(empty_database)
    status = read_status(engine)
    engine.dispose()
    assert status["database"]["schema_revision"] is None
    assert status["database"]["pgvector"] is None
    assert (status["projects"], status["spaces"], status["failed_documents"]) == ([], [], [])
    assert status["pending"] == {
        "documents_to_chunk": 0,
        "texts_to_embed": 0,
        "messages_to_embed": 0,
        "memories_to_embed": 0,
    }


def test_the_status_of_an_installation_has_counts_and_sizes(built: Engine) -> None:
    status = read_status(built)
    assert json.loads(json.dumps(status)) == status
    database = status["database"]
    assert database["schema_revision"] == database["schema_head"] == migrations.head_revision()
    assert database["name"] == built.url.database
    assert database["server"] == rows(built, "SELECT current_setting('server_version')")[0][0]
    assert database["pgvector"] == rows(built, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")[0][0]
    assert str(built.url.password) not in database["url"]
    by_name = {project["name"]: project for project in status["projects"]}
    for name, project in by_name.items():
        [(documents, chunks, texts)] = rows(
            built,
            "SELECT count(DISTINCT d.id), count(c.id), count(DISTINCT c.content_hash) FROM rag.documents d "
            "JOIN rag.projects p ON p.id = d.project_id LEFT JOIN rag.document_chunks c ON c.document_id = d.id "
            "WHERE p.name = :name",
            name=name,
        )
        assert (project["documents"], project["chunks"], project["texts"]) == (documents, chunks, texts)
        assert project["vectors"] == texts
    assert by_name.keys() == {"sea", "zoo"}
    assert status["pending"] == {
        "documents_to_chunk": 0,
        "texts_to_embed": 0,
        "messages_to_embed": 0,
        "memories_to_embed": 0,
    }
    [space] = status["spaces"]
    assert (space["status"], space["index_state"], space["dimensions"]) == ("live", "valid", 384)
    assert space["vectors"] == rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    assert space["bytes"] > 0 < space["index_bytes"]


def test_pending_work_is_counted(built: Engine) -> None:
    change_database(
        built, "DELETE FROM rag.embeddings WHERE content_hash = (SELECT max(content_hash) FROM rag.embeddings)"
    )
    change_database(
        built,
        "UPDATE rag.documents SET content = 'New.', content_hash = sha256('New.') WHERE file_path = 'page03.md'",
    )
    assert read_status(built)["pending"] == {
        "documents_to_chunk": 2,
        "texts_to_embed": 1,
        "messages_to_embed": 0,
        "memories_to_embed": 0,
    }


def test_failed_documents_are_listed_with_their_reasons(built: Engine) -> None:
    change_database(built, "UPDATE rag.documents SET status = 'failed', error = 'no way' WHERE file_path = 'page01.md'")
    status = read_status(built)
    assert status["failed_documents"] == [
        {"project": name, "file_path": "page01.md", "reason": "no way"} for name in ("sea", "zoo")
    ]
    assert [project["failed"] for project in status["projects"]] == [1, 1]


def test_the_status_can_be_read_without_an_index(built: Engine) -> None:
    change_database(built, "DROP INDEX rag.ix_embeddings_1_hnsw")
    [space] = read_status(built)["spaces"]
    assert space["index_state"] == "absent"


def test_the_status_can_be_read_without_a_partition(built: Engine) -> None:
    change_database(built, "DROP VIEW rag.live_chunks")
    change_database(built, "DROP TABLE rag.embeddings_1")
    [space] = read_status(built)["spaces"]
    assert (space["vectors"], space["index_state"]) == (0, "absent")
