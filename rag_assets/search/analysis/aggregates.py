"""Averages and distributions over many chunks; the database does the arithmetic."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    join,
    literal,
    select,
    true,
)

from rag_assets.db.index.definition import OPERATORS
from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces.vector_codec import AnyVector
from rag_assets.search.analysis.chunk_selection import check_projects, mean_vector, select_vectors
from rag_assets.search.execution.executor import SearchContext
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.request import SearchRequest
from rag_assets.validation import check_integer

MAX_NEAREST = 1_000
MAX_BUCKETS = 1_000


@dataclass(frozen=True, slots=True)
class NearDocument:
    """`distance` is that of its nearest chunk; `mean_distance` is over its `chunks` that pass the filters."""

    document_id: UUID
    project: str
    file_path: str
    title: str | None
    chunks: int
    distance: float
    mean_distance: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """The number of chunks with `start` <= distance < `end`; the last bucket includes its end."""

    start: float
    end: float
    chunks: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Averages over the chunks that pass the filters and have a vector.

    - `vector`: the average; of length 1 in a space that compares by cosine, and None there where the vectors cancel
      each other out.
    - `documents`, `chunks`, `texts`: counts; `texts` are distinct. All are 0 and the rest is empty where no chunk
      passes.
    - `nearest`: the documents nearest to the vector that was given, else to `vector`.
    - `histogram`: chunks by their distance to it, in buckets of equal width from the nearest chunk to the farthest.

    Distances are the space's (cosine, l2, negative inner product), at full precision.
    """

    vector: list[float] | None
    documents: int
    chunks: int
    texts: int
    nearest: list[NearDocument]
    histogram: list[Bucket]


def answer_aggregate(
    space: EmbeddingSpace,
    context: SearchContext,
    request: SearchRequest,
    reference: SearchRequest | None,
    nearest: int,
    buckets: int,
) -> Aggregate:
    """`reference`: the text or vector to measure distances to; None is the average."""
    to = None if reference is None else context.embedder.embed(space, reference, context.live)[0]
    return context.live.read(space, aggregate, request.filters, to, nearest, buckets, timeout_s=request.timeout_s)


def aggregate(
    connection: Connection,
    space: EmbeddingSpace,
    filters: Filters = NO_FILTERS,
    to: AnyVector | None = None,
    nearest: int = 10,
    buckets: int = 20,
) -> Aggregate:
    """Averages over the chunks that pass the filters, in one statement, so at one moment.

    `to`: the vector that distances are measured to; unset, their own average. Raises UsageError for `nearest` or
    `buckets` out of range.
    """
    nearest = check_integer("nearest", nearest, 0, MAX_NEAREST)
    buckets = check_integer("buckets", buckets, 1, MAX_BUCKETS)
    check_projects(connection, filters)
    values = {"to": None if to is None else str(to), "nearest": nearest, "buckets": buckets}
    row = connection.execute(_statement(space, filters, to_average=to is None), values).one()
    near = [NearDocument(UUID(id_), *rest) for id_, *rest in row.near or []]
    counts = dict(row.histogram or [])
    width = (row.high - row.low) / buckets if counts else 0.0
    return Aggregate(
        vector=_average(row.vector, space),
        documents=row.documents,
        chunks=row.chunks,
        texts=row.texts,
        nearest=sorted(near, key=lambda one: (one.distance, one.project, one.file_path)),
        histogram=[
            Bucket(row.low + width * (number - 1), row.low + width * number, counts.get(number, 0))
            for number in range(1, (buckets if width else 1) + 1)
        ]
        if counts
        else [],
    )


def _average(vector: str | None, space: EmbeddingSpace) -> list[float] | None:
    """The numbers of the average; None where it has no direction to compare."""
    numbers = list(json.loads(vector)) if vector else []
    return numbers if any(numbers) or (numbers and space.distance != "cosine") else None


def _statement(space: EmbeddingSpace, filters: Filters, *, to_average: bool) -> Select[Any]:
    # Read again for each use: materialized, the vectors of a whole corpus would spill to disk.
    chosen = (
        select_vectors(space, filters, DocumentChunk.document_id, DocumentChunk.content_hash)
        .cte("chosen")
        .prefix_with("NOT MATERIALIZED", dialect="postgresql")
    )
    # Not in one query with the counts: their DISTINCT would sort all vectors, in a single process.
    centre = (
        select(mean_vector(space, chosen.c.embedding).label("vector"))
        .cte("centre")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    counts = select(
        func.count(chosen.c.document_id.distinct()).label("documents"),
        func.count().label("chunks"),
        func.count(chosen.c.content_hash.distinct()).label("texts"),
    ).cte("counts")
    to = select(centre.c.vector).scalar_subquery() if to_average else cast(bindparam("to"), VECTOR)

    distance = chosen.c.embedding.op(OPERATORS[space.distance], return_type=Float())(to)
    measured = (
        # The cosine distance of a vector of zeros is NaN.
        select(
            chosen.c.document_id,
            func.nullif(distance, literal("NaN", Text).cast(Float), type_=Float()).label("distance"),
        )
        .cte("measured")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    bounds = select(func.min(measured.c.distance).label("low"), func.max(measured.c.distance).label("high")).cte(
        "bounds"
    )
    number = case(
        (
            bounds.c.high > bounds.c.low,
            func.least(
                func.width_bucket(
                    measured.c.distance, bounds.c.low, bounds.c.high, bindparam("buckets", type_=Integer)
                ),
                bindparam("buckets", type_=Integer),
            ),
        ),
        else_=1,
    ).label("number")
    histogram = (
        select(number, func.count().label("chunks"))
        .join_from(measured, bounds, true())
        .where(measured.c.distance.is_not(None))
        .group_by(number)
        .cte("histogram")
    )
    of_documents = (
        select(
            measured.c.document_id,
            func.count().label("chunks"),
            func.min(measured.c.distance).label("distance"),
            func.avg(measured.c.distance).label("mean_distance"),
        )
        .where(measured.c.distance.is_not(None))
        .group_by(measured.c.document_id)
        .cte("of_documents")
    )
    near = (
        select(of_documents, Project.name.label("project"), Document.file_path, Document.title)
        .join(Document, Document.id == of_documents.c.document_id)
        .join(Project, Project.id == Document.project_id)
        .order_by(of_documents.c.distance, Project.name, Document.file_path)
        .limit(bindparam("nearest", type_=Integer))
        .cte("near")
    )
    near_values = func.jsonb_build_array(
        near.c.document_id,
        near.c.project,
        near.c.file_path,
        near.c.title,
        near.c.chunks,
        near.c.distance,
        near.c.mean_distance,
    )
    histogram_values = func.jsonb_build_array(histogram.c.number, histogram.c.chunks)
    return select(
        cast(centre.c.vector, Text).label("vector"),
        counts.c.documents,
        counts.c.chunks,
        counts.c.texts,
        bounds.c.low,
        bounds.c.high,
        select(func.jsonb_agg(near_values)).scalar_subquery().label("near"),
        select(func.jsonb_agg(histogram_values)).scalar_subquery().label("histogram"),
    ).select_from(join(centre, counts, true()).join(bounds, true()))
