"""Kept counts: a run without changes makes none again, and no hand in the database leaves a wrong one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.shards import ProjectShard
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes import kept_counts
from rag_assets.db.writes.check_progress import KEPT
from rag_assets.db.writes.kept_counts import (
    TextCounts,
    count_project_texts,
    count_space_vectors,
    known_project_texts,
)
from rag_assets.db.writes.prune import prune_space
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.documents.shards import Shard
from rag_assets.orchestration.io.tables import ChunkSlice, EmbeddingSlice
from rag_assets.pipeline.audit.incremental import Reading, RowChecks
from tests.support.database.damages import DAMAGES
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

PROJECTS = ("sea", "zoo")
RUNS = 5
ONE_CHUNK = "(SELECT id FROM rag.document_chunks ORDER BY id LIMIT 1)"
OF_ZOO = "(SELECT id FROM rag.projects WHERE name = 'zoo')"
COUNTED = """
SELECT count(*), count(DISTINCT c.content_hash),
    count(DISTINCT c.content_hash) FILTER (WHERE NOT EXISTS (
        SELECT FROM rag.embeddings_1 v WHERE v.content_hash = c.content_hash))
FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id
JOIN rag.projects p ON p.id = d.project_id WHERE p.name = '{}'
"""


def live_space(engine: Engine) -> EmbeddingSpace:
    with engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    return space


def slices(engine: Engine) -> dict[str, ProjectShard]:
    return {name: ProjectShard(id_) for name, id_ in rows(engine, "SELECT name, id FROM rag.projects ORDER BY name")}


def texts(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """The counts of each project as a run takes them."""
    own = slices(engine)
    found = count_project_texts(engine, live_space(engine), list(own.values()))
    return {name: (found[one].chunks, found[one].distinct, found[one].pending) for name, one in own.items()}


def truth(engine: Engine) -> dict[str, tuple[int, int, int]]:
    return {name: rows(engine, COUNTED.format(name))[0] for name in PROJECTS}


@contextmanager
def counting_statements(engine: Engine) -> Iterator[list[str]]:
    """The statements of the block that count chunks or vectors, or look for orphans."""
    sent: list[str] = []

    def begin(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        reads_rows = "rag.document_chunks" in statement or "rag.embeddings" in statement
        reads_all = reads_rows and "rag.row_changes" not in statement
        if reads_all and ("count(" in statement or "WITH orphans" in statement or "ts_stat" in statement):
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", begin)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", begin)


def test_without_changes_nothing_is_counted_again(built: Engine) -> None:
    space = live_space(built)
    expected = truth(built)
    vectors = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    for again in (False, True):
        with counting_statements(built) as sent:
            assert texts(built) == expected
            assert count_space_vectors(built, space) == vectors
            assert ChunkSlice(built, PROJECTS).counts() == {name: expected[name][0] for name in PROJECTS}
            assert EmbeddingSlice(built, PROJECTS).counts() == {name: expected[name][1] for name in PROJECTS}
            assert refresh_word_statistics(built, space.chunking) is False
        assert not again or not sent


COPIED = (
    "id, document_id, chunking, chunk_index, chunk_text, content_hash, char_start, char_end, token_count, "
    "heading_path, language"
)
# In this order, each on top of those before.
BY_HAND = {
    "vectors deleted": "DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) < 16",
    "a vector added": "INSERT INTO rag.embeddings SELECT 1, sha256('more'), embedding FROM rag.embeddings LIMIT 1",
    "a chunk added": f"INSERT INTO rag.document_chunks ({COPIED}) SELECT gen_random_uuid(), document_id, chunking, "
    f"1000, 'more', sha256('more'), 0, 4, 1, heading_path, language FROM rag.document_chunks WHERE id = {ONE_CHUNK}",
    "a chunk of another text": "UPDATE rag.document_chunks SET chunk_text = 'new', content_hash = sha256('new') "
    f"WHERE id = {ONE_CHUNK}",
    "chunks deleted": f"DELETE FROM rag.document_chunks WHERE id = {ONE_CHUNK}",
    "a document deleted": f"DELETE FROM rag.documents WHERE project_id = {OF_ZOO} AND file_path = 'page02.md'",
    "a document moved to another project": f"UPDATE rag.documents SET project_id = {OF_ZOO}, file_path = 'moved.md' "
    f"WHERE project_id <> {OF_ZOO} AND file_path = 'page03.md'",
    "a watermark of a younger server": "DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) < 48; "
    "DELETE FROM rag.row_changes; UPDATE rag.check_watermarks SET seen = '9000000000:9000000000:'",
    "chunks restored without triggers": "SET LOCAL session_replication_role = replica; "
    "CREATE TABLE copied_chunks AS SELECT * FROM rag.document_chunks WHERE chunk_index > 2; "
    f"TRUNCATE rag.document_chunks; INSERT INTO rag.document_chunks ({COPIED}) SELECT {COPIED} FROM copied_chunks",
    "vectors truncated without triggers": "SET LOCAL session_replication_role = replica; TRUNCATE rag.embeddings_1",
    "the partition made again": "CREATE TABLE copied_vectors AS SELECT 1, sha256('old'), "
    "array_fill(1, ARRAY[384])::vector; DROP TABLE rag.embeddings_1 CASCADE; "
    "SET LOCAL session_replication_role = replica; "
    "CREATE TABLE rag.embeddings_1 PARTITION OF rag.embeddings FOR VALUES IN (1); "
    "INSERT INTO rag.embeddings SELECT * FROM copied_vectors",
    "vectors truncated": "TRUNCATE rag.embeddings",
}


def test_whatever_is_written_by_hand_is_counted(built: Engine) -> None:
    space = live_space(built)
    for name, statements in BY_HAND.items():
        texts(built)
        count_space_vectors(built, space)
        with built.begin() as connection:
            connection.exec_driver_sql(statements)
        assert texts(built) == truth(built), name
        assert count_space_vectors(built, space) == rows(built, "SELECT count(*) FROM rag.embeddings")[0][0], name


def test_a_change_in_one_project_does_not_make_the_others_count(built: Engine) -> None:
    space, own = live_space(built), slices(built)
    texts(built)
    change_database(built, f"DELETE FROM rag.documents WHERE project_id = {OF_ZOO} AND file_path = 'page03.md'")
    assert set(known_project_texts(built, space, list(own.values()))) == {own["sea"]}
    # A vector that both projects use.
    change_database(
        built,
        "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.document_chunks "
        "WHERE chunk_text LIKE 'The keeper feeds%')",
    )
    assert known_project_texts(built, space, list(own.values())) == {}
    assert texts(built) == truth(built)


def test_a_transaction_that_commits_late_is_counted(built: Engine) -> None:
    with built.connect() as late:
        late.execute(text("DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) < 128"))
        for _ in range(2):
            # Counted, kept and moved on while the deletion is not visible yet.
            change_database(built, "INSERT INTO rag.row_changes (document_id) VALUES (gen_random_uuid())")
            assert all(pending == 0 for _, _, pending in texts(built).values())
        late.commit()
    assert texts(built) == truth(built)
    assert any(pending for _, _, pending in texts(built).values())


def test_shards_have_counts_of_their_own(built: Engine) -> None:
    space, zoo = live_space(built), slices(built)["zoo"]
    whole = count_project_texts(built, space, [zoo])[zoo]
    shards = [ProjectShard(zoo.project_id, Shard(number, 3)) for number in (1, 2, 3)]
    first = count_project_texts(built, space, shards)
    assert sum(counts.chunks for counts in first.values()) == whole.chunks
    assert known_project_texts(built, space, [*shards, zoo]) == {**first, zoo: whole}
    # A renamed file may move to another shard.
    change_database(built, f"UPDATE rag.documents SET file_path = 'x' || file_path WHERE project_id = {OF_ZOO}")
    assert known_project_texts(built, space, [*shards, zoo]) == {}
    again = count_project_texts(built, space, shards)
    assert sum(counts.chunks for counts in again.values()) == whole.chunks


def test_texts_that_wait_are_counted_every_time(built: Engine) -> None:
    space, own = live_space(built), slices(built)
    texts(built)
    change_database(
        built,
        "INSERT INTO rag.staged_documents (id, content, content_hash, hash, size_bytes, file_type) "
        "SELECT id, 'next', sha256('next'), 'x', 4, file_type FROM rag.documents WHERE project_id = "
        f"{OF_ZOO} AND file_path = 'page03.md'",
    )
    assert set(known_project_texts(built, space, list(own.values()))) == {own["sea"]}
    counted = count_project_texts(built, space, list(own.values()))
    assert counted[own["zoo"]].has_waiting
    assert not counted[own["zoo"]].is_complete
    assert set(known_project_texts(built, space, list(own.values()))) == {own["sea"]}


@pytest.mark.parametrize("full", [False, True])
def test_what_no_trigger_saw_is_counted_once_a_check_has_found_it(built: Engine, full: bool) -> None:
    space = live_space(built)
    checks = RowChecks(Reading(built, RUNS), space)
    texts(built)
    prune_space(built, space)
    for check, name, orphans in (
        (checks.no_orphan_vectors, "orphan vectors added", 3),
        (checks.chunks_have_vectors, "a hundredth of the vectors deleted", 0),
    ):
        count_space_vectors(built, space)
        assert check().passed
        for statement in DAMAGES[name].statements:
            with built.begin() as connection:
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                connection.execute(text(statement))
        # Nobody can know of it yet.
        assert prune_space(built, space) == 0
        read = replace(checks, reading=Reading(built)) if full else checks
        results = [getattr(read, check.__name__)() for _ in range(1 if full else RUNS)]
        assert not all(result.passed for result in results), name
        assert texts(built) == truth(built), name
        assert prune_space(built, space) == orphans
        assert count_space_vectors(built, space) == rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]


def test_a_wrong_count_lasts_until_a_full_check(built: Engine) -> None:
    space = live_space(built)
    texts(built)
    change_database(built, "UPDATE rag.check_watermarks SET figures = figures || '{\"distinct\": 7}'")
    assert {distinct for _, distinct, _ in texts(built).values()} == {7}
    assert RowChecks(Reading(built), space).vectors_are_sound().passed
    assert rows(built, f"SELECT check_name FROM rag.check_watermarks WHERE check_name IN {KEPT}") == []
    assert texts(built) == truth(built)


def test_orphans_are_looked_for_where_something_was_written(built: Engine) -> None:
    space = live_space(built)
    assert prune_space(built, space) == 0
    with counting_statements(built) as sent:
        assert prune_space(built, space) == 0
    assert all("row_changes" in statement for statement in sent)
    gone = change_database(built, f"DELETE FROM rag.documents WHERE project_id = {OF_ZOO}")
    assert gone
    left = rows(built, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")[0][0]
    had = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    assert prune_space(built, space) == had - left
    # Chunks of a chunking that no space uses.
    change_database(built, f"UPDATE rag.document_chunks SET chunking = 'old' WHERE id = {ONE_CHUNK}")
    prune_space(built, space)
    assert rows(built, "SELECT count(*) FROM rag.document_chunks WHERE chunking = 'old'") == [(0,)]


def test_without_the_right_to_write_watermarks_everything_is_counted(built: Engine) -> None:
    reader = built.execution_options(postgresql_readonly=True)
    change_database(built, "DELETE FROM rag.check_watermarks")
    for _ in range(2):
        assert texts(reader) == truth(built)
    assert kept_counts.known_project_texts(reader, live_space(built), list(slices(built).values())) == {}


def test_a_project_without_chunks_has_none(built: Engine) -> None:
    change_database(built, f"DELETE FROM rag.documents WHERE project_id = {OF_ZOO}")
    zoo = slices(built)["zoo"]
    assert count_project_texts(built, live_space(built), [zoo]) == {zoo: TextCounts(0, 0)}
    assert known_project_texts(built, live_space(built), [zoo]) == {zoo: TextCounts(0, 0)}
