"""What a search returns: hits with all that a citation needs, and how they were found."""

from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

Mode = Literal["vector", "text", "hybrid"]


@dataclass(frozen=True, slots=True)
class ChunkCopy:
    """Another chunk with the text of a hit."""

    project: str
    file_path: str
    document_id: UUID
    chunk_id: UUID


# Not frozen: making ten frozen hits would be a considerable part of what a search costs its client.
@dataclass(slots=True)
class Hit:
    """One chunk that a search found.

    - `rank`: from 1, the best hit; the first of a page is `offset` + 1.
    - `score`: higher is better. By mode: `vector`, 1 - cosine distance, or the negative distance for l2 and l1, or the
      inner product; `text`, the BM25 score; `hybrid`, the reciprocal rank sum. A reranker's score replaces it. Scores
      of different modes, distances and rerankers are on different scales.
    - `parts`: the scores that it was made from, rounded to 6 digits: `vector`, `text`, `fused`, `rerank`.
    - `ranks`: in mode hybrid, the ranks that it has in the two rankings, from 1: `vector`, `text`; one is missing where
      it was not among the best of it.
    - `text`: the chunk. `char_start` and `char_end` are character offsets into the text of the document as it was at
      `source_version`: `content[char_start:char_end] == text`.
    - `context`: with the search option `context`, the text of the chunk and its neighbours; else None.
    - `header`: the names of the columns, where the chunk is a piece of a table; else None.
    - `page`: the page, slide or chapter with most of the text, from 1; None for a document without pages.
    - `recognised`: whether the text of the page was recognised in a picture, so that letters may be wrong.
    - `copies`: the other chunks with this text that pass the filters; see the search option `distinct`.
    - `chunk_index`: position of the chunk in its document, from 0. `heading_path`: headings above it, outermost first.
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
    header: str | None = None
    page: int | None = None
    recognised: bool = False
    parts: dict[str, float] = field(default_factory=dict)
    context: str | None = None
    copies: list[ChunkCopy] = field(default_factory=list)
    ranks: dict[str, int] = field(default_factory=dict)

    @property
    def embedded_text(self) -> str:
        """What was embedded: the header and the text, or the text alone."""
        return self.text if self.header is None else f"{self.header}\n{self.text}"

    def __repr__(self) -> str:
        place = f"{self.project}/{self.file_path}[{self.char_start}:{self.char_end}]"
        return f"<Hit {self.rank}: {place!a}, score {self.score:.4g}>"


@dataclass(frozen=True, slots=True)
class Degraded:
    """The live space lacks vectors: `missing` of its `texts` distinct texts, which vector search cannot find."""

    texts: int
    missing: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of a search, best first, and how they were found.

    - `query`: the text, or "" where the query was a vector. `space`: id of the embedding space that was searched.
    - `took_ms`: milliseconds in the database; `embedding_ms` and `rerank_ms`: in the models.
    - `plan`: `index` (through the graph), `exact` (comparing all rows that pass the filters), `words`; for hybrid
      `index, words` or `exact, words`.
    - `considered`: rows that were compared exactly or scored by BM25, and the candidates of the graph.
    - `ef_search`: candidates that the graph kept; None where the graph was not used.
    - `degraded`: None while the space has all its vectors. Else `rag-assets repair` restores them.
    - `excluded`: the words and phrases that no hit of keyword search may contain; see the option `operators`.
    - `timings`: milliseconds of the steps that were taken: `embed`, `vector`, `keyword`, `fuse`, `rerank`, `finish`.
      The spans of OpenTelemetry have these names after `rag_assets.`.
    - `corrected`: a word of the query that no text has, with the similar words that keyword search looked for instead
      because it had found nothing; empty where it found something.
    - `staleness_s`: None where the database itself answered. Else a read replica did, which was at most so many
      seconds behind.
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
    excluded: list[str] = field(default_factory=list)
    corrected: dict[str, list[str]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    staleness_s: float | None = None

    def __repr__(self) -> str:
        hits = f"{len(self.hits)} hit{'' if len(self.hits) == 1 else 's'}"
        degraded = ", degraded" if self.degraded else ""
        return f"<Answer: {hits}, {self.mode} ({self.plan}), {self.took_ms:g} ms{degraded}>"
