"""Other clients of the database: run the blocks of docs/pages/guides/other_clients.md.

LangChain and LlamaIndex need their own environment (outside_clients.txt says why): OUTSIDE_CLIENTS_PYTHON names
its interpreter, .ci/run creates it.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text

from rag_assets import Settings
from tests.support.documentation.pages import PAGES, find_block
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows

PYTHON = os.environ.get("OUTSIDE_CLIENTS_PYTHON")
needs_clients = pytest.mark.skipif(
    PYTHON is None,
    reason="OUTSIDE_CLIENTS_PYTHON names no Python with tests/system/search/outside_clients.txt installed",
)
QUESTION = "the keeper feeds the whale"
VECTOR = [float(value) for value in HashEncoder().encode_query(QUESTION)]
# A unique name, since concurrent test runs share the server, and roles belong to the server.
ROLE = f"reader_{uuid4().hex[:12]}"
ROLE_ADDRESS = f"{ROLE}:secret@localhost/rag"

LANGCHAIN_MODEL = f"""
import json
from langchain_core.embeddings import Embeddings

class Known(Embeddings):
    def embed_query(self, text):
        assert text == {QUESTION!r}
        return {VECTOR}
    def embed_documents(self, texts):
        raise AssertionError("nothing is written")

embeddings = Known()
"""
LANGCHAIN_FOUND = "print(json.dumps([[one.id, one.page_content, one.metadata] for one in found]))"

LLAMA_MODEL = f"""
import json
from llama_index.core.embeddings import BaseEmbedding

class Known(BaseEmbedding):
    def _get_query_embedding(self, query):
        assert query == {QUESTION!r}
        return {VECTOR}
    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)
    def _get_text_embedding(self, text):
        raise AssertionError("nothing is written")

embeddings = Known()
"""
LLAMA_FOUND = "print(json.dumps([[one.node_id, one.text, one.metadata] for one in found]))"


def get_block(having: str) -> str:
    """The block of the page that contains these words, adapted to the project of the built database."""
    code = find_block(PAGES / "guides" / "other_clients.md", having).code.strip()
    code = re.sub(r"\breader\b", ROLE, code)
    return code.replace("python-topics", "zoo").replace("How do I close a file?", QUESTION)


@pytest.fixture
def reader(built: Engine) -> Iterator[str]:
    """Create the role of the page; yields its address without the scheme."""
    with built.begin() as connection:
        connection.execute(text(get_block("CREATE ROLE")))
    at = built.url.set(username=ROLE, password="secret").render_as_string(hide_password=False)
    yield at.partition("://")[2]
    with built.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}"))


def nearest(engine: Engine) -> list[tuple[str, str]]:
    """The five nearest chunks of the project by an exact scan: (text, path). Copies are equally near."""
    exactly = (
        "SELECT c.chunk_text, d.file_path FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
        "JOIN rag.projects p ON p.id = d.project_id JOIN rag.embeddings e ON e.content_hash = c.content_hash "
        "WHERE p.name = 'zoo' ORDER BY e.embedding <=> CAST(:vector AS vector), d.file_path LIMIT 5"
    )
    return [(content, path) for content, path in rows(engine, exactly, vector=str(VECTOR))]


def run_client(address: str, before: str, having: str, after: str) -> list[tuple[str, str, dict[str, object]]]:
    """Run a block of the page in the Python of the clients; return (id, text, metadata) of each hit."""
    code = get_block(having)
    assert ROLE_ADDRESS in code
    script = before + code.replace(ROLE_ADDRESS, address) + "\n" + after
    assert PYTHON is not None
    done = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout.splitlines()[-1])]


def test_the_live_space_tells_how_to_embed_a_query(built: Engine, reader: str) -> None:
    with psycopg.connect(f"postgresql://{reader}") as connection:
        [(model, _, _, normalize, distance, dimensions)] = connection.execute(get_block("SELECT model")).fetchall()  # type: ignore[arg-type]
    assert (model, normalize, distance, dimensions) == (Settings().model, True, "cosine", 384)


def test_plain_sql_finds_the_nearest_chunks_through_the_index(built: Engine, reader: str) -> None:
    statement = get_block("embedding <=> $1 AS distance")
    with psycopg.connect(f"postgresql://{reader}", cursor_factory=psycopg.RawCursor) as connection:
        found = connection.execute(statement, [str(VECTOR)]).fetchall()
        assert {project for project, *_ in found} == {"zoo"}
        assert sorted((content, path) for _, path, content, _ in found) == sorted(nearest(built))
        # The planner scans so few vectors sequentially; without that, the plan shows that the index can be used.
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        plan = connection.execute("EXPLAIN " + statement, [str(VECTOR)]).fetchall()  # type: ignore[arg-type]
        assert "ix_embeddings_1_hnsw" in str(plan)
        # The settings of the role let the index scan continue until all chunks of the project were found.
        of_project = rows(built, "SELECT count(*) FROM rag.live_chunks WHERE project = 'zoo'")[0][0]
        every = connection.execute(statement.replace("LIMIT 5", "LIMIT 1000"), [str(VECTOR)]).fetchall()  # type: ignore[arg-type]
        assert len(every) == of_project > 50
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT content FROM rag.documents")


@needs_clients
def test_langchain_searches_the_view(built: Engine, reader: str) -> None:
    found = run_client(reader, LANGCHAIN_MODEL, "PGEngine", LANGCHAIN_FOUND)
    assert sorted((content, metadata["source"]) for _, content, metadata in found) == sorted(nearest(built))
    assert (
        found[0][2]["title"]
        == rows(
            built,
            "SELECT d.title FROM rag.documents d JOIN rag.document_chunks c ON c.document_id = d.id "
            "WHERE c.id = CAST(:id AS uuid)",
            id=found[0][0],
        )[0][0]
    )


@needs_clients
def test_llama_index_searches_a_view_of_the_view(built: Engine, reader: str) -> None:
    with built.begin() as connection:
        connection.execute(text(get_block("CREATE VIEW")))
    found = run_client(reader, LLAMA_MODEL, "VectorStoreIndex", LLAMA_FOUND)
    assert sorted((content, metadata["source"]) for _, content, metadata in found) == sorted(nearest(built))
    assert {metadata["project"] for *_, metadata in found} == {"zoo"}
    ids = {str(id_) for (id_,) in rows(built, "SELECT id FROM rag.document_chunks")}
    assert {id_ for id_, *_ in found} <= ids
