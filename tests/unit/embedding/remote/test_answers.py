"""Whatever a server answers is read as vectors, a refusal, a wait or an error of the settings."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.embedding.remote.answers import TextsRefusedError, UnavailableError, read_answer
from rag_assets.embedding.remote.dialects import DIALECTS
from rag_assets.embedding.remote.endpoint import Endpoint, resolve_endpoint
from rag_assets.errors import RefusedError
from rag_assets.settings.settings import Settings

NAMES = ["data", "embedding", "embeddings", "float", "index", "error", "errors", "code", "message", "usage", "meta"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["429", "x"])
ANSWERS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=12,
)


def endpoint(dialect: str = "openai") -> Endpoint:
    return resolve_endpoint(dialect, Settings(embedding_api_key="sk-key"))


@given(
    dialect=st.sampled_from(list(DIALECTS)),
    status=st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 404, 413, 429, 500, 503, 599]),
    content=ANSWERS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40),
    retry_after=st.none() | st.text(max_size=12) | st.integers(-5, 10**12).map(str),
)
def test_no_answer_is_unexpected(dialect: str, status: int, content: bytes, retry_after: str | None) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    waits: list[float | None] = []
    try:
        found = read_answer(endpoint(dialect), status, headers, content, 2)
    except UnavailableError as error:
        waits.append(error.wait_s)
    except (TextsRefusedError, RefusedError):
        pass
    else:
        assert len(found.vectors) == 2
        assert found.tokens is None or found.tokens >= 0
    assert all(wait_s is None or 0 <= wait_s <= 86_400 for wait_s in waits)


@given(st.permutations(range(5)))
def test_vectors_are_in_the_order_of_the_texts(order: list[int]) -> None:
    data = [{"index": index, "embedding": [float(index), 1.0]} for index in order]
    found = read_answer(endpoint(), 200, {}, json.dumps({"data": data}).encode(), 5)
    assert [vector[0] for vector in found.vectors if vector is not None] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25),
        ({}, "Please try again in 1.2s.", 1.2),
        ({}, "Please retry after 3 s", 3),
        ({}, "Please try again in 2m", 120),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "-3"}, "", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], message: str, wait_s: float | None) -> None:
    content = json.dumps({"error": {"message": message}}).encode()
    with pytest.raises(UnavailableError) as caught:
        read_answer(endpoint(), 429, headers, content, 1)
    assert caught.value.wait_s == wait_s


def test_a_wait_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with pytest.raises(UnavailableError) as caught:
        read_answer(endpoint(), 503, {"retry-after": later}, b"", 1)
    assert caught.value.wait_s == pytest.approx(30, abs=2)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens, however you requested 9000 tokens.",
        "Input validation error: `inputs` must have less than 512 tokens. Given: 600",
        "input is too large to process. increase the physical batch size",
        "the input length exceeds the context length",
        "too many tokens: total number of tokens in the prompt cannot exceed 512",
        "The example at index 0 in your batch has too many tokens and does not fit into the model's context window",
    ],
)
def test_each_server_says_too_long_in_its_words(message: str) -> None:
    content: Any = json.dumps({"error": {"message": message}}).encode()
    for status in (400, 413, 422, 500):
        with pytest.raises(TextsRefusedError) as caught:
            read_answer(endpoint(), status, {}, content, 1)
        assert caught.value.too_long
