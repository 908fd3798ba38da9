"""How far checks have read: watermarks that only a passing check moves on, and the changes since then.

A watermark is a snapshot of the server, not a time or a number: a transaction that commits late is not overlooked. It
is void where it is newer than the server, as after a restore into another one, and for another version of the check.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import errors
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    Engine,
    Select,
    Text,
    Uuid,
    cast,
    column,
    delete,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
    union,
)
from sqlalchemy.dialects.postgresql import BIT, insert
from sqlalchemy.exc import DBAPIError

from rag_assets.db.models import CheckWatermark, Document, DocumentChunk, EmbeddingSpace, Project, RowChange
from rag_assets.db.spaces.shards import ProjectShard, shard_number
from rag_assets.documents.shards import WHOLE, Shard, split_key

# Document ids and hashes begin with 32 bits that are as good as random: a rotation is over these.
POSITIONS = 2**32
SPACE = UUID(int=0)
# A watermark that no run has moved for so long is dropped, with the changes that are kept for it alone; where there are
# more changes than `MOST_CHANGES`, after a day.
MAX_AGE_DAYS = 30
# Watermarks of counts and of work that is done, which runs trust as they trust those of checks.
KEPT = ("project_texts", "space_vectors", "orphans", "word_statistics")
MOST_CHANGES = 100_000

# Without a watermark every check reads everything, and needs no change.
_PRUNE = text(
    "DELETE FROM rag.row_changes WHERE NOT EXISTS (SELECT FROM rag.check_watermarks) OR xid < "
    "(SELECT min(pg_snapshot_xmin(seen\\:\\:pg_snapshot)\\:\\:text\\:\\:bigint) FROM rag.check_watermarks)"
)


@dataclass(frozen=True, slots=True)
class Watermark:
    """Of one project or shard, or of a space; `seen` is None when everything is to be read."""

    project_id: UUID
    seen: str | None = None
    position: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)
    shard: Shard = WHOLE

    def next_position(self, runs: int) -> int:
        """The end of the part that begins at `position`; a multiple of the step, also after a change of `runs`."""
        step = rotation_step(runs)
        return (self.position // step + 1) * step


@dataclass(frozen=True, slots=True)
class CheckScope:
    """One check over one scope: a chunking, or a space. `version` names all that decides its result beside the rows."""

    check: str
    scope: str
    version: str = "1"

    def of_projects(self, connection: Connection, projects: Sequence[str] | None = None) -> list[Watermark]:
        """The watermark of each project or shard (`name:01of16`); with None, of all projects."""
        keys = [split_key(key) for key in projects or ()]
        whole = [name for name, shard in keys if shard is None]
        marks = self._of_shard(connection, None if projects is None else whole, WHOLE)
        for name, shard in keys:
            if shard is not None:
                marks += self._of_shard(connection, [name], shard)
        return marks

    def _of_shard(self, connection: Connection, projects: Sequence[str] | None, shard: Shard) -> list[Watermark]:
        if projects is not None and not projects:
            return []
        columns = (Project.id, *self._columns())
        mine = self._is_valid(CheckWatermark.project_id == Project.id, shard)
        wanted = true() if projects is None else Project.name.in_(projects)
        rows = connection.execute(select(*columns).outerjoin(CheckWatermark, mine).where(wanted).order_by(Project.id))
        return [Watermark(id_, seen, position or 0, figures or {}, shard) for id_, seen, position, figures in rows]

    def of_slices(self, connection: Connection, slices: Sequence[ProjectShard]) -> list[Watermark]:
        """The watermarks of these projects and shards that have one."""
        shards = {(one.project_id, self._name(one.shard)): one.shard for one in slices}
        mine = tuple_(CheckWatermark.project_id, CheckWatermark.check_name).in_(list(shards))
        columns = (CheckWatermark.project_id, CheckWatermark.check_name, *self._columns())
        rows = connection.execute(select(*columns).where(self._is_of_scope(), mine))
        return [
            Watermark(project_id, seen, position, figures, shards[project_id, name])
            for project_id, name, seen, position, figures in rows
        ]

    def of_space(self, connection: Connection) -> Watermark:
        row = connection.execute(select(*self._columns()).where(self._is_valid(CheckWatermark.project_id == SPACE)))
        found = row.one_or_none()
        return Watermark(SPACE) if found is None else Watermark(SPACE, *found)

    def save(self, engine: Engine, watermarks: Sequence[Watermark]) -> None:
        """Move on after the check has passed. Where nothing may be written, the next run reads everything again."""
        values = [
            {
                "check_name": self._name(one.shard),
                "scope": self.scope,
                "version": self.version,
                "project_id": one.project_id,
                "seen": one.seen,
                "position": one.position % POSITIONS,
                "figures": dict(one.figures),
            }
            for one in watermarks
        ]
        if not values:
            return
        statement = insert(CheckWatermark)
        moved = {name: statement.excluded[name] for name in ("version", "seen", "position", "figures")}
        statement = statement.on_conflict_do_update(
            index_elements=["check_name", "scope", "project_id"], set_=moved | {"updated_at": func.now()}
        )
        _write(engine, lambda connection: connection.execute(statement, values))

    def forget(self, engine: Engine, watermarks: Sequence[Watermark]) -> None:
        """After a check has failed: the next run reads and counts everything."""
        gone = delete(CheckWatermark).where(
            CheckWatermark.scope == self.scope,
            tuple_(CheckWatermark.check_name, CheckWatermark.project_id).in_(
                [(self._name(one.shard), one.project_id) for one in watermarks]
            ),
        )

        def forget(connection: Connection) -> None:
            connection.execute(gone)
            forget_progress(connection, KEPT)

        _write(engine, forget)

    def _columns(self) -> tuple[Any, ...]:
        return CheckWatermark.seen, CheckWatermark.position, CheckWatermark.figures

    def _name(self, shard: Shard) -> str:
        """Each shard has its own watermark."""
        return f"{self.check} {shard.suffix}" if shard.suffix else self.check

    def _is_valid(self, of_whom: ColumnElement[bool], shard: Shard = WHOLE) -> ColumnElement[bool]:
        return (CheckWatermark.check_name == self._name(shard)) & of_whom & self._is_of_scope()

    def _is_of_scope(self) -> ColumnElement[bool]:
        newest = func.pg_snapshot_xmax(func.pg_snapshot(CheckWatermark.seen))
        return (
            (CheckWatermark.scope == self.scope)
            & (CheckWatermark.version == self.version)
            & (newest <= func.pg_snapshot_xmax(func.pg_current_snapshot()))
        )


def _write(engine: Engine, write: Callable[[Connection], object]) -> None:
    try:
        with engine.begin() as connection:
            write(connection)
            prune_changes(connection)
    except DBAPIError as error:
        if not isinstance(error.orig, errors.ReadOnlySqlTransaction | errors.InsufficientPrivilege):
            raise


def forget_counts(engine: Engine) -> None:
    """Let the next run count everything that it would take from watermarks."""
    _write(engine, lambda connection: forget_progress(connection, KEPT))


def rotation_step(runs: int) -> int:
    return -(-POSITIONS // runs)


def current_snapshot(connection: Connection) -> str:
    """To be taken before the rows are read."""
    return str(connection.scalar(select(cast(func.pg_current_snapshot(), Text))))


def forget_progress(connection: Connection, checks: Sequence[str]) -> None:
    """Let these checks read everything in the next run."""
    connection.execute(delete(CheckWatermark).where(func.split_part(CheckWatermark.check_name, " ", 1).in_(checks)))


def prune_changes(connection: Connection) -> None:
    """Delete the changes that every watermark has seen, and watermarks that are moved no more, or only after long."""
    mark = CheckWatermark
    project_is_gone = (mark.project_id != SPACE) & mark.project_id.not_in(select(Project.id))
    spaces = select(func.concat("space ", EmbeddingSpace.id)).where(EmbeddingSpace.status != "retired")
    space_is_gone = mark.scope.startswith("space ") & mark.scope.not_in(spaces)
    connection.execute(delete(mark).where(project_is_gone | space_is_gone | _is_older(MAX_AGE_DAYS)))
    connection.execute(_PRUNE)
    some = select(RowChange.xid).limit(MOST_CHANGES + 1).subquery()
    if (connection.scalar(select(func.count()).select_from(some)) or 0) > MOST_CHANGES:
        connection.execute(delete(mark).where(_is_older(1)))
        connection.execute(_PRUNE)


def _is_older(days: int) -> ColumnElement[bool]:
    return CheckWatermark.updated_at < func.now() - func.make_interval(0, 0, 0, days)


def select_documents_to_read(
    watermarks: Sequence[Watermark], runs: int, *, vectors_of: EmbeddingSpace | None = None
) -> CompoundSelect[UUID]:
    """The documents that were changed since the watermark of their project, and those next in its rotation.

    With `vectors_of`, a vector of that space that was changed or deleted counts as a change of its documents.
    """
    marks = (
        func.unnest(
            literal([one.project_id for one in watermarks], ARRAY(Uuid)),
            literal([one.seen for one in watermarks], ARRAY(Text)),
            literal([one.position for one in watermarks], ARRAY(BigInteger)),
            # Of a project that was never read, all documents.
            literal([one.next_position(runs) if one.seen else POSITIONS for one in watermarks], ARRAY(BigInteger)),
            literal([one.shard.number for one in watermarks], ARRAY(BigInteger)),
            literal([one.shard.of for one in watermarks], ARRAY(BigInteger)),
        )
        .table_valued(*map(column, ("project_id", "seen", "first", "last", "shard", "shards")), name="marks")
        .render_derived()
    )
    position = _id_position(Document.id)
    of_project = select(Document.id).join(marks, marks.c.project_id == Document.project_id)
    if any(one.shard.of > 1 for one in watermarks):
        is_whole = marks.c.shards == 1
        of_project = of_project.where(is_whole | (shard_number(Document.file_path, marks.c.shards) == marks.c.shard))
    next_part = of_project.where(position >= marks.c.first, position < marks.c.last)
    unseen = is_unseen(marks.c.seen)
    parts = [next_part, of_project.join(RowChange, RowChange.document_id == Document.id).where(unseen)]
    if vectors_of is not None:
        chunk = DocumentChunk
        parts.append(
            of_project.join(chunk, (chunk.document_id == Document.id) & (chunk.chunking == vectors_of.chunking))
            .join(RowChange, RowChange.content_hash == chunk.content_hash)
            .where(RowChange.space_id == vectors_of.id, unseen)
        )
    return union(*parts)


def select_changed_hashes(space: EmbeddingSpace, watermark: Watermark, *, with_chunks: bool = False) -> Select[Any]:
    """The hashes whose vectors in this space were written since then; `with_chunks`, also of chunks that are gone."""
    of_vector = RowChange.space_id == space.id
    of_chunk = RowChange.space_id.is_(None) & RowChange.content_hash.is_not(None)
    wanted = of_vector | of_chunk if with_chunks else of_vector
    return select(RowChange.content_hash).where(wanted, is_unseen(watermark.seen)).distinct()


def hash_bounds(watermark: Watermark, runs: int) -> tuple[bytes, bytes | None]:
    """The first hash of the part that is next in the rotation, and the first one after it; None is the end."""
    end = watermark.next_position(runs)
    return watermark.position.to_bytes(4, "big"), None if end >= POSITIONS else end.to_bytes(4, "big")


def is_unseen(seen: Any) -> ColumnElement[bool]:
    unseen: ColumnElement[bool] = ~func.pg_visible_in_snapshot(
        func.xid8(cast(RowChange.xid, Text)), func.pg_snapshot(seen)
    )
    return unseen


def _id_position(id_: Any) -> ColumnElement[int]:
    return cast(cast(func.concat("x", func.left(cast(id_, Text), 8)), BIT(32)), BigInteger)
