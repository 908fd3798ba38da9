"""What a search gives: hits with all that a citation needs, and how they were found."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

Mode = Literal["vector", "text", "hybrid"]


# Not frozen: making ten of those would be a good part of what a search costs its client.
@dataclass(slots=True)
class Hit:
    """One chunk; more `score` is nearer.

    The score by mode: 1 - cosine distance, or the negative distance of another kind (inner product: the product
    itself); the BM25 weight; the reciprocal rank sum. A reranker's score takes its place. `parts` has what it is
    made of: `vector`, `text`, `fused`, `rerank`. `context` is the text with its neighbours, where they were asked
    for; `content[char_start:char_end] == text` in the document of `source_version`.
    """

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
    document_id: UUID
    file_type: str
    source_version: str | None
    parts: dict[str, float] = field(default_factory=dict)
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Degraded:
    """A space that lacks vectors: of `texts` distinct texts, so many are `missing`, and not found by meaning."""

    texts: int
    missing: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits, best first, and how they were found.

    `took_ms` is the database's part, `embedding_ms` and `rerank_ms` are those of the models. `plan` names the ways
    taken: `index` through the graph, `exact` by comparing all that qualifies, `words`. `considered` is the number of
    rows that were compared exactly or weighed by words; through the graph, the candidates that it kept (`ef_search`,
    None without a graph). `degraded` is None while the space has all its vectors; `rag-assets repair` restores them.
    """

    query: str
    mode: Mode
    space: int
    hits: list[Hit]
    took_ms: float
    embedding_ms: float
    rerank_ms: float
    plan: str
    considered: int
    ef_search: int | None
    degraded: Degraded | None = None
