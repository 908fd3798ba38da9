"""An index build: its memory and workers, its progress, and that searches and writes continue meanwhile."""

import os
import threading
from contextlib import suppress

from sqlalchemy import Engine, text

from rag_assets.db.index import build_resources
from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.state import IndexState
from tests.support.database.indexes import index_state, make_live
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import THIS_DATABASE

BUILDER = f"SELECT pid FROM pg_stat_progress_create_index WHERE datid = {THIS_DATABASE}"


def test_progress_of_a_build_is_reported_in_blocks(engine: Engine) -> None:
    made = create_space(engine, definition("f", dimensions=384, ef_construction=200))
    add_vectors(engine, made, 3_000)
    told: list[tuple[int, int]] = []
    priorities: set[int] = set()

    def note(done: int, total: int) -> None:
        told.append((done, total))
        with engine.connect() as connection:
            builder = connection.scalar(text(BUILDER))
        # The build may end meanwhile, and the server may be on another machine.
        with suppress(OSError):
            priorities.add(os.getpriority(os.PRIO_PROCESS, builder) if builder else 19)

    ensure_index(engine, made, IndexBuildOptions(progress=note, nice=19))
    assert told
    # It gives way to searches.
    assert priorities <= {19}
    assert all(0 <= done <= total for done, total in told)
    assert told == sorted(told)


def test_searches_and_writes_continue_while_the_index_of_the_live_space_is_built(engine: Engine) -> None:
    made = create_space(engine, definition("f", dimensions=384, ef_construction=200))
    add_vectors(engine, made, 2_000)
    make_live(engine, made)
    outcomes: list[IndexState] = []
    builder = threading.Thread(target=lambda: outcomes.append(ensure_index(engine, made)))
    rounds = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as user:
        # A build that blocks searches or writes would take longer than this.
        user.execute(text("SET lock_timeout = '200ms'"))
        builder.start()
        while builder.is_alive():
            hash_ = rounds.to_bytes(32)
            user.execute(
                text("INSERT INTO rag.embeddings SELECT space_id, :hash, embedding FROM rag.embeddings_1 LIMIT 1"),
                {"hash": hash_},
            )
            user.execute(text("SELECT count(*) FROM rag.live_chunks"))
            user.execute(text("DELETE FROM rag.embeddings_1 WHERE content_hash = :hash"), {"hash": hash_})
            rounds += 1
        user.connection.invalidate()
    builder.join()
    assert outcomes == [IndexState.ABSENT]
    assert rounds > 3
    assert index_state(engine, made) is IndexState.VALID


def test_workers_are_as_many_as_the_server_allows_and_none_for_a_few_rows(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET max_parallel_maintenance_workers = 3"))
        assert [build_resources.parallel_workers(connection, rows, None) for rows in (0, 9_999, 10_000)] == [0, 0, 3]
        assert [build_resources.parallel_workers(connection, 10_000, wanted) for wanted in (0, 1, 5)] == [0, 1, 5]
        connection.execute(text("SET max_parallel_workers = 2"))
        assert build_resources.parallel_workers(connection, 10_000, 5) == 2


def test_memory_is_at_most_half_of_effective_cache_size(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET effective_cache_size = '1GB'"))
        assert [build_resources.memory_limit_mb(connection, wanted) for wanted in (100, 2_048)] == [100, 512]
        connection.execute(text("SET effective_cache_size = '64MB'"))
        assert build_resources.memory_limit_mb(connection, 2_048) == 64
