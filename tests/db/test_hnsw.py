"""The index: its exact statement, what the server says of it, and the ways back to a valid one."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from rag_assets.db import hnsw
from rag_assets.db.hnsw import IndexState, create_index, ensure_index, index_definition, index_state
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces import promote
from rag_assets.errors import ServiceError
from tests.db.filling import definition, fill, space_of
from tests.running import rows


def build(engine: Engine, space: EmbeddingSpace, **more: Any) -> IndexState:
    values = {"memory_limit_mb": 256, "wait_s": 10, "progress": lambda done, total: None}
    return ensure_index(engine, space, **(values | more))


def state(engine: Engine, space: EmbeddingSpace) -> IndexState:
    with engine.connect() as connection:
        return index_state(connection, space)


def run(engine: Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


def space(**changed: Any) -> EmbeddingSpace:
    values = {"id": 7, "dimensions": 384, "storage": "vector", "distance": "cosine", "m": 16, "ef_construction": 64}
    return EmbeddingSpace(**(values | changed))


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        (
            {},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::vector(384)) vector_cosine_ops) '
                "WITH (m = 16, ef_construction = 64)"
            ),
        ),
        (
            {"storage": "halfvec", "distance": "l2", "dimensions": 1024, "m": 24, "ef_construction": 200},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::halfvec(1024)) halfvec_l2_ops) '
                "WITH (m = 24, ef_construction = 200)"
            ),
        ),
        (
            {"distance": "ip"},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::vector(384)) vector_ip_ops) '
                "WITH (m = 16, ef_construction = 64)"
            ),
        ),
    ],
)
def test_the_statement_is_exactly_this(changed: dict[str, Any], statement: str) -> None:
    assert create_index(space(**changed), "t", "ix").as_string(None) == statement
    concurrently = create_index(space(**changed), "t", "ix", concurrently=True).as_string(None)
    assert concurrently == statement.replace("INDEX", "INDEX CONCURRENTLY")
    assert '"rag".' not in create_index(space(**changed), "t", "ix", schema=None).as_string(None)


def test_an_odd_name_is_quoted() -> None:
    assert 'ON "rag"."a""; DROP TABLE x" ' in create_index(space(), 'a"; DROP TABLE x', "ix").as_string(None)


@pytest.mark.parametrize("storage", ["vector", "halfvec"])
@pytest.mark.parametrize("distance", ["cosine", "l2", "ip"])
def test_postgresql_prints_the_index_as_we_expect_it(engine: Engine, storage: str, distance: str) -> None:
    made = space_of(engine, definition("f", storage=storage, distance=distance, m=12, ef_construction=48))
    assert build(engine, made) is IndexState.ABSENT
    [(printed,)] = rows(
        engine, "SELECT indexdef FROM pg_indexes WHERE indexname = :name", name=hnsw.index_name(made.id)
    )
    assert printed == index_definition(made)
    assert state(engine, made) is IndexState.VALID


def test_a_build_finds_what_is_there_and_builds_only_what_is_not(engine: Engine) -> None:
    made = space_of(engine)
    fill(engine, made, 50)
    assert state(engine, made) is IndexState.ABSENT
    assert build(engine, made) is IndexState.ABSENT
    oid = "SELECT oid FROM pg_class WHERE relname = 'ix_embeddings_1_hnsw'"
    before = rows(engine, oid)
    assert build(engine, made) is IndexState.VALID
    assert rows(engine, oid) == before
    with engine.connect() as connection:
        assert hnsw.index_bytes(connection, made) > 0


@pytest.mark.parametrize("live", [False, True], ids=["building", "live"])
@pytest.mark.parametrize(
    ("statements", "found"),
    [
        pytest.param(["DROP INDEX rag.ix_embeddings_1_hnsw"], IndexState.ABSENT, id="absent"),
        pytest.param(
            ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'rag.ix_embeddings_1_hnsw'::regclass"],
            IndexState.INVALID,
            id="invalid",
        ),
        *(
            pytest.param(
                [
                    "DROP INDEX rag.ix_embeddings_1_hnsw",
                    f"CREATE INDEX ix_embeddings_1_hnsw ON rag.embeddings_1 USING {other}",
                ],
                IndexState.STALE,
                id=name,
            )
            for name, other in {
                "other-operators": "hnsw ((embedding::vector(8)) vector_l2_ops) WITH (m=16, ef_construction=64)",
                "other-ef-construction": "hnsw ((embedding::vector(8)) vector_cosine_ops) "
                "WITH (m=16, ef_construction=65)",
                "default-parameters": "hnsw ((embedding::vector(8)) vector_cosine_ops)",
                "half-precision": "hnsw ((embedding::halfvec(8)) halfvec_cosine_ops) WITH (m=16, ef_construction=64)",
                "part-of-the-rows": "hnsw ((embedding::vector(8)) vector_cosine_ops) "
                "WITH (m=16, ef_construction=64) WHERE space_id = 1",
                "other-method": "ivfflat ((embedding::vector(8)) vector_cosine_ops) WITH (lists=1)",
                "other-column": "btree (content_hash)",
            }.items()
        ),
    ],
)
def test_an_index_that_is_not_as_wanted_is_built_anew(
    engine: Engine, statements: list[str], found: IndexState, live: bool
) -> None:
    made = space_of(engine)
    fill(engine, made, 30)
    build(engine, made)
    if live:
        with engine.begin() as connection:
            promote(connection, made)
        made.status = "live"
    for statement in statements:
        run(engine, statement)
    assert state(engine, made) is found
    assert build(engine, made) is found
    assert state(engine, made) is IndexState.VALID


def test_a_cancelled_concurrent_build_leaves_an_invalid_index_that_the_next_run_replaces(engine: Engine) -> None:
    made = space_of(engine)
    fill(engine, made, 30)
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    statement = create_index(made, "embeddings_1", hnsw.index_name(made.id), concurrently=True)
    with engine.connect() as reader, psycopg.connect(url, autocommit=True) as builder:
        # A transaction that wrote to the table keeps the build waiting; there it is cancelled.
        reader.execute(text("DELETE FROM rag.embeddings_1 WHERE false"))
        builder.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            builder.execute(statement)
        reader.rollback()
    assert state(engine, made) is IndexState.INVALID
    assert build(engine, made) is IndexState.INVALID
    assert state(engine, made) is IndexState.VALID


def test_of_two_builders_at_once_the_second_finds_the_work_done(engine: Engine) -> None:
    made = space_of(engine)
    fill(engine, made, 2_000)
    found: list[IndexState] = []
    builders = [threading.Thread(target=lambda: found.append(build(engine, made))) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=60)
    assert sorted(found) == [IndexState.ABSENT, IndexState.VALID]


def test_a_builder_does_not_wait_longer_than_it_may(engine: Engine) -> None:
    from rag_assets.db.locks import exclusively

    made = space_of(engine)
    with exclusively(engine, f"index of space {made.id}", wait_s=1), pytest.raises(ServiceError, match="index of"):
        build(engine, made, wait_s=0.1)


def test_progress_of_a_build_is_told_in_blocks(engine: Engine) -> None:
    made = space_of(engine, definition("f", dimensions=384, ef_construction=200))
    fill(engine, made, 3_000)
    told: list[tuple[int, int]] = []
    build(engine, made, progress=lambda done, total: told.append((done, total)))
    assert told
    assert all(0 <= done <= total for done, total in told)
    assert told == sorted(told)


def test_a_build_that_fails_says_why_and_leaves_no_settings_behind(engine: Engine) -> None:
    made = space_of(engine)
    fill(engine, made, 3)
    run(engine, "INSERT INTO rag.embeddings VALUES (1, '\\x00', '[1,2]')")
    with pytest.raises(psycopg.DataError, match="expected 8 dimensions, not 2"):
        build(engine, made)
    opened = [engine.connect() for _ in range(5)]
    assert len({connection.scalar(text("SHOW maintenance_work_mem")) for connection in opened}) == 1
    for connection in opened:
        connection.close()


def test_memory_for_the_graph_grows_with_the_rows_up_to_the_limit() -> None:
    assert hnsw._graph_mb(space(), 0, 2048) == 64
    assert 250 < hnsw._graph_mb(space(), 100_000, 2048) < 500
    assert hnsw._graph_mb(space(), 10_000_000, 2048) == 2048
    assert hnsw._graph_mb(space(storage="halfvec"), 100_000, 2048) < hnsw._graph_mb(space(), 100_000, 2048)


def test_searches_and_writes_go_on_while_the_index_of_the_live_space_is_rebuilt(engine: Engine) -> None:
    made = space_of(engine, definition("f", dimensions=384, ef_construction=200))
    fill(engine, made, 2_000)
    with engine.begin() as connection:
        promote(connection, made)
    made.status = "live"
    outcomes: list[IndexState] = []
    builder = threading.Thread(target=lambda: outcomes.append(build(engine, made)))
    rounds = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as user:
        # A build that locks searches or writes out would last longer than this.
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
    assert state(engine, made) is IndexState.VALID
