"""Filters compared with a model of them in Python, over documents with random metadata; and wrong filters."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.models import Document, Project
from rag_assets.db.writes.upserts import write_documents
from rag_assets.documents.sources.globs import Selection, glob_to_regex, normalize_path
from rag_assets.errors import UsageError
from rag_assets.projects.store import save_project
from rag_assets.search.filters.document_filters import Filters
from tests.support.data.filters_in_python import ORDERED, matches
from tests.support.database.database_server import DatabaseServer
from tests.support.database.rows import document

INJECTION = 'a" ? (@ == 1) || true'
KEYS = ["a", "b", "ü🦓", 'q"', "back\\slash", "", "0", INJECTION]
SCALARS = [None, True, False, -1, 0, 1, 1.0, 2.5, 10, "", "1", "10", "x", "é", "%", INJECTION, "\\u0000"]
PATHS = [
    "a.md",
    "b.md",
    "docs/a.md",
    "docs/a.rst",
    "docs/b/a.md",
    "docs/b/c/a[1].md",
    "docsx/a.md",
    "a.mdx",
    "é/ü ?.md",
    "new\nline.md",
    "same1.md",
    "same2.md",
    "U\u0308bung.md",
]
LISTS: dict[str, Any] = {
    "list": {"tags": ["a", "b"]},
    "lists": {"tags": [["a", "b"]]},
    "text": {"tags": "b"},
    "objects": {"tags": ["a"], "authors": [{"name": "Ada", "born": 1815}, {"name": "Alan", "born": 1912}]},
    "none": {},
}


def random_value(random: Random, depth: int = 0) -> Any:
    kind = random.random()
    if kind < 0.6 or depth > 2:
        return random.choice(SCALARS)
    if kind < 0.8:
        return [random_value(random, depth + 1) for _ in range(random.randint(0, 3))]
    return {key: random_value(random, depth + 1) for key in random.sample(KEYS, random.randint(0, 3))}


METADATA = [
    {key: random_value(number) for key in number.sample(KEYS[:-1], number.randint(0, 4))}
    for number in map(Random, range(150))
]


@pytest.fixture(scope="module")
def documents(databases: DatabaseServer, template: str) -> Iterator[Engine]:
    """Documents with METADATA in project p, with PATHS in project q, and LISTS."""
    with databases.copy(template) as url:
        engine = make_engine(url)
        rows = [document(f"{number}.md", metadata=metadata) for number, metadata in enumerate(METADATA)]
        rows += [document(name, project="lists", metadata=metadata) for name, metadata in LISTS.items()]
        rows += [document(path, project="q", file_type=f"type {len(path) % 3}", metadata={}) for path in PATHS]
        with engine.begin() as connection:
            for project in ("p", "q", "lists"):
                save_project(connection, project, "/docs", {})
            write_documents(connection, rows)
            for number, path in enumerate(PATHS):
                # Created ten seconds apart, and updated a day later.
                values = {"at": MOMENT + timedelta(seconds=10 * number), "path": path}
                connection.execute(
                    text(
                        "UPDATE rag.documents SET created_at = :at, updated_at = CAST(:at AS timestamptz) + "
                        "interval '1 day' WHERE file_path = :path AND metadata = '{}' AND file_type LIKE 'type %'"
                    ),
                    values,
                )
        yield engine
        engine.dispose()


MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)


def matching(engine: Engine, filters: Filters) -> list[str]:
    statement = select(Document.file_path).join(Project).where(*filters.conditions()).order_by(Document.file_path)
    with engine.connect() as connection:
        return list(connection.scalars(statement))


def with_metadata(engine: Engine, wanted: Any) -> set[int]:
    return {int(path.removesuffix(".md")) for path in matching(engine, Filters(projects=["p"], metadata=wanted))}


scalars = st.sampled_from(SCALARS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2),
    max_leaves=4,
)
names = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3).map(".".join).filter(bool)
bounds = st.sampled_from([one for one in SCALARS if one is not None and not isinstance(one, bool)])
comparisons = st.dictionaries(st.sampled_from([*ORDERED]), bounds, min_size=1, max_size=2) | st.one_of(
    st.fixed_dictionaries({"$eq": values}),
    st.fixed_dictionaries({"$ne": values}),
    st.fixed_dictionaries({"$in": st.lists(values, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"$nin": st.lists(values, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$contains": values}),
)
metadata_filters = st.recursive(
    st.dictionaries(names, values | comparisons, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$not": inner}),
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=4,
)


@given(metadata_filters)
def test_metadata_filters_match_what_the_python_model_matches(documents: Engine, wanted: dict[str, Any]) -> None:
    assert with_metadata(documents, wanted) == {n for n, one in enumerate(METADATA) if matches(one, wanted)}


@given(
    st.text("ab.*?/[]!^-\\1é\u0301 ", min_size=1, max_size=8)
    | st.lists(
        st.sampled_from(["docs", "/", "**", "*", "a", ".md", "?", "[12]", "[!a-c]", "[[:alpha:]]", "[a-b-c]"]),
        min_size=1,
        max_size=6,
    ).map("".join)
)
def test_a_path_filter_finds_what_include_selects(documents: Engine, glob: str) -> None:
    try:
        filters = Filters(projects=["q"], path_glob=glob)
    except UsageError:
        return
    selection = Selection([glob])
    expression = re.compile(glob_to_regex(glob))
    assert matching(documents, filters) == sorted(path for path in PATHS if selection.matches(path))
    assert [path for path in PATHS if expression.search(normalize_path(path))] == [*filter(selection.matches, PATHS)]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.md", 11),
        ("docs/*.md", 1),
        ("docs/**/*.md", 3),
        ("docs/**", 4),
        ("docs/", 4),
        ("docs", 4),
        ("/*.md", 6),
        ("./docs/*.rst", 1),
        ("same[12].md", ["same1.md", "same2.md"]),
        ("a[[]1].md", ["docs/b/c/a[1].md"]),
        ("\u00dcbung.md", ["U\u0308bung.md"]),
        ("U\u0308bung.md", ["U\u0308bung.md"]),
        ("ü ?.md", 1),
        ("new line.md", ["new\nline.md"]),
        ("new?line.md", ["new\nline.md"]),
        ("a.md ' OR true --", 0),
        ("(.*", 0),
        ("***" + "a" * 900, 0),
    ],
)
def test_globs_are_lines_of_gitignore(documents: Engine, glob: str, found: int | list[str]) -> None:
    paths = matching(documents, Filters(projects=["q"], path_glob=glob))
    assert (paths if isinstance(found, list) else len(paths)) == found


def test_adversarial_globs_are_not_slow(documents: Engine) -> None:
    for glob in ("**/a" * 250, "?*" * 500, "a**" * 333, "*a" * 500):
        with documents.connect() as connection:
            connection.execute(text("SET LOCAL statement_timeout = '5s'"))
            assert connection.scalars(select(Document.id).where(*Filters(path_glob=glob).conditions())).all() == []


def test_any_of_several_names_matches(documents: Engine) -> None:
    everything = len(METADATA) + len(PATHS) + len(LISTS)
    assert len(matching(documents, Filters())) == everything
    assert len(matching(documents, Filters(projects=["p", "q", "lists", "nobody"]))) == everything
    assert matching(documents, Filters(projects=["q"])) == sorted(PATHS)
    of_types = matching(documents, Filters(file_types=["type 1", "type 2"]))
    assert of_types == sorted(path for path in PATHS if len(path) % 3)
    assert matching(documents, Filters(file_types="type 1")) == sorted(path for path in PATHS if len(path) % 3 == 1)
    assert matching(documents, Filters(file_types=["text' OR 'a' = 'a"])) == []
    assert len(matching(documents, Filters(projects=[f"p{number}" for number in range(9_999)] + ["q"]))) == len(PATHS)


def test_time_ranges_include_their_start_and_exclude_their_end(documents: Engine) -> None:
    second, fourth = MOMENT + timedelta(seconds=10), MOMENT + timedelta(seconds=30)
    assert matching(documents, Filters(created_from=second, created_to=fourth)) == sorted(PATHS[1:3])
    elsewhere = fourth.astimezone(timezone(timedelta(hours=-9)))
    assert matching(documents, Filters(projects=["q"], created_from=elsewhere)) == sorted(PATHS[3:])
    assert matching(documents, Filters(created_to=MOMENT)) == []
    day = timedelta(days=1)
    assert matching(documents, Filters(updated_from=second + day, updated_to=fourth + day)) == sorted(PATHS[1:3])
    assert matching(documents, Filters(updated_from=second + day, created_to=second)) == []
    extremes = Filters(
        projects=["q"], created_from=datetime.min.replace(tzinfo=UTC), updated_to=datetime.max.replace(tzinfo=UTC)
    )
    assert len(matching(documents, extremes)) == len(PATHS)


def test_all_conditions_hold_at_once(documents: Engine) -> None:
    both = Filters(
        projects=["q"], file_types=["type 1"], path_glob="docs/**", created_from=MOMENT, metadata={"$not": {"a": 1}}
    )
    assert matching(documents, both) == sorted(p for p in PATHS if len(p) % 3 == 1 and p.startswith("docs/"))


def deep(depth: int, key: str | None = None) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


ENDLESS: dict[str, Any] = {}
ENDLESS["a"] = ENDLESS

REFUSED_METADATA: list[tuple[Any, str]] = [
    ([], "is \\[\\]; write a mapping"),
    ("author=Ada", "write a mapping"),
    (0, "is 0; write a mapping"),
    ({"$and": []}, "give it a list of filters"),
    ({"$or": {"a": 1}}, "give it a list of filters"),
    ({"$and": [{}]}, "is {}; write a mapping"),
    ({"$not": None}, "is None; write a mapping"),
    ({"$where": "1=1"}, "cannot have the name '\\$where'"),
    ({"": 1}, "cannot have the name ''"),
    ({1: "x"}, "cannot have the name 1"),
    ({None: "x"}, "cannot have the name None"),
    ({"a": {"$gt": None}}, "compares with None"),
    ({"a": {"$gt": True}}, "compares with True"),
    ({"a": {"$gt": [1]}}, "compares with \\[1\\]"),
    ({"a": {"$gt": math.nan}}, "is not JSON"),
    ({"a": {"$in": []}}, "give it a list"),
    ({"a": {"$in": "abc"}}, "give it a list"),
    ({"a": {"$exists": 1}}, "give true or false"),
    ({"a": {"$regex": ".*"}}, "has no operator '\\$regex'"),
    ({"a": {"$gt": 1, "b": 2}}, "has no operator 'b'"),
    ({"a": math.inf}, "is not JSON"),
    ({"a": [math.nan]}, "is not JSON"),
    ({"a": {"$in": [1, math.nan]}}, "is not JSON"),
    ({"a": "nul \x00"}, "is not JSON"),
    ({"a\x00": 1}, "is not JSON"),
    ({"a\x00": {"$exists": True}}, "is not JSON"),
    ({"a": "\ud800"}, "is not JSON"),
    ({"\udfff": {"$gt": 1}}, "is not JSON"),
    ({"a": object()}, "is not JSON"),
    ({"a": {(1, 2): 3}}, "is not JSON"),
    ({"a": b"bytes"}, "is not JSON"),
    ({"a": datetime.now(UTC)}, "is not JSON"),
    ({"a": 10**5000}, "is not JSON"),
    ({"a": "x" * 2_000_000}, "is not JSON"),
    ({"a": deep(10_000)}, "nested deeper than"),
    ({"a": deep(10_000, "b")}, "nested deeper than"),
    (deep(10_000, "$not"), "nested deeper than"),
    ({".".join("a" * 10_000): 1}, "deeper than 40 levels"),
    ({".".join("a" * 10_000): {"$exists": True}}, "deeper than 40 levels"),
    (ENDLESS, "nested deeper than"),
    ({"a": {"$in": list(range(100_000))}}, "more than 5000 values"),
    ({"$or": [{"a": number} for number in range(100_000)]}, "more than 5000 values"),
    ({str(number): 1 for number in range(100_000)}, "more than 5000 values"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"tags": {"$in": ["a"]}}, "list objects"),
        ({"tags": {"$nin": ["a"]}}, "lists none text"),
        ({"tags": {"$eq": "b"}}, "list text"),
        ({"tags": {"$eq": ["a", "b"]}}, "list lists"),
        ({"tags": {"$ne": "b"}}, "lists none objects"),
        ({"tags": {"$contains": "a"}}, "list objects"),
        ({"tags": {"$contains": ["a", "b"]}}, "list"),
        ({"tags": {"$gt": "a"}}, "list text"),
        ({"tags": {"$exists": True}}, "list lists objects text"),
        ({"tags": "b"}, "list text"),
        ({"tags": ["b"]}, "list text"),
        ({"tags": [["a", "b"]]}, "lists"),
        ({"authors.name": "Ada"}, "objects"),
        ({"authors.name": {"$in": ["Ada"]}}, "objects"),
        ({"authors": {"name": "Ada", "born": 1815}}, "objects"),
        ({"authors": {"name": "Ada", "born": 1912}}, ""),
        ({"authors": {"$contains": {"name": "Alan"}}}, "objects"),
    ],
)
def test_a_list_stands_for_its_elements(documents: Engine, wanted: Any, found: str) -> None:
    names = sorted(found.split())
    assert matching(documents, Filters(projects="lists", metadata=wanted)) == names
    assert sorted(name for name, metadata in LISTS.items() if matches(metadata, wanted)) == names


@pytest.mark.parametrize(("wanted", "message"), REFUSED_METADATA, ids=[str(n) for n in range(len(REFUSED_METADATA))])
def test_wrong_metadata_filters_are_refused(wanted: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Filters(metadata=wanted).conditions()
    assert len(str(caught.value)) < 300
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"projects": ["a\x00"]}, "projects has 'a\\\\x00'"),
        ({"projects": ["\ud800"]}, "give names"),
        ({"projects": [1]}, "projects has 1"),
        ({"file_types": [None]}, "file_types has None"),
        ({"file_types": ["\udcff"]}, "give names"),
        ({"file_types": ["x"] * 10_001}, "10001 names"),
        ({"path_glob": ""}, "path_glob is ''"),
        ({"path_glob": "*" * 1_001}, "path_glob is"),
        ({"path_glob": "\x00"}, "path_glob is"),
        ({"path_glob": "\ud800"}, "path_glob is"),
        ({"path_glob": 5}, "path_glob is 5"),
        ({"created_from": datetime(2024, 1, 1)}, "created_from is .*with a time zone"),  # noqa: DTZ001
        ({"updated_to": date(2024, 1, 1)}, "updated_to is .*with a time zone"),
        ({"updated_from": "2024-01-01"}, "updated_from is '2024-01-01'"),
        ({"created_from": MOMENT, "created_to": MOMENT}, "is not before"),
        ({"updated_from": MOMENT, "updated_to": MOMENT - timedelta(seconds=1)}, "is not before"),
    ],
)
def test_other_wrong_filters_are_refused(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Filters(**filters).conditions()


def test_filters_at_their_limits_work(documents: Engine) -> None:
    assert with_metadata(documents, {"$or": [{"b": {"$gt": number}} for number in range(1_600)]}) == with_metadata(
        documents, {"b": {"$gt": 0}}
    )
    assert with_metadata(documents, {"a": {"$in": [f"v{number}" for number in range(4_990)] + ["x"]}}) == with_metadata(
        documents, {"a": "x"}
    )
    assert with_metadata(documents, {"a": {"$ne": deep(35)}}) == set(range(len(METADATA)))
    assert with_metadata(documents, {".".join("a" * 40): {"$exists": False}}) == set(range(len(METADATA)))
    assert with_metadata(documents, {"a": "\\u0000"}) == {
        n for n, one in enumerate(METADATA) if one.get("a") == "\\u0000"
    }


def test_the_index_on_metadata_serves_containment_and_lists_of_values(documents: Engine) -> None:
    for wanted in ({"a": "x"}, {"a": {"$eq": "x"}}, {"a": {"$in": ["x", "y"]}}):
        statement = select(Document.id).where(*Filters(metadata=wanted).conditions())
        with documents.connect() as connection:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            compiled = statement.compile(connection)
            plan = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)
            assert any("Bitmap Index Scan on ix_documents_metadata" in line for (line,) in plan)


def test_equal_filters_share_their_clauses() -> None:
    def made() -> Filters:
        return Filters(projects=("p",), metadata={"a": [1, {"b": "x"}]}, created_from=datetime(2024, 1, 1, tzinfo=UTC))

    assert made().clauses is made().clauses
    # The same moment, written in another zone.
    elsewhere = timezone(timedelta(hours=2))
    assert Filters(created_to=datetime(2024, 1, 1, 2, tzinfo=elsewhere)).clauses is (
        Filters(created_to=datetime(2024, 1, 1, tzinfo=UTC)).clauses
    )


def test_filters_that_differ_in_a_type_alone_are_told_apart() -> None:
    values: list[Any] = [1, 1.0, True, "1", [1], None, "", {}, []]
    filters = [Filters(metadata={"a": {"$eq": value}}) for value in values]
    filters += [Filters(projects="ab"), Filters(projects=("a", "b")), Filters(file_types=("a", "b"))]
    assert len({one.key for one in filters}) == len(filters)
    assert len({id(one.clauses) for one in filters}) == len(filters)


def test_a_foreign_mapping_is_read_when_the_filters_are_made(documents: Engine) -> None:
    class Changing(Mapping[str, Any]):
        def __init__(self) -> None:
            self.value = "x"

        def __getitem__(self, name: str) -> Any:
            return {"a": self.value}[name]

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    wanted = Changing()
    before = matching(documents, Filters(metadata=wanted))
    wanted.value = "10"
    assert before == matching(documents, Filters(metadata={"a": "x"}))
    assert matching(documents, Filters(metadata=wanted)) == matching(documents, Filters(metadata={"a": "10"})) != before


@pytest.mark.parametrize("operator", ["$in", "$eq"])
def test_the_index_serves_a_list_of_values(engine: Engine, operator: str) -> None:
    filters = Filters(metadata={"number": {operator: list(range(4_000)) if operator == "$in" else 7}})
    statement = select(Document.id).where(*filters.conditions())
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        compiled = statement.compile(dialect=connection.dialect)
        plan = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
        assert connection.execute(statement).all() == []
    assert any("ix_documents_metadata" in line for line in plan), plan
