"""Find the principal of a request by its `Authorization` header."""

import asyncio
import hmac
import time
from datetime import UTC, datetime

from rag_assets.serve.access.keys import TOKEN_PREFIX, ApiKeys, hash_token
from rag_assets.serve.access.principal import Principal, UnauthenticatedError
from rag_assets.serve.access.tokens import TokenVerifier

# For so long a revoked key is still accepted, and a request costs no look into the database.
CACHED_S = 5.0
_MAX_CACHED = 10_000
# Looks into the database at a time: guesses of keys must not take all connections.
_MAX_LOOKUPS = 2
# The tokens of this version are 47 bytes; the limit leaves room for longer ones.
_MAX_TOKEN_BYTES = 200

OWNER = Principal("owner", "the owner of the state folder", may_write=True, is_owner=True)
ANONYMOUS = Principal("anonymous", "anonymous")


class Authenticator:
    """Finds the principals of keys, and remembers them for some seconds.

    `owner_token`: of the file in the state folder; who can read that file may do everything. `anonymous`: callers
    without a key may read everything. `tokens`: checks those of an issuer, where one is trusted.
    """

    def __init__(
        self, keys: ApiKeys, owner_token: str, *, anonymous: bool = False, tokens: TokenVerifier | None = None
    ) -> None:
        self._keys = keys
        self._owner_token = owner_token.encode()
        self._anonymous = anonymous
        self._tokens = tokens
        self._lookups = asyncio.Semaphore(_MAX_LOOKUPS)
        self._cache: dict[bytes, tuple[float, Principal | None]] = {}

    async def authenticate(self, header: bytes | None) -> Principal:
        """The principal of an `Authorization` header; raises UnauthenticatedError."""
        if header is None:
            if self._anonymous:
                return ANONYMOUS
            raise UnauthenticatedError(
                "a key is needed; send it as `Authorization: Bearer KEY` (rag-assets keys add NAME prints one)."
            )
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer":
            raise UnauthenticatedError("the Authorization header is not `Bearer KEY`; write it so.")
        if self._owner_token and hmac.compare_digest(token, self._owner_token):
            return OWNER
        # No key has a dot, and every JWT has two.
        if self._tokens is not None and b"." in token:
            return await self._tokens.verify(token)
        principal = await self._find(token)
        if principal is None:
            raise UnauthenticatedError("the key is unknown, revoked or expired; ask for another one.")
        return principal

    async def _find(self, token: bytes) -> Principal | None:
        if not token.startswith(TOKEN_PREFIX.encode()) or len(token) > _MAX_TOKEN_BYTES:
            return None
        token_hash = hash_token(token)
        now = time.monotonic()
        until, principal = self._cache.get(token_hash, (0.0, None))
        if now < until:
            return principal
        async with self._lookups:
            caller = await self._keys.find_caller(token_hash)
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        lasts_s = CACHED_S
        if caller is not None and caller.expires_at is not None:
            lasts_s = min(lasts_s, (caller.expires_at - datetime.now(UTC)).total_seconds())
        principal = None if caller is None else caller.principal
        self._cache[token_hash] = now + lasts_s, principal
        return principal
