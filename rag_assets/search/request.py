"""Search requests: every option checked before anything is done for the search."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Union, get_args

from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.documents.text import clean
from rag_assets.errors import UsageError
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.keyword.query_syntax import MAX_QUERY_CHARS, Operators
from rag_assets.search.ranking.fusion import RRF_CONSTANT
from rag_assets.search.ranking.mmr import CANDIDATES_PER_HIT
from rag_assets.search.results import Mode
from rag_assets.validation import (
    check_flag,
    check_integer,
    check_names,
    check_number,
    check_weights,
    format_value,
    is_number,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_MODE: Mode = "hybrid"
Distance = Literal["cosine", "l2", "ip", "l1"]
_MODES, _DISTANCES, _OPERATORS = get_args(Mode), get_args(Distance), get_args(Operators)
MAX_HITS = 1_000
# The last hit that pages reach: deeper ones need a comparison with all vectors.
MAX_REACH = 10_000
MAX_CONTEXT = 10
# How many rows of each of two rankings are fused, at least.
FUSION_DEPTH = 50
# pgvector stores no longer vector.
MAX_DIMENSIONS = 16_000

# The filter options, each with the field of `Filters` that it sets.
_FILTER_FIELDS = {
    "project": "projects",
    "file_type": "file_types",
    **{name: name for name in ("path_glob", "metadata", "created_from", "created_to", "updated_from", "updated_to")},
}
# The options that choose chunks, and those that need no query.
SELECTION_OPTIONS = (*_FILTER_FIELDS, "filters", "timeout_s")
SIMILAR_OPTIONS = (*SELECTION_OPTIONS, "k", "min_score", "distance", "exact", "ef_search", "mmr", "context")

# Iterables whose order or elements are not those of a vector.
_NOT_VECTORS = (bytes, bytearray, Mapping, set, frozenset)

# A text, or a vector: floats in a sequence or a one-dimensional numpy array.
Query: TypeAlias = Union[str, Sequence[float], "NDArray[Any]"]


class Options(TypedDict, total=False):
    """How to search; all optional, and None is as if unset.

    - `k`: hits wanted, 1 to 1000 (10). Filters never cost hits: k come back whenever k chunks pass.
    - `offset`: hits to skip (0), for the next page: `offset` and `k` reach the first 10000 hits. Pages of the same `k`
      follow each other without gap or repetition while nothing is written.
    - `distinct`: of chunks with the same text, as in copies of a document, only the first is a hit, and its `copies`
      names the others (True). Case and white space make no difference.
    - `filters`: a `Filters`, instead of the single options `project`, `file_type` (one name or several), `path_glob`,
      `metadata`, `created_from`, `created_to`, `updated_from`, `updated_to`; see `Filters`.
    - `min_score`: return no hit below it. Its scale is that of the mode's score, see `Hit`.
    - `mode`: `vector`; `text` (BM25 keyword search: chunks must contain "quoted phrases" and no -"excluded phrase");
      `hybrid`, both, fused by reciprocal rank with `weights` (vector, text; 1 and 1) and `rrf_constant` (5): no hit
      contains a -"phrase", and keyword search finds only chunks with the "phrase". Unset: hybrid for a text, vector for
      a vector. Only `text` needs no model.
    - `operators`: `quoted` (the default): of keyword search, a minus excludes only before a quote, as a bare -word may
      be the option of a program; `all`: also before a word; `none`: quotes and minus signs mean nothing.
    - `distance`: `cosine`, `l2`, `ip` or `l1`; unset, the space's own. A distance that the index does not serve is
      compared exactly.
    - `exact`: compare all vectors instead of walking the graph.
    - `ef_search`: candidates that the graph keeps, 1 to 1000, at least k; unset, the retriever's, else the space's.
    - `rerank`: how many of the best hits the retriever's cross-encoder scores again (0).
    - `mmr`: weight of relevance against diversity, 0 to 1 (1: relevance alone).
    - `context`: chunks before and after each hit to add as `Hit.context`, 0 to 10 (0).
    - `timeout_s`: the most seconds that one statement of the search may take in the database, and that a model over
      HTTP may take to embed the query.
    """

    k: int
    offset: int
    distinct: bool
    project: str | Sequence[str] | None
    file_type: str | Sequence[str] | None
    path_glob: str | None
    metadata: Mapping[str, Any] | None
    created_from: datetime | None
    created_to: datetime | None
    updated_from: datetime | None
    updated_to: datetime | None
    filters: Filters | None
    min_score: float | None
    mode: Mode | None
    operators: Operators | None
    weights: tuple[float, float]
    rrf_constant: float
    distance: Distance | None
    exact: bool
    ef_search: int | None
    rerank: int
    mmr: float | None
    context: int
    timeout_s: float | None


# Not frozen: a frozen one takes a microsecond longer to make.
@dataclass(slots=True)
class SearchRequest:
    """A checked query with its options.

    `text` is "" where the query is a vector. `vector` is then its values, packed where its length is about 1.
    """

    text: str
    vector: tuple[float, ...] | PackedVector | None
    mode: Mode
    filters: Filters
    k: int = 10
    offset: int = 0
    distinct: bool = False
    min_score: float | None = None
    operators: Operators = "quoted"
    weights: tuple[float, float] = (1.0, 1.0)
    rrf_constant: float = RRF_CONSTANT
    distance: Distance | None = None
    exact: bool = False
    ef_search: int | None = None
    rerank: int = 0
    mmr: float | None = None
    context: int = 0
    timeout_s: float | None = None

    @property
    def depth(self) -> int:
        """How many hits the first page must find: reranking and MMR choose from more than `k`."""
        depth = max(self.k, self.rerank)
        if self.mmr is not None and self.mmr < 1:
            depth = max(depth, CANDIDATES_PER_HIT * self.k)
        return min(MAX_HITS, depth)

    @property
    def reach(self) -> int:
        """The number of the last hit that may be returned."""
        return max(self.depth, self.offset + self.k)

    @property
    def ranking_depth(self) -> int:
        """How many hits each ranking must have: fusion needs more than are returned."""
        return max(self.depth, FUSION_DEPTH) if self.mode == "hybrid" else self.depth


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "k": lambda value: check_integer("k", value, 1, MAX_HITS),
    "offset": lambda value: check_integer("offset", value, 0, MAX_REACH - 1),
    "min_score": lambda value: check_number("min_score", value, -1e300, 1e300),
    "operators": lambda value: "quoted" if value is None else _check_operators(value),
    "weights": check_weights,
    "rrf_constant": lambda value: RRF_CONSTANT if value is None else check_number("rrf_constant", value, 0, 1e6),
    "distance": lambda value: _check_distance(value),
    "exact": lambda value: check_flag("exact", value),
    "ef_search": lambda value: None if value is None else check_integer("ef_search", value, 1, 1_000),
    "rerank": lambda value: check_integer("rerank", value, 0, MAX_HITS),
    "mmr": lambda value: check_number("mmr", value, 0, 1),
    "context": lambda value: check_integer("context", value, 0, MAX_CONTEXT),
    "timeout_s": lambda value: check_number("timeout_s", value, 0.001, 86_400),
}


def make_request(query: Any, options: Mapping[str, Any]) -> SearchRequest:
    """Check everything that can be checked without the database; raises UsageError."""
    check_options("a search", options, Options.__annotations__)
    text, vector = _read_query(query)
    mode: Any = options.get("mode")
    if mode is None:
        mode = "vector" if vector is not None else DEFAULT_MODE
    if not (isinstance(mode, str) and mode in _MODES):
        raise UsageError(f"mode is {format_value(mode)}; choose vector, text or hybrid.")
    if vector is not None and mode != "vector":
        raise UsageError(f"mode is {mode!r}, but the query is a vector, which has no words; give a text.")
    request = _make_request(text, vector, mode, options)
    distinct = options.get("distinct")
    request.distinct = distinct is None or check_flag("distinct", distinct)
    if request.offset + request.k > MAX_REACH:
        raise UsageError(
            f"offset {request.offset} and k {request.k} end at hit {request.offset + request.k:,}, and a search "
            f"reaches the first {MAX_REACH:,}; narrow it by filters, or ask more precisely."
        )
    if request.rerank and not text:
        raise UsageError("rerank needs the words of a query, but the query is a vector; give a text.")
    return request


def make_selection(what: str, options: Options, known: Collection[str]) -> SearchRequest:
    """The request of a method that has no query, or takes it apart from these options."""
    check_options(what, options, known)
    return _make_request("", None, "vector", options)


def check_options(what: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises UsageError for an option that would have no effect."""
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"{what} has no option {', '.join(sorted(unknown))}; it has {', '.join(known)}.")


