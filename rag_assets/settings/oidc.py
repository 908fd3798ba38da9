"""Settings of callers with tokens of an OpenID Connect issuer, for `rag-assets serve`."""

import ipaddress
import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from rag_assets.settings.serve import ServeSettings

# Only algorithms with a public key: with a shared one, a server that can check a token can also make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class OidcSettings(ServeSettings):
    oidc_issuer: str | None = Field(
        None,
        description="Address of the OpenID Connect issuer whose tokens `rag-assets serve` takes, as their claim `iss` "
        "has it. Unset: keys alone.",
    )
    oidc_audience: str | None = Field(
        None, description="The audience (claim `aud`) that tokens must name. An issuer needs one."
    )
    oidc_jwks_url: str | None = Field(
        None, description="Address of the issuer's public keys. Unset: as ISSUER/.well-known/openid-configuration says."
    )
    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        ("RS256", "ES256"),
        min_length=1,
        description="Algorithms of signatures that are taken, separated by commas: those with a public key alone.",
    )
    oidc_leeway_s: float = Field(
        30, ge=0, le=600, description="How far the clocks of the issuer and of this machine may differ, in seconds."
    )
    oidc_user_claim: str = Field(
        "sub",
        min_length=1,
        description="Claim with the user's name, as documents declare it (user:NAME). `email` needs `email_verified`. "
        "A dot leads into an object.",
    )
    oidc_groups_claim: str = Field(
        "groups",
        min_length=1,
        description="Claim with the names of the user's groups. A dot leads into an object, as in realm_access.roles.",
    )
    oidc_tenant_claim: str = Field("tenant", min_length=1, description="Claim with the name of the user's tenant.")
    oidc_write_scope: str | None = Field(
        None, description="Scope that lets a user write conversations and memories. Unset: users of tokens only read."
    )

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError("no address of an issuer; write it like https://login.example.com/realm")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("the keys of an issuer must come over https; plain http is for this machine")
        return value

    @field_validator("oidc_algorithms", mode="before")
    @classmethod
    def _split_algorithms(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.startswith("[") else tuple(filter(None, map(str.strip, value.split(","))))

    @field_validator("oidc_algorithms")
    @classmethod
    def _check_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = next((name for name in value if name not in ALGORITHMS), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is no signature with a public key; there are {', '.join(ALGORITHMS)}")
        return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
