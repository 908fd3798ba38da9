"""Attacks by name on one server: none gets more than its key may read, an error of the server, or a word too much."""

import asyncio
import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from rag_assets.db.access.roles import apply_roles
from rag_assets.db.connections.engines import make_engine
from rag_assets.serve.access.keys import revoke_key
from rag_assets.serve.http import gate
from tests.integration.serve.conftest import OWNER_TOKEN, Asker
from tests.support.database.database_server import DatabaseServer
from tests.support.installation.installations import install
from tests.support.serve.oidc_issuer import AUDIENCE, OidcIssuer, rsa_key, running_issuer

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SQL = (
    "'; DROP TABLE rag.documents; --",
    "' OR '1'='1",
    "x' UNION SELECT token_hash::text FROM rag.api_keys --",
    "$$;$$",
)
PATHS = ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "..\\..\\boot.ini")


@dataclass(frozen=True)
class Site:
    """A server whose document `sea/copy.txt` is for one group of one tenant, and the key of somebody else."""

    asker: Asker
    issuer: OidcIssuer
    key: str
    hidden: dict[str, Any]

    def search(self, key: str | None = None, **body: Any) -> Any:
        body = {"query": "whale", "mode": "text", "k": 100} | body
        return self.asker.post("/v1/search", body, key or self.key)

    def refuses(self, token: str) -> bool:
        return bool(self.asker.get("/v1/projects", token).status_code == 401)


@pytest.fixture(scope="module")
def site(databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.copy(built_template) as url,
        running_issuer() as issuer,
    ):
        install(url, tmp_path_factory.mktemp("attacked"), monkeypatch)
        engine = make_engine(url)
        with engine.begin() as connection:
            apply_roles(connection)
            connection.execute(
                text("UPDATE rag.documents SET readers = :readers, title = :title WHERE file_path = 'page01.md'"),
                {"readers": ["tenant:acme"], "title": MARKUP},
            )
        asker = Asker(engine, oidc_issuer=issuer.address, oidc_audience=AUDIENCE, audit="off")
        key = asker.key("stranger", groups=["guests"], tenant="rival", projects=["sea", "zoo"], may_write=True)
        hits = asker.post("/v1/search", {"query": "whale", "mode": "text", "k": 200, "project": "sea"}).json()["hits"]
        yield Site(asker, issuer, key, next(hit for hit in hits if hit["file_path"] == "page01.md"))
        asker.close()
        engine.dispose()


def sql_in_the_question(site: Site) -> None:
    for attack in SQL:
        for mode in ("text", "vector", "hybrid"):
            assert site.search(query=attack, mode=mode).status_code == 200


def sql_in_every_field(site: Site) -> None:
    names = (
        "project",
        "file_type",
        "path_glob",
        "mode",
        "operators",
        "distance",
        "created_from",
        "metadata",
        "weights",
    )
    for attack in SQL:
        for name in names:
            for value in (attack, [attack], {attack: attack}):
                assert site.search(**{name: value}).status_code in (200, 404, 422), name
        assert site.asker.get(f"/v1/documents/{attack}", site.key).status_code in (404, 422)
        assert site.asker.post("/v1/memories", {"content": attack, "project": attack}, site.key).status_code == 404


def sql_in_the_key(site: Site) -> None:
    for attack in SQL:
        assert site.refuses(attack)
        assert site.refuses("rag_" + attack)


def a_forged_principal_in_the_body(site: Site) -> None:
    for name in ("principal", "viewer", "user", "groups", "tenant", "readers", "rag.viewer", "role"):
        assert site.search(**{name: "tenant:acme"}).status_code == 422, name


def a_forged_principal_in_headers_and_address(site: Site) -> None:
    forged = {"x-forwarded-user": "anna", "x-groups": "staff", "x-tenant": "acme", "rag.viewer": "tenant:acme"}
    path = "/v1/search?tenant=acme&rag.viewer=x&options=-c%20role%3Downer"
    found = site.asker.post(path, {"query": "whale", "mode": "text", "k": 100}, site.key, headers=forged)
    assert site.hidden["document_id"] not in found.text
    assert found.status_code == 200


def a_key_of_another_tenant(site: Site) -> None:
    ours = site.asker.key("acme", tenant="acme")
    assert site.asker.get(f"/v1/documents/{site.hidden['document_id']}", ours).status_code == 200
    assert site.asker.get(f"/v1/documents/{site.hidden['document_id']}", site.key).status_code == 404
    assert site.hidden["document_id"] not in site.search().text


