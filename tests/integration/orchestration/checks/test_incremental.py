"""Checks that read what changed and a part of the rest: what they read, what they leave, and what cannot fool them."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes import check_progress
from rag_assets.db.writes.check_progress import POSITIONS, CheckScope, current_snapshot, prune_changes
from rag_assets.pipeline.audit.incremental import Reading, RowChecks
from rag_assets.pipeline.audit.result import CheckResult
from tests.support.database.damages import DAMAGES
from tests.support.pipeline.check_runs import change_database, check_metadata, failed_names, run_checks
from tests.support.pipeline.runs import rows

RUNS = 5
Check = Callable[[], CheckResult]


def live_space(engine: Engine) -> EmbeddingSpace:
    with engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    return space


def checks_of(engine: Engine, rotation_runs: int | None) -> dict[str, Check]:
    checks = RowChecks(Reading(engine, rotation_runs), live_space(engine))
    return {
        "documents_have_chunks": checks.documents_have_chunks,
        "offsets_reproduce_text": checks.offsets_reproduce_text,
        "texts_have_vectors": checks.chunks_have_vectors,
        "vectors_are_sound": checks.vectors_are_sound,
        "no_orphan_vectors": checks.no_orphan_vectors,
    }


def change_unseen(engine: Engine, statement: str) -> None:
    """Execute a statement with the triggers disabled: no change is recorded."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text(statement)).rowcount > 0


def test_a_run_without_changes_reads_a_part_and_says_what_it_left(built: Engine) -> None:
    found = run_checks(full=False)
    assert failed_names(found) == set()
    [(documents_, chunks, vectors_)] = rows(
        built,
        "SELECT (SELECT count(*) FROM rag.documents), (SELECT count(*) FROM rag.document_chunks), "
        "(SELECT count(*) FROM rag.embeddings)",
    )
    totals = {
        "documents_have_chunks": documents_,
        "offsets_reproduce_text": chunks,
        "chunks_fit_window": chunks,
        "texts_have_vectors": chunks,
        "vectors_are_sound": vectors_,
        "no_orphan_vectors": vectors_,
        "serves_wanted_space": chunks,
    }
    for name, total in totals.items():
        shown = check_metadata(found, name)
        assert shown["full"] is False, name
        assert shown["rows_read"] + shown["rows_left"] == total, name
        assert shown["rows_read"] < total / 2, name
    # The totals are those of a run that reads everything, though few rows were read.
    assert check_metadata(found, "offsets_reproduce_text")["chunks"] == chunks
    assert check_metadata(found, "vectors_are_sound")["vectors"] == vectors_
    assert check_metadata(found, "serves_wanted_space")["chunks_shown"] == chunks
    latency, recall = (check_metadata(found, name) for name in ("search_latency", "recall_at_10"))
    assert latency["measured_runs_ago"] == recall["measured_runs_ago"] == 1
    assert 0 < latency["p95_ms"] < latency["threshold_ms"]
    assert recall["recall_mean"] >= recall["threshold"]

    # A part that has a damaged row makes the check read everything, and so does the next run.
    DAMAGES["one chunk's text changed"].apply(built)
    for _ in range(2):
        shown = checks_of(built, RUNS)["offsets_reproduce_text"]().metadata
        assert (shown["full"], shown["wrong"], shown["rows_read"], shown["rows_left"]) == (True, 1, chunks, 0)


