"""Who may see what: keys, their projects, reading and writing."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets import NotFoundError, UsageError
from rag_assets.db.access.roles import apply_roles
from rag_assets.serve.access import authentication
from rag_assets.serve.access.keys import add_key, list_keys, revoke_key
from tests.integration.serve.conftest import OWNER_TOKEN, Asker
from tests.support.serve.oidc_issuer import AUDIENCE, running_issuer

SHARED = "The keeper feeds the whale every morning before the storm."


def test_only_callers_with_a_valid_key_come_in(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"query": "whale", "k": 1, "mode": "text"}
    token = asker.key("reader", lifetime=timedelta(days=1))
    assert asker.post("/v1/search", body, token).status_code == 200
    expired = asker.key("old", lifetime=timedelta(days=1))
    with asker.engine.begin() as connection:
        connection.execute(text("UPDATE rag.api_keys SET expires_at = now() - interval '1 s' WHERE name = 'old'"))
    for wrong in (None, "", "rag_", token[:-1], token + "x", expired, "x" * 10_000):
        response = asker.post("/v1/search", body, wrong)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="rag_assets"')
        assert token not in response.text
    for header in (f"Basic {token}", token, "Bearer"):
        response = asker.post("/v1/search", body, None, headers={"authorization": header})
        assert response.status_code == 401, header
    assert asker.post("/v1/search", body, None, headers={"authorization": f"bearer  {token} "}).status_code == 200
    # Without a key, not even which addresses exist is said.
    assert asker.get("/v1/nothing", None).status_code == 401
    with asker.engine.begin() as connection:
        revoke_key(connection, "reader")
    assert asker.post("/v1/search", body, token).status_code == 200
    monkeypatch.setattr(authentication.time, "monotonic", lambda: 1e12)
    assert asker.post("/v1/search", body, token).status_code == 401


def test_what_a_key_may_not_read_answers_as_what_does_not_exist(asker: Asker) -> None:
    """Also where it is named beside what the key may read."""
    key = asker.key("zoo", projects=["zoo"], may_write=True)
    owner = {
        one["project"]: one
        for one in asker.post("/v1/search", {"query": SHARED, "distinct": False}).json()["hits"]
        if one["text"] == SHARED
    }
    hidden, shown = owner["sea"], owner["zoo"]
    conversation = asker.post("/v1/conversations", {"name": "Secret", "project": "sea"}).json()["id"]
    without_project = asker.post("/v1/conversations", {"name": "Secret"}).json()["id"]

    def requests(project: str, chunk: str, document: str, talk: str) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/v1/search", {"query": "whale", "project": project}),
            ("POST", "/v1/search", {"query": "whale", "project": ["zoo", project]}),
            ("POST", "/v1/search/batch", {"queries": ["whale"], "project": project}),
            ("POST", "/v1/similar", {"chunk_id": chunk}),
            ("POST", "/v1/similar", {"document": {"project": project, "file_path": "copy.txt"}}),
            ("POST", "/v1/similar", {"document": {"project": "zoo", "file_path": "copy.txt"}, "project": project}),
            ("GET", f"/v1/documents/{document}", None),
            ("GET", f"/v1/chunks/{chunk}/explain", None),
            ("POST", "/v1/conversations", {"name": "Mine", "project": project}),
            ("GET", f"/v1/conversations/{talk}", None),
            ("GET", f"/v1/conversations/{talk}/messages", None),
            ("POST", f"/v1/conversations/{talk}/messages", {"messages": [{"role": "user", "content": "x"}]}),
            ("POST", f"/v1/conversations/{talk}/fork", {}),
            ("POST", "/v1/memories", {"content": "x", "project": project}),
            ("POST", "/v1/memories/recall", {"query": "x", "project": project}),
        ]

    nothing = ("abc", str(uuid4()), str(uuid4()), str(uuid4()))
    for talk in (conversation, without_project):
        there = ("sea", hidden["chunk_id"], hidden["document_id"], talk)
        for (method, path, body), (_, no_path, no_body) in zip(requests(*there), requests(*nothing), strict=True):
            found, missing = asker.send(method, path, key, json=body), asker.send(method, no_path, key, json=no_body)
            assert (found.status_code, missing.status_code) == (404, 404), (path, found.text, missing.text)
            said = found.text
            for mine, other in zip(there, nothing, strict=True):
                said = re.sub(rf"\b{mine}\b", other, said)
            assert said == missing.text
    answer = asker.post("/v1/search", {"query": SHARED, "k": 100, "distinct": True}, key).json()
    assert {hit["project"] for hit in answer["hits"]} == {"zoo"}
    assert {copy["project"] for hit in answer["hits"] for copy in hit["copies"]} <= {"zoo"}
    near = asker.post("/v1/similar", {"chunk_id": shown["chunk_id"], "k": 50, "equal_texts": True}, key).json()
    assert {hit["project"] for hit in near["hits"]} == {"zoo"}
    assert [one["name"] for one in asker.get("/v1/projects", key).json()["projects"]] == ["zoo"]
    assert asker.get(f"/v1/documents/{shown['document_id']}", key).json()["text"].strip() == SHARED
    assert asker.get(f"/v1/chunks/{shown['chunk_id']}/explain", key).json()["project"] == "zoo"
    assert asker.post("/v1/conversations", {"name": "Mine", "project": "zoo"}, key).status_code == 201
    assert "name one as `project`" in asker.post("/v1/conversations", {"name": "Mine"}, key).json()["detail"]


def test_a_key_that_reads_cannot_write(asker: Asker) -> None:
    key = asker.key("reader")
    conversation = asker.post("/v1/conversations", {"name": "Talk"}).json()["id"]
    for path, body in (
        ("conversations", {"name": "Mine"}),
        (f"conversations/{conversation}/messages", {"messages": [{"role": "user", "content": "x"}]}),
        (f"conversations/{conversation}/fork", {}),
        ("memories", {"content": "x"}),
    ):
        response = asker.post(f"/v1/{path}", body, key)
        assert (response.status_code, "may only read" in response.json()["detail"]) == (403, True)
    assert asker.get(f"/v1/conversations/{conversation}", key).status_code == 200


def test_a_renamed_project_stays_readable_and_a_deleted_one_opens_nothing(asker: Asker) -> None:
    key = asker.key("zoo", projects=["zoo"])
    run = asker.runner.run
    run(asker.client.projects.rename("zoo", "park"))
    assert [one["name"] for one in asker.get("/v1/projects", key).json()["projects"]] == ["park"]
    assert asker.post("/v1/search", {"query": "whale", "project": "park"}, key).status_code == 200
    run(asker.client.projects.delete("park"))
    asker.app._authenticator._cache.clear()  # type: ignore[attr-defined]
    assert asker.post("/v1/search", {"query": "whale"}, key).status_code == 403
    assert asker.get("/v1/projects", key).json() == {"projects": []}


def test_anonymous_callers_read_where_a_setting_says_so(limited: Callable[..., Asker]) -> None:
    asker = limited(serve_anonymous=True)
    here = {"host": "localhost:8000"}
    assert asker.post("/v1/search", {"query": "whale"}, None, headers=here).status_code == 200
    assert asker.post("/v1/conversations", {"name": "Mine"}, None, headers=here).status_code == 403
    # A key that is wrong is not nobody's.
    assert asker.post("/v1/search", {"query": "whale"}, "rag_wrong", headers=here).status_code == 401
    # A page of another host whose name leads here.
    for host in ("evil.example", "127.0.0.1.evil.example:8000", "localhost.evil", ""):
        assert asker.post("/v1/search", {"query": "whale"}, None, headers={"host": host}).status_code == 421
        assert asker.get("/", None, headers={"host": host}).status_code == 421


def test_keys_are_listed_without_their_tokens(built: Engine) -> None:
    with built.begin() as connection:
        made = add_key(connection, "one", projects=["zoo", "sea", "zoo"], groups=["b", "a"], may_write=True)
        assert made.token not in repr(made)
        with pytest.raises(UsageError, match="there is a key 'one' already"):
            add_key(connection, "one")
        revoke_key(connection, "one")
        with pytest.raises(NotFoundError, match="there is no key 'one'"):
            revoke_key(connection, "one")
        again = add_key(connection, "one")
        assert again.token != made.token
        newest, oldest = sorted(list_keys(connection), key=lambda key: not key["valid"])
    assert (oldest["projects"], oldest["groups"], oldest["may_write"]) == (["sea", "zoo"], ["a", "b"], True)
    assert (newest["projects"], newest["valid"], newest["expires_at"]) == (None, True, None)
    with built.connect() as connection:
        stored = connection.execute(text("SELECT * FROM rag.api_keys")).all()
        assert made.token not in str(stored)


def test_the_groups_of_a_key_decide_which_documents_exist(asker: Asker) -> None:
    with asker.engine.begin() as connection:
        apply_roles(connection)
        connection.execute(text("UPDATE rag.documents SET readers = '{group:staff}' WHERE file_path = 'copy.txt'"))
        connection.execute(
            text("UPDATE rag.projects SET settings = '{\"readers\": [\"group:sea\"]}' WHERE name = 'sea'")
        )
    staff, guest = asker.key("staff", groups=["staff"]), asker.key("guest")
    zoo = asker.key("zoo", projects=["zoo"], groups=["other"])
    query = {"query": SHARED, "distinct": False, "k": 50}
    for mode in ("vector", "text", "hybrid"):
        found = {
            name: [
                hit["text"] == SHARED for hit in asker.post("/v1/search", query | {"mode": mode}, key).json()["hits"]
            ]
            for name, key in {"owner": OWNER_TOKEN, "staff": staff, "guest": guest, "zoo": zoo}.items()
        }
        assert [sum(one) for one in found.values()] == [3, 3, 1, 1], mode
    hit = next(one for one in asker.post("/v1/search", query).json()["hits"] if one["file_path"] == "copy.txt")
    projects = {name: asker.get("/v1/projects", key).json() for name, key in (("staff", staff), ("guest", guest))}
    assert {name: [one["name"] for one in found["projects"]] for name, found in projects.items()} == {
        "staff": ["sea", "zoo"],
        "guest": ["zoo"],
    }
    for hidden, missing in ((hit["document_id"], str(uuid4())), (hit["chunk_id"], str(uuid4()))):
        for path in ("/v1/documents/{}", "/v1/chunks/{}/explain"):
            answers = [asker.get(path.format(one), guest) for one in (hidden, missing)]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].text.replace(hidden, "ID") == answers[1].text.replace(missing, "ID")
    explained = {key: asker.get(f"/v1/chunks/{hit['chunk_id']}/explain", key).json() for key in (OWNER_TOKEN, staff)}
    assert explained[OWNER_TOKEN]["source_uri"]
    assert explained[staff]["source_uri"] == ""
    assert asker.post("/v1/similar", {"chunk_id": hit["chunk_id"]}, guest).status_code == 404
    said = [asker.post("/v1/search", {"query": "x", "project": name}, guest).text for name in ("sea", "sky")]
    assert said[0].replace("sea", "NAME") == said[1].replace("sky", "NAME")


def test_a_token_of_an_issuer_opens_what_its_groups_may_read(limited: Callable[..., Asker]) -> None:
    with running_issuer() as issuer:
        asker = limited(oidc_issuer=issuer.address, oidc_audience=AUDIENCE, oidc_write_scope="write")
        with asker.engine.begin() as connection:
            apply_roles(connection)
            connection.execute(text("UPDATE rag.documents SET readers = '{group:staff}' WHERE file_path = 'copy.txt'"))
        query = {"query": SHARED, "mode": "text", "distinct": False, "k": 50}
        tokens = {group: issuer.token(groups=[group]) for group in ("staff", "guest")}
        found = {
            group: {hit["file_path"] for hit in asker.post("/v1/search", query, token).json()["hits"]}
            for group, token in tokens.items()
        }
        assert found["staff"] - found["guest"] == {"copy.txt"}
        assert asker.post("/v1/search", query, issuer.token(aud="other")).status_code == 401
        assert asker.get("/metrics", tokens["staff"]).status_code == 403
        assert "this token may only read" in asker.post("/v1/conversations", {"name": "x"}, tokens["staff"]).text
        # Keys still come in.
        assert asker.post("/v1/search", query, asker.key("reader")).status_code == 200
        issuer.broken = True
        asker.app._authenticator._tokens._keys._fetched_at = float("-inf")  # type: ignore[attr-defined]
        away = asker.post("/v1/search", query, tokens["staff"])
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")


def test_a_caller_with_a_user_has_the_conversations_and_memories_of_that_user(asker: Asker) -> None:
    anna, bob, nameless = (
        asker.key(name, user=user, may_write=True)
        for name, user in (("anna", "anna@example.org"), ("bob", "BOB@example.org"), ("nameless", "carla"))
    )
    # The first writing creates the user.
    talk = asker.post("/v1/conversations", {"name": "Talk"}, anna).json()
    assert asker.post("/v1/memories", {"content": "Anna likes whales."}, anna).json()["user_id"] == talk["user_id"]
    said = {"messages": [{"role": "user", "content": "Hello"}]}
    [message] = asker.post(f"/v1/conversations/{talk['id']}/messages", said, anna).json()["messages"]
    assert asker.get(f"/v1/conversations/{talk['id']}", anna).status_code == 200
    for method, path, body in (
        ("GET", "/v1/conversations/{}", None),
        ("GET", "/v1/conversations/{}/messages", None),
        ("POST", "/v1/conversations/{}/messages", said),
        ("POST", "/v1/conversations/{}/fork", {}),
    ):
        answers = [asker.send(method, path.format(id_), bob, json=body) for id_ in (talk["id"], uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404], path
    for body in ({"content": "x", "source_message_id": message["id"]}, {"content": "x", "user_id": talk["user_id"]}):
        assert asker.post("/v1/memories", body, bob).status_code in (403, 404)
    ids = (talk["user_id"], str(uuid4()))
    answers = [asker.post("/v1/memories/recall", {"query": "whales", "user_id": one}, bob) for one in ids]
    assert {(answer.status_code, answer.text) for answer in answers} == {(403, answers[0].text)}
    assert "there is no user 'carla'" in asker.post("/v1/conversations", {"name": "x"}, nameless).json()["detail"]


def test_conversations_do_not_tell_that_a_hidden_project_exists(asker: Asker) -> None:
    with asker.engine.begin() as connection:
        apply_roles(connection)
        connection.execute(
            text("UPDATE rag.projects SET settings = '{\"readers\": [\"group:sea\"]}' WHERE name = 'sea'")
        )
    talk = asker.post("/v1/conversations", {"name": "Talk", "project": "sea"}).json()["id"]
    guest, member = asker.key("guest", may_write=True), asker.key("member", groups=["sea"], may_write=True)
    for path, body in (
        ("conversations", {"name": "x"}),
        ("memories", {"content": "x"}),
        ("memories/recall", {"query": "x"}),
    ):
        said = [asker.post(f"/v1/{path}", body | {"project": name}, guest) for name in ("sea", "sky")]
        assert [answer.status_code for answer in said] == [404, 404]
        assert said[0].text.replace("sea", "NAME") == said[1].text.replace("sky", "NAME")
    assert asker.get(f"/v1/conversations/{talk}", guest).status_code == 404
    assert asker.get(f"/v1/conversations/{talk}", member).status_code == 200
