"""Documents and users are erased from every table, and the report proves it."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from rag_assets import Client
from rag_assets.repositories import NewMessage
from rag_assets.testing import HashEncoder
from tests.support.installation.command_line import Cli

WORD = "zyzzogeton"
_OWN_ROWS = """
UPDATE rag.documents SET title = :word WHERE id = :id;
UPDATE rag.document_chunks SET header = :word WHERE document_id = :id;
INSERT INTO rag.lexemes (chunking, language, lexeme, documents)
SELECT DISTINCT chunking, language, CAST(:word AS text), 1 FROM rag.document_chunks WHERE document_id = :id;
INSERT INTO rag.staged_documents (id, content, content_hash, file_type)
VALUES (:id, :word, sha256(convert_to(:word, 'UTF8')), 'text');
INSERT INTO rag.staged_chunkings (document_id, chunking, content_hash, chunk_count)
SELECT :id, chunking, sha256('x'), 1 FROM rag.embedding_spaces WHERE kind = 'chunks';
INSERT INTO rag.staged_chunks
(id, document_id, chunking, chunk_index, chunk_text, content_hash, char_start, char_end, token_count)
SELECT gen_random_uuid(), :id, chunking, 0, :word, sha256('y'), 0, 1, 1 FROM rag.embedding_spaces WHERE kind = 'chunks';
INSERT INTO rag.embeddings SELECT space_id, sha256('y'), embedding FROM rag.embeddings LIMIT 1;
INSERT INTO rag.embedding_failures (space_id, content_hash, error)
SELECT id, sha256('y'), :word FROM rag.embedding_spaces WHERE kind = 'chunks'
"""
_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'rag' AND tablename <> 'row_changes'")


def tables_with(engine: Engine, *needles: str) -> dict[str, int]:
    """Every table of the schema with a row that holds one of these texts in any column."""
    with engine.connect() as connection:
        counts = {
            table: connection.scalar(
                text(f'SELECT count(*) FROM rag."{table}" t WHERE t::text ILIKE ANY (:needles)'),
                {"needles": [f"%{needle}%" for needle in needles]},
            )
            for table in connection.scalars(_TABLES).all()
        }
    return {table: rows for table, rows in counts.items() if rows}


def give_word(engine: Engine, project: str) -> tuple[UUID, str]:
    """A document of the project with a chunk and a vector of its own, a word that no other has, and a next version."""
    with engine.begin() as connection:
        row = connection.execute(
            text(
                "SELECT d.id, d.file_path FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id "
                "JOIN rag.document_chunks c ON c.document_id = d.id WHERE p.name = :project AND NOT EXISTS "
                "(SELECT FROM rag.document_chunks o WHERE o.content_hash = c.content_hash AND o.id <> c.id) "
                "ORDER BY d.file_path LIMIT 1"
            ),
            {"project": project},
        ).one()
        values: dict[str, Any] = {"id": row.id, "word": WORD}
        for statement in _OWN_ROWS.split(";"):
            connection.execute(text(statement), values)
    return row.id, row.file_path


def test_a_document_is_erased_from_every_table(built: Engine, cli: Cli) -> None:
    id_, path = give_word(built, "sea")
    assert tables_with(built, WORD, str(id_)).keys() >= {"documents", "document_chunks", "lexemes", "staged_chunks"}
    counted = cli("forget", "--document", f"sea/{path}", "--dry-run", "--json").json
    assert counted["dry_run"]
    assert not counted["complete"]
    answer = cli("forget", "--document", f"sea/{path}", "--json").json
    [report] = answer["forgotten"]
    assert (answer["complete"], report["kind"], report["name"]) == (True, "document", f"sea/{path}")
    tables = report["tables"]
    assert all(one["before"] == one["removed"] and one["after"] == 0 for one in tables.values())
    assert {name: one["before"] for name, one in counted["forgotten"][0]["tables"].items()} == {
        name: one["before"] for name, one in tables.items()
    }
    assert {name for name, one in tables.items() if not one["before"]} == {"audit_entries", "listed_files"}
    assert tables_with(built, WORD, str(id_)) == {}
    # The path stays with the project, which reads the file no more.
    with built.connect() as connection:
        settings = connection.scalar(text("SELECT settings FROM rag.projects WHERE name = 'sea'"))
    assert len(settings["forgotten"]) == 1
    # Once more, which finds nothing, and back.
    again = cli("forget", "--document", f"sea/{path}").out
    assert path in again
    assert "the source still has the file" in again
    assert "reads" in cli("forget", "--document", f"sea/{path}", "--read-again").out
    with built.connect() as connection:
        settings = connection.scalar(text("SELECT settings FROM rag.projects WHERE name = 'sea'"))
    assert settings["forgotten"] == []


def test_a_vector_that_another_document_needs_stays(built: Engine, cli: Cli) -> None:
    with built.connect() as connection:
        vectors = connection.scalar(text("SELECT count(*) FROM rag.embeddings"))
    [report] = cli("forget", "--document", "zoo/copy.txt", "--json").json["forgotten"]
    assert (report["tables"]["embeddings"]["before"], report["shared_vectors"]) == (0, 1)
    with built.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM rag.embeddings")) == vectors


def test_a_user_is_erased_from_every_table(built: Engine, cli: Cli) -> None:
    with Client(encoder=HashEncoder()) as client:
        anna, bob = (client.users.create(f"{name}@Example.org", display_name=WORD) for name in ("anna", "bob"))
        talks = [client.conversations.create(WORD, user_id=user.id) for user in (anna, bob)]
        for talk in talks:
            client.conversations.append_many(talk.id, [NewMessage("user", f"{WORD} {number}") for number in range(3)])
        fork = client.conversations.fork(talks[0].id, version=2, name="Bob's", user_id=bob.id)
        client.memories.remember(WORD, user_id=anna.id)
        client.sessions.create(anna.id)
    cli("keys", "add", "annas", "--user", "ANNA@example.org")
    with built.begin() as connection:
        connection.execute(
            text(
                "UPDATE rag.documents SET readers = '{user:anna@example.org,group:staff}' WHERE file_path = 'copy.txt'"
            )
        )
        connection.execute(
            text("UPDATE rag.projects SET settings = '{\"readers\": [\"user:anna@example.org\"]}' WHERE name = 'sea'")
        )
    result = cli("forget", "--user", "anna@example.org", "--json")
    assert result.err == ""
    [report] = result.json["forgotten"]
    tables = report["tables"]
    assert all(one["before"] == one["removed"] and one["after"] == 0 for one in tables.values())
    empty = {name for name, one in tables.items() if not one["before"]}
    assert empty <= {"audit_entries", "embeddings", "embedding_failures"}
    assert tables_with(built, "anna@example.org", str(anna.id), str(talks[0].id)) == {}
    # Others keep what is theirs; what they shared keeps its place.
    with Client(encoder=HashEncoder()) as client:
        assert [one.content for one in client.conversations.history(fork.id)] == ["[forgotten]", "[forgotten]"]
        assert len(client.conversations.history(talks[1].id)) == 3
    with built.connect() as connection:
        readers = connection.scalar(text("SELECT readers FROM rag.documents WHERE readers IS NOT NULL"))
        project = connection.scalar(text("SELECT settings -> 'readers' FROM rag.projects WHERE name = 'sea'"))
    assert (readers, project) == (["group:staff"], [])
    assert "anna@example.org" in cli("forget", "--user", "anna@example.org").out


def test_what_is_left_is_an_error(built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.repositories.erasure.document_erasure._remove", lambda *_: None)
    result = cli("forget", "--document", "zoo/copy.txt")
    assert (result.code, "are left in documents" in result.err) == (1, True)


def test_wrong_usage_is_said(built: Engine, cli: Cli) -> None:
    assert "nothing to forget is named" in cli("forget").error(2)
    assert "is no document; write PROJECT/PATH" in cli("forget", "--document", "copy.txt").error(2)
    assert "there is no project 'sky'" in cli("forget", "--document", "sky/copy.txt").error(2)
    assert "there is no document" in cli("forget", "--document", "0" * 32).error(2)
    assert "the user is empty" in cli("forget", "--user", " ").error(2)
    assert "for documents alone" in cli("forget", "--user", "x", "--read-again").error(2)
