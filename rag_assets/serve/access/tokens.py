"""Tokens of an OpenID Connect issuer: check the signature and the claims, and read the principal from them."""

from collections.abc import Mapping
from typing import Any

import jwt

from rag_assets.documents.readers import check_reader
from rag_assets.errors import UsageError
from rag_assets.serve.access.principal import TOKEN_ID, Principal, UnauthenticatedError
from rag_assets.serve.access.signing_keys import SigningKeys
from rag_assets.settings.settings import Settings

MAX_TOKEN_BYTES = 16_384
_REQUIRED = ["iss", "aud", "exp", "sub"]
# What is wrong, by the class of the error; the first one decides. The rest is a token that is none.
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "is expired; get a new one"),
    (jwt.ImmatureSignatureError, "is not valid yet; wait, or set the clocks of its issuer and of this server"),
    (jwt.InvalidAudienceError, "is not for this server (aud); ask the issuer for one that is"),
    (jwt.InvalidIssuerError, "is of another issuer (iss); get one of the issuer that this server trusts"),
    (jwt.MissingRequiredClaimError, "lacks a claim (iss, aud, exp or sub); ask the issuer for one that has it"),
    (jwt.InvalidSignatureError, "has a wrong signature; get a new one"),
)


class TokenVerifier:
    """Raises UsageError where the settings lack an audience."""

    def __init__(self, settings: Settings, keys: SigningKeys) -> None:
        if settings.oidc_audience is None:
            raise UsageError(
                "RAG_ASSETS_OIDC_ISSUER needs RAG_ASSETS_OIDC_AUDIENCE: without one, tokens for other applications of "
                "the issuer would open this one; set it."
            )
        self._settings = settings
        self._keys = keys

    async def verify(self, token: bytes) -> Principal:
        """The principal of a token; raises UnauthenticatedError, and ServiceError while the keys cannot be fetched."""
        if len(token) > MAX_TOKEN_BYTES:
            raise UnauthenticatedError(f"the token is longer than {MAX_TOKEN_BYTES:,} bytes; get a shorter one.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise UnauthenticatedError("the token is no JWT; get one from the issuer.") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.oidc_algorithms:
            allowed = ", ".join(self._settings.oidc_algorithms)
            raise UnauthenticatedError(f"the token is not signed by one of {allowed}; get another one.")
        # Addresses of keys, or keys themselves, in the header of a token (jku, x5u, jwk) are not looked at.
        key = await self._keys.find(key_id if isinstance(key_id, str) else None, algorithm)
        if key is None:
            raise UnauthenticatedError("the token is signed by a key that its issuer does not have; get a new one.")
        return self._principal(self._decode(token, key))

    def _decode(self, token: bytes, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(self._settings.oidc_algorithms),
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=self._settings.oidc_leeway_s,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            reason = next((said for kind, said in _REASONS if isinstance(error, kind)), "is damaged; get a new one")
            raise UnauthenticatedError(f"the token {reason}.") from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        user = find_claim(claims, settings.oidc_user_claim)
        if not isinstance(user, str) or not _is_name("user", user):
            raise UnauthenticatedError(f"the token has no user in {settings.oidc_user_claim}; ask its issuer for it.")
        # Else anybody could become another user by writing that address into their own profile.
        if settings.oidc_user_claim == "email" and claims.get("email_verified") not in (True, "true"):
            raise UnauthenticatedError("the e-mail address of the token is not verified; verify it at the issuer.")
        tenant = find_claim(claims, settings.oidc_tenant_claim)
        scope = settings.oidc_write_scope
        return Principal(
            f"{TOKEN_ID}{claims['sub']}",
            user,
            _names("group", find_claim(claims, settings.oidc_groups_claim)),
            may_write=scope is not None and scope in _scopes(claims),
            user=user,
            tenant=tenant if isinstance(tenant, str) and _is_name("tenant", tenant) else None,
        )


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name; else the one that its dots lead to."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _names(kind: str, given: Any) -> tuple[str, ...]:
    """Those that documents can name; a single name may stand without a list."""
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and _is_name(kind, name)))


def _is_name(kind: str, name: str) -> bool:
    try:
        check_reader(f"{kind}:{name}")
    except ValueError:
        return False
    return True


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """`scope` is a text with spaces (RFC 8693), `scp` of some issuers a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        given = claims.get(name)
        if isinstance(given, str):
            found.update(given.split())
        elif isinstance(given, list):
            found.update(one for one in given if isinstance(one, str))
    return found
