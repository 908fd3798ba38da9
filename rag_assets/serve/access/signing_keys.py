"""The public keys of an OpenID Connect issuer, fetched over HTTP and cached."""

import asyncio
import logging
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

import jwt
import orjson

from rag_assets.errors import ServiceError
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import httpx2 as httpx

# Keys are fetched again after so long, in the background; keys that the issuer has withdrawn are refused from then on.
FRESH_S = 15 * 60.0
# Where the issuer does not answer, its last keys are taken for so long.
KEPT_S = 24 * 60 * 60.0
# An unknown key id fetches the keys again, so often at most: anybody may send one.
REFETCH_S = 10.0
_TIMEOUT_S = 5.0
_MAX_BYTES = 512 * 1024
_MAX_KEYS = 100
_LOG = logging.getLogger("rag_assets.serve")
# The types of keys by the first letters of the algorithms. `oct`, a shared secret, is for none.
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class SigningKeys:
    """Finds keys by their ids. `transport`: for tests."""

    def __init__(self, settings: Settings, transport: "httpx.AsyncBaseTransport | None" = None) -> None:
        assert settings.oidc_issuer is not None
        self._issuer = settings.oidc_issuer
        self._address = settings.oidc_jwks_url
        self._transport = transport
        self._keys: dict[str | None, dict[str, Any]] = {}
        self._parsed: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this id for this algorithm; a token without an id means the only key.

        Returns None where the issuer has none. Raises ServiceError where the keys are not known and cannot be fetched.
        """
        age_s = monotonic() - self._fetched_at
        if age_s > KEPT_S or self._find(key_id) is None:
            await self._fetch_once()
        elif age_s > FRESH_S and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh())
        if monotonic() - self._fetched_at > KEPT_S:
            raise ServiceError("the keys of the issuer of tokens cannot be fetched now; try again, or use an API key.")
        return self._parse(key_id, algorithm)

    def _find(self, key_id: str | None) -> dict[str, Any] | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _parse(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """A key is for the algorithm that it names, or for those of its type, whatever a token says."""
        parsed = self._parsed.get((key_id, algorithm))
        if parsed is not None:
            return parsed
        key = self._find(key_id)
        if key is None or key.get("alg") not in (None, algorithm) or key.get("kty") != _KEY_TYPES.get(algorithm[:2]):
            return None
        try:
            parsed = jwt.PyJWK(key, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        self._parsed[key_id, algorithm] = parsed
        return parsed

    async def _fetch_once(self) -> None:
        """Several callers wait for one request; within `REFETCH_S` there is no other one."""
        async with self._lock:
            if monotonic() - self._tried_at < REFETCH_S:
                return
            await self._refresh()

    async def _refresh(self) -> None:
        import httpx2 as httpx

        self._tried_at = monotonic()
        try:
            keys = await self._fetch()
        except (httpx.HTTPError, ValueError, TimeoutError) as error:
            _LOG.warning("the keys of the issuer %s cannot be fetched: %s", self._issuer, error or type(error).__name__)
            return
        self._keys, self._parsed = keys, {}
        self._fetched_at = monotonic()

    async def _fetch(self) -> dict[str | None, dict[str, Any]]:
        import httpx2 as httpx

        async with (
            asyncio.timeout(2 * _TIMEOUT_S),
            httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT_S, follow_redirects=False) as client,
        ):
            address = self._address
            if address is None:
                found = await _get_object(client, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != self._issuer:
                    raise ValueError(f"its configuration is of another issuer, {found.get('issuer')!r:.200}")
                address = found.get("jwks_uri")
                if not isinstance(address, str) or not address.startswith(("https://", self._issuer)):
                    raise ValueError(f"its jwks_uri is {address!r:.200}")
            keys = (await _get_object(client, address)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("its answer has no list `keys`")
        usable = [key for key in keys[:_MAX_KEYS] if isinstance(key, dict) and key.get("use") in (None, "sig")]
        usable = [key for key in usable if key.get("kty") in _KEY_TYPES.values()]
        return {_key_id(key, number): key for number, key in enumerate(usable)}


def _key_id(key: dict[str, Any], number: int) -> str | None:
    given = key.get("kid")
    return given if isinstance(given, str) else None if number == 0 else f"\0{number}"


async def _get_object(client: "httpx.AsyncClient", address: str) -> dict[str, Any]:
    """Raises ValueError for all that is no JSON object of a modest size."""
    async with client.stream("GET", address, headers={"accept": "application/json"}) as response:
        if response.status_code != HTTPStatus.OK:
            raise ValueError(f"{address} answers {response.status_code}")
        body = b""
        async for part in response.aiter_bytes():
            body += part
            if len(body) > _MAX_BYTES:
                raise ValueError(f"{address} answers more than {_MAX_BYTES // 1024} KB")
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{address} answers no JSON object")
    return found