UNSEEN = {
    "one chunk's text changed": "offsets_reproduce_text",
    "a document's chunks deleted": "documents_have_chunks",
    "one vector zeroed": "vectors_are_sound",
    "orphan vectors added": "no_orphan_vectors",
    "a hundredth of the vectors deleted": "texts_have_vectors",
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_damage_that_no_trigger_saw_is_found_within_the_rotation(built: Engine, name: str) -> None:
    check = UNSEEN[name]
    assert checks_of(built, None)[check]().passed
    for statement in DAMAGES[name].statements:
        change_unseen(built, statement)
    results = [checks_of(built, RUNS)[check]() for _ in range(RUNS)]
    assert not all(result.passed for result in results)
    first = next(result for result in results if not result.passed)
    assert first.metadata["full"]
    assert first.metadata["rows_left"] == 0


def test_each_row_is_read_once_in_a_rotation_also_after_a_change_of_its_length(built: Engine) -> None:
    [(chunks, vectors_)] = rows(
        built, "SELECT (SELECT count(*) FROM rag.document_chunks), (SELECT count(*) FROM rag.embeddings)"
    )
    for name, total in (("offsets_reproduce_text", chunks), ("vectors_are_sound", vectors_)):
        assert checks_of(built, None)[name]().metadata["rows_read"] == total
        for runs in (RUNS, 3):
            read = [checks_of(built, runs)[name]().metadata["rows_read"] for _ in range(runs)]
            assert sum(read) == total, (name, runs, read)
            assert max(read) < total
        # The part of a run ends where the next of this length begins, wherever the one before ended.
        assert checks_of(built, 4)[name]().passed
        read = [checks_of(built, 3)[name]().metadata["rows_read"] for _ in range(3)]
        assert sum(read) <= total


def test_what_makes_a_watermark_void_makes_the_check_read_everything(built: Engine) -> None:
    def read_all() -> bool:
        return bool(checks_of(built, RUNS)["vectors_are_sound"]().metadata["full"])

    checks_of(built, None)["vectors_are_sound"]()
    assert not read_all()
    # Restored into a server that is younger than the one that was dumped.
    change_database(built, "UPDATE rag.check_watermarks SET seen = '9000000000:9000000000:'")
    assert read_all()
    assert not read_all()
    change_database(built, "UPDATE rag.check_watermarks SET version = 'another'")
    assert read_all()
    change_database(built, "DELETE FROM rag.check_watermarks")
    assert read_all()
    with built.begin() as connection:
        connection.execute(text("TRUNCATE rag.document_chunkings"))
    assert read_all()


def test_a_transaction_that_commits_late_is_not_overlooked(built: Engine) -> None:
    checks_of(built, None)["vectors_are_sound"]()
    with built.connect() as late:
        late.execute(text("UPDATE rag.embeddings SET embedding = embedding WHERE space_id = 1"))
        # Passes, and moves its watermark on, while the change is not visible yet.
        assert checks_of(built, 1_000)["vectors_are_sound"]().metadata["rows_read"] < 20
        late.commit()
    [(number,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    assert checks_of(built, 1_000)["vectors_are_sound"]().metadata["rows_read"] == number


def test_changes_are_kept_until_every_watermark_has_seen_them(built: Engine) -> None:
    def changes() -> int:
        return int(rows(built, "SELECT count(*) FROM rag.row_changes")[0][0])

    def scopes() -> set[str]:
        return {scope for (scope,) in rows(built, "SELECT scope FROM rag.check_watermarks")}

    with built.begin() as connection:
        connection.execute(text("DELETE FROM rag.check_watermarks"))
        prune_changes(connection)
    assert changes() == 0
    checks = checks_of(built, RUNS)
    checks["vectors_are_sound"]()
    checks["no_orphan_vectors"]()
    change_database(built, "UPDATE rag.embeddings SET embedding = embedding WHERE get_byte(content_hash, 0) < 128")
    recorded = changes()
    assert recorded > 50
    checks["vectors_are_sound"]()
    assert changes() == recorded
    checks["no_orphan_vectors"]()
    # Snapshots are of the server: a transaction in the database of another test holds the changes back while it lasts.
    for _ in range(100):
        if not changes():
            break
        time.sleep(0.1)
        checks["vectors_are_sound"]()
        checks["no_orphan_vectors"]()
    assert changes() == 0
    assert scopes() == {"space 1"}


@pytest.mark.parametrize(
    ("statement", "most_changes"),
    [
        pytest.param("UPDATE rag.check_watermarks SET updated_at = now() - interval '31 days'", 1_000, id="old"),
        pytest.param("UPDATE rag.check_watermarks SET updated_at = now() - interval '2 days'", 0, id="many changes"),
        pytest.param("UPDATE rag.embedding_spaces SET status = 'retired'", 1_000, id="space retired"),
        pytest.param("UPDATE rag.check_watermarks SET project_id = gen_random_uuid()", 1_000, id="project gone"),
    ],
)
def test_a_watermark_that_no_run_moves_any_more_keeps_no_changes(
    built: Engine, monkeypatch: pytest.MonkeyPatch, statement: str, most_changes: int
) -> None:
    checks_of(built, RUNS)["vectors_are_sound"]()
    change_database(built, "DELETE FROM rag.check_watermarks WHERE check_name <> 'vectors_are_sound'")
    change_database(built, "UPDATE rag.embeddings SET embedding = embedding")
    change_database(built, statement)
    monkeypatch.setattr(check_progress, "MOST_CHANGES", most_changes)
    with built.begin() as connection:
        prune_changes(connection)
    assert rows(built, "SELECT count(*) FROM rag.check_watermarks") == [(0,)]
    assert rows(built, "SELECT count(*) FROM rag.row_changes") == [(0,)]


def test_of_a_new_project_everything_is_read_and_of_the_others_a_part(built: Engine) -> None:
    checks = RowChecks(Reading(built, RUNS), live_space(built))
    assert RowChecks(Reading(built), live_space(built)).offsets_reproduce_text().passed
    change_database(
        built,
        "DELETE FROM rag.check_watermarks w USING rag.projects p WHERE p.id = w.project_id AND p.name = 'zoo'",
    )
    [(zoo, both)] = rows(
        built,
        "SELECT count(*) FILTER (WHERE p.name = 'zoo'), count(*) FROM rag.document_chunks c "
        "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id",
    )
    read = [checks.offsets_reproduce_text().metadata["rows_read"] for _ in range(RUNS)]
    assert zoo <= read[0] < both
    assert sum(read[1:]) < both


def test_projects_have_rotations_of_their_own(built: Engine) -> None:
    checks = RowChecks(Reading(built, RUNS), live_space(built))

    def read(project: str) -> int:
        return int(checks.offsets_reproduce_text([project]).metadata["rows_read"])

    totals = dict(
        rows(
            built,
            "SELECT p.name, count(*) FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
            "JOIN rag.projects p ON p.id = d.project_id GROUP BY 1",
        )
    )
    checks_of(built, None)["offsets_reproduce_text"]()
    for _ in range(2):
        read("sea")
    both = [(read("sea"), read("zoo")) for _ in range(RUNS)]
    assert sum(sea for sea, _ in both) == totals["sea"]
    assert sum(zoo for _, zoo in both) == totals["zoo"]


def test_a_reader_may_run_the_checks_and_leaves_no_watermark(built: Engine) -> None:
    scope = CheckScope("vectors_are_sound", "space 1", "1 384 True")
    with built.connect() as connection:
        mark = replace(scope.of_space(connection), seen=current_snapshot(connection), position=POSITIONS)
    reader = built.execution_options(postgresql_readonly=True)
    scope.save(reader, [mark])
    assert RowChecks(Reading(reader, RUNS), live_space(built)).vectors_are_sound().passed
    # At the end of the rotation, it begins again.
    scope.save(built, [mark])
    with built.connect() as connection:
        assert scope.of_space(connection).position == 0
