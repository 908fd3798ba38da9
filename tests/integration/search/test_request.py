"""Search requests are checked before a model or the database does anything."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.errors import UsageError
from rag_assets.search import request
from rag_assets.search.execution.query_embedding import pack_vector
from rag_assets.search.request import make_request


@pytest.mark.parametrize(
    "query",
    [
        [1, 0.5],
        (1.0, Fraction(1, 2)),
        iter([1, 0.5]),
        range(1, 3),
        np.array([1, 0.5]),
        np.array([1, 0.5], dtype=np.float16),
        np.array([1, 2]),
        [np.float32(1), np.float64(0.5)],
    ],
)
def test_a_vector_may_be_any_sequence_of_numbers(query: Any) -> None:
    made = make_request(query, {})
    numbers = made.vector.numbers() if isinstance(made.vector, PackedVector) else made.vector
    assert numbers in ((1.0, 0.5), (1.0, 2.0))
    assert all(type(value) is float for value in numbers or ())
    assert (made.text, made.mode) == ("", "vector")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("scale", [1e-30, 0.1, 1, 1.5, 30, 1e30])
def test_an_array_is_searched_like_a_list_of_its_numbers(kind: str, scale: float) -> None:
    array = (np.arange(1, 9) / np.linalg.norm(np.arange(1, 9)) * scale).astype(kind)
    space = EmbeddingSpace(dimensions=8, distance="cosine", storage="vector", model="m")
    packed, listed = (make_request(query, {}).vector for query in (array, array.tolist()))
    assert packed
    assert listed
    assert pack_vector(space, packed, "cosine") == pack_vector(space, listed, "cosine")
    # The request has a copy of the array.
    array[0] = 9
    assert pack_vector(space, packed, "cosine") == pack_vector(space, listed, "cosine")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_an_array_with_nan_or_infinity_is_refused(kind: str, wrong: float) -> None:
    with pytest.raises(UsageError, match="NaN or infinite"):
        make_request(np.array([1.0, wrong, 0.0], dtype=kind), {})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "the query is empty"),
        (" \x00\n\ud800", "the query is empty"),
        ("whale " * 20_000, "the query has 120000 characters; give 20000 at most"),
        (None, "not None"),
        (5, "not 5"),
        (b"abc", "not b'abc'"),
        ([], "not \\[\\]"),
        (np.array([]), "not \\[\\]"),
        (np.array(5.0), "not 5.0"),
        (np.ones((2, 2)), "a vector of numbers"),
        ([[1.0, 2.0]], "a vector of numbers"),
        (["1", "2"], "a vector of numbers"),
        (("whale",), "a vector of numbers"),
        ([1, None], "a vector of numbers"),
        ([True, False], "a vector of numbers"),
        ([Decimal(1)], "a vector of numbers"),
        ([1j], "a vector of numbers"),
        ({1.0: 2.0}, "a vector of numbers"),
        ({1.0, 2.0}, "a vector of numbers"),
        ([10**400], "a vector of numbers"),
        ([10**5000], "a vector of numbers"),
        ([1, math.nan], "NaN or infinite"),
        ([-math.inf], "NaN or infinite"),
        (np.array([np.nan]), "NaN or infinite"),
    ],
)
def test_a_query_that_is_neither_text_nor_vector_is_refused(query: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_request(query, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 5}, "a search has no option limit; it has k, offset"),
        ({"k": 0}, "k is 0; choose 1 to 1000"),
        ({"k": 1001}, "k is 1001"),
        ({"k": -(10**5000)}, "k is int; choose"),
        ({"k": 2.0}, "k is 2.0"),
        ({"k": "5"}, "k is '5'"),
        ({"k": True}, "k is True"),
        ({"k": None}, "k is None"),
        ({"project": []}, "project is an empty list"),
        ({"project": 5}, "project is 5; give a name"),
        ({"project": b"zoo"}, "project is b'zoo'"),
        ({"project": {"zoo": 1}}, "project is {'zoo': 1}"),
        ({"project": ["zoo", 5]}, "project has 5"),
        ({"project": "\x00"}, "project has '.*'; give names"),
        ({"file_type": ["\ud800"]}, "file_type has '.*'; give names"),
        ({"file_type": ()}, "file_type is an empty list"),
        ({"file_type": ""}, "file_type has ''; give names"),
        ({"file_type": [None]}, "file_type has None"),
        ({"path_glob": ""}, "path_glob is ''"),
        ({"metadata": []}, "a metadata filter is \\[\\]"),
        ({"metadata": np.array([1, 2])}, "write a mapping"),
        ({"created_from": "yesterday"}, "with a time zone"),
        ({"min_score": math.nan}, "min_score is nan"),
        ({"min_score": "0.5"}, "min_score is '0.5'"),
        ({"min_score": 10**400}, "min_score is"),
        ({"mode": "words"}, "mode is 'words'; choose vector, text or hybrid"),
        ({"mode": 5}, "mode is 5"),
        ({"mode": ""}, "mode is ''"),
        ({"mode": []}, "mode is \\[\\]"),
        ({"mode": np.array(["text", "vector"])}, "mode is array"),
        ({"weights": (1,)}, "weights is \\(1,\\)"),
        ({"weights": (1, 2, 3)}, "weights is"),
        ({"weights": (0, 0)}, "not both 0"),
        ({"weights": (-1, 1)}, "weights is"),
        ({"weights": (math.inf, 1)}, "weights is"),
        ({"weights": "12"}, "weights is '12'"),
        ({"weights": 1}, "weights is 1"),
        ({"distance": "manhattan"}, "distance is 'manhattan'; choose cosine, l2, ip or l1"),
        ({"distance": np.array(["l2", "ip"])}, "distance is array"),
        ({"exact": "no"}, "exact is 'no'; choose True or False"),
        ({"ef_search": 0}, "ef_search is 0"),
        ({"ef_search": 1001}, "ef_search is 1001"),
        ({"rerank": -1}, "rerank is -1"),
        ({"mmr": 1.1}, "mmr is 1.1"),
        ({"mmr": math.nan}, "mmr is nan"),
        ({"context": 11}, "context is 11"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"timeout_s": math.inf}, "timeout_s is inf"),
        ({"timeout_s": "1"}, "timeout_s is '1'"),
    ],
)
def test_a_wrong_option_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_request("whale", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "text"}, "the query is a vector, which has no words"),
        ({"mode": "hybrid"}, "no words"),
        ({"rerank": 5}, "give a text"),
    ],
)
def test_a_vector_is_refused_where_words_are_needed(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_request([1.0], options)


def test_none_is_as_if_unset() -> None:
    unset = dict.fromkeys(
        ["project", "file_type", "path_glob", "metadata", "created_from", "updated_to", "min_score", "mode"]
    ) | dict.fromkeys(["distance", "ef_search", "mmr", "timeout_s", "rrf_constant"])
    assert make_request("whale", unset) == make_request("whale", {})  # type: ignore[arg-type]
    assert not make_request("whale", {"metadata": {}}).filters
    assert make_request("whale", {}).mode == request.DEFAULT_MODE


def test_numpy_scalars_are_accepted_as_numbers() -> None:
    made = make_request("whale", {"k": np.int64(5), "mmr": np.float32(0.5), "min_score": np.int8(1)})  # type: ignore[typeddict-item]
    assert (made.k, made.mmr, made.min_score) == (5, 0.5, 1.0)
    assert (type(made.k), type(made.mmr)) == (int, float)


def test_the_depth_is_what_reranking_and_mmr_need() -> None:
    assert make_request("x", {"k": 10}).depth == 10
    assert make_request("x", {"k": 10, "rerank": 50}).depth == 50
    assert make_request("x", {"k": 10, "rerank": 5, "mmr": 0.5}).depth == 50
    assert make_request("x", {"k": 10, "mmr": 1.0}).depth == 10
    assert make_request("x", {"k": 1000, "mmr": 0.5}).depth == 1000