def a_revoked_and_an_expired_key(site: Site) -> None:
    revoked, expired = site.asker.key("revoked"), site.asker.key("expired", lifetime=timedelta(seconds=1))
    with site.asker.engine.begin() as connection:
        revoke_key(connection, "revoked")
        connection.execute(text("UPDATE rag.api_keys SET expires_at = now() - interval '1 s' WHERE name = 'expired'"))
    assert site.refuses(revoked)
    assert site.refuses(expired)


def a_key_elsewhere_than_in_its_header(site: Site) -> None:
    for options in (
        {"params": {"key": site.key, "access_token": site.key, "authorization": f"Bearer {site.key}"}},
        {"headers": {"x-api-key": site.key, "cookie": f"authorization=Bearer {site.key}"}},
    ):
        assert site.asker.get("/v1/projects", None, **options).status_code == 401


def an_expired_token(site: Site) -> None:
    assert site.refuses(site.issuer.token(exp=int(time.time()) - 3600))


def a_token_without_a_signature(site: Site) -> None:
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
        for one in (
            {"alg": "none", "kid": "first"},
            site.issuer.claims(tenant="acme"),
        )
    ]
    assert site.refuses(f"{parts[0]}.{parts[1]}.")


def a_token_with_forged_groups(site: Site) -> None:
    head, _, signature = site.issuer.token(groups=["guests"]).split(".")
    claims = base64.urlsafe_b64encode(json.dumps(site.issuer.claims(tenant="acme")).encode()).rstrip(b"=").decode()
    assert site.refuses(f"{head}.{claims}.{signature}")


def a_token_of_a_stolen_name(site: Site) -> None:
    assert site.refuses(site.issuer.token(rsa_key("thief"), tenant="acme"))
    assert site.refuses(site.issuer.token(aud="another application", tenant="acme"))


def a_group_that_is_written_like_another_reader(site: Site) -> None:
    token = site.issuer.token(
        groups=["x,tenant:acme", "tenant:acme", '"],"projects":null', "everyone"], sub="tenant:acme"
    )
    assert site.asker.get(f"/v1/documents/{site.hidden['document_id']}", token).status_code == 404


def path_traversal(site: Site) -> None:
    for path in PATHS:
        for start in ("/", "/v1/", "/v1/documents/", "/page.css/", "/mcp/"):
            found = site.asker.get(start + path, site.key)
            assert found.status_code in (404, 405, 422), start + path
            assert "root:" not in found.text
        document = {"project": "sea", "file_path": path}
        assert site.asker.post("/v1/similar", {"document": document}, site.key).status_code == 404


def oversized_bodies(site: Site) -> None:
    async def stream() -> Any:
        for _ in range(2_000):
            yield b" " * 1_024

    big = {"query": "x" * 2_000_000}
    assert site.asker.post("/v1/search", big, site.key).status_code == 413
    assert site.asker.send("POST", "/v1/search", site.key, content=stream()).status_code == 413
    assert site.search(k=10**30).status_code == 422
    assert site.asker.post("/v1/search/batch", {"queries": ["x"] * 5_000}, site.key).status_code == 422


def slow_bodies(site: Site) -> None:
    async def stream() -> Any:
        yield b"{"
        await asyncio.sleep(1)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(gate, "BODY_S", 0.1)
        assert site.asker.send("POST", "/v1/search", site.key, content=stream()).status_code == 408


def damaged_and_deep_json(site: Site) -> None:
    for body in (
        b"[" * 100_000,
        b'{"query": ' * 20_000,
        b'{"query": "\xff\xfe"}',
        b'{"query": "\\u0000"}',
        b'{"query": "\\ud800"}',
        b'{"query": "x", "k": 1e999}',
        b'{"query": "x", "min_score": NaN}',
        b'{"query": "x", "query": ["y"]}',
        b"",
        b"null",
    ):
        found = site.asker.send("POST", "/v1/search", site.key, content=body)
        assert found.status_code in (400, 422), body[:40]


def header_injection(site: Site) -> None:
    for attack in ("x\r\nset-cookie: a=b", "x\nlocation: //evil", "x\0y"):
        found = site.search(project=attack)
        assert found.status_code == 404
        assert not {"set-cookie", "location"} & found.headers.keys()
        assert "\n" not in found.json()["detail"]


def markup_in_content(site: Site) -> None:
    found = site.asker.post("/v1/search", {"query": "whale", "mode": "text", "k": 200}, OWNER_TOKEN)
    assert MARKUP in {hit["title"] for hit in found.json()["hits"]}
    assert found.headers["content-type"] == "application/json"
    page = site.asker.get("/", None)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


