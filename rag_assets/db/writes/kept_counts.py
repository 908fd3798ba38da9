"""Counts that are kept until one of their rows is written: a run in which nothing changed counts nothing.

They are watermarks as those of checks are, with the same protection: a change that a trigger recorded and that the
count's snapshot does not show voids it, also where a transaction commits late or the database was restored. So do
another number of documents, a text that waits, and another file of a table (after TRUNCATE, or a new partition).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    Engine,
    Select,
    Text,
    Uuid,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
)

from rag_assets.db.database import autocommit_connection
from rag_assets.db.models import SCHEMA, Document, DocumentChunk, EmbeddingSpace, RowChange
from rag_assets.db.spaces.partitions import count_vectors, partition_name, table_names
from rag_assets.db.spaces.pending import count_next_texts, count_pending_texts, staged_document_ids
from rag_assets.db.spaces.shards import ProjectShard, in_shard
from rag_assets.db.writes.check_progress import SPACE, CheckScope, Watermark, is_unseen

PROJECT_TEXTS = "project_texts"
SPACE_VECTORS = "space_vectors"


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Of a project or shard in a space: its chunks, their distinct texts, and those of them that have no vector."""

    chunks: int
    distinct: int
    pending: int = 0
    # A next version or another split waits for its vectors.
    has_waiting: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.pending and not self.has_waiting


def known_project_texts(
    engine: Engine, space: EmbeddingSpace, slices: Sequence[ProjectShard]
) -> dict[ProjectShard, TextCounts]:
    """The counts that still hold; only slices without any pending or waiting text have them."""
    with autocommit_connection(engine) as connection:
        seen, scope = begin_count(connection, PROJECT_TEXTS, space)
        known, marks = _known(connection, scope, seen, space, slices)
    scope.save(engine, marks)
    return known


def count_project_texts(
    engine: Engine, space: EmbeddingSpace, slices: Sequence[ProjectShard]
) -> dict[ProjectShard, TextCounts]:
    """Same as `known_project_texts`; the other slices are counted, and kept where they are complete."""
    with autocommit_connection(engine) as connection:
        seen, scope = begin_count(connection, PROJECT_TEXTS, space)
        counts, marks = _known(connection, scope, seen, space, slices)
        for one in slices:
            if one in counts:
                continue
            row = connection.execute(_select_counts(space, one)).one()
            counts[one] = TextCounts(row.chunks, row.distinct, row.pending, row.has_waiting)
            if counts[one].is_complete:
                figures = {"documents": row.documents, "chunks": row.chunks, "distinct": row.distinct}
                marks.append(Watermark(one.project_id, seen, 0, figures, one.shard))
    scope.save(engine, marks)
    return counts


def count_space_vectors(engine: Engine, space: EmbeddingSpace) -> int:
    """Same as `count_vectors`, which is only called where vectors were written since the last time."""
    of_space = RowChange.space_id == space.id
    with autocommit_connection(engine) as connection:
        seen, scope = begin_count(connection, SPACE_VECTORS, space)
        mark = scope.of_space(connection)
        if mark.seen and not connection.scalar(select(exists().where(of_space, is_unseen(mark.seen)))):
            return int(mark.figures["vectors"])
        vectors = count_vectors(connection, space)
    scope.save(engine, [Watermark(SPACE, seen, 0, {"vectors": vectors})])
    return vectors


def begin_count(connection: Connection, name: str, space: EmbeddingSpace) -> tuple[str, CheckScope]:
    """The snapshot to count the space's rows in, and the scope to keep the count under."""
    vectors = partition_name(space.id)
    # The partitioned table, which a partition that was detached is no part of.
    root = func.coalesce(cast(func.pg_partition_root(func.to_regclass(f"{SCHEMA}.{vectors}")), Text), "none")
    return _begin(connection, name, f"space {space.id}", ("documents", "document_chunks", *table_names(space)), root)


