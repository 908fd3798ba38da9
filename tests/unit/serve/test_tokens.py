"""Tokens of an issuer with real keys: who comes in, and the attacks on them."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from rag_assets import ServiceError, UsageError
from rag_assets.serve.access import signing_keys
from rag_assets.serve.access.principal import Principal, UnauthenticatedError
from rag_assets.serve.access.signing_keys import SigningKeys
from rag_assets.serve.access.tokens import TokenVerifier
from rag_assets.settings.settings import Settings
from tests.support.serve.oidc_issuer import AUDIENCE, OidcIssuer, ec_key, rsa_key, running_issuer


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with running_issuer() as running:
        yield running


class Door:
    """A verifier and an event loop of its own."""

    def __init__(self, issuer: OidcIssuer, **settings: Any) -> None:
        values: dict[str, Any] = {"oidc_issuer": issuer.address, "oidc_audience": AUDIENCE} | settings
        made = Settings(**values)
        self.runner = asyncio.Runner()
        self.verifier = TokenVerifier(made, SigningKeys(made))

    def verify(self, token: str) -> Principal:
        return self.runner.run(self.verifier.verify(token.encode()))

    def refuse(self, token: str) -> str:
        with pytest.raises(UnauthenticatedError) as refused:
            self.verify(token)
        return str(refused.value)


@pytest.fixture
def door(issuer: OidcIssuer) -> Iterator[Door]:
    door = Door(issuer)
    yield door
    door.runner.close()


def test_a_token_gives_user_groups_and_tenant(issuer: OidcIssuer, door: Door) -> None:
    found = door.verify(issuer.token(groups=["staff", "board", "staff"], tenant="acme"))
    assert (found.user, found.groups, found.tenant) == ("anna", ("staff", "board"), "acme")
    assert (found.projects, found.may_write, found.is_owner) == (None, False, False)
    assert found.viewer is not None
    assert found.viewer.readers == ["user:anna", "group:staff", "group:board", "tenant:acme"]
    assert door.verify(issuer.token(ec_key("curve"), "ES256", {"kid": "curve"})).user == "anna"
    # A list of audiences, a group alone, names that no document can declare.
    odd = issuer.token(aud=["other", AUDIENCE], groups=["", " x", 7, "a" * 300, "ok"], tenant=["acme"])
    assert (door.verify(odd).groups, door.verify(odd).tenant) == (("ok",), None)
    assert door.verify(issuer.token(groups="staff")).groups == ("staff",)
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}


def test_settings_name_the_claims(issuer: OidcIssuer) -> None:
    door = Door(
        issuer,
        oidc_user_claim="email",
        oidc_groups_claim="realm_access.roles",
        oidc_tenant_claim="https://acme.example/tenant",
        oidc_write_scope="documents.write",
        oidc_jwks_url=f"{issuer.address}/keys",
    )
    claims: dict[str, Any] = {
        "email": "anna@example.org",
        "email_verified": True,
        "realm_access": {"roles": ["staff"]},
        "https://acme.example/tenant": "acme",
        "scope": "openid documents.write",
    }
    found = door.verify(issuer.token(**claims))
    assert (found.user, found.groups, found.tenant, found.may_write) == ("anna@example.org", ("staff",), "acme", True)
    assert not door.verify(issuer.token(**claims | {"scope": "documents.writer"})).may_write
    assert door.verify(issuer.token(**claims | {"scope": None, "scp": ["documents.write"]})).may_write
    assert "not verified" in door.refuse(issuer.token(**claims | {"email_verified": False}))
    assert "has no user in email" in door.refuse(issuer.token(**claims | {"email": None}))
    assert issuer.asked == {"/keys": 1}
    door.runner.close()


def test_forged_and_foreign_tokens_are_refused(issuer: OidcIssuer, door: Door) -> None:
    now = int(time.time())
    good = issuer.token(groups=["guest"])
    head, _, signature = good.split(".")
    public = rsa_key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # PyJWT itself refuses to make it.
    confused = {"alg": "HS256", "kid": "first", "typ": "JWT"}
    signed = f"{_part(confused)}.{_part(issuer.claims())}"
    hmac = HMACAlgorithm(HMACAlgorithm.SHA256)
    own = RSAAlgorithm.to_jwk(rsa_key("thief").public_key(), as_dict=True)
    thief = rsa_key("thief")
    refused = {
        "alg none": f"{_part({'alg': 'none', 'kid': 'first'})}.{_part(issuer.claims())}.",
        "alg NoNe": f"{_part({'alg': 'NoNe', 'kid': 'first'})}.{_part(issuer.claims())}.",
        "HS256 with the public key": f"{signed}.{_encode(hmac.sign(signed.encode(), public))}",
        "an algorithm that is not set": issuer.token(algorithm="RS512"),
        "the key of another algorithm": issuer.token(ec_key("curve"), "ES256", {"kid": "first"}),
        "the signature of another": f"{head}.{_part(issuer.claims(groups=['board']))}.{signature}",
        "no signature": f"{head}.{_part(issuer.claims())}.",
        "another key": issuer.token(thief),
        "its own key in the header": issuer.token(thief, header={"jwk": own}),
        "an address of keys in the header": issuer.token(thief, header={"jku": "https://thief.example/keys"}),
        "a path as the id of a key": issuer.token(thief, header={"kid": "../../../dev/null"}),
        "SQL as the id of a key": issuer.token(thief, header={"kid": "' UNION SELECT 'x"}),
        "an extension that must be understood": issuer.token(header={"crit": ["x"], "x": 1}),
        "another audience": issuer.token(aud="billing"),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss="https://thief.example"),
        "no issuer": issuer.token(iss=None),
        "expired": issuer.token(exp=now - 31),
        "no end": issuer.token(exp=None),
        "not valid yet": issuer.token(nbf=now + 120),
        "issued in the future": issuer.token(iat=now + 120),
        "no user": issuer.token(sub=None),
        "an empty user": issuer.token(sub=""),
        "an endless token": issuer.token(groups=["x" * 20_000]),
        "two dots": "..",
        "no JSON": f"{_encode(b'x')}.{_encode(b'x')}.{_encode(b'x')}",
        "a list": f"{_part([])}.{_part([])}.{_encode(b'x')}",
    }
    for name, token in refused.items():
        said = door.refuse(token)
        assert said.count("\n") == 0, name
        assert token not in said, name
        assert said.endswith("."), name
    # Within the leeway.
    assert door.verify(issuer.token(exp=now - 10, nbf=now + 10)).user == "anna"
    assert "is expired" in door.refuse(refused["expired"])
    assert "is not for this server" in door.refuse(refused["another audience"])
    assert door.verify(good).groups == ("guest",)


def test_a_shared_secret_or_an_encryption_key_of_the_issuer_signs_nothing(issuer: OidcIssuer) -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    issuer.keys["secret"] = {"kty": "oct", "k": secret, "kid": "secret"}
    issuer.publish("sealed", issuer.keys["first"], use="enc")
    issuer.publish("pinned", issuer.keys["first"], alg="PS256")
    door = Door(issuer)
    for key_id in ("secret", "sealed", "pinned"):
        assert "its issuer does not have" in door.refuse(issuer.token(header={"kid": key_id}))
    with pytest.raises(ValueError, match="no signature with a public key"):
        Settings(oidc_algorithms="RS256,HS256")
    door.runner.close()


def test_a_new_key_is_fetched_and_a_withdrawn_one_refused(
    issuer: OidcIssuer, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(signing_keys, "monotonic", lambda: now)
    old = issuer.token()
    door.verify(old)
    issuer.publish("second", RSAAlgorithm.to_jwk(rsa_key("second").public_key(), as_dict=True))
    new = issuer.token(rsa_key("second"), header={"kid": "second"})
    # Anybody may send unknown ids: they cost the issuer one request in ten seconds.
    for _ in range(5):
        door.refuse(issuer.token(rsa_key("second"), header={"kid": "third"}))
    door.refuse(new)
    assert issuer.asked["/keys"] == 1
    now += signing_keys.REFETCH_S
    assert door.verify(new).user == "anna"
    assert issuer.asked["/keys"] == 2
    del issuer.keys["first"]
    door.verify(old)
    now += signing_keys.FRESH_S + 1
    # In the background: this request does not wait.
    door.verify(new)
    door.runner.run(asyncio.sleep(0.3))
    assert issuer.asked["/keys"] == 3
    assert "its issuer does not have" in door.refuse(old)


def test_an_issuer_that_is_away_lets_known_keys_in(
    issuer: OidcIssuer, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(signing_keys, "monotonic", lambda: now)
    issuer.broken = True
    for _ in range(3):
        with pytest.raises(ServiceError, match="keys of the issuer"):
            door.verify(issuer.token())
    assert issuer.asked.total() == 1
    issuer.broken = False
    now += signing_keys.REFETCH_S
    door.verify(issuer.token())
    issuer.broken = True
    now += signing_keys.KEPT_S - 1
    door.verify(issuer.token())
    now += 2 + signing_keys.REFETCH_S
    with pytest.raises(ServiceError, match="keys of the issuer"):
        door.verify(issuer.token())


def test_a_configuration_of_another_issuer_is_not_followed(issuer: OidcIssuer, door: Door) -> None:
    issuer.named = "https://thief.example"
    with pytest.raises(ServiceError):
        door.verify(issuer.token())
    assert issuer.asked["/keys"] == 0


@pytest.mark.parametrize("address", ["http://login.example.com", "login.example.com", "file:///etc/passwd"])
def test_keys_come_over_https(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Settings(oidc_issuer=address)


def test_an_issuer_needs_an_audience() -> None:
    settings = Settings(oidc_issuer="https://login.example.com")
    with pytest.raises(UsageError, match="RAG_ASSETS_OIDC_AUDIENCE"):
        TokenVerifier(settings, SigningKeys(settings))


def _part(value: Any) -> str:
    return _encode(json.dumps(value).encode())


def _encode(value: bytes) -> str:
    return jwt.utils.base64url_encode(value).decode()
