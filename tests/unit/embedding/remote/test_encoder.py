"""The encoder of a model over HTTP, against a server that misbehaves."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from rag_assets.embedding.batches import PartlyEncodedError
from rag_assets.errors import RefusedError, ServiceError, UsageError
from rag_assets.testing import HashEncoder
from tests.support.embedding_server.behaviours import (
    change,
    cut_off,
    delay,
    fail,
    refuse,
    refuse_longer_than,
    refuse_more_than,
)
from tests.support.embedding_server.messages import Answer
from tests.support.embedding_server.server import DIMENSIONS, Behaviour, EmbeddingServer
from tests.unit.embedding.remote.conftest import KEY, MakeEncoder

TEXTS = [f"text number {number} of {'many ' * (number % 7)}" for number in range(70)]


def expected(texts: list[str]) -> np.ndarray[Any, Any]:
    return HashEncoder(DIMENSIONS).encode(texts)


def test_texts_are_sent_once_in_bounded_requests_side_by_side(
    server: EmbeddingServer, make_encoder: MakeEncoder
) -> None:
    server.misbehave(delay(0.03))
    encoder = make_encoder(embedding_request_texts=10, embedding_concurrency=3)
    vectors = encoder.encode([*TEXTS, TEXTS[3]])
    np.testing.assert_allclose(vectors, expected([*TEXTS, TEXTS[3]]), atol=1e-6)
    assert sorted(server.accepted) == sorted(TEXTS)
    assert max(len(request.texts) for request in server.requests) == 10
    assert 2 <= server.most_at_once <= 3
    assert {frozenset(request.body) for request in server.requests} == {frozenset({"model", "input"})}
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_requests_are_bounded_in_tokens(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    texts = [f"{number} " + "word " * 60 for number in range(6)]
    make_encoder(embedding_request_tokens=220).encode(texts)
    assert [len(request.texts) for request in server.requests] == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "path", "document", "query"),
    [
        (
            "voyage:voyage-x",
            "/v1/embeddings",
            {"model": "voyage-x", "input": ["a text"], "truncation": False, "input_type": "document"},
            "query",
        ),
        (
            "cohere:embed-x",
            "/v1/embed",
            {
                "model": "embed-x",
                "texts": ["a text"],
                "embedding_types": ["float"],
                "truncate": "NONE",
                "input_type": "search_document",
            },
            "search_query",
        ),
    ],
)
def test_each_dialect_is_spoken(
    server: EmbeddingServer, make_encoder: MakeEncoder, name: str, path: str, document: dict[str, Any], query: str
) -> None:
    encoder = make_encoder(name, prompts={"document_type": document["input_type"], "query_type": query})
    np.testing.assert_allclose(encoder.encode(["a text"]), expected(["a text"]), atol=1e-6)
    assert (server.requests[0].path, server.requests[0].body) == (path, document)
    encoder.encode_query("a question")
    assert server.requests[1].body["input_type"] == query
    assert encoder.take_billed_tokens() == 4


def test_prompts_stand_before_what_is_sent(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(prompts={"document": "passage: ", "query": "query: "})
    encoder.encode(["one"])
    encoder.encode_query("two")
    assert server.accepted == ["passage: one", "query: two"]


def test_vectors_follow_their_index_and_may_be_base64(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    def shuffle(content: dict[str, Any], _: Any) -> None:
        content["data"] = content["data"][::-1]
        for entry in content["data"][::2]:
            entry["embedding"] = base64.b64encode(np.array(entry["embedding"], "<f4").tobytes()).decode()

    server.misbehave(change(server, shuffle))
    np.testing.assert_allclose(make_encoder().encode(TEXTS), expected(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        {"error": {"code": 429}},
        {"error": "Too many requests, please try again in 200ms"},
        {"code": "429", "message": "slow down"},
        {"detail": "rate limit of this tier"},
        {"data": [], "errors": [{"message": "Rate limit"}]},
        {"object": "error", "status": 429, "data": None},
        {},
    ],
)
def test_a_rate_limit_may_hide_in_a_good_status(
    server: EmbeddingServer, make_encoder: MakeEncoder, content: dict[str, Any]
) -> None:
    server.misbehave(lambda _: Answer(200, content, {"Retry-After": "0.2"}), times=1)
    started = time.monotonic()
    make_encoder().encode(TEXTS[:3])
    assert time.monotonic() - started >= 0.2
    assert server.accepted == TEXTS[:3]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    "headers", [{"Retry_After": "0.2"}, {"retry_after_ms": "200"}, {}], ids=["seconds", "milliseconds", "message"]
)
def test_a_rate_limit_is_waited_for(
    server: EmbeddingServer, make_encoder: MakeEncoder, hidden: bool, headers: dict[str, str]
) -> None:
    message = "Rate limit reached. Please try again in 200ms. Add a payment method at https://example.com/billing."
    content = {"error": {"message": message, "code": 429 if hidden else "rate_limit_exceeded"}}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    server.misbehave(lambda _: Answer(200 if hidden else 429, content, names), times=1)
    started = time.monotonic()
    make_encoder(embedding_concurrency=1).encode(TEXTS[:3])
    assert 0.2 <= time.monotonic() - started < 10
    assert server.accepted == TEXTS[:3]


def test_a_rate_limit_stops_all_requests(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(embedding_request_texts=10)
    server.misbehave(fail(429, Retry_After="0.3"), times=1)
    started = time.monotonic()
    encoder.encode(TEXTS)
    assert len(server.requests) == 8
    assert time.monotonic() - started >= 0.3
    assert sorted(server.accepted) == sorted(TEXTS)


def test_a_wait_beyond_the_patience_ends_the_run_and_keeps_what_was_paid(
    server: EmbeddingServer, make_encoder: MakeEncoder
) -> None:
    encoder = make_encoder(embedding_request_texts=10, embedding_concurrency=1)
    encoder.encode(TEXTS[:10])
    served = iter(range(2))
    server.misbehave(lambda request: fail(429, Retry_After="3600")(request) if next(served, None) is None else None)
    with pytest.raises(PartlyEncodedError) as caught:
        encoder.encode(TEXTS)
    assert isinstance(caught.value.stopped, ServiceError)
    assert "next attempt in 36" in str(caught.value.stopped)
    assert sorted(caught.value.vectors) == sorted(server.accepted[10:])
    assert len(caught.value.vectors) == 20
    assert not caught.value.reasons


@pytest.mark.parametrize("status", [400, 422, 500])
def test_only_the_culprits_of_a_refused_request_have_no_vector(
    server: EmbeddingServer, make_encoder: MakeEncoder, status: int
) -> None:
    texts = [*TEXTS[:40], "a bad one", *TEXTS[40:], "another bad one"]
    server.misbehave(refuse("bad", status))
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder().encode(texts)
    assert caught.value.stopped is None
    assert set(caught.value.reasons) == {"a bad one", "another bad one"}
    assert f"{status}): input contains" in caught.value.reasons["a bad one"] or status == 500
    assert sorted(server.accepted) == sorted(TEXTS)
    for text, vector in caught.value.vectors.items():
        np.testing.assert_allclose(vector, expected([text])[0], atol=1e-6)


def test_a_smaller_limit_of_the_server_is_learned(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(refuse_more_than(8))
    encoder = make_encoder(embedding_concurrency=1)
    encoder.encode(TEXTS)
    asked = len(server.requests)
    encoder.encode([f"new {text}" for text in TEXTS])
    assert len(server.requests) - asked == 9  # Of eight texts each.
    assert len(server.accepted) == 2 * len(TEXTS)


def test_an_over_long_text_gets_the_mean_of_its_parts(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(refuse_longer_than(20))
    long = "One sentence has nine words and ends with this. " * 5
    vectors = make_encoder().encode([TEXTS[0], long])
    np.testing.assert_allclose(vectors[0], expected([TEXTS[0]])[0], atol=1e-6)
    assert np.linalg.norm(vectors[1]) == pytest.approx(1)
    assert float(vectors[1] @ expected(["One sentence has nine words and ends with this."])[0]) > 0.9
    assert all(len(text.split()) <= 20 for text in server.accepted)
    assert make_encoder().encode_query(long).shape == (DIMENSIONS,)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda vector: None, "the server gave no vector"),
        (lambda vector: vector[:3], "a vector of 3 dimensions, not 8"),
        (lambda vector: [vector], "the server gave no vector"),
        (lambda vector: "no base64!", "the server gave no vector"),
    ],
)
def test_a_wrong_vector_concerns_its_text_alone(
    server: EmbeddingServer, make_encoder: MakeEncoder, edit: Any, reason: str
) -> None:
    def spoil(content: dict[str, Any], request: Any) -> None:
        for entry, text in zip(content["data"], request.texts, strict=True):
            if text == TEXTS[1]:
                entry["embedding"] = edit(entry["embedding"])

    server.misbehave(change(server, spoil))
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder().encode(TEXTS[:4])
    assert reason in caught.value.reasons[TEXTS[1]]
    assert set(caught.value.vectors) == {TEXTS[0], *TEXTS[2:4]}


@pytest.mark.parametrize("value", [None, float("nan"), 1e300], ids=["null", "nan", "overflow"])
def test_numbers_that_are_none_reach_the_writer_which_rejects_them(
    server: EmbeddingServer, make_encoder: MakeEncoder, value: float | None
) -> None:
    server.misbehave(change(server, lambda content, _: content["data"][0]["embedding"].__setitem__(2, value)))
    assert not np.isfinite(make_encoder().encode(["one"])).all()


def test_vectors_of_other_dimensions_are_a_wrong_setting(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    server._encoder = HashEncoder(12)
    with pytest.raises(PartlyEncodedError) as caught:
        encoder.encode(TEXTS)
    assert isinstance(caught.value.stopped, RefusedError)
    assert "set RAG_ASSETS_DIMENSIONS=12" in str(caught.value.stopped)
    assert len(server.requests) <= 4


@pytest.mark.parametrize(
    "behaviour",
    ["less", "twice", "no_index", "error_page", "cut_json", "cut_connection", "reset", "502", "200_error", "endless"],
)
def test_what_passes_is_tried_again(server: EmbeddingServer, make_encoder: MakeEncoder, behaviour: str) -> None:
    behaviours: dict[str, Behaviour] = {
        "less": change(server, lambda content, _: content["data"].pop()),
        "twice": change(server, lambda content, _: content["data"][0].update(index=1)),
        "no_index": change(server, lambda content, _: content["data"][0].pop("index")),
        "error_page": fail(503, b"<html><body><h1>503 Service Unavailable</h1></body></html>"),
        "cut_json": cut_off(server, announced=False),
        "cut_connection": cut_off(server, announced=True),
        "reset": lambda _: Answer(reset=True),
        "502": fail(502, b""),
        "200_error": lambda _: Answer(content={"error": "overloaded"}),
        "endless": lambda _: Answer(content=b"[" * 12_000_000),
    }
    server.misbehave(behaviours[behaviour], times=1)
    np.testing.assert_allclose(make_encoder().encode(TEXTS[:5]), expected(TEXTS[:5]), atol=1e-6)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(401, {"error": {"message": f"Incorrect API key: {KEY}"}}), "set RAG_ASSETS_EMBEDDING_API_KEY"),
        (Answer(403, {"detail": "not for you"}), r"not for you.*RAG_ASSETS_EMBEDDING_API_KEY"),
        (Answer(404, b"<html><title>404 Not Found</title>"), r"404 Not Found.*RAG_ASSETS_EMBEDDING_URL"),
        (Answer(404, {"error": {"message": "The model `x` does not exist"}}), "correct .*RAG_ASSETS_MODEL"),
        (Answer(400, {"error": {"message": "The model `x` does not exist"}}), "RAG_ASSETS_MODEL"),
        (Answer(200, b"<!doctype html><p>Welcome"), "a web page, not .* RAG_ASSETS_EMBEDDING_URL"),
        (Answer(307, b"", {"Location": "https://example.org/v1?key=1"}), r"redirects to https://example.org/v1 \(307"),
        (Answer(429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}), "paid"),
        (Answer(200, {"error": {"message": "Invalid API key"}}), "RAG_ASSETS_EMBEDDING_API_KEY"),
        (Answer(418, b"tea"), "status 418: tea"),
    ],
)
def test_what_the_settings_must_change_is_said_at_once(
    server: EmbeddingServer, make_encoder: MakeEncoder, answer: Answer, message: str
) -> None:
    server.misbehave(lambda _: answer)
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder(embedding_concurrency=1).encode(TEXTS)
    assert isinstance(caught.value.stopped, RefusedError)
    assert not caught.value.stopped.transient
    with pytest.raises(RefusedError, match=message) as said:
        raise caught.value.stopped
    assert KEY not in str(said.value)
    assert len(server.requests) == 1


def test_a_broken_server_ends_the_run_soon(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(fail(500, "CUDA error"))
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder(embedding_concurrency=1).encode(TEXTS)
    assert "failed 24 times in a row" in str(caught.value.stopped)
    assert "CUDA error" in str(caught.value.stopped)
    assert len(server.requests) <= 24 * 3


def test_a_slow_answer_is_asked_for_in_smaller_parts(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(lambda request: delay(0.5)(request) if len(request.texts) > 8 else None)
    encoder = make_encoder(embedding_timeout_s=0.25)
    np.testing.assert_allclose(encoder.encode(TEXTS[:16]), expected(TEXTS[:16]), atol=1e-6)


def test_an_answer_that_trickles_in_is_given_up(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(change(server, lambda content, _: Answer(content=content, drip_s=0.02)))
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"could not be embedded within 0.3 s"):
        make_encoder(embedding_query_timeout_s=0.3).encode_query("how long?")
    assert time.monotonic() - started < 1


def test_a_query_is_limited_in_time(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    server.misbehave(fail(429, Retry_After="5"))
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"within 0.5 s: .* \(status 429: no; next attempt in 5 s\)"):
        encoder.encode_query("now?", 0.5)
    assert time.monotonic() - started < 0.5


def test_a_refused_query_is_wrong_use(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    server.misbehave(refuse("bad"))
    with pytest.raises(UsageError, match=r"disallowed content .*; ask with other words"):
        make_encoder().encode_query("a bad question")


def test_nothing_listens(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    with pytest.raises(PartlyEncodedError) as caught:
        make_encoder(embedding_url="http://127.0.0.1:9/v1", embedding_retry_s=0.2).encode(["one"])
    assert "cannot connect to it" in str(caught.value.stopped)


def test_equal_queries_at_the_same_time_share_one_request(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    server.misbehave(delay(0.2))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(encoder.encode_query, ["one query"] * 8))
    assert server.accepted == ["one query"]
    np.testing.assert_allclose(found, expected(["one query"] * 8), atol=1e-6)


def test_a_query_outlasts_one_that_has_less_time(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    server.misbehave(lambda request: delay(0.3)(request) if len(server.requests) == 1 else None)
    with ThreadPoolExecutor(2) as pool:
        hasty = pool.submit(encoder.encode_query, "one query", 0.1)
        time.sleep(0.03)
        patient = pool.submit(encoder.encode_query, "one query")
        with pytest.raises(ServiceError, match=r"within 0\.\d+ s"):
            hasty.result()
        assert patient.result().shape == (DIMENSIONS,)


def test_several_queries_are_asked_together(server: EmbeddingServer, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(prompts={"query_type": "query"})
    np.testing.assert_allclose(encoder.encode_queries(TEXTS[:20]), expected(TEXTS[:20]), atol=1e-6)
    assert [request.body["input_type"] for request in server.requests] == ["query"]
    server.misbehave(refuse("bad"))
    with pytest.raises(UsageError, match="ask with other words"):
        encoder.encode_queries(["good", "bad"])
    server.misbehave(fail(429, Retry_After="30"))
    with pytest.raises(ServiceError, match=r"could not be embedded within 0.5 s"):
        encoder.encode_queries(["new", "newer"], 0.5)