def begin_count_of_chunks(connection: Connection, name: str, chunking: str, version: str) -> tuple[str, CheckScope]:
    """Same as `begin_count`, of the chunks of a chunking."""
    return _begin(connection, name, chunking, ("document_chunks", "document_chunkings"), version)


def _begin(
    connection: Connection, name: str, scope: str, tables: Sequence[str], version: Any
) -> tuple[str, CheckScope]:
    """The version has the files that the rows are in: no trigger sees a table that was made again."""
    files = [func.pg_relation_filenode(func.to_regclass(f"{SCHEMA}.{table}")) for table in tables]
    names = [func.coalesce(cast(file, Text), "none") for file in files]
    seen, full_version = connection.execute(
        select(cast(func.pg_current_snapshot(), Text), func.concat_ws(" ", "1", version, *names))
    ).one()
    return seen, CheckScope(name, scope, full_version)


def _known(
    connection: Connection, scope: CheckScope, seen: str, space: EmbeddingSpace, slices: Sequence[ProjectShard]
) -> tuple[dict[ProjectShard, TextCounts], list[Watermark]]:
    """The counts that hold, and the watermarks to move on: the changes that they have seen are kept no longer."""
    marks = scope.of_slices(connection, slices)
    states = connection.execute(_select_states(space, marks)).all() if marks else []
    known, moved = {}, []
    for mark, state in zip(marks, states, strict=True):
        if state.documents == mark.figures["documents"] and not state.is_changed:
            counts = TextCounts(mark.figures["chunks"], mark.figures["distinct"])
            known[ProjectShard(mark.project_id, mark.shard)] = counts
            if state.has_unseen:
                moved.append(replace(mark, seen=seen))
    return known, moved


def _select_states(space: EmbeddingSpace, marks: Sequence[Watermark]) -> Select[Any]:
    """Of each watermark, in order: the project's documents, and whether one of its rows has changed since."""
    table = (
        func.unnest(
            literal([mark.project_id for mark in marks], ARRAY(Uuid)),
            literal([mark.seen for mark in marks], ARRAY(Text)),
        )
        .table_valued(column("project_id"), column("seen"), with_ordinality="number", name="marks")
        .render_derived()
    )
    of_project = Document.project_id == table.c.project_id
    documents = select(func.count()).select_from(Document).where(of_project).correlate(table).scalar_subquery()
    unseen = is_unseen(table.c.seen)
    written = exists().where(RowChange.document_id == Document.id, of_project, unseen)
    chunk = DocumentChunk
    of_text = exists().where(
        RowChange.space_id == space.id,
        unseen,
        RowChange.content_hash == chunk.content_hash,
        chunk.chunking == space.chunking,
        chunk.document_id == Document.id,
        of_project,
    )
    waits = staged_document_ids().where(of_project).correlate(table).exists()
    return (
        select(
            documents.label("documents"),
            exists().where(unseen).correlate(table).label("has_unseen"),
            or_(waits, written.correlate(table), of_text.correlate(table)).label("is_changed"),
        )
        .select_from(table)
        .order_by(table.c.number)
    )


def _select_counts(space: EmbeddingSpace, one: ProjectShard) -> Select[Any]:
    """All counts, in one statement: they are of one state."""
    of_project = Document.project_id == one.project_id
    documents = select(func.count()).select_from(Document).where(of_project)
    chunks = (
        select(func.count())
        .select_from(DocumentChunk)
        .join(Document, Document.id == DocumentChunk.document_id)
        .where(of_project, in_shard(one.shard), DocumentChunk.chunking == space.chunking)
    )
    distinct = count_next_texts(space, one.project_id, one.shard)
    pending = count_pending_texts(space, one.project_id, shard=one.shard)
    return select(
        documents.scalar_subquery().label("documents"),
        chunks.scalar_subquery().label("chunks"),
        distinct.scalar_subquery().label("distinct"),
        pending.scalar_subquery().label("pending"),
        staged_document_ids(one.project_id).exists().label("has_waiting"),
    )
