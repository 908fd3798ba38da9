"""Delete the vectors of removed texts at once, instead of at the next run."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, Connection, LargeBinary, delete, func, literal, select
from sqlalchemy.orm import Session

from rag_assets.db.models import Embedding, EmbeddingFailure, EmbeddingSpace
from rag_assets.db.spaces.pending import has_text_in_use
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.db.spaces.vector_deletion import lock_vectors_for_deletion


def delete_orphaned_vectors(connection: Connection, kind: Kind, hashes: Sequence[bytes]) -> int:
    """Delete vectors and recorded failures of these texts in all spaces, unless a row still has the text.

    Returns the number of vectors deleted.
    """
    if not hashes:
        return 0
    if kind == "chunks":
        lock_vectors_for_deletion(connection)
    any_hash = func.any(literal(list(set(hashes)), ARRAY(LargeBinary)))
    with Session(bind=connection, expire_on_commit=False) as session:
        spaces = session.scalars(select(EmbeddingSpace).where(EmbeddingSpace.kind == kind)).all()
    deleted = 0
    for space in spaces:
        for model in (Embedding, EmbeddingFailure):
            result = connection.execute(
                delete(model).where(
                    model.space_id == space.id,
                    model.content_hash == any_hash,
                    ~has_text_in_use(space, model.content_hash),
                )
            )
            deleted += result.rowcount if model is Embedding else 0
    return deleted
