"""Other runs that are still writing documents, chunks or vectors, which a space may only be missing for the moment."""

import time
from datetime import timedelta

from sqlalchemy import Engine, exists, func, literal, or_, select

from rag_assets.db.locks import others_hold_locks
from rag_assets.db.models import Document, EmbeddingFailure, EmbeddingSpace, StagedDocument
from rag_assets.db.spaces.pending import count_pending_texts, pending_documents, pending_staged_documents
from rag_assets.db.spaces.remote_batches import is_in_batch
from rag_assets.db.spaces.text_kinds import text_source

# The failures that another run's next step fixes; no other failure goes away without help.
TRANSIENT_FAILURES = {"texts_have_vectors", "documents_have_chunks"}
_POLL_S = 0.5
# Between two of its steps a run holds no lock: it runs checks, and may have to start a process.
BETWEEN_STEPS = timedelta(seconds=20)


def wait_for_concurrent_runs(engine: Engine, space: EmbeddingSpace, end: float) -> bool:
    """Wait while other runs work, at most until `end` (time.monotonic); returns whether there was any to wait for."""
    waited = False
    while time.monotonic() < end and concurrent_runs_work(engine, space):
        waited = True
        time.sleep(_POLL_S)
    return waited


def concurrent_runs_work(engine: Engine, space: EmbeddingSpace) -> bool:
    """Whether another run holds a lock, or has just written texts or documents that this space does not cover yet."""
    with engine.connect() as connection:
        if others_hold_locks(connection):
            return True
        texts = text_source(space)
        # Not what was written while the clock was ahead: it would count until the clock catches up.
        recently = (func.now() - literal(BETWEEN_STEPS), func.now() + literal(BETWEEN_STEPS))
        refused = exists().where(
            EmbeddingFailure.space_id == space.id, EmbeddingFailure.content_hash == texts.content_hash
        )
        nobody_s = ~refused & ~is_in_batch(space, texts.content_hash)
        if connection.scalar(count_pending_texts(space).where(texts.written_at.between(*recently), nobody_s)):
            return True
        if space.kind != "chunks":
            return False
        unsplit = pending_documents(None, space.chunking).where(Document.updated_at.between(*recently))
        staged = pending_staged_documents(None, space.chunking).where(StagedDocument.updated_at.between(*recently))
        return bool(connection.scalar(select(or_(unsplit.exists(), staged.exists()))))
