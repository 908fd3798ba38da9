"""The tests that every source of documents must pass, those of this package and those of others."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from unittest.mock import patch

from sqlalchemy import Engine, make_url, text

from rag_assets.documents.sources import Source, SourceDocument, SourceFile
from rag_assets.documents.sources.source_types import check_listed_file
from rag_assets.errors import DocumentError, IntegrityError, SourceError
from rag_assets.testing.database import temporary_database

_PROJECT = "conformance"


class SourceConformance:
    """Subclass it in a module of tests, name the subclass `Test…`, and give it a place with documents.

    `open_source`, `write` and `delete` are needed; `write_many` lets the memory of a large listing be measured, and
    `database` gives another database than a new one for each test. Numbers name documents; a text is plain ASCII.
    """

    # What listing one more document may keep in memory: 250 MB for a million.
    most_bytes_an_entry = 250

    def open_source(self) -> Source:
        """The source of the place, opened again."""
        raise NotImplementedError

    def write(self, number: int, content: str) -> None:
        """Create the document of this number, or change its text."""
        raise NotImplementedError

    def delete(self, number: int) -> None:
        """Delete the document."""
        raise NotImplementedError

    def write_many(self, count: int) -> bool:
        """Create so many documents at once; False where this place cannot."""
        return count == 0

    def database(self) -> AbstractContextManager[str]:
        """The URL of an empty database at the newest schema."""
        return temporary_database()

    def test_every_document_is_listed_once_and_can_be_read(self) -> None:
        texts = self._fill(3)
        with closing(self.open_source()) as source:
            files = list(source.list())
            for file in files:
                check_listed_file(source.uri, file)
            assert len({file.path for file in files}) == len(files) == 3, f"3 documents, listed as {files}"
            found = sorted(_text(source.read(file.path)) for file in files)
            for one, wanted in zip(found, texts, strict=True):
                assert wanted in one, f"{wanted!r} was written, {one!r} was read"

    def test_the_listing_is_level_triggered(self) -> None:
        self._fill(3)
        with closing(self.open_source()) as source:
            before = {file.path for file in source.list()}
            self.delete(1)
            self.write(3, "the text of document 3")
            # Neither a new source nor a second listing may depend on what was seen before.
            again = {file.path for file in source.list()}
        with closing(self.open_source()) as source:
            of_new = {file.path for file in source.list()}
        assert again == of_new, "a second listing of an open source differs from that of a new one"
        assert len(before & of_new) == 2, "documents that did not change are listed under other paths"
        assert len(of_new) == 3, "a deleted document is still listed, or a new one is not"

    def test_a_version_changes_with_the_document_and_only_then(self) -> None:
        self._fill(2)
        first, second = self._versions(), self._versions()
        for path, version in first.items():
            # An empty version, which means unknown, is allowed: of a file that changed a moment ago, for instance.
            if version and second[path]:
                assert second[path] == version, f"the version of {path} changed, although the document did not"
        self.write(0, "another text of document 0, which is longer")
        third = self._versions()
        changed = [path for path, version in third.items() if not version or version != second[path]]
        assert changed, "a document was changed, and no version tells it"

    def test_a_document_that_is_gone_is_a_document_error(self) -> None:
        self._fill(2)
        with closing(self.open_source()) as source:
            paths = {file.path for file in source.list()}
            self.delete(1)
            (gone,) = paths - {file.path for file in source.list()}
            try:
                source.read(gone)
            except DocumentError:
                return
        raise AssertionError(f"reading {gone}, which was deleted, must raise DocumentError")

    def test_documents_are_read_by_several_threads(self) -> None:
        texts = self._fill(12)
        with closing(self.open_source()) as source, ThreadPoolExecutor(4) as pool:
            read = list(pool.map(source.read, [file.path for file in source.list()] * 2))
        found = sorted(map(_text, read))[::2]
        assert all(wanted in one for wanted, one in zip(texts, found, strict=True))

    def test_closing_twice_is_allowed(self) -> None:
        self._fill(1)
        source = self.open_source()
        list(source.list())
        source.close()
        source.close()

    def test_memory_is_bounded(self) -> None:
        if not self.write_many(1_000):
            return
        small = self._listing_peak()
        self.write_many(5_000)
        large = self._listing_peak()
        entry = (large - small) / 4_000
        assert entry <= self.most_bytes_an_entry, f"a listing keeps {entry:.0f} bytes for each document"

    def test_a_run_reads_what_changed_and_deletes_what_is_gone(self) -> None:
        self._fill(5)
        with self.database() as url, closing(_Runs(url)) as runs:
            runs.read(self.open_source())
            assert len(runs.documents()) == 5
            with closing(self.open_source()) as source:
                known = {file.path for file in source.list() if runs.has_read(file)}
            assert not known & set(runs.read(self.open_source())), "a document with the stored version was read again"
            self.write(0, "another text of document 0, which is longer")
            self.delete(4)
            runs.read(self.open_source())
            found = runs.documents()
            assert len(found) == 4
            assert any("another text of document 0" in content for content in found.values())

    def test_a_source_that_lists_nothing_deletes_nothing(self) -> None:
        self._fill(3)
        with self.database() as url, closing(_Runs(url)) as runs:
            runs.read(self.open_source())
            for number in range(3):
                self.delete(number)
            try:
                runs.read(self.open_source())
            except (IntegrityError, SourceError):
                pass
            else:
                raise AssertionError("a source without documents must end the run")
            assert len(runs.documents()) == 3

    def test_a_killed_run_is_resumed(self) -> None:
        from rag_assets.pipeline.stages.documents import stage

        self._fill(8)
        with self.database() as url, closing(_Runs(url)) as runs, patch.object(stage, "BATCH_ROWS", 2):
            first = runs.read(self.open_source(), batches=2)
            stored = runs.documents()
            assert 0 < len(stored) < 8
            with closing(self.open_source()) as source:
                done = {file.path for file in source.list() if runs.has_read(file)}
            second = runs.read(self.open_source())
            assert len(runs.documents()) == 8
            assert not done & set(second), f"read again: {sorted(done & set(second))}, after {first}"

    def _fill(self, count: int) -> list[str]:
        texts = [f"the text of document {number:02}" for number in range(count)]
        for number, content in enumerate(texts):
            self.write(number, content)
        return texts

    def _versions(self) -> dict[str, str]:
        with closing(self.open_source()) as source:
            return {file.path: file.version for file in source.list()}

    def _listing_peak(self) -> int:
        with closing(self.open_source()) as source:
            tracemalloc.start()
            try:
                for _ in source.list():
                    pass
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()


class _Recorded:
    """A source that records what was read of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.uri = source.uri
        self.read_paths: list[str] = []

    def list(self) -> Iterator[SourceFile]:
        return self._source.list()

    def read(self, path: str) -> bytes | SourceDocument:
        self.read_paths.append(path)
        return self._source.read(path)

    def close(self) -> None:
        self._source.close()


