"""The SQL of keyword search: candidates from an index or of given documents, their BM25 scores, and the best of them.

The formula is Okapi BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond"
(2009), with the never-negative idf of Lucene; the length of a chunk is its number of tokens.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Select,
    Subquery,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    not_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, REGCONFIG, TSQUERY, TSVECTOR

from rag_assets.db.access.viewer import is_restricted
from rag_assets.db.connections.compiled import (
    Clauses,
    CompiledStatement,
    CompiledWithClauses,
    compile_statement,
    compile_with_clauses,
)
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.db.models.chunks import EMBEDDED_TEXT
from rag_assets.search.keyword.lexemes import LanguageQuery, verbatim_conditions
from rag_assets.search.keyword.term_selection import candidate_tsquery
from rag_assets.search.keyword.verbatim import raw_pattern

K1 = 1.2
B = 0.75

# As an offset, it keeps the planner from merging a subquery into the surrounding one.
_FENCE: ColumnElement[int] = literal_column("0")
# Bounds for the time of a viewer's search that nearly all chunks match: with conditions that drop some of them, and
# without, where it is the least and this multiple of the chunks wanted.
_MOST_MATCHES, _FEWER_MATCHES, _MATCHES_PER_CHUNK = 20_000, 5_000, 3
_MARK: ColumnElement[str] = literal_column("'A'")
_MARKED: ColumnElement[Any] = literal_column("'{a}'")


class ScoredChunk(NamedTuple):
    """A chunk with its score. `considered`, the number of chunks scored, is the same in all rows of a search."""

    id: UUID
    score: float
    project: str
    file_path: str
    chunk_index: int
    considered: int


def top_chunks_by_index(
    connection: Connection,
    queries: Sequence[LanguageQuery],
    clauses: Clauses,
    k: int,
    most: int,
) -> list[ScoredChunk]:
    """The `k` best chunks that meet the clauses, among about `most` candidates from the full-text index.

    All chunks that share a term with the query are candidates where they are no more than `most`.
    """
    # The limit bounds the time where terms do not occur independently, or a single one is too common.
    # A viewer's statistics are those of a sample, and the function has a limit of its own.
    restricted = is_restricted(connection)
    limits = tuple(2 * most if query.max_matching_chunks > most and not restricted else None for query in queries)
    values = _bind_values(queries, most)
    verbatim = [verbatim_conditions(query) for query in queries]
    if restricted:
        drops_some = bool(clauses) or any(verbatim)
        values["most_matches"] = _MOST_MATCHES if drops_some else max(_FEWER_MATCHES, _MATCHES_PER_CHUNK * k)
    if not any(verbatim):
        compiled = _compiled_index_statement(limits, k, clauses, restricted=restricted)
        rows = run_compiled(connection, compiled.statement, compiled.values(clauses, values))
        return [ScoredChunk(*row) for row in rows]
    parts = [
        _score_index_candidates(index, limits[index], verbatim[index], clauses.clauses, restricted=restricted)
        for index in range(len(queries))
    ]
    statement = _top(parts, k)
    return [ScoredChunk(*row) for row in connection.execute(statement, values)]


def top_chunks_of_documents(
    connection: Connection, queries: Sequence[LanguageQuery], documents: Sequence[UUID], k: int
) -> list[ScoredChunk]:
    """The `k` best chunks of these documents, all of which are scored."""
    values = _bind_values(queries, None) | {"documents": list(documents)}
    verbatim = [verbatim_conditions(query) for query in queries]
    if not any(verbatim):
        rows = run_compiled(connection, _compiled_documents_statement(len(queries), k), values)
        return [ScoredChunk(*row) for row in rows]
    statement = _top([_score_documents(index, conditions) for index, conditions in enumerate(verbatim)], k)
    return [ScoredChunk(*row) for row in connection.execute(statement, values)]


def top_chunks_with_phrases(
    connection: Connection,
    queries: Sequence[LanguageQuery],
    conditions: Sequence[ColumnElement[bool]],
    k: int,
    most: int,
) -> list[ScoredChunk]:
    """The `k` best of at most `most` chunks with the phrases of queries that have only stop words.

    No index has these: the texts of all chunks are read.
    """
    values: dict[str, Any] = {}
    for index, query in enumerate(queries):
        values |= {f"chunking_{index}": query.chunking, f"language_{index}": query.language}
        values |= {f"least_{index}": K1 * (1 - B), f"per_token_{index}": K1 * B / query.mean_tokens}
    parts = [_score_phrases(index, query, conditions, most) for index, query in enumerate(queries)]
    return [ScoredChunk(*row) for row in connection.execute(_top(parts, k), values)]


@lru_cache(maxsize=256)
def _compiled_index_statement(
    limits: tuple[int | None, ...], k: int, clauses: Clauses, *, restricted: bool
) -> CompiledWithClauses:
    # Building the statement can take longer than the search.
    parts = [
        _score_index_candidates(index, limit, (), clauses.clauses, restricted=restricted)
        for index, limit in enumerate(limits)
    ]
    return compile_with_clauses(_top(parts, k), clauses)


@lru_cache(maxsize=256)
def _compiled_documents_statement(languages: int, k: int) -> CompiledStatement:
    return compile_statement(_top([_score_documents(index, ()) for index in range(languages)], k))


def _bind_values(queries: Sequence[LanguageQuery], most: int | None) -> dict[str, Any]:
    """The parameters of the statements below; their names end with the index of the language."""
    values: dict[str, Any] = {}
    for index, query in enumerate(queries):
        candidates = candidate_tsquery(query.terms, query.chunks, query.max_matching_chunks if most is None else most)
        preferred = [query.preferred] if query.preferred else []
        parts = [candidates, *preferred, *query.phrases, *(f"!({part})" for part in query.excluded)]
        of_language = {
            "chunking": query.chunking,
            "language": query.language,
            "wanted": " & ".join(f"({part})" for part in parts),
            "lexemes": [term.lexeme for term in query.terms],
            "weights": [term.idf(query.chunks) * (K1 + 1) for term in query.terms],
            "least": K1 * (1 - B),
            "per_token": K1 * B / query.mean_tokens,
        }
        values |= {f"{name}_{index}": value for name, value in of_language.items()}
    return values


def _bound(name: str, index: int, type_: Any) -> ColumnElement[Any]:
    return cast(bindparam(f"{name}_{index}", type_=type_), type_)


def _score_index_candidates(
    index: int,
    limit: int | None,
    verbatim: Sequence[ColumnElement[bool]] = (),
    conditions: Sequence[ColumnElement[bool]] = (),
    *,
    restricted: bool = False,
) -> Select[Any]:
    columns = (
        DocumentChunk.id,
        DocumentChunk.document_id,
        DocumentChunk.chunk_index,
        DocumentChunk.token_count,
        DocumentChunk.tsv,
    )
    if restricted:
        matches = _readable_matches(index)
        chosen = select(*(matches.c[column.key] for column in columns))
        if verbatim:
            chosen = chosen.join(DocumentChunk, DocumentChunk.id == matches.c.id).where(*verbatim)
    else:
        matching = DocumentChunk.tsv.op("@@")(_tsquery(index))
        chosen = select(*columns).where(*_language_conditions(index), matching, *verbatim)
    found = chosen.limit(limit).subquery("found")
    scored = select(found.c.id, found.c.document_id, found.c.chunk_index, _bm25_score(index, found))
    return _where_passing(scored, found, conditions)


def _readable_matches(index: int) -> Any:
    """What the viewer may read of the chunks that match, from the index: under a policy, no index serves `@@`."""
    language = cast(bindparam(f"language_{index}", type_=Text), REGCONFIG)
    found = func.rag.readable_matches(
        bindparam(f"chunking_{index}", type_=Text),
        language,
        _tsquery(index),
        cast(bindparam("most_matches", type_=BigInteger), BigInteger),
    )
    columns = (
        column("id", Uuid),
        column("document_id", Uuid),
        column("chunk_index", Integer),
        column("token_count", Integer),
        column("tsv", TSVECTOR),
    )
    return found.table_valued(*columns, name=f"matches_{index}")


def _where_passing(scored: Select[Any], found: Subquery, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    if not conditions:
        return scored
    # Fenced, to look up each candidate: otherwise the planner evaluates the conditions for all documents.
    passing = (
        select(Document.id)
        .join(Project, Project.id == Document.project_id)
        .where(Document.id == found.c.document_id, *conditions)
        .offset(_FENCE)
        .lateral("passing")
    )
    return scored.join(passing, true())


def _score_phrases(
    index: int, query: LanguageQuery, conditions: Sequence[ColumnElement[bool]], most: int
) -> Select[Any]:
    """The formula of BM25 for a phrase as if it were a term."""
    chunk = DocumentChunk
    excluded = [not_(chunk.tsv.bool_op("@@")(cast(part, TSQUERY))) for part in query.excluded]
    times = func.regexp_count(EMBEDDED_TEXT, raw_pattern(query.verbatim), 1, "i")
    matching = select(chunk.id, chunk.document_id, chunk.chunk_index, chunk.token_count, times.label("times")).where(
        *_language_conditions(index), *verbatim_conditions(query), *excluded
    )
    found = matching.limit(most).subquery("found")
    having = cast(func.count().over(), Double)
    idf = func.ln(1 + (query.chunks - func.least(having, query.chunks) + 0.5) / (having + 0.5))
    length = _bound("least", index, Double) + _bound("per_token", index, Double) * found.c.token_count
    count = cast(func.greatest(found.c.times, 1), Double)
    score = idf * count * (K1 + 1) / (count + length)
    scored = select(found.c.id, found.c.document_id, found.c.chunk_index, score.label("score"))
    return _where_passing(scored, found, conditions)


def _score_documents(index: int, verbatim: Sequence[ColumnElement[bool]]) -> Select[Any]:
    chunk = DocumentChunk.__table__
    return select(chunk.c.id, chunk.c.document_id, chunk.c.chunk_index, _bm25_score(index, chunk)).where(
        *_language_conditions(index),
        chunk.c.document_id == func.any(bindparam("documents", type_=ARRAY(Uuid))),
        # The function of the @@ operator, which no index serves: finding the chunks by document is faster.
        func.ts_match_vq(chunk.c.tsv, _tsquery(index)),
        *verbatim,
    )


def _language_conditions(index: int) -> list[ColumnElement[bool]]:
    return [
        DocumentChunk.chunking == bindparam(f"chunking_{index}", type_=Text),
        DocumentChunk.language == cast(bindparam(f"language_{index}", type_=Text), REGCONFIG),
    ]


def _tsquery(index: int) -> ColumnElement[Any]:
    return cast(bindparam(f"wanted_{index}", type_=Text), TSQUERY)


def _bm25_score(index: int, chunk: Any) -> ColumnElement[Any]:
    # Marking the query's lexemes in the tsvector and filtering out the others is done in C; unnesting all lexemes would
    # take ten times as long.
    lexemes: Any = _bound("lexemes", index, ARRAY(Text))
    # An array parameter can only be subscripted inside an expression.
    weights: Any = func.coalesce(_bound("weights", index, ARRAY(Double)), type_=ARRAY(Double))
    marked = func.setweight(chunk.c.tsv, _MARK, lexemes)
    shared = func.unnest(func.ts_filter(marked, _MARKED)).table_valued("lexeme", "positions").render_derived()
    length = _bound("least", index, Double) + _bound("per_token", index, Double) * chunk.c.token_count
    times = cast(func.cardinality(shared.c.positions), Double)
    weight = weights[func.array_position(lexemes, shared.c.lexeme)]
    return select(func.sum(weight * times / (times + length))).select_from(shared).scalar_subquery().label("score")


def _top(parts: Sequence[Select[Any]], k: int) -> Select[Any]:
    """The `k` best chunks with the number of chunks scored, as the columns of ScoredChunk."""
    # Fenced, to score before sorting: the sort then holds scores instead of tsvectors.
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
