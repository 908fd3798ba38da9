"""Claims on texts: several processes embed one project side by side, and no text is embedded twice.

A claim counts while the session of its owner holds a lock: it dies with the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    any_,
    bindparam,
    delete,
    exists,
    literal,
    select,
    text,
)

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import IS_HELD_WITH_KEY, KEY_OF_NAME
from rag_assets.db.models import EmbeddingClaim, EmbeddingSpace, RemoteBatchText
from rag_assets.db.spaces.partitions import partition

_KEY = text(f"SELECT {KEY_OF_NAME}")
_OWNER_LIVES = f"EXISTS (SELECT FROM pg_locks WHERE {IS_HELD_WITH_KEY} claim.owner)"
# Claims that another process is taking over just now are left to it.
_RELEASE_DEAD = text(
    "DELETE FROM rag.embedding_claims WHERE (space_id, content_hash) IN (SELECT space_id, content_hash "  # noqa: S608
    f"FROM rag.embedding_claims AS claim WHERE NOT {_OWNER_LIVES} FOR UPDATE SKIP LOCKED)"
)
# Sorted, so that two statements never wait for each other.
_TAKE = text(
    "INSERT INTO rag.embedding_claims AS claim (space_id, content_hash, owner) "  # noqa: S608
    "SELECT :space_id, hash, :owner FROM unnest(:hashes) AS hash ORDER BY hash "
    "ON CONFLICT (space_id, content_hash) DO UPDATE SET owner = excluded.owner "
    f"WHERE NOT {_OWNER_LIVES} RETURNING content_hash"
).bindparams(
    bindparam("hashes", type_=ARRAY(LargeBinary)),
    bindparam("space_id", type_=BigInteger),
    bindparam("owner", type_=BigInteger),
)


@dataclass(frozen=True, slots=True)
class TextClaims:
    """The claims of one owner in one space."""

    engine: Engine
    space: EmbeddingSpace
    owner: int

    def take(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Claim the texts that nobody else embeds now and that neither have a vector yet nor wait in a batch."""
        stored = partition(self.space.id)
        with autocommit_connection(self.engine) as connection:
            self._release_stored(connection)
            found = set(
                connection.scalars(_TAKE, {"space_id": self.space.id, "owner": self.owner, "hashes": list(hashes)})
            )
            # A statement later: a claim is released after its vector was committed, so that one is seen now.
            if found:
                # One array: each number of values of IN would be a statement of its own.
                own = any_(literal(list(found), ARRAY(LargeBinary)))
                found -= set(connection.scalars(select(stored.c.content_hash).where(stored.c.content_hash == own)))
                of_batches = select(RemoteBatchText.content_hash).where(RemoteBatchText.space_id == self.space.id)
                found -= set(connection.scalars(of_batches.where(RemoteBatchText.content_hash == own)))
        return found

    def release(self) -> None:
        """Release all claims, once the vectors are committed."""
        with autocommit_connection(self.engine) as connection:
            connection.execute(delete(EmbeddingClaim).where(EmbeddingClaim.owner == self.owner))

    def _release_stored(self, connection: Connection) -> None:
        claim, stored = EmbeddingClaim, partition(self.space.id)
        connection.execute(
            delete(claim).where(claim.owner == self.owner, exists().where(stored.c.content_hash == claim.content_hash))
        )


def release_dead_claims(connection: Connection) -> None:
    """Delete the claims of processes that have ended, also those on texts that have vectors by now."""
    connection.execute(_RELEASE_DEAD)


def claims_of(engine: Engine, space: EmbeddingSpace, token: str) -> TextClaims:
    """The claims of the process that holds the lock `token`."""
    with autocommit_connection(engine) as connection:
        owner = connection.scalar(_KEY, {"name": token})
    assert owner is not None
    return TextClaims(engine, space, owner)
