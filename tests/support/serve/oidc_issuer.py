"""An OpenID Connect issuer of the tests: real keys, its configuration and key set over HTTP, tokens of any content."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "documents"


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Each name is a key; making one takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class OidcIssuer:
    """`keys` is what it publishes, by id; `asked` counts requests by path. `broken` lets it answer 500."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.keys: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.broken = False
        self.named: str | None = None
        self.publish("first", RSAAlgorithm.to_jwk(rsa_key("first").public_key(), as_dict=True))
        self.publish("curve", ECAlgorithm.to_jwk(ec_key("curve").public_key(), as_dict=True))

    def publish(self, key_id: str, key: dict[str, Any], **more: Any) -> None:
        self.keys[key_id] = {**key, "kid": key_id, "use": "sig", **more}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token; None removes one."""
        now = int(time.time())
        claims = {"iss": self.address, "aud": AUDIENCE, "sub": "anna", "iat": now, "exp": now + 60} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: Any = None, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        header = {"kid": "first"} | (header or {})
        key = rsa_key("first") if key is None else key
        return jwt.encode(self.claims(**claims), key, algorithm, headers=header)

    def answer(self, path: str) -> dict[str, Any] | None:
        self.asked[path] += 1
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.named or self.address, "jwks_uri": f"{self.address}/keys"}
        return {"keys": list(self.keys.values())} if path == "/keys" else None


@contextmanager
def running_issuer() -> Iterator[OidcIssuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = issuer.answer(self.path)
            body = json.dumps(answer).encode()
            self.send_response(500 if issuer.broken else 404 if answer is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = OidcIssuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
