"""Search: a question in, the chunks that are nearest in meaning out, with all that a citation needs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError

from rag_assets.db.models import EmbeddingSpace, QueryVector
from rag_assets.db.projects import get_project
from rag_assets.db.spaces import live_space
from rag_assets.embedding.encoder import Encoder, encoder_of
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search import statements
from rag_assets.search.filters import Filters
from rag_assets.search.fusion import reciprocal_rank_fusion
from rag_assets.search.words import search_words
from rag_assets.text.cleaning import clean

Mode = Literal["vector", "text", "hybrid"]
DEFAULT_MODE: Mode = "vector"

MOST_HITS = 1_000
# How deep each of two rankings goes before they are fused.
FUSED_DEPTH = 100
# Up to here a project is searched exactly: comparing this many vectors takes a few milliseconds.
EXACT_CHUNKS = 5_000
# A project with less than this share of all chunks is searched exactly too: the graph would wander for long.
EXACT_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk; more `score` is nearer. By mode: 1 - cosine distance (or the negative distance of another kind),
    the BM25 weight, or the reciprocal rank sum."""

    rank: int
    score: float
    project: str
    file_path: str
    title: str | None
    chunk_id: UUID
    chunk_index: int
    heading_path: list[str]
    char_start: int
    char_end: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits, and how they were found: `took_ms` is the database's part, `embedding_ms` the model's."""

    query: str
    mode: Mode
    space: int
    hits: list[Hit]
    took_ms: float
    embedding_ms: float
    plan: str


class Retriever:
    """Searches the live space; the question is embedded by the live space's own model, loaded at first need."""

    def __init__(
        self,
        engine: Engine,
        *,
        ef_search: int | None = None,
        encoder: Callable[[EmbeddingSpace], Encoder] | None = None,
    ) -> None:
        self._engine = engine
        self._ef_search = ef_search
        self._encoder = encoder or _model_of
        self._encoders: dict[int, Encoder] = {}

    def search(self, query: str, *, k: int = 10, project: str | None = None, mode: Mode = DEFAULT_MODE) -> Answer:
        """The `k` best chunks for a question, best first, of one project or of all.

        By mode: `vector`, by meaning; `text`, by words (BM25; "phrases" must, -words must not be in a chunk);
        `hybrid`, both, fused by reciprocal rank. Only `text` needs no model.

        Raises UsageError for an empty question, a k outside 1..1000 or an unknown project, and ServiceError while
        no space is live.
        """
        # Whatever comes from a command line or a form: what no stored text has, no question needs either.
        query = clean(query)
        if not query.strip():
            raise UsageError("the question is empty; give some words to search for.")
        if not 1 <= k <= MOST_HITS:
            raise UsageError(f"k is {k}; choose 1 to {MOST_HITS}.")
        space = self._space()
        if project is not None:
            with self._engine.connect() as connection:
                get_project(connection, project)
        vector, embedding_ms = ("", 0.0) if mode == "text" else self._vector(space, query)
        started = time.perf_counter()
        with self._engine.begin() as connection:
            found, plan = self._find(connection, space, query, vector, k, project, mode)
        took_ms = (time.perf_counter() - started) * 1000
        hits = [_hit(rank, score, row) for rank, (score, row) in enumerate(found, start=1)]
        return Answer(query, mode, space.id, hits, round(took_ms, 2), round(embedding_ms, 2), plan)

    def _space(self) -> EmbeddingSpace:
        try:
            with self._engine.connect() as connection:
                space = live_space(connection)
        except ProgrammingError:
            space = None
        if space is None:
            raise ServiceError("nothing can be searched yet: no space is live; run rag-assets ingest first.")
        return space

    def _find(
        self,
        connection: Connection,
        space: EmbeddingSpace,
        query: str,
        vector: str,
        k: int,
        project: str | None,
        mode: Mode,
    ) -> tuple[list[tuple[float, Any]], str]:
        """(score, row) best first, and how they were found."""
        if mode == "text":
            return self._worded(connection, space, query, k, project), "words"
        deep = k if mode == "vector" else max(k, FUSED_DEPTH)
        near, plan = self._rows(connection, space, vector, deep, project)
        if mode == "vector":
            return [(_nearness(space, row), row) for row in near], plan
        worded = [row for _, row in self._worded(connection, space, query, deep, project)]
        fused = reciprocal_rank_fusion([near, worded], lambda row: row.chunk_id)
        return fused[:k], f"{plan}, words"

    def _rows(
        self, connection: Connection, space: EmbeddingSpace, vector: str, k: int, project: str | None
    ) -> tuple[Sequence[Any], str]:
        use_graph(connection, max(k, self._ef_search or space.ef_search))
        values = {"query": vector, "texts": k, "k": k, "project": project}
        if project is None:
            return connection.execute(statements.nearest_chunks(space), values).all(), "index"
        of_project, of_all = connection.execute(statements.chunk_counts(space), values).one()
        if of_project <= max(EXACT_CHUNKS, EXACT_SHARE * of_all):
            exactly = statements.nearest_chunks_of_project_exactly(space)
            return connection.execute(exactly, values).all(), "exact"
        return connection.execute(statements.nearest_chunks_of_project(space), values).all(), "index"

    def _worded(
        self, connection: Connection, space: EmbeddingSpace, query: str, k: int, project: str | None
    ) -> list[tuple[float, Any]]:
        filters = Filters(projects=(project,) if project else ())
        found = search_words(connection, space, query, k=k, filters=filters).chunks
        ids = [chunk_id for chunk_id, _ in found]
        rows = {row.chunk_id: row for row in connection.execute(statements.chunks_by_id(), {"ids": ids})}
        return [(score, rows[chunk_id]) for chunk_id, score in found]

    def _vector(self, space: EmbeddingSpace, query: str) -> tuple[str, float]:
        """The question's vector as pgvector writes it; asked before, it comes from the table of questions."""
        key = sha256(query.encode()).digest()
        known = select(QueryVector.embedding).where(QueryVector.space_id == space.id, QueryVector.query_hash == key)
        started = time.perf_counter()
        with self._engine.connect() as connection:
            stored = connection.scalar(known)
        if stored is None:
            encoder = self._encoders.get(space.id) or self._encoders.setdefault(space.id, self._encoder(space))
            stored = encoder.encode_query(query).tolist()
            with self._engine.begin() as connection:
                connection.execute(
                    insert(QueryVector)
                    .values(space_id=space.id, query_hash=key, embedding=stored)
                    .on_conflict_do_nothing()
                )
        return str(list(stored)), (time.perf_counter() - started) * 1000


def use_graph(connection: Connection, ef_search: int) -> None:
    """Set the graph's parameters for this transaction only: pools hand the session on to others."""
    # The graph goes on past the first ef_search candidates where a filter or duplicates ask for more.
    set_both = text(
        "SELECT set_config('hnsw.ef_search', :ef_search, true), set_config('hnsw.iterative_scan', 'strict_order', true)"
    )
    connection.execute(set_both, {"ef_search": str(min(ef_search, 1000))})


def _model_of(space: EmbeddingSpace) -> Encoder:
    return encoder_of(space.model, space.revision, normalize=space.normalize)


def _nearness(space: EmbeddingSpace, row: Any) -> float:
    distance = float(row.distance)
    return 1 - distance if space.distance == "cosine" else -distance


def _hit(rank: int, score: float, row: Any) -> Hit:
    return Hit(
        rank=rank,
        score=round(score, 6),
        project=row.project,
        file_path=row.file_path,
        title=row.title,
        chunk_id=row.chunk_id,
        chunk_index=row.chunk_index,
        heading_path=list(row.heading_path),
        char_start=row.char_start,
        char_end=row.char_end,
        text=row.chunk_text,
    )
