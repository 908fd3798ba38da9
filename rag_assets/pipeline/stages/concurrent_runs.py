"""Whether what a space lacks may still come: another run is at its documents, its chunks or their vectors just now."""

import time
from datetime import timedelta

from sqlalchemy import Engine, exists, func, literal, select

from rag_assets.db.locks import others_hold_locks
from rag_assets.db.models import Document, EmbeddingFailure, EmbeddingSpace
from rag_assets.db.spaces.pending import count_pending_texts, pending_documents
from rag_assets.db.spaces.text_kinds import text_source

# What another run's next step mends; no other failure passes by itself.
PASSING = {"texts_have_vectors", "documents_have_chunks"}
_PAUSE_S = 0.5
# Between two of its steps a run holds no lock: it checks what it wrote, and may have a process to start.
BETWEEN_STEPS = timedelta(seconds=20)


def wait_for_others(engine: Engine, space: EmbeddingSpace, end: float) -> bool:
    """Wait while others work, until `end` (time.monotonic) at most; whether there was anything to wait for."""
    waited = False
    while time.monotonic() < end and others_work(engine, space):
        waited = True
        time.sleep(_PAUSE_S)
    return waited


def others_work(engine: Engine, space: EmbeddingSpace) -> bool:
    """Whether another run holds a project or an index, or has just written what this space has no vectors of yet."""
    with engine.connect() as connection:
        if others_hold_locks(connection):
            return True
        texts, lately = text_source(space), func.now() - literal(BETWEEN_STEPS)
        refused = exists().where(
            EmbeddingFailure.space_id == space.id, EmbeddingFailure.content_hash == texts.content_hash
        )
        if connection.scalar(count_pending_texts(space).where(texts.written_at > lately, ~refused)):
            return True
        uncut = pending_documents(None, space.chunking).where(Document.updated_at > lately)
        return space.kind == "chunks" and bool(connection.scalar(select(uncut.exists())))
