"""A statement that excludes readers waits for them, and nobody waits behind it."""

import threading
from collections.abc import Callable

import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.pending_entries import merge_pending_entries
from rag_assets.db.schema import ddl
from rag_assets.db.spaces.retention import retire_space
from rag_assets.db.spaces.spaces import drop_retired_spaces, ensure_space, set_live_space
from rag_assets.errors import BusyError
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import rows


def promote(connection: Connection) -> None:
    set_live_space(connection, ensure_space(connection, definition("second", dimensions=4)))


def drop(connection: Connection) -> None:
    space = ensure_space(connection, definition("second", dimensions=4))
    retire_space(connection, space.id)
    assert drop_retired_spaces(connection, space_id=space.id) == 1


@pytest.mark.parametrize(
    ("work", "read"),
    [
        (promote, "SELECT count(*) FROM rag.live_chunks"),
        (lambda connection: ensure_space(connection, definition("third")), "SELECT count(*) FROM rag.embeddings"),
        (drop, "SELECT count(*) FROM rag.embeddings"),
    ],
    ids=["promotion", "new space", "dropped space"],
)
def test_no_reader_waits_behind_a_statement_that_waits_for_a_long_reader(
    engine: Engine, work: Callable[[Connection], None], read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ddl, "_ATTEMPT_S", 0.05)
    monkeypatch.setattr(ddl, "_PAUSE_S", 0.02)
    with engine.begin() as connection:
        set_live_space(connection, ensure_space(connection, definition("first")))
        ensure_space(connection, definition("second", dimensions=4))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"

    def change() -> None:
        with engine.begin() as connection:
            work(connection)

    changing = threading.Thread(target=change)
    with engine.connect() as long, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as short:
        long.execute(text(read))
        changing.start()
        while changing.is_alive() and not short.scalar(text(waiting)):
            pass
        assert changing.is_alive()
        # It would wait for as long as the other reader reads.
        short.execute(text("SET lock_timeout = '5s'"))
        for _ in range(3):
            short.execute(text(read))
        assert changing.is_alive()
        short.connection.invalidate()
        long.rollback()
        changing.join(timeout=20)
    assert not changing.is_alive()


def test_the_readers_that_a_statement_waited_for_in_vain_are_named(engine: Engine) -> None:
    create_space(engine)
    with engine.connect() as reader, engine.begin() as connection:
        reader.execute(text("SET application_name = 'a long report'"))
        reader.execute(text("SELECT count(*) FROM rag.embeddings_1"))
        statement = sql.SQL("DROP TABLE rag.embeddings_1")
        with pytest.raises(BusyError, match=r"rag.embeddings_1 has been in use by a long report \(backend \d+\)"):
            ddl.execute_exclusive_ddl(connection, statement, "rag.embeddings_1", wait_s=0)
        # The transaction goes on, with the limit that it had.
        assert connection.scalar(text("SHOW lock_timeout")) == "0"


def test_no_transaction_is_idle_while_the_recall_of_an_index_is_measured(engine: Engine) -> None:
    space = create_space(engine)
    add_vectors(engine, space, 20)
    ensure_index(engine, space)
    idle: list[int] = []

    def measure() -> float:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
        idle.extend(count for (count,) in rows(engine, query))
        return 1.0

    ensure_index(engine, space, IndexBuildOptions(recall=measure))
    assert idle == [0]


def test_pending_entries_are_merged_into_the_indexes(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO rag.projects (name, source_uri) VALUES ('p', '/p')"))
        connection.execute(
            text(
                "INSERT INTO rag.documents (id, project_id, file_path, file_type, metadata) "
                "SELECT gen_random_uuid(), p.id, n || '.md', 'markdown', jsonb_build_object('number', n) "
                "FROM rag.projects p, generate_series(1, 500) n"
            )
        )
    assert merge_pending_entries(engine) > 0
    assert merge_pending_entries(engine) == 0
