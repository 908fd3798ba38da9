"""Deleting vectors that no text uses, while documents that would use them are being published."""

from sqlalchemy import Connection, text

_KEEP = text("SELECT pg_advisory_xact_lock_shared(hashtext('rag_assets.vectors'))")
_TRY_TO_KEEP = text("SELECT pg_try_advisory_xact_lock_shared(hashtext('rag_assets.vectors'))")
_DELETE = text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.vectors'))")


def keep_vectors(connection: Connection, *, wait: bool) -> bool:
    """Keep others from deleting vectors until the end of the transaction; False while some are being deleted.

    With `wait`, waits for the deletion to end.
    """
    if wait:
        connection.execute(_KEEP)
        return True
    return bool(connection.scalar(_TRY_TO_KEEP))


def lock_vectors_for_deletion(connection: Connection) -> None:
    """Wait until no document is being published, so that the next statement sees which texts are in use.

    Until the end of the transaction no other is published.
    """
    connection.execute(_DELETE)
