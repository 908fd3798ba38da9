"""Rows of SQLite as documents: paths, texts, metadata, versions, paging, and what is refused."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from rag_assets.documents.sources import SourceDocument, open_source
from rag_assets.documents.sources.rows import source as row_source
from rag_assets.documents.sources.rows.source import RowSource
from rag_assets.documents.sources.rows.values import id_to_path
from rag_assets.errors import DocumentError, SourceError, UsageError

ITEMS = """
CREATE TABLE items (id INTEGER PRIMARY KEY, body TEXT, lang TEXT, price NUMERIC, changed TEXT);
INSERT INTO items VALUES (1, 'A tram leaves.', 'en', 1.5, 'a'), (2, NULL, 'de', 3, 'b'), (10, ' ', NULL, NULL, NULL);
CREATE VIEW "Cheap Items" AS SELECT id AS "Key", body AS "fullText" FROM items WHERE price < 2;
CREATE TABLE pages (folder TEXT, name TEXT, title TEXT, body);
INSERT INTO pages VALUES ('../..', '.', 'Up', 'x'), ('a/b', 'c!', 'Slash', 'y'), ('', 'é%', 'Empty', 'z');
CREATE TABLE twice (id INTEGER, body TEXT);
INSERT INTO twice VALUES (1, 'a'), (2, 'b'), (2, 'c'), (3, 'd');
CREATE TABLE nulls (id INTEGER, body TEXT);
INSERT INTO nulls VALUES (1, 'a'), (NULL, 'b');
CREATE TABLE mixed (id, body TEXT);
INSERT INTO mixed VALUES (1, 'a'), ('b', 'b');
CREATE TABLE files (name TEXT PRIMARY KEY, data BLOB, lang TEXT);
INSERT INTO files VALUES ('a.md', CAST('# A' AS BLOB), 'en');
"""
Open = Callable[[str], RowSource]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(ITEMS)
    return file


@pytest.fixture
def open_rows(database: Path) -> Open:
    def open_it(query: str) -> RowSource:
        found = open_source(f"sql+sqlite:///{database}?{query}", state_dir=database.parent)
        assert isinstance(found, RowSource)
        return found

    return open_it


def documents(source: RowSource) -> dict[str, SourceDocument]:
    return {file.path: source.read(file.path) for file in source.list()}


def test_a_row_is_a_document_with_metadata(open_rows: Open) -> None:
    found = documents(open_rows("table=items&id=id&text=body&metadata=lang,price&version=changed"))
    assert list(found) == ["1", "2", "10"]
    assert found["1"] == SourceDocument("A tram leaves.", {"lang": "en", "price": 1.5})
    assert found["2"].note == "the row's text is NULL"
    assert found["10"].note == "the row's text is empty"


def test_a_version_is_that_of_the_column_or_a_hash_and_unknown_where_it_is_null(open_rows: Open) -> None:
    by_column = {file.path: file.version for file in open_rows("table=items&id=id&text=body&version=changed").list()}
    assert by_column["1"].startswith("a-")
    assert by_column["10"] == ""
    other = {file.path: file.version for file in open_rows("table=items&id=id&text={body}!&version=changed").list()}
    assert other["1"] != by_column["1"]
    hashed = {file.path: file.version for file in open_rows("table=items&id=id&text=body").list()}
    assert len({*hashed.values()}) == 3
    assert all(hashed.values())


def test_composite_and_odd_ids_become_paths_and_lead_back(open_rows: Open) -> None:
    source = open_rows("table=pages&id=folder,name&text={title}: {body}&metadata=title")
    found = documents(source)
    assert {path: (one.content, one.title) for path, one in found.items()} == {
        "%/é%25": ("Empty: z", "Empty"),
        "..%2F../%2E": ("Up: x", "Up"),
        "a%2Fb/c%21": ("Slash: y", "Slash"),
    }
    # Each by itself, in another order than they are listed.
    assert source.read("a%2Fb/c%21").content == "Slash: y"
    assert source.read("%/é%25").content == "Empty: z"
    with pytest.raises(DocumentError, match="deleted while"):
        source.read("no/row")
    with pytest.raises(DocumentError, match="not an id"):
        source.read("three/parts/here")


def test_views_queries_and_quoted_names(open_rows: Open) -> None:
    assert documents(open_rows('table="Cheap Items"&id=key&text=fulltext')) == {"1": SourceDocument("A tram leaves.")}
    assert list(documents(open_rows("table=ITEMS&id=ID&text=BODY"))) == ["1", "2", "10"]
    query = "query=select id as n, ':name %' || coalesce(body, '') as t from items where lang is not null;&id=n&text=t"
    assert {path: one.content for path, one in documents(open_rows(query.replace("%", "%25"))).items()} == {
        "1": ":name %A tram leaves.",
        "2": ":name %",
    }


def test_bytes_of_a_file_in_a_column_stay_bytes(open_rows: Open) -> None:
    found = documents(open_rows("table=files&id=name&text=data&metadata=lang"))
    assert found == {"a.md": SourceDocument(b"# A", {"lang": "en"})}


@pytest.mark.parametrize("page_rows", [1, 2, 3, 4, 100])
def test_duplicate_ids_are_found_also_at_the_edge_of_a_page(
    open_rows: Open, page_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_source, "PAGE_ROWS", page_rows)
    with pytest.raises(SourceError, match="two rows with the id '2'"):
        list(open_rows("table=twice&id=id&text=body").list())
    assert [file.path for file in open_rows("table=items&id=id&text=body").list()] == ["1", "2", "10"]
    paths = [file.path for file in open_rows("table=pages&id=folder,name&text=body").list()]
    assert paths == ["%/é%25", "..%2F../%2E", "a%2Fb/c%21"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("table=item&id=id&text=body", "there is no table 'item'; did you mean 'items'?"),
        ("table=items&id=id&text=bodi", "text=bodi: there is no column 'bodi' in items; did you mean 'body'?"),
        ("table=items&id=id&text=body&metadata=lang,size", "metadata=size: there is no column 'size'"),
        ('table=items&id=id&text=body"; DROP TABLE items; --', "there is no column"),
        ("table=items; DROP TABLE items&id=id&text=body", "there is no table 'items; DROP TABLE items'"),
        ("query=DELETE FROM items&id=id&text=body", "syntax error"),
        ("table=nulls&id=id&text=body", "has rows whose id is NULL"),
        ("table=mixed&id=id&text=body", "ids of several types"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(open_rows: Open, query: str, message: str, database: Path) -> None:
    with pytest.raises(SourceError) as raised:
        list(open_rows(query).list())
    assert message in str(raised.value)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (3,)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sql+nodb://x/y?table=a&id=b&text=c", "no database dialect 'nodb'"),
        ("sql+mysql://x/y?table=a&id=b&text=c", "needs the Python package of its driver"),
        ("sql+sqlite:////nowhere.db?table=a&id=b&text=c", "cannot be found"),
        ("sql+postgresql://u@localhost:1/db?table=a&id=b&text=c", "Connection refused"),
        ("sql+postgresql://u@localhost:1/db?table=a&id=b&text=c&colour=1", 'invalid connection option "colour"'),
        ("sql+sqlite+aiosqlite:////x.db?table=a&id=b&text=c", "cannot be found"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_sentence(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, SourceError)) as raised:
        open_source(uri, state_dir=tmp_path)
    assert message in str(raised.value)


def test_an_id_too_long_for_a_path_is_said() -> None:
    with pytest.raises(SourceError, match="more than 600 characters"):
        id_to_path(("x" * 601,))


def test_rows_are_read_ahead_in_the_order_of_the_listing(tmp_path: Path) -> None:
    file = tmp_path / "many.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", ((n, f"text {n}") for n in range(2_000)))
        connection.commit()
    source = open_source(f"sql+sqlite:///{file}?table=rows&id=id&text=body", state_dir=tmp_path)
    assert isinstance(source, RowSource)
    statements: list[str] = []
    event.listen(source._table._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for n in range(2_000):
        document = source.read(str(n))
        assert document.content == f"text {n}"
    assert len(statements) < 30
    statements.clear()
    # In no order, as many rows are read as are asked for, or a few more.
    for n in range(1_999, 1_900, -7):
        assert source.read(str(n)).content == f"text {n}"
    assert len(statements) == 15
