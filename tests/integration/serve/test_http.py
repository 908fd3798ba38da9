"""The HTTP interface over a real database: answers, problems, limits."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets.serve.http import health_routes
from tests.integration.serve.conftest import OWNER_TOKEN, Asker
from tests.support.json_shapes import SEARCH, assert_shape

SHARED = "The keeper feeds the whale every morning before the storm."
TIMES = ("took_ms", "embedding_ms", "rerank_ms", "timings")

# A constant: all workers of the tests must give this case the same name.
UNKNOWN = "3f0c6c9e-5a52-4f0e-9b57-0d8f5a1c2b11"


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in TIMES}


def test_answers_are_those_of_the_client(asker: Asker) -> None:
    for options in (
        {"k": 3, "project": "zoo"},
        {"mode": "text", "operators": "all", "k": 2},
        {"mode": "vector", "path_glob": "page*.md", "context": 1, "mmr": 0.5, "min_score": 0.01},
        {"weights": [1, 2], "rrf_constant": 10, "distinct": False, "offset": 1, "exact": True, "timeout_s": 20},
    ):
        answer = asker.post("/v1/search", {"query": "keeper whale", **options})
        assert answer.status_code == 200, answer.text
        arguments = options | ({"weights": (1.0, 2.0)} if "weights" in options else {})
        same = asker.runner.run(asker.client.search("keeper whale", **arguments))
        assert without_times(answer.json()) == without_times(json.loads(json.dumps(asdict(same), default=str)))
        assert answer.json()["hits"]
    assert_shape(answer.json(), SEARCH)
    assert answer.headers["cache-control"] == "no-store"


def test_batches_are_one_object_or_a_line_for_each_answer(asker: Asker) -> None:
    queries = [f"whale {number}" for number in range(20)]
    whole = asker.post("/v1/search/batch", {"queries": queries, "k": 2}).json()["answers"]
    lines = asker.post("/v1/search/batch", {"queries": queries, "k": 2}, headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    streamed = [json.loads(line) for line in lines.text.splitlines()]
    assert [one["query"] for one in streamed] == queries
    ids = [[[hit["chunk_id"] for hit in one["hits"]] for one in found] for found in (whole, streamed)]
    assert ids[0] == ids[1]
    # A query that is wrong after the status was sent is a line of its own, and the last one.
    broken = [*queries[:16], " "]
    response = asker.post("/v1/search/batch", {"queries": broken}, headers={"accept": "application/x-ndjson"})
    *answers, last = map(json.loads, response.text.splitlines())
    assert (len(answers), last["problem"]["status"]) == (16, 422)
    assert asker.post("/v1/search/batch", {"queries": broken}).status_code == 422


def test_documents_chunks_and_projects(asker: Asker) -> None:
    hit = asker.post("/v1/search", {"query": SHARED, "k": 1, "project": "zoo"}).json()["hits"][0]
    document = asker.get(f"/v1/documents/{hit['document_id']}", params={"char_start": 4, "char_end": 10}).json()
    assert (document["text"], document["chars"], document["project"]) == ("keeper", len(SHARED) + 1, "zoo")
    assert asker.get(f"/v1/documents/{hit['document_id']}").json()["text"] == SHARED + "\n"
    beyond = asker.get(f"/v1/documents/{hit['document_id']}", params={"char_start": 99, "char_end": 3}).json()
    assert (beyond["char_start"], beyond["char_end"], beyond["text"]) == (len(SHARED) + 1,) * 2 + ("",)
    explained = asker.get(f"/v1/chunks/{hit['chunk_id']}/explain").json()
    assert (explained["text"], explained["served"], explained["space"]["status"]) == (SHARED, True, "live")
    near = asker.post("/v1/similar", {"chunk_id": hit["chunk_id"], "k": 2}).json()
    assert SHARED not in {one["text"] for one in near["hits"]}
    of_document = {"project": "zoo", "file_path": hit["file_path"]}
    assert len(asker.post("/v1/similar", {"document": of_document, "k": 2}).json()["hits"]) == 2
    assert [one["name"] for one in asker.get("/v1/projects").json()["projects"]] == ["sea", "zoo"]
    assert asker.get("/healthz", key=None).text == "ok\n"
    assert asker.get("/readyz", key=None).status_code == 503


def test_it_is_ready_when_the_model_is_loaded_and_a_space_is_live(
    asker: Asker, built: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_routes, "READY_CACHED_S", 0)
    readiness = health_routes.Readiness(asker.client)
    run = asker.runner.run
    assert not run(readiness.is_ready())
    run(readiness.warm_up())
    assert run(readiness.is_ready())
    with built.begin() as connection:
        connection.execute(text("UPDATE rag.embedding_spaces SET status = 'building' WHERE status = 'live'"))
    assert not run(readiness.is_ready())


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("search", b"{", 400, "the body is no JSON"),
        ("search", b"\xff\xfe", 400, "the body is no JSON"),
        ("search", b"", 400, "the body is no JSON"),
        ("search", b"[1]", 422, "the body: input should be an object"),
        ("search", {}, 422, "/query: field required"),
        ("search", {"query": "x", "k": "5"}, 422, "/k: input should be a valid integer"),
        ("search", {"query": "x", "k": True}, 422, "/k: input should be a valid integer"),
        ("search", {"query": "x", "k": 1001}, 422, "/k: input should be less than or equal to 1000"),
        ("search", {"query": "x", "limit": 5}, 422, "/limit: extra inputs are not permitted"),
        ("search", {"query": "x", "created_from": "2020-01-01T00:00:00"}, 422, "/created_from: input should have time"),
        ("search", {"query": " "}, 422, "the query is empty"),
        ("search", {"query": "\x00\ud800"}, 400, "the body is no JSON"),
        ("search", {"query": "x" * 100_001}, 422, "characters"),
        ("search", {"query": [1.0]}, 422, "the vector has 1 dimensions"),
        ("search", {"query": [0.0] * 384}, 422, "the vector is zero"),
        ("search", {"query": "x", "project": "none"}, 404, "there is no project 'none'"),
        ("search", {"query": "x", "metadata": {"$bad": 1}}, 422, "$bad"),
        ("search", {"query": "x", "rerank": 5}, 422, "no reranker is set"),
        ("search", {"query": "x", "offset": 9999, "k": 9}, 422, "offset 9999 and k 9 end at hit 10,008"),
        ("similar", {}, 422, "similar takes a chunk's id"),
        ("similar", {"chunk_id": str(uuid4())}, 404, "there is no chunk"),
        ("similar", {"document": {"project": "zoo", "file_path": "\x00"}}, 404, "there is no document"),
        ("search/batch", {"queries": []}, 422, "/queries: list should have at least 1 item"),
        ("conversations", {"name": "a", "project": "\x00"}, 404, "there is no project"),
        ("search", {"query": "x", "project": "\x00"}, 422, "give names"),
        ("search", {"query": "x", "file_type": "\x00"}, 422, "file_type"),
        ("search", {"query": "x", "metadata": {"a": "\x00"}}, 422, "PostgreSQL accepts"),
        ("conversations", {"name": ""}, 422, "name is ''"),
        ("conversations", {"name": "a", "project": "none"}, 404, "there is no project 'none'"),
        ("conversations", {"name": "a", "user_id": str(uuid4())}, 422, "refers to a row that does not exist"),
        (f"conversations/{UNKNOWN}/messages", {"messages": [{"role": "user", "content": "x"}]}, 404, "no conversation"),
        ("memories", {"content": " "}, 422, "content is empty"),
        ("memories/recall", {"query": "x", "weights": {"speed": 1}}, 503, "no space is live"),
    ],
)
def test_what_cannot_be_done_is_a_problem_of_one_sentence(
    shared_asker: Asker, path: str, body: Any, status: int, said: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = shared_asker.send("POST", f"/v1/{path}", content=content)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    problem = response.json()
    assert problem["status"] == status
    assert said in problem["detail"]
    assert problem["detail"].endswith(".")
    assert "hits" not in problem


def test_addresses_that_are_wrong(shared_asker: Asker) -> None:
    for path, status in (
        ("/v1/documents/1", 422),
        (f"/v1/documents/{uuid4()}", 404),
        (f"/v1/documents/{uuid4()}?char_start=-1", 422),
        (f"/v1/chunks/{uuid4()}/explain", 404),
        ("/v1/../etc/passwd", 404),
        ("/v1/search", 405),
        ("/docs", 404),
    ):
        response = shared_asker.get(path)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), path


def test_conversations_and_memories(asker: Asker) -> None:
    made = asker.post("/v1/conversations", {"name": "Whales", "project": "zoo"}).json()
    path = f"/v1/conversations/{made['id']}"
    messages = [{"role": "user", "content": f"question {number}"} for number in range(3)]
    added = asker.post(f"{path}/messages", {"messages": messages})
    assert (added.status_code, [one["version"] for one in added.json()["messages"]]) == (201, [1, 2, 3])
    fork = asker.post(f"{path}/fork", {"version": 2, "name": "Other"}).json()
    assert (fork["parent_id"], fork["message_count"], fork["project_id"]) == (made["id"], 2, made["project_id"])
    shared = asker.get(f"/v1/conversations/{fork['id']}/messages").json()["messages"]
    assert [one["content"] for one in shared] == ["question 0", "question 1"]
    newest = asker.get(f"{path}/messages", params={"limit": 1}).json()["messages"]
    assert [one["version"] for one in newest] == [3]
    assert asker.get(path).json()["message_count"] == 3
    memory = asker.post("/v1/memories", {"content": "Ada feeds whales.", "importance": 0.4}).json()
    again = asker.post("/v1/memories", {"content": "Ada feeds whales.", "importance": 0.5}).json()
    assert (again["id"], again["importance"]) == (memory["id"], pytest.approx(0.7))


def test_limits_of_size_hits_and_queries(limited: Callable[..., Asker]) -> None:
    asker = limited(serve_body_kb=1, serve_max_k=5, serve_max_queries=2)
    assert asker.post("/v1/search", {"query": "x" * 2000}).status_code == 413

    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 1000

    assert asker.send("POST", "/v1/search", content=chunks()).status_code == 413
    assert "at most" in asker.post("/v1/search", {"query": "x", "k": 6}).json()["detail"]
    assert asker.post("/v1/search", {"query": "x", "k": 5}).status_code == 200
    assert asker.post("/v1/search/batch", {"queries": ["a", "b", "c"]}).status_code == 422


def test_slow_searches_end_at_their_limit_and_others_wait_or_are_refused(
    limited: Callable[..., Asker], built: Engine
) -> None:
    asker = limited(serve_timeout_s=0.7, serve_running=1, serve_queue=1, serve_per_caller=2)
    other = asker.key("other")
    asker.post("/v1/search", {"query": "whale", "mode": "text"})

    async def ask(token: str) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        return await asker.http.post("/v1/search", json={"query": "whale", "mode": "text"}, headers=headers)

    async def ask_all() -> list[Any]:
        first = [asyncio.create_task(ask(OWNER_TOKEN)) for _ in range(2)]
        await asyncio.sleep(0.3)
        return [*await asyncio.gather(ask(OWNER_TOKEN), ask(other)), *await asyncio.gather(*first)]

    with built.begin() as connection:
        connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
        mine, others, *slow = asker.runner.run(ask_all())
    assert (mine.status_code, mine.headers["retry-after"]) == (429, "1")
    assert (others.status_code, others.headers["retry-after"]) == (503, "1")
    assert [one.status_code for one in slow] == [504, 504]
    assert asker.post("/v1/search", {"query": "whale", "mode": "text"}).status_code == 200
    with built.connect() as connection:
        assert running_searches(connection) == 0


def test_a_client_that_leaves_cancels_its_statement(asker: Asker, built: Engine) -> None:
    asker.post("/v1/search", {"query": "whale", "mode": "text"})
    body = json.dumps({"query": "whale", "mode": "text"}).encode()
    sent: list[Any] = []

    async def leave() -> int:
        messages = asyncio.Queue[dict[str, Any]]()
        messages.put_nowait({"type": "http.request", "body": body, "more_body": False})

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {OWNER_TOKEN}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/search", "query_string": b"", "headers": headers}
        task = asyncio.create_task(asker.app(scope, messages.get, send))  # type: ignore[arg-type]
        while not await asyncio.to_thread(count):
            await asyncio.sleep(0.02)
        messages.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(task, 5)
        return await asyncio.to_thread(count)

    def count() -> int:
        with built.connect() as connection:
            return running_searches(connection)

    with built.begin() as connection:
        connection.execute(text("LOCK TABLE rag.documents IN ACCESS EXCLUSIVE MODE"))
        assert asker.runner.run(leave()) == 0
    assert sent == []


def running_searches(connection: Any) -> int:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    found = connection.scalar(text(waiting))
    assert isinstance(found, int)
    return found


def test_openapi_describes_every_route_with_its_body_and_problems(asker: Asker) -> None:
    description = asker.get("/openapi.json", key=None).json()
    schemas = description["components"]["schemas"]

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].removeprefix("#/components/schemas/") in schemas
            for one in value.values():
                check(one)
        elif isinstance(value, list):
            for one in value:
                check(one)

    check(description)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1"):
                assert operation["description"] or operation["summary"]
                assert {"401", "404", "422", "503"} <= operation["responses"].keys()
                assert (method == "post") == ("requestBody" in operation)
    assert schemas["SearchBody"]["examples"]
    assert {"degraded", "space", "excluded", "hits"} <= schemas["Answer"]["properties"].keys()
