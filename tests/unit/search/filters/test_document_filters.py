"""The value `Filters`: validation, equality, caching and repr."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rag_assets.errors import UsageError
from rag_assets.search.filters import document_filters
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.request import make_request, make_selection

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_single_name_can_be_a_string() -> None:
    assert Filters(projects="zoo", file_types="pdf") == Filters(projects=["zoo"], file_types=("pdf",))
    assert Filters(projects="zoo").projects == ("zoo",)


def test_filters_are_empty_unless_a_condition_is_given() -> None:
    for empty in (Filters(), Filters(projects=None, metadata=None), Filters(metadata={})):
        assert not empty
        assert empty.conditions() == []
    for given in (Filters(projects="zoo"), Filters(metadata={"a": None}), Filters(created_to=NOON)):
        assert given


@pytest.mark.parametrize("wrong", [[], (), "", b"zoo", {"zoo": 1}, 5, ["zoo", 5]])
@pytest.mark.parametrize("field", ["projects", "file_types"])
def test_names_are_checked_when_filters_are_made(field: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match=f"^{field} (is|has)"):
        Filters(**{field: wrong})


def test_filters_do_not_change_with_their_arguments() -> None:
    names, metadata = ["zoo"], {"a": 1}
    filters = Filters(projects=names, metadata=metadata)
    clauses = filters.clauses
    names.append("sea")
    metadata["a"] = 2
    assert filters.projects == ("zoo",)
    assert filters.clauses is clauses is Filters(projects="zoo", metadata={"a": 1}).clauses
    with pytest.raises(FrozenInstanceError):
        filters.projects = "sea"  # type: ignore[misc]


def test_filters_can_be_replaced_copied_and_pickled() -> None:
    filters = Filters(projects="zoo", metadata={"a": [1]}, created_from=NOON)
    assert replace(filters, projects="sea") == Filters(projects="sea", metadata={"a": [1]}, created_from=NOON)
    assert replace(filters, projects=None).projects is None
    for same in (copy.copy(filters), copy.deepcopy(filters), pickle.loads(pickle.dumps(filters))):
        assert same == filters
        assert same.clauses is filters.clauses


def test_filters_with_subclasses_of_built_in_types_are_not_cached() -> None:
    class Text(str):
        __slots__ = ()

    once, again = (Filters(metadata={"a": {"$eq": Text("x")}}) for _ in range(2))
    assert once.clauses is not again.clauses
    assert once.key is None
    # They still share the compiled statement.
    assert once.clauses == again.clauses


def test_long_filters_are_not_cached_but_have_keys() -> None:
    names = [f"project {number}" for number in range(5_000)]
    once, again, other = Filters(projects=names), Filters(projects=names), Filters(projects=names[1:])
    assert once.clauses is not again.clauses
    assert once.key == again.key != other.key


def test_the_cache_keeps_the_newest_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_filters, "_MAX_CACHED", 2)
    document_filters._CLAUSES.clear()
    first = Filters(metadata={"a": "first"}).clauses
    second = Filters(metadata={"a": "second"}).clauses
    third = Filters(metadata={"a": "third"}).clauses
    assert len(document_filters._CLAUSES) == 2
    assert Filters(metadata={"a": "second"}).clauses is second
    assert Filters(metadata={"a": "third"}).clauses is third
    assert Filters(metadata={"a": "first"}).clauses is not first


def test_the_repr_is_short_and_shows_only_given_conditions() -> None:
    assert repr(Filters()) == "Filters()"
    shown = repr(Filters(projects="zoo", metadata={"text": "x" * 10_000}, created_from=NOON))
    assert shown.startswith("Filters(projects=('zoo',), metadata={'text': 'xxx")
    assert "created_from=datetime.datetime(2026" in shown
    assert len(shown) < 300


def test_the_filters_option_is_used_unchanged() -> None:
    filters = Filters(projects="zoo", metadata={"a": 1})
    assert make_request("whale", {"filters": filters}).filters is filters
    single = make_request("whale", {"project": "zoo", "metadata": {"a": 1}}).filters
    assert single == filters
    assert single.clauses is filters.clauses
    assert make_selection("similar", {"filters": filters}, ["filters"]).filters is filters
    for unset in ({"filters": None}, {"filters": Filters()}, {}):
        assert make_request("whale", unset).filters == NO_FILTERS


@pytest.mark.parametrize("wrong", [{"projects": ["zoo"]}, "zoo", [], False, Filters])
def test_anything_but_filters_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^filters is .*; give a Filters\(projects="):
        make_request("whale", {"filters": wrong})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("project", "zoo"),
        ("file_type", ["pdf"]),
        ("path_glob", "*.md"),
        ("metadata", {"a": 1}),
        *((name, NOON) for name in ("created_from", "created_to", "updated_from", "updated_to")),
    ],
)
def test_filters_and_a_single_option_cannot_be_combined(option: str, value: Any) -> None:
    for filters in (Filters(projects="zoo"), Filters()):
        with pytest.raises(UsageError, match=f"^filters and {option} are both given"):
            make_request("whale", {"filters": filters, option: value})
    # None means that the option is not given.
    assert make_request("whale", {"filters": Filters(projects="zoo"), option: None}).filters.projects == ("zoo",)
