"""The statements of search by words: candidates through an index or from a filter, BM25 of each, the best of them.

The formula is Okapi BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with the never-negative idf of Lucene; the length of a chunk is its number of tokens.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    Subquery,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, REGCONFIG, TSQUERY

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.search.keyword.lexemes import LanguageQuery, verbatim_conditions
from rag_assets.search.keyword.term_selection import candidate_tsquery

K1 = 1.2
B = 0.75

# An offset keeps the planner from merging a query into the one around it.
_FENCE: ColumnElement[int] = literal_column("0")
_MARK: ColumnElement[str] = literal_column("'A'")
_MARKED: ColumnElement[Any] = literal_column("'{a}'")


class ScoredChunk(NamedTuple):
    """A chunk with its score; `considered` is the same in all rows of a search: how many chunks were scored."""

    id: UUID
    score: float
    project: str
    file_path: str
    chunk_index: int
    considered: int


def top_chunks_by_index(
    connection: Connection, asked: Sequence[LanguageQuery], conditions: Sequence[ColumnElement[bool]], k: int, most: int
) -> list[ScoredChunk]:
    """The best of about `most` candidates (all where they are no more) that meet the conditions."""
    # The limit bounds the time where words are not strewn independently, or one alone is too common.
    limits = tuple(2 * most if one.mentions > most else None for one in asked)
    values = _bind_values(asked, most)
    said = [verbatim_conditions(one) for one in asked]
    if not conditions and not any(said):
        return [ScoredChunk(*row) for row in run_compiled(connection, _compiled_index_statement(limits, k), values)]
    parts = [_score_index_candidates(place, limits[place], said[place], conditions) for place in range(len(asked))]
    statement = _top(parts, k)
    return [ScoredChunk(*row) for row in connection.execute(statement, values)]


def top_chunks_of_documents(
    connection: Connection, asked: Sequence[LanguageQuery], documents: Sequence[UUID], k: int
) -> list[ScoredChunk]:
    """The best of all chunks of these documents."""
    values = _bind_values(asked, None) | {"documents": list(documents)}
    statement = _top([_score_documents(place, verbatim_conditions(one)) for place, one in enumerate(asked)], k)
    return [ScoredChunk(*row) for row in connection.execute(statement, values)]


@lru_cache(maxsize=256)
def _compiled_index_statement(limits: tuple[int | None, ...], k: int) -> CompiledStatement:
    # Putting the statement together takes longer than many a search.
    return compile_statement(_top([_score_index_candidates(place, limit) for place, limit in enumerate(limits)], k))


def _bind_values(asked: Sequence[LanguageQuery], most: int | None) -> dict[str, Any]:
    """What the statements below name, by the place of the language."""
    values: dict[str, Any] = {}
    for place, one in enumerate(asked):
        found = candidate_tsquery(one.words, one.chunks, one.mentions if most is None else most)
        parts = [found, *one.phrases, *(f"!({part})" for part in one.excluded)]
        own = {
            "chunking": one.chunking,
            "language": one.language,
            "wanted": " & ".join(f"({part})" for part in parts),
            "lexemes": [word.lexeme for word in one.words],
            "weights": [word.weight(one.chunks) * (K1 + 1) for word in one.words],
            "least": K1 * (1 - B),
            "per_token": K1 * B / one.mean_tokens,
        }
        values |= {f"{name}_of_{place}": value for name, value in own.items()}
    return values


def _bound(name: str, place: int, type_: Any) -> ColumnElement[Any]:
    return cast(bindparam(f"{name}_of_{place}", type_=type_), type_)


def _score_index_candidates(
    place: int,
    limit: int | None,
    said: Sequence[ColumnElement[bool]] = (),
    conditions: Sequence[ColumnElement[bool]] = (),
) -> Select[Any]:
    chosen = select(
        DocumentChunk.id,
        DocumentChunk.document_id,
        DocumentChunk.chunk_index,
        DocumentChunk.token_count,
        DocumentChunk.tsv,
    ).where(*_language_conditions(place), DocumentChunk.tsv.op("@@")(_tsquery(place)), *said)
    found = chosen.limit(limit).subquery("found")
    scored = select(found.c.id, found.c.document_id, found.c.chunk_index, _bm25_score(place, found))
    if conditions:
        # Looked up for each candidate: the planner would rather evaluate the conditions for all documents.
        passing = (
            select(Document.id)
            .join(Project, Project.id == Document.project_id)
            .where(Document.id == found.c.document_id, *conditions)
            .offset(_FENCE)
            .lateral("passing")
        )
        scored = scored.join(passing, true())
    return scored


def _score_documents(place: int, said: Sequence[ColumnElement[bool]]) -> Select[Any]:
    chunk = DocumentChunk.__table__
    return select(chunk.c.id, chunk.c.document_id, chunk.c.chunk_index, _bm25_score(place, chunk)).where(
        *_language_conditions(place),
        chunk.c.document_id == func.any(bindparam("documents", type_=ARRAY(Uuid))),
        # The operator's function, which no index serves: the documents are the shorter way.
        func.ts_match_vq(chunk.c.tsv, _tsquery(place)),
        *said,
    )


def _language_conditions(place: int) -> list[ColumnElement[bool]]:
    return [
        DocumentChunk.chunking == bindparam(f"chunking_of_{place}", type_=Text),
        DocumentChunk.language == cast(bindparam(f"language_of_{place}", type_=Text), REGCONFIG),
    ]


def _tsquery(place: int) -> ColumnElement[Any]:
    return cast(bindparam(f"wanted_of_{place}", type_=Text), TSQUERY)


def _bm25_score(place: int, chunk: Any) -> ColumnElement[Any]:
    # Marking the question's lexemes in the tsvector and keeping only what is marked is done in C; to unnest all of
    # them would cost ten times that.
    lexemes: Any = _bound("lexemes", place, ARRAY(Text))
    # Within an expression, an array can be looked into.
    weights: Any = func.coalesce(_bound("weights", place, ARRAY(Double)), type_=ARRAY(Double))
    marked = func.setweight(chunk.c.tsv, _MARK, lexemes)
    shared = func.unnest(func.ts_filter(marked, _MARKED)).table_valued("lexeme", "positions").render_derived()
    length = _bound("least", place, Double) + _bound("per_token", place, Double) * chunk.c.token_count
    times = cast(func.cardinality(shared.c.positions), Double)
    weight = weights[func.array_position(lexemes, shared.c.lexeme)]
    return select(func.sum(weight * times / (times + length))).select_from(shared).scalar_subquery().label("score")


def _top(parts: Sequence[Select[Any]], k: int) -> Select[Any]:
    """The `k` best (id, score, project, file_path, chunk_index), with the number of those that were scored."""
    # Scored before anything is sorted, so that only scores are held and not the tsvectors.
    fenced = [part.offset(_FENCE) for part in parts]
    scored: Subquery = (union_all(*fenced) if len(parts) > 1 else fenced[0]).subquery("scored")
    best = (
        select(scored, func.count().over().label("considered"))
        .order_by(scored.c.score.desc())
        .fetch(k, with_ties=True)
        .subquery("best")
    )
    return (
        select(
            best.c.id,
            best.c.score,
            Project.name.label("project"),
            Document.file_path,
            best.c.chunk_index,
            best.c.considered,
        )
        .join(Document, Document.id == best.c.document_id)
        .join(Project, Project.id == Document.project_id)
        .order_by(best.c.score.desc(), Project.name, Document.file_path, best.c.chunk_index)
        .limit(k)
    )
