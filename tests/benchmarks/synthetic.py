"""python -m tests.benchmarks.synthetic --vectors 100000 [--no-index]: an installation of synthetic texts and vectors.

Fills the configured database (RAG_ASSETS_DATABASE_URL, else the embedded server's), which must have no project yet, by
COPY straight into the package's tables. Then the package builds its index, refreshes the word statistics and makes the
space live. For filters, the metadata of each document has `tier` ("0.1", "1", "10", "50" or "rest": that percentage of
the documents, at random) and `area` (the same percentages of whole clusters, so correlated with the vectors). A project
has a hundred chunks. The vectors of 1,000 held-out queries are in rag.query_vectors, so that searches load no model.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, Table, func, select, text
from sqlalchemy.dialects import postgresql

from rag_assets.db.database import dispose_engines, shared_engine
from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.models import SCHEMA, Base, EmbeddingSpace, Project
from rag_assets.db.models.chunks import derive_chunk_id
from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.models.projects import derive_project_id
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import ensure_space, set_live_space
from rag_assets.db.spaces.vector_codec import vector_cursor
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.documents.text import content_hash
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings, load_settings
from tests.benchmarks.clustered import Corpus

SHARES = {"0.1": 0.001, "1": 0.01, "10": 0.1, "50": 0.5}
QUESTIONS = 1_000
PER_DOCUMENT = 4
DOCUMENTS_OF_PROJECT = 25
FILE_TYPES = {"markdown": ("md", 0.5), "html": ("html", 0.3), "pdf": ("pdf", 0.15), "rst": ("rst", 0.05)}
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

_TABLES = Base.metadata.tables
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
PROJECTS = ("id", "name", "source_uri")
DOCUMENTS = (
    *("id", "project_id", "file_path", "title", "content", "content_hash", "file_type", "size_bytes", "metadata"),
    *("created_at", "updated_at"),
)
CHUNKS = (
    *("id", "document_id", "chunking", "chunk_index", "chunk_text", "content_hash", "char_start", "char_end"),
    *("token_count", "heading_path"),
)
CHUNKINGS = ("document_id", "chunking", "content_hash", "chunk_count")
EMBEDDINGS = ("space_id", "content_hash", "embedding")
QUESTION_VECTORS = ("space_id", "query_hash", "embedding")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--no-index", action="store_true")
    arguments = parser.parse_args()
    try:
        print(json.dumps(fill(shared_engine(load_settings()), arguments.vectors, index=not arguments.no_index)))
    finally:
        dispose_engines()


def fill(engine: Engine, size: int, *, index: bool = True) -> dict[str, float]:
    """Fill the empty database; return the seconds of each part."""
    corpus = Corpus(size, per_document=PER_DOCUMENT)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    with engine.begin() as connection:
        if connection.scalar(select(func.count()).select_from(Project)):
            raise SystemExit("the database has projects already; name an empty one in RAG_ASSETS_DATABASE_URL.")
        space = ensure_space(connection, target_space(Settings()).definition)
        _write(connection, space, corpus)
    seconds["rows"] = time.perf_counter() - started
    started = time.perf_counter()
    if index:
        ensure_index(engine, space, IndexBuildOptions(memory_limit_mb=4096))
    seconds["index"] = time.perf_counter() - started
    started = time.perf_counter()
    with engine.begin() as connection:
        set_live_space(connection, space)
    refresh_word_statistics(engine, space.chunking)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Autovacuum would do this after a while.
        connection.execute(text("VACUUM (ANALYZE)"))
    seconds["words"] = time.perf_counter() - started
    return {name: round(value, 2) for name, value in seconds.items()}


def _write(connection: Connection, space: EmbeddingSpace, corpus: Corpus) -> None:
    random = np.random.default_rng(1)
    clusters = corpus.document_clusters()
    by_chance = random.permutation(len(clusters))
    # Whole clusters one after the other, in random order.
    by_cluster = np.argsort(random.permutation(corpus.clusters)[clusters], kind="stable")
    tiers, areas = _shares(by_chance), _shares(by_cluster)
    types = random.choice(list(FILE_TYPES), len(clusters), p=[share for _, share in FILE_TYPES.values()])
    owners = [_project_name(number) for number in range(-(-len(clusters) // DOCUMENTS_OF_PROJECT))]
    copy(
        connection, _TABLES["rag.projects"], PROJECTS, ([derive_project_id(name), name, f"/{name}"] for name in owners)
    )
    first = 0
    for block in corpus.blocks():
        hashes = [content_hash(one) for one in block.texts]
        documents, chunks, stamps = [], [], []
        for start in range(0, len(block.texts), PER_DOCUMENT):
            number = first + start // PER_DOCUMENT
            texts = block.texts[start : start + PER_DOCUMENT]
            project = derive_project_id(owners[number // DOCUMENTS_OF_PROJECT])
            kind, cluster = str(types[number]), int(clusters[number])
            path = f"topic{cluster % 40:02}/cluster{cluster}/page{number:06}.{FILE_TYPES[kind][0]}"
            content, id_ = "\n\n".join(texts), derive_document_id(project, path)
            created = EPOCH + timedelta(minutes=number * 30 % 2_629_000)
            hash_ = content_hash(content)
            metadata = {"tier": tiers[number], "area": areas[number], "year": 2000 + number % 25, "number": number}
            times = [created, created + timedelta(days=number % 300)]
            described = [texts[0][:40].strip(), content, hash_, kind, len(content), Jsonb(metadata)]
            documents.append([id_, project, path, *described, *times])
            stamps.append([id_, space.chunking, hash_, len(texts)])
            chunks += _chunks(id_, space.chunking, texts, hashes[start : start + PER_DOCUMENT])
        copy(connection, _TABLES["rag.documents"], DOCUMENTS, documents)
        copy(connection, _TABLES["rag.document_chunks"], CHUNKS, chunks)
        copy(connection, _TABLES["rag.document_chunkings"], CHUNKINGS, stamps)
        vectors = zip(hashes, block.vectors, strict=True)
        copy(connection, partition(space.id), EMBEDDINGS, ([space.id, *pair] for pair in vectors))
        first += len(block.texts) // PER_DOCUMENT
    asked = corpus.questions(QUESTIONS)
    questions = zip(map(content_hash, asked.texts), asked.vectors, strict=True)
    copy(connection, _TABLES["rag.query_vectors"], QUESTION_VECTORS, ([space.id, *pair] for pair in questions))


def _chunks(document: UUID, chunking: str, texts: Sequence[str], hashes: Sequence[bytes]) -> list[list[Any]]:
    rows, at = [], 0
    for index, (one, hash_) in enumerate(zip(texts, hashes, strict=True)):
        id_, tokens = derive_chunk_id(document, chunking, hash_, 0), round(1.35 * (one.count(" ") + 1))
        heading = [texts[0][:20].strip(), one[:20].strip()]
        rows.append([id_, document, chunking, index, one, hash_, at, at + len(one), tokens, heading])
        at += len(one) + 2
    return rows


def copy(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(SCHEMA, table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with vector_cursor(driver) as cursor, cursor.copy(statement) as stream:
        stream.set_types([table.c[name].type.compile(dialect=_DIALECT).lower() for name in names])
        for row in rows:
            stream.write_row(row)


def _shares(order: NDArray[np.int64]) -> list[str]:
    """Assign each document to a share, in the given order of documents."""
    names = ["rest"] * len(order)
    start = 0
    for name, share in SHARES.items():
        end = start + int(np.ceil(share * len(order)))
        for number in order[start:end]:
            names[number] = name
        start = end
    return names


def _project_name(number: int) -> str:
    return f"bench-{number:05}"


if __name__ == "__main__":
    main()
