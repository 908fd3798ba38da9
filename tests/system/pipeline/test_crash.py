"""A run killed with SIGKILL at any point: the next run ends in the same rows as an undisturbed one, and cleans up."""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.db.locks import hold_lock
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS
from tests.support.paths import FILES
from tests.support.pipeline.crashes import ChildResult, ChildRun, Forker, materialize, start_forker
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, add_project, errors, rows

# Rows by the name of the query that reads them.
Content = dict[str, list[Any]]

BATCH_TOKENS = 64
LARGEST_BATCH = BATCH_TOKENS // 10  # No text here is shorter than ten tokens.

# Where a run is killed: (pattern of a statement that only this stage sends, count, moment).
POINTS = {
    "documents, first batch": (r"INSERT INTO rag\.documents ", 1, "before"),
    "documents, written": (r"INSERT INTO rag\.documents ", 1, "after"),
    "documents, committed": (r"INSERT INTO rag\.documents ", 1, "committed"),
    "space, half made": (r"CREATE TABLE IF NOT EXISTS .*PARTITION OF", 1, "after"),
    "chunks, written": (r"INSERT INTO rag\.document_chunks ", 1, "after"),
    "chunks, stamped": (r"INSERT INTO rag\.document_chunkings ", 1, "after"),
    "chunks, committed": (r"INSERT INTO rag\.document_chunkings ", 1, "committed"),
    "embeddings, first batch": (r"INSERT INTO rag\.embeddings_\d+ ", 2, "before"),
    "embeddings, later batch": (r"INSERT INTO rag\.embeddings_\d+ ", 4, "after"),
    "embeddings, committed": (r"INSERT INTO rag\.embeddings_\d+ ", 5, "committed"),
    "index, orphans removed": (r"DELETE FROM rag\.embeddings_\d+ ", 1, "after"),
    "index, before": (r"CREATE INDEX", 1, "before"),
    "index, built": (r"CREATE INDEX", 1, "after"),
    "index, not analyzed": (r"ANALYZE", 1, "before"),
}
CHAIN = ("documents, written", "space, half made", "chunks, stamped", "embeddings, later batch", "index, built")
LIVE_POINTS = {
    "promotion, half": (r"UPDATE rag\.embedding_spaces SET status='live'|promoted_at=now", 1, "after"),
    "promotion, view made": (r"CREATE (OR REPLACE )?VIEW", 1, "after"),
    "promotion, committed": (r"CREATE (OR REPLACE )?VIEW", 1, "committed"),
}


