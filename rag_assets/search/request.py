"""A search as it was asked: every value checked before anything is done for it."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Union, get_args

from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.documents.text import clean
from rag_assets.errors import UsageError
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.keyword.query_syntax import MAX_QUERY_CHARS
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
_MODES, _DISTANCES = get_args(Mode), get_args(Distance)
MOST_HITS = 1_000
MOST_CONTEXT = 10
# No vector that pgvector stores has more.
MOST_NUMBERS = 16_000

# The options that choose what is looked at, and those of them and others that need no question.
CHOOSING = (
    *("project", "file_type", "path_glob", "metadata", "created_from", "created_to", "updated_from", "updated_to"),
    "timeout_s",
)
LIKENESS = (*CHOOSING, "k", "min_score", "distance", "exact", "ef_search", "mmr", "context")

# They can be gone through as a vector can, in another order or with other elements than one has.
_NO_VECTORS = (bytes, bytearray, Mapping, set, frozenset)

# A question, or the vector of one: floats in a sequence or a numpy array.
Query: TypeAlias = Union[str, Sequence[float], "NDArray[Any]"]


class Options(TypedDict, total=False):
    """How to search; all optional.

    - `k`: hits wanted, 1 to 1000 (10). Filters never cost hits: k come back whenever k chunks qualify.
    - `project`, `file_type`: one name or several; `path_glob`, `metadata`, `created_from`, `created_to`,
      `updated_from`, `updated_to`: see `Filters`.
    - `min_score`: no hit below it, in the unit of the mode's score.
    - `mode`: `vector`, by meaning; `text`, by words (BM25; "phrases" must, -words must not be in a chunk); `hybrid`,
      both, fused by reciprocal rank with `weights` (vector, text; 1 and 1) and `rrf_constant` (5): -words are in no
      hit, a "phrase" in those that words find. Unset, a text is searched by both, a vector by meaning. Only `text`
      needs no model.
    - `distance`: `cosine`, `l2`, `ip` or `l1`; unset, the space's own. One that the index cannot serve is
      answered exactly.
    - `exact`: compare all vectors, not only those that the graph leads to.
    - `ef_search`: candidates that the graph keeps, at least k; unset, the retriever's, else the space's.
    - `rerank`: how many of the best hits the retriever's cross-encoder judges anew (0: none).
    - `mmr`: 0 to 1, the weight of relevance against diversity (1, or unset: relevance alone).
    - `context`: chunks before and after each hit to add, 0 to 10.
    - `timeout_s`: the longest that the database may work on one statement of the search.
    """

    k: int
    project: str | Sequence[str] | None
    file_type: str | Sequence[str] | None
    path_glob: str | None
    metadata: Mapping[str, Any] | None
    created_from: datetime | None
    created_to: datetime | None
    updated_from: datetime | None
    updated_to: datetime | None
    min_score: float | None
    mode: Mode | None
    weights: tuple[float, float]
    rrf_constant: float
    distance: Distance | None
    exact: bool
    ef_search: int | None
    rerank: int
    mmr: float | None
    context: int
    timeout_s: float | None


# Not frozen, for what that costs each search.
@dataclass(slots=True)
class Request:
    """`text` is "" where a vector was asked; `vector` is then its values, packed where their length is about 1."""

    text: str
    vector: tuple[float, ...] | PackedVector | None
    mode: Mode
    filters: Filters
    k: int = 10
    min_score: float | None = None
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
    def is_plain(self) -> bool:
        """Each of its statements is short, and stands for itself."""
        return self.mode == "vector" and not self.exact and self.timeout_s is None

    @property
    def deep(self) -> int:
        """How many hits the search itself must bring for what comes after it."""
        wanted = max(self.k, self.rerank)
        if self.mmr is not None and self.mmr < 1:
            wanted = max(wanted, CANDIDATES_PER_HIT * self.k)
        return min(MOST_HITS, wanted)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "k": lambda value: check_integer("k", value, 1, MOST_HITS),
    "min_score": lambda value: check_number("min_score", value, -1e300, 1e300),
    "weights": check_weights,
    "rrf_constant": lambda value: RRF_CONSTANT if value is None else check_number("rrf_constant", value, 0, 1e6),
    "distance": lambda value: _distance(value),
    "exact": lambda value: check_flag("exact", value),
    "ef_search": lambda value: None if value is None else check_integer("ef_search", value, 1, 1_000),
    "rerank": lambda value: check_integer("rerank", value, 0, MOST_HITS),
    "mmr": lambda value: check_number("mmr", value, 0, 1),
    "context": lambda value: check_integer("context", value, 0, MOST_CONTEXT),
    "timeout_s": lambda value: check_number("timeout_s", value, 0.001, 86_400),
}


def make_request(query: Any, options: Options) -> Request:
    """Check everything that can be checked without the database; raises UsageError."""
    check_options("a search", options, Options.__annotations__)
    text, vector = _query(query)
    mode = options.get("mode")
    if mode is None:
        mode = "vector" if vector is not None else DEFAULT_MODE
    if not (isinstance(mode, str) and mode in _MODES):
        raise UsageError(f"mode is {format_value(mode)}; choose vector, text or hybrid.")
    if vector is not None and mode != "vector":
        raise UsageError(f"mode is {mode!r}, but a vector has no words; ask with text, or in mode vector.")
    given: Mapping[str, Any] = options
    checked = {name: _CHECKS[name](value) for name, value in given.items() if name in _CHECKS}
    request = Request(text, vector, mode, _filters(options), **checked)
    if request.rerank and not text:
        raise UsageError("rerank reads the question's words, but a vector was asked; ask with text.")
    return request


def check_options(what: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises UsageError for an option that would count for nothing."""
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"{what} has no option {', '.join(sorted(unknown))}; it has {', '.join(known)}.")


