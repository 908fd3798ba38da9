"""Chunks written straight into the tables, to test keyword search without the pipeline."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.models.projects import derive_project_id
from rag_assets.db.writes.upserts import write_chunks, write_documents
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.projects.store import save_project
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.lexemes import analyze_query
from rag_assets.search.keyword.query_syntax import Operators, parse_query
from rag_assets.search.keyword.search import search_keywords
from tests.support.database.rows import document, split_document

SPACE = EmbeddingSpace(chunking="c1")


def write_corpus(engine: Engine, texts: Mapping[str, str], *, project: str = "p", language: str = "english") -> None:
    """Write a document of one chunk for each path; its token count is its number of words."""
    owner = derive_project_id(project)
    rows = [
        replace(document(path, text), id=derive_document_id(owner, path), project_id=owner)
        for path, text in texts.items()
    ]
    with engine.begin() as connection:
        save_project(connection, project, "/docs", {"language": language})
        write_documents(connection, rows)
        documents = [split_document(row, [text]) for row, text in zip(rows, texts.values(), strict=True)]
        for written in documents:
            written.chunks = [replace(chunk, token_count=len(chunk.chunk_text.split())) for chunk in written.chunks]
        write_chunks(connection, SPACE.chunking, documents, language=language)
    refresh_word_statistics(engine, SPACE.chunking)


def search_scores(
    engine: Engine, query: str, *, k: int = 10, filters: Filters | None = None, operators: Operators = "quoted"
) -> list[tuple[str, float]]:
    """(path, score), best first."""
    with engine.connect() as connection:
        queries = analyze_query(connection, SPACE, parse_query(query, operators))
        found = search_keywords(connection, SPACE, queries, k=k, filters=filters)
        statement = "SELECT c.id, d.file_path FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id"
        path_of = {row.id: row.file_path for row in connection.exec_driver_sql(statement)}
    return [(path_of[chunk], score) for chunk, score in found.chunks]


def search_paths(
    engine: Engine, query: str, *, k: int = 10, filters: Filters | None = None, operators: Operators = "quoted"
) -> list[str]:
    return [path for path, _ in search_scores(engine, query, k=k, filters=filters, operators=operators)]
