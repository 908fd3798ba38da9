"""One query to several kinds of texts: chunks, messages, memories and registered tables, each by its own search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from rag_assets.db.spaces.text_kinds import Kind, list_kinds
from rag_assets.errors import UsageError
from rag_assets.search.kinds.memories import MemoryAnswer, MemoryHit, MemoryOptions
from rag_assets.search.kinds.messages import MessageAnswer, MessageHit, MessageOptions
from rag_assets.search.kinds.tables import TableAnswer, TableHit, TableOptions
from rag_assets.search.request import Options, check_options
from rag_assets.search.results import Answer, Hit
from rag_assets.validation import check_names, format_value

AnyHit: TypeAlias = Hit | MessageHit | MemoryHit | TableHit
AnyAnswer: TypeAlias = Answer | MessageAnswer | MemoryAnswer | TableAnswer

_OPTIONS: dict[Kind, Mapping[str, Any]] = {
    "chunks": Options.__annotations__,
    "messages": MessageOptions.__annotations__,
    "memories": MemoryOptions.__annotations__,
}


@dataclass(frozen=True, slots=True)
class MixedAnswer:
    """Hits of several kinds: the best of each kind, then the second of each, and so on, up to k.

    Scores are not compared: those of different kinds are on different scales. `answers` has each kind's own answer,
    with its own ranks. Times are the sums of theirs, in milliseconds.
    """

    query: str
    hits: list[AnyHit]
    answers: dict[Kind, AnyAnswer]
    took_ms: float
    embedding_ms: float


def search_kinds(
    searches: Mapping[Kind, Callable[..., AnyAnswer]], kinds: Any, options: Mapping[str, Any]
) -> AnyAnswer | MixedAnswer:
    """The answer of one kind, or of several together; an option is passed to the kinds that have it.

    Raises UsageError for an unknown kind, and for an option that none of the kinds has.
    """
    wanted = _check_kinds(kinds)
    if len(wanted) == 1:
        return searches[wanted[0]](**options)
    known = dict.fromkeys(name for kind in wanted for name in _options_of(kind))
    check_options(f"a search of {' and '.join(wanted)}", options, known)
    if options.get("offset"):
        raise UsageError("offset pages through one kind of texts; search the kinds one by one.")
    answers = {
        kind: searches[kind](**{name: value for name, value in options.items() if name in _options_of(kind)})
        for kind in wanted
    }
    hits: list[AnyHit] = [hit for answer in answers.values() for hit in answer.hits]
    by_rank = sorted(hits, key=lambda hit: hit.rank)
    return MixedAnswer(
        query=next(iter(answers.values())).query,
        hits=[replace(hit, rank=rank) for rank, hit in enumerate(by_rank[: options.get("k", 10)], start=1)],
        answers=answers,
        took_ms=round(sum(one.took_ms for one in answers.values()), 2),
        embedding_ms=round(sum(one.embedding_ms for one in answers.values()), 2),
    )


def _options_of(kind: Kind) -> Mapping[str, Any]:
    return _OPTIONS.get(kind, TableOptions.__annotations__)


def _check_kinds(given: Any) -> list[Kind]:
    named, kinds = list(dict.fromkeys(check_names("kinds", given))), list_kinds()
    if not named or not set(named) <= set(kinds):
        raise UsageError(f"kinds is {format_value(given)}; choose one or several of {', '.join(kinds)}.")
    return named