def _query(query: Any) -> tuple[str, tuple[float, ...] | PackedVector | None]:
    if isinstance(query, str):
        # Whatever comes from a command line or a form: what no stored text has, no question needs either.
        text = clean(query)
        if not text.strip():
            raise UsageError("the question is empty; give some words to search for.")
        if len(text) > MAX_QUERY_CHARS:
            raise UsageError(f"the question has {len(text)} characters; ask with {MAX_QUERY_CHARS} at most.")
        return text, None
    if _is_usual(query):
        return "", PackedVector.of_array(query)
    # Of numpy and the like: their elements as Python's own numbers. All are of one kind, so one tells of all.
    kind = getattr(getattr(query, "dtype", None), "kind", None)
    query = query.tolist() if hasattr(query, "tolist") else query
    try:
        # Letters, bytes and nested lists have elements too, and some of them can be turned into numbers.
        numbers = query if type(query) is list else [] if isinstance(query, _NO_VECTORS) else list(query)
        if (kind == "f" and numbers and type(numbers[0]) is float) or set(map(type, numbers)) == {float}:
            vector = tuple(numbers)
        elif numbers and all(map(is_number, numbers)):
            vector = tuple(map(float, numbers))
        else:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"a search wants a text or a vector of numbers, not {format_value(query)}.") from None
    # The sum of them tells of one that is not, and may be too large where all are.
    if not math.isfinite(sum(vector)) and not all(map(math.isfinite, vector)):
        raise UsageError("the vector has NaN or infinite values; give one finite number a dimension.")
    return "", vector


def _distance(value: Any) -> Distance | None:
    if value is not None and not (isinstance(value, str) and value in _DISTANCES):
        raise UsageError(f"distance is {format_value(value)}; choose cosine, l2, ip or l1.")
    return value  # type: ignore[return-value]


def _is_usual(query: Any) -> bool:
    """Whether it is what models give: an array of floats, of about length 1, so that every space can compare it."""
    if type(query).__name__ != "ndarray" or query.dtype.char not in "fd" or query.ndim != 1:
        return False
    import numpy as np

    # NaN is in no range, and what overflows is not either; of both this product says nothing.
    return len(query) <= MOST_NUMBERS and bool(0.25 < np.vdot(query, query) < 4)


def _filters(options: Options) -> Filters:
    if options.keys().isdisjoint(CHOOSING):
        return NO_FILTERS
    filters = Filters(
        projects=check_names("project", options.get("project")),
        file_types=check_names("file_type", options.get("file_type")),
        path_glob=options.get("path_glob"),
        metadata={} if options.get("metadata") is None else options["metadata"],  # type: ignore[arg-type]
        created_from=options.get("created_from"),
        created_to=options.get("created_to"),
        updated_from=options.get("updated_from"),
        updated_to=options.get("updated_to"),
    )
    # Refused before a model or the database does anything for it.
    filters.conditions()
    return filters
