"""The rows of embedding spaces: create, find, promote, drop; one space per kind is live."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rag_assets.db.access.roles import protect_partition
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH_BIT, DEFAULT_OVERSAMPLING
from rag_assets.db.schema.ddl import create_partition, drop_table
from rag_assets.db.schema.live_view import replace_live_view
from rag_assets.db.spaces.partitions import has_all_tables, has_partition, part_names, partition_name, probe_name
from rag_assets.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class SpaceDefinition:
    """All that identifies a space: equal definitions have the same `fingerprint`, and are one space."""

    kind: str
    fingerprint: str
    chunking: str
    chunking_settings: dict[str, Any]
    model: str
    revision: str
    dimensions: int
    max_tokens: int
    prompts: dict[str, str]
    normalize: bool
    distance: str
    storage: str
    m: int
    ef_construction: int
    method: str = "hnsw"
    parts: int = 1
    # Affects searches only, so it is not part of the fingerprint.
    oversampling: int = DEFAULT_OVERSAMPLING


def ensure_space(connection: Connection, definition: SpaceDefinition) -> EmbeddingSpace:
    """Find the space of this definition, or create it with an empty partition.

    A retired space starts building again, except after a rollback from it: it would not be promoted.
    """
    lock_spaces(connection)
    with Session(bind=connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
        by_fingerprint = select(EmbeddingSpace).where(EmbeddingSpace.fingerprint == definition.fingerprint)
        space = session.scalar(by_fingerprint)
        if space is None:
            search_width = {"ef_search": DEFAULT_EF_SEARCH_BIT} if definition.storage == "bit" else {}
            session.execute(insert(EmbeddingSpace).values(asdict(definition) | search_width).on_conflict_do_nothing())
            space = session.scalars(by_fingerprint).one()
        elif space.status == "retired" and space.rolled_back_at is None:
            space.status = "building"
        if space.oversampling != definition.oversampling:
            space.oversampling = definition.oversampling
        if space.chunking_settings != definition.chunking_settings:
            # With an equal fingerprint, only where the tokenizer and the server of a model over HTTP are.
            space.chunking_settings = definition.chunking_settings
        session.commit()
    if space.status != "retired" and not has_all_tables(connection, space):
        create_partition(connection, partition_name(space.id), space.id, part_names(space))
        protect_partition(connection, space.id)
    return space


def get_live_space(connection: Connection, kind: str = "chunks") -> EmbeddingSpace | None:
    """The space that searches use, or None before the first promotion."""
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace).where(EmbeddingSpace.kind == kind, EmbeddingSpace.status == "live")
        )


def select_serving_space(kind: str = "chunks") -> Select[EmbeddingSpace]:
    """The live space, or the newest one while none is live."""
    return (
        select(EmbeddingSpace)
        .where(EmbeddingSpace.kind == kind, EmbeddingSpace.status != "retired")
        .order_by((EmbeddingSpace.status == "live").desc(), EmbeddingSpace.id.desc())
        .limit(1)
    )


def spaces_to_maintain(connection: Connection, definition: SpaceDefinition) -> Sequence[EmbeddingSpace]:
    """The space to promote, then the others to keep up to date: the live one and the previous one.

    The space to promote is the wanted one, or the live one after a rollback from the wanted one.
    """
    wanted = ensure_space(connection, definition)
    with Session(bind=connection, expire_on_commit=False) as session:
        kept = session.scalars(
            select(EmbeddingSpace)
            .where(EmbeddingSpace.kind == definition.kind, EmbeddingSpace.status.in_(("live", "previous")))
            .order_by(EmbeddingSpace.status, EmbeddingSpace.id)
        ).all()
    found = [wanted, *kept] if wanted.rolled_back_at is None else [*kept, wanted]
    return list({space.id: space for space in found if space.status != "retired"}.values())


def set_live_space(connection: Connection, space: EmbeddingSpace) -> bool:
    """Make this the live space, in the caller's transaction; returns False if it already was.

    The live space becomes the previous one, and the previous one is retired. A rollback from this space no longer
    excludes it from promotion. Raises IntegrityError when the space was retired meanwhile: its chunks and vectors are
    being removed.
    """
    lock_spaces(connection)
    status = connection.scalar(select(EmbeddingSpace.status).where(EmbeddingSpace.id == space.id))
    if status in (None, "retired"):
        raise IntegrityError(f"space {space.id} was retired meanwhile; run rag-assets ingest to build it again.")
    live = get_live_space(connection, space.kind)
    if live is not None and live.id == space.id and (space.kind != "chunks" or _has_live_view(connection)):
        return False
    others = update(EmbeddingSpace).where(EmbeddingSpace.kind == space.kind, EmbeddingSpace.id != space.id)
    connection.execute(others.where(EmbeddingSpace.status == "previous").values(status="retired"))
    stepping_back = {"status": "previous", "stepped_back_at": func.now()}
    connection.execute(others.where(EmbeddingSpace.status == "live").values(stepping_back))
    serving = {"status": "live", "promoted_at": func.now(), "stepped_back_at": None, "rolled_back_at": None}
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space.id).values(serving))
    if space.kind == "chunks":
        replace_live_view(connection, space, partition_name(space.id))
    return True


def _has_live_view(connection: Connection) -> bool:
    return connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is not None


def store_tuning(connection: Connection, space_id: int, ef_search: int, tuning: dict[str, Any]) -> None:
    """Store the `ef_search` that searches of this space use, and the measurements it was chosen from."""
    connection.execute(
        update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(ef_search=ef_search, tuning=tuning)
    )


def drop_retired_spaces(connection: Connection, kind: str = "chunks", *, space_id: int | None = None) -> int:
    """Drop the retired spaces of the kind, or the one with this id if it is retired; returns how many were dropped.

    The partition, its index and the latency probe are dropped, and the row is deleted. After a rollback the row stays:
    without it the next run would build the space again.
    """
    chosen = EmbeddingSpace.kind == kind if space_id is None else EmbeddingSpace.id == space_id
    retired = connection.execute(
        select(EmbeddingSpace.id, EmbeddingSpace.rolled_back_at)
        .where(chosen, EmbeddingSpace.status == "retired")
        .order_by(EmbeddingSpace.id)
    ).all()
    dropped = [one for one in retired if one.rolled_back_at is None or has_partition(connection, one.id)]
    for one in dropped:
        drop_table(connection, partition_name(one.id))
        drop_table(connection, probe_name(one.id))
        if one.rolled_back_at is None:
            connection.execute(delete(EmbeddingSpace).where(EmbeddingSpace.id == one.id))
    return len(dropped)


def lock_spaces(connection: Connection, *, shared: bool = False) -> None:
    """Serialize creation and promotion of spaces until the end of the transaction; searches do not wait for it.

    A `shared` lock keeps the live space what it is, and excludes no other shared one.
    """
    lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(text(f"SELECT {lock}(hashtext('rag_assets.embedding_spaces'))"))
