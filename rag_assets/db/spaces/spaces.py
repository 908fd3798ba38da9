"""Embedding spaces: found or made, their tables, and the one pointer that says which is live."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    cast,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, Embedding, EmbeddingSpace
from rag_assets.db.models.embeddings import EF_SEARCH_OF_SIGNS, OVERSAMPLING
from rag_assets.db.schema.ddl import create_partition, drop_table
from rag_assets.db.schema.live_view import show_live

PARTITION = "embeddings_"
_RUNTIME_TABLE = re.compile(r"(embeddings|latency_probe)_\d+")


@dataclass(frozen=True, slots=True)
class SpaceDefinition:
    """What makes a space itself; two equal definitions are one space, by `fingerprint`."""

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
    # Concerns searches alone, so it is not part of the fingerprint.
    oversampling: int = OVERSAMPLING


def is_runtime_object(table: str | None) -> bool:
    """True for tables that the pipeline makes at run time, which migrations must leave alone."""
    return table is not None and _RUNTIME_TABLE.fullmatch(table) is not None


def partition_name(space_id: int) -> str:
    return f"{PARTITION}{space_id}"


def probe_name(space_id: int) -> str:
    """The table that the latency check keeps for a space that holds few vectors."""
    return f"latency_probe_{space_id}"


def has_partition(connection: Connection, space_id: int) -> bool:
    return connection.scalar(select(func.to_regclass(f"{SCHEMA}.{partition_name(space_id)}"))) is not None


def partition(space_id: int) -> Table:
    """The partition that holds one space's vectors, as a table of its own: plans stay simple."""
    return Table(
        partition_name(space_id),
        MetaData(schema=SCHEMA),
        Column("space_id", Integer, nullable=False),
        Column("content_hash", LargeBinary, nullable=False),
        Column("embedding", VECTOR(), nullable=False),
        Column("checksum", Double),
    )


def compared(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    """A vector as distances are worked out."""
    return cast(vector, HALFVEC(space.dimensions) if space.storage == "halfvec" else VECTOR(space.dimensions))


def indexed(space: EmbeddingSpace, vector: ColumnElement[Any]) -> ColumnElement[Any]:
    """The expression that the space's index is on; a search must send this very one to be served by it."""
    if space.storage == "bit":
        return cast(func.binary_quantize(compared(space, vector)), BIT(space.dimensions))
    return compared(space, vector)


def ensure_space(connection: Connection, definition: SpaceDefinition) -> EmbeddingSpace:
    """Find the space of this definition, or make it with its empty partition.

    One that was rolled back from and retired stays so: nothing is to be built that may not serve.
    """
    take_turns(connection)
    with Session(bind=connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
        by_fingerprint = select(EmbeddingSpace).where(EmbeddingSpace.fingerprint == definition.fingerprint)
        space = session.scalar(by_fingerprint)
        if space is None:
            wider = {"ef_search": EF_SEARCH_OF_SIGNS} if definition.storage == "bit" else {}
            session.execute(insert(EmbeddingSpace).values(asdict(definition) | wider).on_conflict_do_nothing())
            space = session.scalars(by_fingerprint).one()
        elif space.status == "retired" and space.rolled_back_at is None:
            space.status = "building"
        if space.oversampling != definition.oversampling:
            space.oversampling = definition.oversampling
        session.commit()
    if space.status != "retired" and not has_partition(connection, space.id):
        create_partition(connection, partition_name(space.id), space.id)
    return space


def live_space(connection: Connection, kind: str = "chunks") -> EmbeddingSpace | None:
    """The space that searches use, None before the first one is served."""
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace).where(EmbeddingSpace.kind == kind, EmbeddingSpace.status == "live")
        )


def serving_space(kind: str = "chunks") -> Select[EmbeddingSpace]:
    """The live space, or the newest one before any is live."""
    return (
        select(EmbeddingSpace)
        .where(EmbeddingSpace.kind == kind, EmbeddingSpace.status != "retired")
        .order_by((EmbeddingSpace.status == "live").desc(), EmbeddingSpace.id.desc())
        .limit(1)
    )


def spaces_to_maintain(connection: Connection, definition: SpaceDefinition) -> Sequence[EmbeddingSpace]:
    """The space that is to serve, then the others kept up to date: the live one until the flip, and the previous one.

    To serve is the wanted space, or the live one where the wanted one was rolled back from.
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


def count_vectors(connection: Connection, space: EmbeddingSpace) -> int:
    # Of the whole table, which prunes to the one partition: a partition that was lost holds no vectors.
    return connection.scalar(select(func.count()).where(Embedding.space_id == space.id)) or 0


def promote(connection: Connection, space: EmbeddingSpace) -> bool:
    """Flip the pointer in this transaction: this space serves; False if it did already.

    The one that served is the previous one from now on, and the one before that is retired. A space that was rolled
    back from is no longer held back.
    """
    take_turns(connection)
    live = live_space(connection, space.kind)
    # The view is of chunks; a space of another kind has none.
    shown = space.kind != "chunks" or connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is not None
    if live is not None and live.id == space.id and shown:
        return False
    others = update(EmbeddingSpace).where(EmbeddingSpace.kind == space.kind, EmbeddingSpace.id != space.id)
    connection.execute(others.where(EmbeddingSpace.status == "previous").values(status="retired"))
    stepping_back = {"status": "previous", "stepped_back_at": func.now()}
    connection.execute(others.where(EmbeddingSpace.status == "live").values(stepping_back))
    serving = {"status": "live", "promoted_at": func.now(), "stepped_back_at": None, "rolled_back_at": None}
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space.id).values(serving))
    if space.kind == "chunks":
        show_live(connection, space, partition_name(space.id))
    return True


def store_tuning(connection: Connection, space_id: int, ef_search: int, tuning: dict[str, Any]) -> None:
    """Let searches of this space use `ef_search`, and keep what it was chosen by."""
    connection.execute(
        update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(ef_search=ef_search, tuning=tuning)
    )


def drop_retired(connection: Connection, kind: str = "chunks", *, space_id: int | None = None) -> int:
    """Remove retired spaces of the kind, or one space if it is retired; returns how many went.

    Partition, index and probe go at once, then the row; but that of a space that was rolled back from stays, without
    which the next run would build the space again.
    """
    chosen = EmbeddingSpace.kind == kind if space_id is None else EmbeddingSpace.id == space_id
    retired = connection.execute(
        select(EmbeddingSpace.id, EmbeddingSpace.rolled_back_at)
        .where(chosen, EmbeddingSpace.status == "retired")
        .order_by(EmbeddingSpace.id)
    ).all()
    gone = [one for one in retired if one.rolled_back_at is None or has_partition(connection, one.id)]
    for one in gone:
        drop_table(connection, partition_name(one.id))
        drop_table(connection, probe_name(one.id))
        if one.rolled_back_at is None:
            connection.execute(delete(EmbeddingSpace).where(EmbeddingSpace.id == one.id))
    return len(gone)


def take_turns(connection: Connection) -> None:
    """Makers and flippers of spaces wait for each other until their commit; searches only read and never wait."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.embedding_spaces'))"))