class _Runs:
    """The stage that reads documents, over one project in a database."""

    def __init__(self, url: str) -> None:
        from rag_assets.db.connections.engines import make_engine
        from rag_assets.db.connections.urls import DRIVER
        from rag_assets.projects.store import save_project
        from rag_assets.settings.settings import load_settings

        self._engine: Engine = make_engine(make_url(url).set(drivername=DRIVER))
        self._settings = load_settings().model_copy(update={"parse_workers": 1, "lock_wait_s": 10})
        with self._engine.begin() as connection:
            save_project(connection, _PROJECT, "conformance:", {})

    def read(self, source: Source, batches: int | None = None) -> list[str]:
        """Run the stage, or end it after so many batches as a kill would; returns the paths that were read."""
        from rag_assets.documents.parsing.parser import DocumentParser
        from rag_assets.pipeline.stages.documents import read_documents
        from rag_assets.pipeline.stages.project_isolation import load_project
        from rag_assets.pipeline.stages.write_batch import write_batch

        recorded = _Recorded(source)
        project = load_project(self._engine, _PROJECT)
        with closing(recorded), DocumentParser(workers=1) as parser:
            found = read_documents(self._engine, self._settings, project, recorded, parser)
            try:
                for number, batch in enumerate(found):
                    if number == batches:
                        break
                    with self._engine.begin() as connection:
                        write_batch(connection, batch)
            finally:
                found.close()  # type: ignore[attr-defined]
        return recorded.read_paths

    def documents(self) -> dict[str, str]:
        statement = text("SELECT file_path, content FROM rag.documents WHERE content IS NOT NULL")
        with self._engine.connect() as connection:
            return {row.file_path: row.content for row in connection.execute(statement)}

    def has_read(self, file: SourceFile) -> bool:
        """Whether the stored document is of this version."""
        statement = text("SELECT source_version FROM rag.documents WHERE file_path = :path")
        with self._engine.connect() as connection:
            return file.version != "" and connection.scalar(statement, {"path": file.path}) == file.version

    def close(self) -> None:
        self._engine.dispose()


def _text(read: bytes | SourceDocument) -> str:
    content = read.content if isinstance(read, SourceDocument) else read
    return content if isinstance(content, str) else content.decode()