def _make_request(
    text: str, vector: tuple[float, ...] | PackedVector | None, mode: Any, options: Mapping[str, Any]
) -> SearchRequest:
    checked = {name: _CHECKS[name](value) for name, value in options.items() if name in _CHECKS}
    return SearchRequest(text, vector, mode, _read_filters(options), **checked)


def _read_query(query: Any) -> tuple[str, tuple[float, ...] | PackedVector | None]:
    if isinstance(query, str):
        # From a command line or a form it may have characters that no stored text has.
        text = clean(query)
        if not text.strip():
            raise UsageError("the query is empty; give some words to search for.")
        if len(text) > MAX_QUERY_CHARS:
            raise UsageError(f"the query has {len(text)} characters; give {MAX_QUERY_CHARS} at most.")
        return text, None
    if _is_unit_array(query):
        return "", PackedVector.of_array(query)
    # An array's elements have one type, so it is enough to look at the first.
    dtype_kind = getattr(getattr(query, "dtype", None), "kind", None)
    query = query.tolist() if hasattr(query, "tolist") else query
    try:
        # Strings, bytes and nested lists are iterable too, and some of their elements convert to numbers.
        numbers = query if type(query) is list else [] if isinstance(query, _NOT_VECTORS) else list(query)
        if (dtype_kind == "f" and numbers and type(numbers[0]) is float) or set(map(type, numbers)) == {float}:
            vector = tuple(numbers)
        elif numbers and all(map(is_number, numbers)):
            vector = tuple(map(float, numbers))
        else:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"the query must be a text or a vector of numbers, not {format_value(query)}.") from None
    # One that is not finite makes the sum so; the sum of finite ones may overflow too.
    if not math.isfinite(sum(vector)) and not all(map(math.isfinite, vector)):
        raise UsageError("the vector has NaN or infinite values; give one finite number for each dimension.")
    return "", vector


