"""Checks before a space may be promoted, and checks that the right space is live."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, Engine, Uuid, column, func, or_, select, table
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import has_partition
from rag_assets.db.spaces.remote_batches import count_texts_in_batches, is_in_batch
from rag_assets.db.spaces.retention import find_held_back
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes.invalidate import id_in
from rag_assets.embedding.remote.names import is_remote
from rag_assets.pipeline.audit.documents import count_stamped_chunks, documents_have_chunks
from rag_assets.pipeline.audit.index import index_used, index_valid, recall_at_10, search_latency
from rag_assets.pipeline.audit.result import CheckResult, rows_read
from rag_assets.pipeline.audit.vectors import (
    describe_waiting,
    is_refused,
    no_orphan_vectors,
    nothing_is_lost,
    texts_have_vectors,
    vectors_are_sound,
)
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.execution.query_embedding import MakeEncoder


def promotion_checks(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> dict[str, CheckResult]:
    """The checks that a space must pass before it may be live, by name."""
    if space.kind == "chunks":
        results = {
            "documents_have_chunks": documents_have_chunks(engine, space.chunking),
            "texts_have_vectors": texts_have_vectors(engine, space),
            "no_orphan_vectors": no_orphan_vectors(engine, space),
        }
        if results["texts_have_vectors"].metadata.get("in_batches"):
            # The space would serve without them: it is not live before they are fetched.
            results["texts_have_vectors"].warning = False
        elif results["texts_have_vectors"].warning:
            # The live space may have vectors of the refused texts.
            results["nothing_is_lost"] = nothing_is_lost(engine, space)
    else:
        results = {"nothing_is_lost": nothing_is_lost(engine, space)}
    results |= {
        "vectors_are_sound": vectors_are_sound(engine, space),
        "index_valid": index_valid(engine, space),
        "index_used": index_used(engine, space),
        "search_latency": search_latency(engine, space, settings),
        "recall_at_10": recall_at_10(engine, space, settings),
    }
    if space.kind == "chunks" and not any(result.blocks for result in results.values()):
        # Last, and only for a space that can be searched: there may be many evaluation queries.
        from rag_assets.pipeline.audit.search_quality import answers_no_worse

        results["answers_no_worse"] = answers_no_worse(engine, settings, space, encoder)
    return results


def serves_wanted_space(engine: Engine, fingerprint: str, part: Sequence[UUID] | None = None) -> CheckResult:
    """The live space is the wanted one, and the view shows all of its chunks but those that a model's server refused.

    It warns while texts of the wanted space wait in batches at that server.

    After a rollback from the wanted space, the space that was rolled back to is the right one. `part` are the documents
    whose chunks are looked for in the view; with None, all.
    """
    view = table("live_chunks", column("document_id", Uuid), schema=SCHEMA)
    with engine.connect() as connection:
        space, waiting = get_live_space(connection), _count_waiting(connection, fingerprint)
        if space is None:
            # Nothing is wrong with the first space: it is not complete yet.
            reason = f"no space is live; {describe_waiting(waiting)}" if waiting else "no space is live"
            return CheckResult(False, {"space": None}, reason, warning=waiting > 0)
        if connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is None:
            return CheckResult(False, {"space": space.id}, "the view rag.live_chunks is missing")
        stored = select(func.count()).select_from(DocumentChunk).where(DocumentChunk.chunking == space.chunking)
        visible = select(func.count()).select_from(view)
        if part is not None:
            stored = stored.where(id_in(DocumentChunk.document_id, part))
            visible = visible.where(id_in(view.c.document_id, part))
        read, shown = (connection.scalar(statement) or 0 for statement in (stored, visible))
        chunks = read if part is None else count_stamped_chunks(connection, space.chunking)
        shown += chunks - read
        refused = 0
        if shown < chunks and is_remote(space.model):
            has_none = or_(
                is_refused(space, DocumentChunk.content_hash), is_in_batch(space, DocumentChunk.content_hash)
            )
            refused = connection.scalar(stored.where(has_none)) or 0
        is_wanted = space.fingerprint == fingerprint
        held_back = None if is_wanted else find_held_back(connection, fingerprint)
    return CheckResult(
        (is_wanted or held_back is not None) and shown + refused == chunks,
        {"space": space.id, "is_wanted": is_wanted, "chunks": chunks, "chunks_shown": shown, **rows_read(read, chunks)}
        | ({"chunks_refused": refused} if refused else {})
        | ({"held_back": held_back} if held_back is not None else {}),
        f"rag.live_chunks shows {shown} of {chunks} chunks"
        if is_wanted or held_back is not None
        else f"searches still use space {space.id} ({space.model}), not the one that the settings ask for"
        + (f"; {describe_waiting(waiting)}" if waiting else ""),
        warning=waiting > 0 and not is_wanted and held_back is None and shown + refused == chunks,
    )


def _count_waiting(connection: Connection, fingerprint: str) -> int:
    """The texts of the wanted space that wait in batches."""
    with Session(bind=connection) as session:
        wanted = session.scalar(select(EmbeddingSpace).where(EmbeddingSpace.fingerprint == fingerprint))
        there = wanted is not None and is_remote(wanted.model) and has_partition(connection, wanted.id)
        return count_texts_in_batches(connection, wanted) if wanted is not None and there else 0


def settings_agree(
    engine: Engine, fingerprint: str, last_promoted: int | None, taken_back_from: int | None
) -> CheckResult:
    """No other settings have promoted another space since the pipeline's last run made the wanted one live.

    `last_promoted` is the live space of that run, and `taken_back_from` the space that it found in its place.
    """
    with Session(engine) as session:
        live = get_live_space(session.connection())
        ours = session.get(EmbeddingSpace, last_promoted) if last_promoted is not None else None
        # A rollback from it, or changed settings of this pipeline, explain another live space.
        unexplained = ours is not None and ours.fingerprint == fingerprint and ours.rolled_back_at is None
    other = taken_back_from
    if other is None and unexplained and live is not None and live.id != last_promoted:
        other = live.id
    return CheckResult(
        other is None,
        {"space": live and live.id, "last_promoted": last_promoted, "foreign_space": other},
        f"space {other} took the place of space {last_promoted}, and these settings never asked for it",
    )
