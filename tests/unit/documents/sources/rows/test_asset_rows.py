"""Rows of an asset as documents, from every kind of table."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pytest

from rag_assets.documents.sources import SourceDocument, open_source
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.rows.asset_rows import AssetSource
from rag_assets.errors import DocumentError, SourceError, UsageError

ROWS: list[dict[str, Any]] = [
    {"id": 1, "text": "one", "title": "One", "price": 1.5, "tags": ["a"]},
    {"id": 2, "text": None, "title": None, "price": None, "tags": []},
]


def iterate() -> Iterator[dict[str, Any]]:
    yield from ROWS


def open_rows(rows: Any) -> AssetSource:
    return AssetSource("dagster-asset:items", rows, Selection())


@pytest.mark.parametrize(
    "make",
    [
        lambda: ROWS,
        iterate,
        lambda: pd.DataFrame(ROWS),
        lambda: pd.DataFrame(ROWS).convert_dtypes(),
        lambda: pl.DataFrame(ROWS),
        lambda: pl.LazyFrame(ROWS),
        lambda: pa.Table.from_pylist(ROWS),
        lambda: pa.Table.from_pylist(ROWS).to_reader(),
    ],
    ids=["list", "iterator", "pandas", "pandas with NA", "polars", "lazy polars", "pyarrow", "pyarrow's reader"],
)
def test_every_kind_of_table_gives_the_same_documents(make: Callable[[], Any]) -> None:
    with closing(open_rows(make())) as source:
        found = {file.path: source.read(file.path) for file in source.list()}
        with pytest.raises(DocumentError, match="is not an id"):
            source.read("3")
    assert found["1"] == SourceDocument("one", {"title": "One", "price": 1.5, "tags": ["a"]}, "One")
    assert found["2"].content == ""
    assert found["2"].metadata == {"title": None, "price": None, "tags": []}
    assert found["2"].note == "the row's text is empty"
    assert not Path(source._file).exists()


def test_a_version_changes_with_its_row_alone() -> None:
    def versions(rows: Any) -> dict[str, str]:
        with closing(open_rows(rows)) as source:
            return {file.path: file.version for file in source.list()}

    before = versions(ROWS)
    assert versions(reversed(ROWS)) == before
    after = versions([ROWS[0] | {"price": 2}, ROWS[1]])
    assert (after["1"] == before["1"], after["2"] == before["2"]) == (False, True)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("text", "is a str; return a DataFrame"),
        (3, "is a int; return a DataFrame"),
        ([1], "a row of type int"),
        ([{"id": 1, "body": "x"}], "rows without 'text'"),
        (pd.DataFrame({"key": [1]}), "rows without 'id'"),
        ([{"id": float("nan"), "text": "x"}], "whose id is missing"),
        ([{"id": 1, "text": "x"}, {"id": "1", "text": "y"}], "two rows with the id '1'"),
    ],
)
def test_what_is_no_table_of_documents_is_one_sentence(rows: Any, message: str) -> None:
    with pytest.raises((UsageError, SourceError)) as raised:
        open_rows(rows)
    assert message in str(raised.value)


def test_the_command_line_says_where_such_a_project_is_refreshed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="materialize the asset there"):
        open_source("dagster-asset:shop/items", state_dir=tmp_path)