@pytest.fixture(scope="module")
def children() -> Iterator[Forker]:
    with start_forker() as forker:
        yield forker


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    ENCODERS.clear()
    monkeypatch.setenv("RAG_ASSETS_BATCH_TOKENS", str(BATCH_TOKENS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(60):
        parts = [f"# Part {part} of {number}\n\nAnimal {number} has {part} legs.\n" for part in range(3)]
        (folder / f"{number:02}.md").write_text("\n".join(parts))
    (folder / "copy.md").write_text((folder / "00.md").read_text())
    shutil.copy(FILES / "harbour.pdf", folder)
    shutil.copy(FILES / "harbour.docx", folder)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    return folder


def content(engine: Engine) -> Content:
    """All rows that are derived from the documents, without columns that depend on the clock."""
    queries = {
        "documents": "SELECT file_path, id, title, content, content_hash, hash, file_type, status, error "
        "FROM rag.documents",
        "chunks": "SELECT id, document_id, chunking, chunk_index, chunk_text, content_hash, char_start, char_end, "
        "token_count, heading_path FROM rag.document_chunks",
        "chunkings": "SELECT document_id, chunking, content_hash, chunk_count FROM rag.document_chunkings",
        "embeddings": "SELECT content_hash, embedding::text FROM rag.embeddings",
        "spaces": "SELECT fingerprint, status FROM rag.embedding_spaces",
        "failures": "SELECT content_hash, error FROM rag.embedding_failures",
        "indexes": "SELECT regexp_replace(indexdef, '_\\d+', '', 'g') FROM pg_indexes "
        "WHERE schemaname = 'rag' AND tablename LIKE 'embeddings_%'",
        "invalid": "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
    }
    return {name: sorted(rows(engine, query), key=repr) for name, query in queries.items()}


def child(settings: Settings, tmp_path: Path, **options: Any) -> ChildRun:
    names = ("RAG_ASSETS_STATE_DIR", "RAG_ASSETS_DATABASE_URL", "DAGSTER_HOME", "RAG_ASSETS_BATCH_TOKENS")
    env = {name: os.environ[name] for name in names}
    options = {"project": "zoo"} | options
    return ChildRun(env=env, log=str(tmp_path / "embedded.log"), **options)


def count_embedded_texts(tmp_path: Path) -> Counter[str]:
    log = tmp_path / "embedded.log"
    return Counter(json.loads(line) for line in log.read_text().splitlines()) if log.exists() else Counter()


def assert_cleaned_up(engine: Engine, ended: list[ChildResult]) -> None:
    """Check that within 10 s no lock and no parser of the killed runs is left."""
    deadline = time.monotonic() + 10
    while True:
        [(locks,)] = rows(engine, COUNT_ADVISORY_LOCKS)
        parsers = [pid for one in ended for pid in find_parsers(one.pid)]
        if not locks and not parsers:
            return
        assert time.monotonic() < deadline, (locks, parsers)
        time.sleep(0.05)


def find_parsers(pid: int) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"rag_assets.documents.parsing.subprocess_worker" in arguments and str(pid).encode() in arguments:
            found.append(process.parent.name)
    return found


def run_to_end(engine: Engine, *, job: str = "stages") -> Content:
    result = materialize("zoo", job)
    assert errors(result) == []
    return content(engine)


@pytest.fixture(scope="module")
def undisturbed() -> Content:
    """The rows of an undisturbed run over the folder; the first test that needs them fills them in."""
    return {}


def run_undisturbed(engine: Engine, undisturbed: Content) -> Content:
    """The rows of an undisturbed run over the same folder, on empty tables."""
    if undisturbed:
        return undisturbed
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rag.documents")
        connection.exec_driver_sql("DROP VIEW IF EXISTS rag.live_chunks")
        for (name,) in rows(engine, "SELECT relname FROM pg_class WHERE relname ~ '^embeddings_\\d+$'"):
            connection.exec_driver_sql(f"DROP TABLE rag.{name} CASCADE")
        connection.exec_driver_sql("DELETE FROM rag.embedding_spaces")
    assert content(engine)["chunks"] == []
    undisturbed |= run_to_end(engine)
    assert len(undisturbed["chunks"]) > 60
    return undisturbed


def test_run_killed_in_every_stage_in_turn_ends_in_the_same_rows(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker, undisturbed: Content
) -> None:
    add_project(engine, "zoo", folder)
    for name in CHAIN:
        pattern, nth, moment = POINTS[name]
        (ended,) = children.run(child(settings, tmp_path, kill_at=pattern, nth=nth, moment=moment))
        assert ended.killed, (name, ended)
        assert_cleaned_up(engine, [ended])
    found = run_to_end(engine)
    log = count_embedded_texts(tmp_path)
    texts = {row[0] for row in rows(engine, "SELECT chunk_text FROM rag.document_chunks")}
    assert set(log) == texts, "every embedded text belongs to a chunk"
    repeated = sum(log.values()) - len(texts)
    # One run was killed while embedding, with at most one batch being written, one waiting and one in the model.
    assert repeated <= 3 * LARGEST_BATCH
    assert found == run_undisturbed(engine, undisturbed)


@pytest.mark.parametrize("point", POINTS)
def test_run_killed_at_one_point_ends_in_the_same_rows(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker, undisturbed: Content, point: str
) -> None:
    add_project(engine, "zoo", folder)
    pattern, nth, moment = POINTS[point]
    (ended,) = children.run(child(settings, tmp_path, kill_at=pattern, nth=nth, moment=moment))
    assert ended.killed, ended
    found = run_to_end(engine)
    assert found == run_undisturbed(engine, undisturbed)


@pytest.mark.parametrize("point", LIVE_POINTS)
def test_promotion_killed_half_way_leaves_the_old_or_the_new_space_live(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker, point: str
) -> None:
    add_project(engine, "zoo", folder)
    run_to_end(engine, job="all")
    pattern, nth, moment = LIVE_POINTS[point]
    changed = child(settings, tmp_path, kill_at=pattern, nth=nth, moment=moment, job="all")
    changed.env["RAG_ASSETS_CHUNK_TOKENS"] = os.environ["RAG_ASSETS_CHUNK_TOKENS"] = "64"
    try:
        (ended,) = children.run(changed)
        assert ended.killed, ended
        live = rows(engine, "SELECT id FROM rag.embedding_spaces WHERE status = 'live'")
        assert live == [(2 if moment == "committed" else 1,)]
        assert rows(engine, "SELECT count(*) > 0 FROM rag.live_chunks") == [(True,)]
        found = run_to_end(engine, job="all")
    finally:
        del os.environ["RAG_ASSETS_CHUNK_TOKENS"]
    spaces = rows(engine, "SELECT id, status FROM rag.embedding_spaces ORDER BY id")
    assert spaces == [(1, "previous"), (2, "live")]
    [(serving,)] = rows(engine, "SELECT chunking FROM rag.embedding_spaces WHERE status = 'live'")
    assert len({row[2] for row in found["chunks"]}) == 2
    of_serving = [row for row in found["chunks"] if row[2] == serving]
    assert rows(engine, "SELECT count(*) FROM rag.live_chunks") == [(len(of_serving),)]


def test_two_concurrent_runs_of_one_project_write_the_rows_of_one(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker, undisturbed: Content
) -> None:
    add_project(engine, "zoo", folder)
    both = children.run(*[child(settings, tmp_path, encode_s=0.02)] * 2)
    assert [ended.errors for ended in both] == [[], []]
    assert_cleaned_up(engine, both)
    found = content(engine)
    assert set(count_embedded_texts(tmp_path).values()) == {1}, (
        "the second run waits for the first and finds its work done"
    )
    assert found == run_undisturbed(engine, undisturbed)


def test_concurrent_runs_of_two_projects_share_a_space_without_loss(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "00.md").unlink()
    (other / "own.md").write_text("This one has only the other.")
    add_project(engine, "zoo", folder)
    add_project(engine, "other", other)
    both = children.run(*(child(settings, tmp_path, project=name, encode_s=0.02) for name in ("zoo", "other")))
    assert [ended.errors for ended in both] == [[], []]
    assert_cleaned_up(engine, both)
    texts = rows(engine, "SELECT DISTINCT content_hash FROM rag.document_chunks ORDER BY 1")
    assert rows(engine, "SELECT content_hash FROM rag.embeddings ORDER BY 1") == texts
    assert len(rows(engine, "SELECT * FROM rag.embedding_spaces")) == 1


def test_a_run_that_waits_too_long_names_the_holder_of_the_lock(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path, children: Forker, undisturbed: Content
) -> None:
    add_project(engine, "zoo", folder)
    waiting = child(settings, tmp_path)
    waiting.env["RAG_ASSETS_LOCK_WAIT_S"] = "0.2"
    with hold_lock(engine, "chunks of zoo", wait_s=0):
        [ended] = children.run(waiting)
    assert ended.errors
    assert all("chunks of zoo has been locked by rag_assets (backend" in error for error in ended.errors), ended.errors
    [ended] = children.run(waiting)
    assert ended.errors == []
    found = run_to_end(engine)
    assert found == run_undisturbed(engine, undisturbed)