def existence_by_id(site: Site) -> None:
    for hidden, path in (
        (site.hidden["document_id"], "/v1/documents/{}"),
        (site.hidden["chunk_id"], "/v1/chunks/{}/explain"),
    ):
        missing = str(uuid4())
        answers = [site.asker.get(path.format(one), site.key) for one in (hidden, missing)]
        assert [one.status_code for one in answers] == [404, 404]
        assert answers[0].text.replace(hidden, "") == answers[1].text.replace(missing, "")


def existence_by_counts(site: Site) -> None:
    """The words of a hidden document are in no score, and its chunks in no number of hits."""
    with_it = site.search(k=200).json()
    with site.asker.engine.begin() as connection:
        connection.execute(text("UPDATE rag.documents SET readers = '{}' WHERE file_path = 'page01.md'"))
    without_it = site.search(k=200).json()
    with site.asker.engine.begin() as connection:
        connection.execute(text("UPDATE rag.documents SET readers = '{tenant:acme}' WHERE file_path = 'page01.md'"))
    scores = [[(hit["chunk_id"], hit["score"]) for hit in answer["hits"]] for answer in (with_it, without_it)]
    assert scores[0] == scores[1]


def timing_of_existence(site: Site) -> None:
    """Medians of requests in turn, with a wide margin: hidden documents are neither read nor counted."""
    seconds: dict[str, list[float]] = {site.hidden["document_id"]: [], str(uuid4()): []}
    for _ in range(25):
        for id_, taken in seconds.items():
            started = time.perf_counter()
            site.asker.get(f"/v1/documents/{id_}", site.key)
            taken.append(time.perf_counter() - started)
    hidden, missing = map(statistics.median, seconds.values())
    assert 0.5 < hidden / missing < 2


def other_methods(site: Site) -> None:
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY"):
        headers = {"x-http-method-override": "POST"}
        path = f"/v1/documents/{site.hidden['document_id']}"
        assert site.asker.send(method, path, site.key, headers=headers).status_code == 405


def expensive_patterns(site: Site) -> None:
    started = time.perf_counter()
    for pattern in ("*" * 5_000, "[" * 5_000, "{" + "a," * 5_000 + "}", "(a+)+" * 1_000):
        assert site.search(path_glob=pattern).status_code in (200, 422)
        assert site.search(query=pattern).status_code in (200, 422)
    assert time.perf_counter() - started < 10


def a_session_of_another_agent(site: Site) -> None:
    """A session of MCP is unknown to every caller but the one that began it."""
    asker = site.asker
    start = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "thief", "version": "1"},
        },
    }
    accept = {"accept": "application/json, text/event-stream"}

    async def steal() -> list[int]:
        async def post(key: str, body: Any, **headers: str) -> Any:
            headers = accept | {"authorization": f"Bearer {key}"} | headers
            return await asker.http.post("/mcp", json=body, headers=headers)

        async with asker.app._app.router.lifespan_context(asker.app._app):  # type: ignore[attr-defined]
            begun = await post(OWNER_TOKEN, start)
            session = {"mcp-session-id": begun.headers["mcp-session-id"]}
            tools = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
            stolen = await post(site.key, tools, **session)
            ended = await asker.http.delete("/mcp", headers=session | {"authorization": f"Bearer {site.key}"})
            own = await post(OWNER_TOKEN, tools, **session)
            return [begun.status_code, stolen.status_code, ended.status_code, own.status_code]

    assert asker.runner.run(steal()) == [200, 404, 404, 200]


ATTACKS: tuple[Callable[[Site], None], ...] = (
    sql_in_the_question,
    sql_in_every_field,
    sql_in_the_key,
    a_forged_principal_in_the_body,
    a_forged_principal_in_headers_and_address,
    a_key_of_another_tenant,
    a_revoked_and_an_expired_key,
    a_key_elsewhere_than_in_its_header,
    an_expired_token,
    a_token_without_a_signature,
    a_token_with_forged_groups,
    a_token_of_a_stolen_name,
    a_group_that_is_written_like_another_reader,
    path_traversal,
    oversized_bodies,
    slow_bodies,
    damaged_and_deep_json,
    header_injection,
    markup_in_content,
    existence_by_id,
    existence_by_counts,
    timing_of_existence,
    other_methods,
    expensive_patterns,
    a_session_of_another_agent,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attack(site: Site, attack: Callable[[Site], None]) -> None:
    attack(site)
    # Afterwards the server answers, and everything is still there.
    assert site.search(OWNER_TOKEN, project="sea").json()["hits"]