def _check_distance(value: Any) -> Distance | None:
    if value is not None and not (isinstance(value, str) and value in _DISTANCES):
        raise UsageError(f"distance is {format_value(value)}; choose cosine, l2, ip or l1.")
    return value  # type: ignore[return-value]


def _check_operators(value: Any) -> Operators:
    if not (isinstance(value, str) and value in _OPERATORS):
        raise UsageError(f"operators is {format_value(value)}; choose quoted, all or none.")
    return value  # type: ignore[return-value]


def _is_unit_array(query: Any) -> bool:
    """Whether it is what models return: an array of floats with a length of about 1, which every space can compare."""
    if type(query).__name__ != "ndarray" or query.dtype.char not in "fd" or query.ndim != 1:
        return False
    import numpy as np

    # False for NaN and overflow; vdot warns of neither.
    return len(query) <= MAX_DIMENSIONS and bool(0.25 < np.vdot(query, query) < 4)


def _read_filters(options: Mapping[str, Any]) -> Filters:
    filters = options.get("filters")
    if filters is not None and not isinstance(filters, Filters):
        raise UsageError(f"filters is {format_value(filters)}; give a Filters(projects=…, metadata=…, …).")
    if options.keys().isdisjoint(_FILTER_FIELDS):
        return filters or NO_FILTERS
    given = {name: value for name, value in options.items() if name in _FILTER_FIELDS and value is not None}
    if filters is not None and given:
        raise UsageError(f"filters and {', '.join(given)} are both given; put all conditions into filters.")
    # Under the names of the options, for the message of an error.
    for name in given.keys() & {"project", "file_type"}:
        given[name] = check_names(name, given[name])
    return filters or Filters(**{_FILTER_FIELDS[name]: value for name, value in given.items()})
