"""rag-assets explain: JSON, text output, errors."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from tests.support.installation.command_line import Cli
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows


@pytest.fixture
def chunk(built: Engine) -> str:
    [(id_,)] = rows(
        built,
        "SELECT c.id FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
        "JOIN rag.projects p ON p.id = d.project_id WHERE d.file_path = 'copy.txt' AND p.name = 'sea'",
    )
    return str(id_)


def test_json_has_the_provenance_of_a_chunk(built: Engine, cli: Cli, chunk: str) -> None:
    result = cli("explain", chunk, "--json")
    assert result.code == 0, result.err
    found = result.json
    assert found["chunk_id"] == chunk
    assert (found["project"], found["file_path"], found["char_start"]) == ("sea", "copy.txt", 0)
    assert found["space"]["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert found["document_run_id"] == found["chunks_run_id"] is not None
    assert found["served"] is found["current"] is True


def test_text_output_has_source_offsets_model_and_run(built: Engine, cli: Cli, chunk: str) -> None:
    out = cli("explain", chunk).out
    [(run_id,)] = rows(built, "SELECT DISTINCT run_id FROM rag.documents")
    for words in (chunk, "sea/copy.txt [0:58]", "sentence-transformers/all-MiniLM-L6-v2", f"by run {run_id}", "(live)"):
        assert words in out
    assert "does not find" not in out


def test_text_output_reports_a_chunk_that_searches_do_not_find(built: Engine, cli: Cli, chunk: str) -> None:
    change_database(built, "UPDATE rag.embedding_spaces SET chunking = 'another'")
    assert "vector search does not find this chunk now" in cli("explain", chunk).out


def test_unknown_and_invalid_ids_are_one_line_errors_and_exit_with_2(built: Engine, cli: Cli) -> None:
    assert "there is no chunk" in cli("explain", uuid4()).error(2)
    assert "'nonsense' is not the id of a chunk" in cli("explain", "nonsense").error(2)
