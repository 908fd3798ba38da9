"""The key that signs who a transaction reads for; it stays in the database, and can be replaced."""

import secrets

from sqlalchemy import Connection, update

from rag_assets.db.models import ViewerKey

# Of HMAC with SHA-256 (RFC 2104).
_BLOCK_BYTES = 64
_INNER, _OUTER = 0x36, 0x5C


def renew_signing_key(connection: Connection) -> None:
    """Replace the key: what was signed with the old one shows nothing from the commit on.

    Statements that are running keep their snapshot, and with it the old key.
    """
    key = secrets.token_bytes(32).ljust(_BLOCK_BYTES, b"\0")
    pads = {"inner_pad": bytes(byte ^ _INNER for byte in key), "outer_pad": bytes(byte ^ _OUTER for byte in key)}
    connection.execute(update(ViewerKey).values(pads))
