"""What many chunks have in common, and how they lie around it; the database does the arithmetic."""

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
from rag_assets.errors import UsageError
from rag_assets.search.analysis.chunk_selection import average, check_projects, chosen_vectors, mean_vector
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.validation import check_integer

MOST_NEAREST = 1_000
MOST_BUCKETS = 1_000


@dataclass(frozen=True, slots=True)
class NearDocument:
    """`distance` is that of its nearest chunk, as in searches; `mean_distance` is over its `chunks` that qualify."""

    document_id: UUID
    project: str
    file_path: str
    title: str | None
    chunks: int
    distance: float
    mean_distance: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many chunks are from `start` on and nearer than `end`; the last bucket has its end in it."""

    start: float
    end: float
    chunks: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Counts are of chunks that have a vector; where none qualifies they are 0, and the rest is empty.

    `vector` is the average, of length 1 in a space that compares by cosine; None there where the vectors cancel each
    other out. `nearest` and `histogram` go by the space's distance (cosine, l2, negative inner product), at full
    precision, from the vector that was given, else from `vector`; buckets are of equal width, from the nearest chunk
    to the farthest.
    """

    vector: list[float] | None
    documents: int
    chunks: int
    texts: int
    nearest: list[NearDocument]
    histogram: list[Bucket]


def centroid(
    connection: Connection, space: EmbeddingSpace, filters: Filters = NO_FILTERS, *, document_id: UUID | None = None
) -> list[float]:
    """The average vector of the chunks that filters leave, or of one document's; of length 1 for cosine.

    Raises UsageError where no chunk qualifies, where the vectors cancel each other out, and for an unknown document.
    """
    vector = average(connection, space, filters, document_id=document_id)
    if vector is None:
        raise UsageError(f"space {space.id} has no vectors of that to average; widen the filters, or ingest first.")
    return list(json.loads(vector))


def aggregate(
    connection: Connection,
    space: EmbeddingSpace,
    filters: Filters = NO_FILTERS,
    *,
    to: AnyVector | None = None,
    nearest: int = 10,
    buckets: int = 20,
) -> Aggregate:
    """What the chunks that filters leave have in common, in one statement, so of one moment.

    `to`: the vector that distances are measured to, of a question for example; unset: their own average. Raises
    UsageError for `nearest` or `buckets` out of range.
    """
    nearest, buckets = (
        check_integer("nearest", nearest, 0, MOST_NEAREST),
        check_integer("buckets", buckets, 1, MOST_BUCKETS),
    )
    check_projects(connection, filters)
    values = {"to": None if to is None else str(to), "nearest": nearest, "buckets": buckets}
    row = connection.execute(_statement(space, filters, to_own=to is None), values).one()
    near = [NearDocument(UUID(id_), *rest) for id_, *rest in row.near or []]
    counts = dict(row.histogram or [])
    width = (row.high - row.low) / buckets if counts else 0.0
    return Aggregate(
        vector=_points_somewhere(row.vector, space),
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


def _points_somewhere(vector: str | None, space: EmbeddingSpace) -> list[float] | None:
    numbers = list(json.loads(vector)) if vector else []
    return numbers if any(numbers) or (numbers and space.distance != "cosine") else None


def _statement(space: EmbeddingSpace, filters: Filters, *, to_own: bool) -> Select[Any]:
    # Read once more for each use: kept, the vectors of a whole corpus would go to disk.
    chosen = (
        chosen_vectors(space, filters, DocumentChunk.document_id, DocumentChunk.content_hash)
        .cte("chosen")
        .prefix_with("NOT MATERIALIZED", dialect="postgresql")
    )
    # Apart from the counts: a DISTINCT among them would have all vectors sorted, and by one process.
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
    to = select(centre.c.vector).scalar_subquery() if to_own else cast(bindparam("to"), VECTOR)

    apart = chosen.c.embedding.op(OPERATORS[space.distance], return_type=Float())(to)
    measured = (
        # A vector of zeros has no cosine.
        select(
            chosen.c.document_id, func.nullif(apart, literal("NaN", Text).cast(Float), type_=Float()).label("distance")
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
