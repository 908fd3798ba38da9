"""raw_documents: which files are read and parsed, and which documents stay when a source fails."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.sources import SourceFile, open_source
from rag_assets.errors import IntegrityError, ServiceError, SourceError, UsageError
from rag_assets.pipeline.audit.personal_data import no_personal_data
from rag_assets.pipeline.stages.documents import read_documents, stage
from rag_assets.pipeline.stages.documents.stage import personal_data_step
from rag_assets.pipeline.stages.project_isolation import load_project
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, rows
from tests.support.pipeline.stages import Steps, write, write_batches


class CountingSource:
    """A real source that records which of its files were opened."""

    def __init__(self, folder: Path) -> None:
        self._source = open_source(str(folder))
        self.uri = self._source.uri
        self.opened: list[str] = []

    def list(self) -> Iterator[SourceFile]:
        return self._source.list()

    def read(self, path: str) -> bytes:
        self.opened.append(path)
        return self._source.read(path)


class CountingParser(DocumentParser):
    """The real parser, recording the files that it parses."""

    def __init__(self) -> None:
        super().__init__(timeout_s=20, memory_mb=1024, max_bytes=1 << 20, workers=1)
        self.parsed: list[str] = []

    def parse(self, path: str, data: bytes) -> Any:
        self.parsed.append(path)
        return super().parse(path, data)


def read_zoo(steps: Steps, folder: Path) -> tuple[list[str], list[str]]:
    """Refresh project zoo once; returns the opened and the parsed files."""
    project = load_project(steps.engine, "zoo")
    source = CountingSource(folder)
    settings = steps.settings.model_copy(update={"parse_workers": 1, "lock_wait_s": 1})
    with CountingParser() as parser:
        write_batches(steps.engine, read_documents(steps.engine, settings, project, source, parser))
        return source.opened, parser.parsed


def contents(steps: Steps) -> dict[str, str | None]:
    return dict(rows(steps.engine, "SELECT file_path, content FROM rag.documents"))


def failures(steps: Steps) -> dict[str, str]:
    return dict(rows(steps.engine, "SELECT file_path, error FROM rag.documents WHERE status = 'failed'"))


def test_new_changed_and_deleted_files_are_counted_and_stored(steps: Steps, folder: Path) -> None:
    for name in ("a", "b", "c"):
        write(folder / f"{name}.md", f"# {name}\n")
    steps.project("zoo", folder)
    first = steps.documents("zoo")
    assert (first["seen"], first["inserted"], first["updated"], first["unchanged"]) == (3, 3, 0, 0)
    ids = dict(rows(steps.engine, "SELECT file_path, id FROM rag.documents"))

    write(folder / "a.md", "# another a\n")
    write(folder / "d.md", "# d\n")
    (folder / "b.md").unlink()
    second = steps.documents("zoo")
    assert (second["seen"], second["inserted"], second["updated"], second["unchanged"], second["deleted"]) == (
        3,
        1,
        1,
        1,
        1,
    )
    assert contents(steps) == {"a.md": "# another a\n", "c.md": "# c\n", "d.md": "# d\n"}
    after = dict(rows(steps.engine, "SELECT file_path, id FROM rag.documents"))
    assert after["a.md"] == ids["a.md"]


def test_an_unchanged_file_is_not_opened(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "a")
    steps.project("zoo", folder)
    assert read_zoo(steps, folder) == (["a.md"], ["a.md"])
    assert read_zoo(steps, folder) == ([], [])


def test_a_touched_file_is_read_but_not_parsed(steps: Steps, folder: Path) -> None:
    path = write(folder / "a.md", "a")
    steps.project("zoo", folder)
    read_zoo(steps, folder)
    os.utime(path, (1e9, 1e9))
    assert read_zoo(steps, folder) == (["a.md"], [])
    assert read_zoo(steps, folder) == ([], [])


def test_a_change_of_equal_size_and_time_is_noticed(steps: Steps, folder: Path) -> None:
    path = write(folder / "a.md", "one")
    # Coarse file systems store whole seconds.
    now = int(time.time()) + 1
    os.utime(path, (now, now))
    steps.project("zoo", folder)
    steps.documents("zoo")
    path.write_text("two")
    os.utime(path, (now, now))
    steps.documents("zoo")
    assert contents(steps) == {"a.md": "two"}


def test_an_unreadable_file_keeps_its_text_and_does_not_stop_the_others(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "first")
    write(folder / "b.md", "b")
    steps.project("zoo", folder)
    steps.documents("zoo")
    # A broken link is unreadable even for root.
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to(folder / "nowhere")
    write(folder / "b.md", "another b")
    figures = steps.documents("zoo")
    assert (figures["failed"], figures["updated"]) == (1, 1)
    assert contents(steps) == {"a.md": "first", "b.md": "another b"}
    assert "points to nothing" in failures(steps)["a.md"]

    assert steps.documents("zoo")["failed"] == 1, "every run tries an unreadable file again"
    (folder / "a.md").unlink()
    write(folder / "a.md", "repaired")
    steps.documents("zoo")
    assert contents(steps)["a.md"] == "repaired"
    assert failures(steps) == {}


def test_an_unparsable_file_is_parsed_again_only_on_change_or_retry(steps: Steps, folder: Path) -> None:
    write(folder / "broken.pdf", b"%PDF-1.7 and then nothing")
    write(folder / "a.md", "a")
    steps.project("zoo", folder)
    first = steps.documents("zoo")
    assert (first["failed"], first["inserted"]) == (1, 1)
    reason = failures(steps)["broken.pdf"]
    assert reason
    assert contents(steps)["broken.pdf"] is None

    assert read_zoo(steps, folder) == ([], [])
    again = steps.documents("zoo")
    assert (again["still_failed"], again["failed"], again["unchanged"]) == (1, 0, 1)
    retried = steps.documents("zoo", retry_failed=True)
    assert (retried["failed"], retried["unchanged"]) == (1, 1)

    (folder / "broken.pdf").unlink()
    gone = steps.documents("zoo", retry_failed=True)
    assert gone["deleted"] == 1, "a failed document without a file is deleted by a run that retries"
    assert failures(steps) == {}


def test_a_failed_document_succeeds_with_new_content(steps: Steps, folder: Path) -> None:
    write(folder / "a.txt", "fine")
    write(folder / "b.json", "{" * 10)
    big = write(folder / "big.txt", b"x" * (2 << 20))
    steps.settings = steps.settings.model_copy(update={"max_document_mb": 1})
    steps.project("zoo", folder)
    steps.documents("zoo")
    assert "RAG_ASSETS_MAX_DOCUMENT_MB" in failures(steps)["big.txt"]
    write(big, "small now")
    steps.documents("zoo")
    assert "big.txt" not in failures(steps)
    assert contents(steps)["big.txt"] == "small now"


def test_a_larger_limit_admits_a_refused_file(steps: Steps, folder: Path) -> None:
    write(folder / "big.txt", b"x " * (1 << 20))
    steps.project("zoo", folder)
    settings = steps.settings
    steps.settings = settings.model_copy(update={"max_document_mb": 1})
    steps.documents("zoo")
    steps.settings = settings
    steps.documents("zoo")
    assert failures(steps) == {}


@pytest.mark.parametrize("remaining", [0, 1, 2])
def test_nothing_is_deleted_if_more_than_half_of_the_files_vanished(steps: Steps, folder: Path, remaining: int) -> None:
    for number in range(5):
        write(folder / f"{number}.md", str(number))
    steps.project("zoo", folder)
    steps.documents("zoo")
    for number in range(remaining, 5):
        (folder / f"{number}.md").unlink()
    write(folder / "0.md", "changed") if remaining else None
    with pytest.raises(IntegrityError, match="--confirm-deletions") as raised:
        steps.documents("zoo")
    assert f"{5 - remaining} of the 5 documents of project zoo" in str(raised.value)
    assert contents(steps) == {f"{number}.md": str(number) for number in range(5)}

    assert steps.documents("zoo", confirm_deletions=True)["deleted"] == 5 - remaining
    assert len(contents(steps)) == remaining


def test_half_of_the_files_are_deleted_without_confirmation(steps: Steps, folder: Path) -> None:
    for number in range(4):
        write(folder / f"{number}.md", str(number))
    steps.project("zoo", folder)
    steps.documents("zoo")
    for number in range(2):
        (folder / f"{number}.md").unlink()
    assert steps.documents("zoo")["deleted"] == 2


def test_an_empty_folder_is_an_error(steps: Steps, folder: Path) -> None:
    steps.project("zoo", folder)
    with pytest.raises(SourceError, match="holds no documents"):
        steps.documents("zoo")


def test_nothing_is_deleted_if_the_folder_is_missing(steps: Steps, folder: Path, tmp_path: Path) -> None:
    write(folder / "a.md", "a")
    steps.project("zoo", folder)
    steps.documents("zoo")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="cannot be opened"):
        steps.documents("zoo", confirm_deletions=True)
    assert contents(steps) == {"a.md": "a"}


def test_documents_that_the_globs_exclude_are_deleted(steps: Steps, folder: Path) -> None:
    for name in ("a.md", "b.md", "c.txt"):
        write(folder / name, name)
    steps.project("zoo", folder)
    steps.documents("zoo")
    steps.project("zoo", folder, exclude=["*.txt"])
    assert steps.documents("zoo")["deleted"] == 1
    steps.project("zoo", folder, include=["a.md"])
    assert steps.documents("zoo")["deleted"] == 1
    assert set(contents(steps)) == {"a.md"}


def test_equal_paths_in_two_projects_are_different_documents(steps: Steps, tmp_path: Path) -> None:
    write(tmp_path / "one" / "a.md", "of one")
    write(tmp_path / "two" / "a.md", "of two")
    steps.project("one", tmp_path / "one")
    steps.project("two", tmp_path / "two")
    steps.documents("one", "two")
    (tmp_path / "one" / "a.md").unlink()
    steps.documents("one", confirm_deletions=True)
    assert contents(steps) == {"a.md": "of two"}


def test_the_error_for_an_unknown_project_lists_the_known_ones(steps: Steps, folder: Path) -> None:
    steps.project("zoo", folder)
    with pytest.raises(UsageError, match=r"'zo'.*known: zoo"):
        steps.documents("zo")


def test_the_error_of_a_concurrent_run_names_the_lock_holder(steps: Steps, folder: Path) -> None:
    write(folder / "a.md", "a")
    steps.project("zoo", folder)
    steps.settings = steps.settings.model_copy(update={"lock_wait_s": 0.1})
    from rag_assets.db.locks import hold_lock

    with (
        hold_lock(steps.engine, "raw_documents of zoo", wait_s=1),
        pytest.raises(ServiceError, match=r"raw_documents of zoo has been locked by rag_assets \(backend \d+"),
    ):
        steps.documents("zoo")
    steps.documents("zoo")
    assert rows(steps.engine, COUNT_ADVISORY_LOCKS) == [(0,)]


def test_a_link_that_leads_outside_is_listed_and_what_was_read_through_it_is_gone(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "zoo" / "a.md", "Inside.")
    write(tmp_path / "secret.md", "The password of the zoo.")
    (tmp_path / "zoo" / "link.md").symlink_to(tmp_path / "secret.md")
    steps.project("zoo", tmp_path / "zoo")
    steps.settings = steps.settings.model_copy(update={"follow_links": True})
    steps.documents("zoo")
    assert contents(steps) == {"a.md": "Inside.", "link.md": "The password of the zoo."}
    steps.settings = steps.settings.model_copy(update={"follow_links": False})
    assert steps.documents("zoo")["seen"] == 2
    assert contents(steps) == {"a.md": "Inside.", "link.md": ""}
    note = "SELECT parse_report->'notes'->>0 FROM rag.documents WHERE file_path = 'link.md'"
    [(reason,)] = rows(steps.engine, note)
    assert "a link to a file outside of its source" in reason
    assert steps.documents("zoo")["unchanged"] == 2


def test_personal_data_is_redacted_or_refused_and_a_changed_setting_reads_again(steps: Steps, tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    write(folder / "a.txt", "Write to anna@example.org.")
    write(folder / "b.txt", "Nothing here.")
    steps.project("zoo", folder)
    assert read_zoo(steps, folder)[1] == ["a.txt", "b.txt"]
    for mode, text, parsed in (
        ("redact", f"Write to {'█' * 16}.", ["a.txt", "b.txt"]),
        ("redact", f"Write to {'█' * 16}.", []),
        ("refuse", "", ["a.txt", "b.txt"]),
        ("keep", "Write to anna@example.org.", ["a.txt", "b.txt"]),
        ("check", "Write to anna@example.org.", []),
    ):
        steps = replace(steps, settings=steps.settings.model_copy(update={"personal_data": mode}))
        assert read_zoo(steps, folder)[1] == parsed, mode
        assert contents(steps)["a.txt"] == text, mode
        found = no_personal_data(steps.engine, personal_data_step(steps.settings), ["zoo"])
        assert found.passed == (mode in ("redact", "refuse")), mode
    assert found.metadata["examples"] == ["zoo/a.txt: 1 email"]
    assert found.reason == "1 of 2 documents hold personal data: 1 email"


def test_a_listing_that_is_too_large_for_memory_goes_through_the_database(
    steps: Steps, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOST_IN_MEMORY", 2)
    monkeypatch.setattr(stage, "stored_documents", lambda *_: pytest.fail("all that is stored was read"))
    for name in ("a", "b", "c", "d"):
        write(folder / f"{name}.md", f"# {name}\n")
    steps.project("zoo", folder)
    assert read_zoo(steps, folder)[0] == ["a.md", "b.md", "c.md", "d.md"]
    write(folder / "b.md", "# other\n", age_s=50)
    (folder / "d.md").unlink()
    assert read_zoo(steps, folder)[0] == ["b.md"]
    assert contents(steps) == {"a.md": "# a\n", "b.md": "# other\n", "c.md": "# c\n"}
    assert rows(steps.engine, "SELECT count(*) FROM rag.source_listings") == [(0,)]
