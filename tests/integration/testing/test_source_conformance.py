"""The sources of this package pass the tests that sources of others must pass."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import ModuleType

import fsspec
import pytest

from rag_assets.documents.sources import Source, SourceDocument, SourceFile, open_source
from rag_assets.documents.sources.rows import source as row_source
from rag_assets.testing import SourceConformance
from tests.support.database.database_server import DatabaseServer
from tests.support.documentation.pages import PAGES, read_blocks
from tests.support.pipeline.stages import write


class OfThisServer(SourceConformance):
    """With a database of the tests' own server."""

    @pytest.fixture(autouse=True)
    def on_this_server(
        self, databases: DatabaseServer, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "state"))
        self.databases, self.template, self.folder = databases, template, tmp_path / "docs"
        self.folder.mkdir()

    def database(self) -> AbstractContextManager[str]:
        @contextmanager
        def copy() -> Iterator[str]:
            with self.databases.copy(self.template) as url:
                yield url.render_as_string(hide_password=False)

        return copy()


class TestFolder(OfThisServer):
    def open_source(self) -> Source:
        return open_source(str(self.folder))

    def write(self, number: int, content: str) -> None:
        write(self.folder / f"{number}.md", content)

    def delete(self, number: int) -> None:
        (self.folder / f"{number}.md").unlink()

    def write_many(self, count: int) -> bool:
        for number in range(0, count, 10):
            (self.folder / f"{number % 100}" / f"{number // 100}").mkdir(parents=True, exist_ok=True)
            (self.folder / f"{number % 100}" / f"{number // 100}" / f"{number}.md").touch()
        return True


class TestRemoteFiles(OfThisServer):
    def open_source(self) -> Source:
        return open_source(f"memory://{self.folder}")

    def write(self, number: int, content: str) -> None:
        with fsspec.filesystem("memory").open(f"{self.folder}/{number}.md", "wb") as file:
            file.write(content.encode())

    def delete(self, number: int) -> None:
        fsspec.filesystem("memory").rm(f"{self.folder}/{number}.md")


class TestRows(OfThisServer):
    most_bytes_an_entry = 10

    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(row_source, "PAGE_ROWS", 500)

    @property
    def file(self) -> Path:
        return self.folder / "rows.db"

    def execute(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, body TEXT)")
            connection.execute(statement, values)
            connection.commit()

    def open_source(self) -> Source:
        return open_source(f"sql+sqlite:///{self.file}?table=items&id=id&text=body")

    def write(self, number: int, content: str) -> None:
        self.execute("INSERT OR REPLACE INTO items VALUES (?, ?)", number, content)

    def delete(self, number: int) -> None:
        self.execute("DELETE FROM items WHERE id = ?", number)

    def write_many(self, count: int) -> bool:
        self.execute("DELETE FROM items")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i, 'x' FROM n"
        self.execute(f"INSERT INTO items {numbers}", count)
        return True


def guide_module(title: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module whose code stands in the guide."""
    page = read_blocks((PAGES / "guides" / "your_own_source.md").read_text(encoding="utf-8"))
    [code] = [block.code for block in page if block.title == title]
    assert len(code.splitlines()) <= 40
    module = ModuleType(title.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, title, "exec"), vars(module))
    return module


with pytest.MonkeyPatch.context() as modules:
    guide_module("team_wiki.py", modules)
    _guide_test = guide_module("test_team_wiki.py", modules).TestWiki


class TestSourceOfTheGuide(OfThisServer, _guide_test):  # type: ignore[misc, valid-type]
    """The 40 lines of `your_own_source.md`, with the test that the page shows."""


class Forgetful:
    """A source with the mistakes that the tests are there for."""

    uri = "forgetful:"

    def __init__(self, folder: Path, mistake: str) -> None:
        self.folder, self.mistake = folder, mistake
        self.listed: list[SourceFile] = []

    def list(self) -> Iterator[SourceFile]:
        if not (self.mistake == "remembers" and self.listed):
            self.listed = [
                SourceFile(file.name, "1" if self.mistake == "constant version" else file.read_text(), None)
                for file in sorted(self.folder.iterdir())
            ]
        yield from self.listed

    def read(self, path: str) -> bytes | SourceDocument:
        file = self.folder / path
        return b"" if self.mistake == "empty" or not file.exists() else file.read_bytes()

    def close(self) -> None:
        """Nothing is held open."""


@pytest.mark.parametrize(
    ("mistake", "test", "message"),
    [
        ("constant version", "test_a_version_changes_with_the_document_and_only_then", "no version tells it"),
        ("remembers", "test_the_listing_is_level_triggered", "differs from that of a new one"),
        ("empty", "test_every_document_is_listed_once_and_can_be_read", "was read"),
        ("none", "test_a_document_that_is_gone_is_a_document_error", "must raise DocumentError"),
    ],
)
def test_a_mistake_of_a_source_is_found(tmp_path: Path, mistake: str, test: str, message: str) -> None:
    class OfForgetful(SourceConformance):
        def open_source(self) -> Source:
            return Forgetful(tmp_path, mistake)

        def write(self, number: int, content: str) -> None:
            (tmp_path / f"{number}.md").write_text(content)

        def delete(self, number: int) -> None:
            (tmp_path / f"{number}.md").unlink()

    with pytest.raises(AssertionError, match=message):
        getattr(OfForgetful(), test)()
