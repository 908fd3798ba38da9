"""Checks before a space may be promoted, and checks that the right space is live."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Engine, Uuid, column, func, select, table
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.retention import find_held_back
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes.invalidate import id_in
from rag_assets.embedding.remote.names import is_remote
from rag_assets.pipeline.audit.documents import count_stamped_chunks, documents_have_chunks
from rag_assets.pipeline.audit.index import index_used, index_valid, recall_at_10, search_latency
from rag_assets.pipeline.audit.result import CheckResult, rows_read
from rag_assets.pipeline.audit.vectors import (
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
        if results["texts_have_vectors"].warning:
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

    After a rollback from the wanted space, the space that was rolled back to is the right one. `part` are the documents
    whose chunks are looked for in the view; with None, all.
    """
    view = table("live_chunks", column("document_id", Uuid), schema=SCHEMA)
    with engine.connect() as connection:
        space = get_live_space(connection)
        if space is None:
            return CheckResult(False, {"space": None}, "no space is live")
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
            refused = connection.scalar(stored.where(is_refused(space, DocumentChunk.content_hash))) or 0
        is_wanted = space.fingerprint == fingerprint
        held_back = None if is_wanted else find_held_back(connection, fingerprint)
    return CheckResult(
        (is_wanted or held_back is not None) and shown + refused == chunks,
        {"space": space.id, "is_wanted": is_wanted, "chunks": chunks, "chunks_shown": shown, **rows_read(read, chunks)}
        | ({"chunks_refused": refused} if refused else {})
        | ({"held_back": held_back} if held_back is not None else {}),
        f"rag.live_chunks shows {shown} of {chunks} chunks"
        if is_wanted or held_back is not None
        else f"searches still use space {space.id} ({space.model}), not the one that the settings ask for",
    )


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
