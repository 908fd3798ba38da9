"""Whether a space may serve, and whether the right one does."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine, Select, func, select, table
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.pipeline.audit.documents import documents_have_chunks
from rag_assets.pipeline.audit.index import index_used, index_valid, recall_at_10, search_latency
from rag_assets.pipeline.audit.result import Finding
from rag_assets.pipeline.audit.vectors import no_orphan_vectors, nothing_is_lost, texts_have_vectors, vectors_are_sound
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.execution.query_embedding import MakeEncoder


def proofs(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> dict[str, Finding]:
    """All that must hold before this space may serve, under the names of the checks."""
    of_kind = _proofs_of_chunks(engine, space) if space.kind == "chunks" else _proofs_of_whole_texts(engine, space)
    found = {
        **of_kind,
        "vectors_are_sound": vectors_are_sound(engine, space),
        "index_valid": index_valid(engine, space),
        "index_used": index_used(engine, space),
        "search_latency": search_latency(engine, space, settings),
        "recall_at_10": recall_at_10(engine, space, settings),
    }
    if space.kind == "chunks" and all(finding.passed for finding in found.values()):
        # Asked last, and of a space that can be searched: the questions may be many.
        from rag_assets.pipeline.audit.search_quality import answers_no_worse

        found["answers_no_worse"] = answers_no_worse(engine, settings, space, encoder)
    return found


def _proofs_of_whole_texts(engine: Engine, space: EmbeddingSpace) -> dict[str, Finding]:
    return {"nothing_is_lost": nothing_is_lost(engine, space)}


def _proofs_of_chunks(engine: Engine, space: EmbeddingSpace) -> dict[str, Finding]:
    return {
        "documents_have_chunks": documents_have_chunks(engine, space.chunking),
        "texts_have_vectors": texts_have_vectors(engine, space),
        "no_orphan_vectors": no_orphan_vectors(engine, space),
    }


def serves_wanted_space(engine: Engine, fingerprint: str) -> Finding:
    """The live space is the wanted one, and the view shows each of its chunks that has a vector.

    Where people have rolled back from the wanted one, the space that they chose is the right one.
    """
    view = table("live_chunks", schema=SCHEMA)
    with engine.connect() as connection:
        space = get_live_space(connection)
        if space is None:
            return Finding(False, {"space": None}, "no space is live")
        if connection.scalar(select(func.to_regclass(f"{SCHEMA}.live_chunks"))) is None:
            return Finding(False, {"space": space.id}, "the view rag.live_chunks is missing")
        chunks = (
            connection.scalar(
                select(func.count()).select_from(DocumentChunk).where(DocumentChunk.chunking == space.chunking)
            )
            or 0
        )
        shown = connection.scalar(select(func.count()).select_from(view)) or 0
        wanted = space.fingerprint == fingerprint
        held_back = None if wanted else connection.scalar(_held_back(fingerprint))
    return Finding(
        (wanted or held_back is not None) and shown == chunks,
        {"space": space.id, "is_wanted": wanted, "chunks": chunks, "chunks_shown": shown}
        | ({"held_back": held_back} if held_back is not None else {}),
        f"rag.live_chunks shows {shown} of {chunks} chunks"
        if wanted or held_back is not None
        else f"searches still use space {space.id} ({space.model}), not the one that the settings ask for",
    )


def settings_agree(engine: Engine, fingerprint: str, served_last: int | None, taken_back_from: int | None) -> Finding:
    """Nobody with other settings has let another space serve since the last run of the pipeline let the wanted one.

    `served_last` is the space of that run, and `taken_back_from` the one that it had found in its place.
    """
    with Session(engine) as session:
        live = get_live_space(session.connection())
        ours = session.get(EmbeddingSpace, served_last) if served_last is not None else None
        # People who rolled back from it, or settings that ask for yet another one, are no strangers.
        taken = ours is not None and ours.fingerprint == fingerprint and ours.rolled_back_at is None
    other = taken_back_from
    if other is None and taken and live is not None and live.id != served_last:
        other = live.id
    return Finding(
        other is None,
        {"space": live and live.id, "served_last": served_last, "other": other},
        f"space {other} took the place of space {served_last}, and these settings never asked for it",
    )


def _held_back(fingerprint: str) -> Select[int]:
    return select(EmbeddingSpace.id).where(
        EmbeddingSpace.fingerprint == fingerprint, EmbeddingSpace.rolled_back_at.is_not(None)
    )
