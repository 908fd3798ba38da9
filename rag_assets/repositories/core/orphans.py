"""Vectors that nobody needs any more, removed at once and not at the next run."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, Connection, LargeBinary, delete, func, literal, select
from sqlalchemy.orm import Session

from rag_assets.db.models import Embedding, EmbeddingFailure, EmbeddingSpace
from rag_assets.db.spaces.pending import has_text_in_use
from rag_assets.db.spaces.text_kinds import Kind


def delete_orphaned_vectors(connection: Connection, kind: Kind, hashes: Sequence[bytes]) -> int:
    """Remove what was made of these texts where nothing needs it any more; returns how many vectors went."""
    if not hashes:
        return 0
    of_texts = func.any(literal(list(set(hashes)), ARRAY(LargeBinary)))
    with Session(bind=connection, expire_on_commit=False) as session:
        spaces = session.scalars(select(EmbeddingSpace).where(EmbeddingSpace.kind == kind)).all()
    gone = 0
    for space in spaces:
        for model in (Embedding, EmbeddingFailure):
            removed = connection.execute(
                delete(model).where(
                    model.space_id == space.id,
                    model.content_hash == of_texts,
                    ~has_text_in_use(space, model.content_hash),
                )
            )
            gone += removed.rowcount if model is Embedding else 0
    return gone
