"""Spaces: one per definition, with a partition each, and the promotion of one per kind."""

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import count_vectors, is_runtime_object
from rag_assets.db.spaces.retention import retire_space
from rag_assets.db.spaces.spaces import (
    drop_retired_spaces,
    ensure_space,
    get_live_space,
    set_live_space,
    spaces_to_maintain,
)
from rag_assets.db.writes.upserts import write_chunks, write_embeddings
from rag_assets.errors import IntegrityError
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.settings.settings import Settings
from tests.support.database.rows import (
    DEFINITION,
    add_document,
    add_vectors,
    create_space,
    definition,
    document,
    split_document,
)
from tests.support.pipeline.runs import rows

STATUS = "SELECT id, status FROM rag.embedding_spaces ORDER BY id"
SHOWN = "SELECT content, vector_dims(embedding) FROM rag.live_chunks ORDER BY 1"


def test_equal_definitions_are_one_space_with_one_partition(engine: Engine) -> None:
    first, second = create_space(engine), create_space(engine, definition("f1"))
    assert first.id == second.id
    assert (first.status, first.dimensions, first.chunking_settings) == ("building", 8, {"max_tokens": 64})
    assert f"embeddings_{first.id}" in inspect(engine).get_table_names("rag")


def test_two_definitions_are_two_spaces(engine: Engine) -> None:
    assert create_space(engine).id != create_space(engine, definition("f2", dimensions=4)).id


def test_concurrent_creation_of_one_space_creates_one(engine: Engine) -> None:
    made: list[int] = []
    makers = [threading.Thread(target=lambda: made.append(create_space(engine).id)) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(timeout=20)
    assert len(made) == 4
    assert len(set(made)) == 1


def test_a_rolled_back_transaction_creates_no_space(engine: Engine) -> None:
    with engine.connect() as connection:
        ensure_space(connection, DEFINITION)
        connection.rollback()
    assert rows(engine, STATUS) == []


@pytest.mark.parametrize(
    ("changed", "same_chunks"),
    [
        ({}, True),
        ({"lock_wait_s": 1, "ef_search": 200, "batch_tokens": 999}, True),
        ({"chunk_tokens": 128}, False),
        ({"overlap_tokens": 16}, False),
        ({"hnsw_m": 24}, True),
        ({"hnsw_ef_construction": 100}, True),
        ({"index_storage": "halfvec"}, True),
    ],
)
def test_settings_that_change_the_result_change_the_space(changed: dict[str, Any], same_chunks: bool) -> None:
    before, after = target_space(Settings()).definition, target_space(Settings(**changed)).definition
    alters = set(changed) & {"chunk_tokens", "overlap_tokens", "hnsw_m", "hnsw_ef_construction", "index_storage"}
    assert (before.fingerprint == after.fingerprint) is not bool(alters)
    assert (before.chunking == after.chunking) is same_chunks


def _serve(connection: Connection, space: EmbeddingSpace, texts: list[str], vectors: list[Any]) -> None:
    import numpy as np

    from rag_assets.db.writes.rows import EmbeddingRow
    from rag_assets.documents.text import content_hash

    row = document(content="".join(texts))
    add_document(connection, row)
    write_chunks(connection, space.chunking, [split_document(row, texts, chunking=space.chunking)])
    embedded = [EmbeddingRow(content_hash(t), np.array(v, np.float32)) for t, v in zip(texts, vectors, strict=True)]
    write_embeddings(connection, space.id, embedded)


def test_the_view_shows_the_promoted_space_with_other_dimensions_and_chunking(engine: Engine) -> None:
    small = create_space(engine, definition("f2", dimensions=2))
    large = create_space(engine, definition("f3", dimensions=3, chunking="c2", storage="halfvec"))
    with engine.begin() as connection:
        _serve(connection, small, ["one ", "two"], [[1, 0], [0, 1]])
        assert get_live_space(connection) is None
        assert set_live_space(connection, small)
    assert rows(engine, SHOWN) == [("one ", 2), ("two", 2)]
    with engine.begin() as connection:
        _serve(connection, large, ["one two"], [[1, 0, 0]])
    # The view does not show the space that is being built.
    assert rows(engine, SHOWN) == [("one ", 2), ("two", 2)]
    with engine.begin() as connection:
        assert set_live_space(connection, large)
    assert rows(engine, SHOWN) == [("one two", 3)]
    assert rows(engine, STATUS) == [(small.id, "previous"), (large.id, "live")]
    assert rows(engine, "SELECT pg_typeof(embedding)::text, source, project FROM rag.live_chunks") == [
        ("halfvec", "a.md", "p")
    ]


def test_a_rollback_promotes_the_previous_space(engine: Engine) -> None:
    first, second = create_space(engine), create_space(engine, definition("f2"))
    for space in (first, second, first):
        with engine.begin() as connection:
            assert set_live_space(connection, space)
            assert not set_live_space(connection, space)
    assert rows(engine, STATUS) == [(first.id, "live"), (second.id, "previous")]


def test_promoting_the_live_space_creates_a_lost_view_again(engine: Engine) -> None:
    space = create_space(engine)
    with engine.begin() as connection:
        set_live_space(connection, space)
        connection.execute(text("DROP VIEW rag.live_chunks"))
    with engine.begin() as connection:
        assert set_live_space(connection, space)
    assert "live_chunks" in inspect(engine).get_view_names("rag")


def test_a_space_that_was_retired_meanwhile_is_not_promoted(engine: Engine) -> None:
    first, second = create_space(engine), create_space(engine, definition("f2"))
    with engine.begin() as connection:
        set_live_space(connection, first)
        retire_space(connection, second.id)
    with pytest.raises(IntegrityError, match="space 2 was retired meanwhile"), engine.begin() as connection:
        set_live_space(connection, second)
    assert rows(engine, STATUS) == [(first.id, "live"), (second.id, "retired")]


def test_the_database_allows_one_live_space_per_kind(engine: Engine) -> None:
    create_space(engine)
    create_space(engine, definition("f2"))
    with pytest.raises(DBAPIError, match="uq_embedding_spaces_live"), engine.begin() as connection:
        connection.execute(text("UPDATE rag.embedding_spaces SET status = 'live'"))


def test_a_rolled_back_promotion_changes_neither_the_live_space_nor_the_view(engine: Engine) -> None:
    first, second = create_space(engine), create_space(engine, definition("f2", chunking="c2"))
    with engine.begin() as connection:
        _serve(connection, first, ["one "], [[1] * 8])
        set_live_space(connection, first)
    with engine.connect() as connection:
        set_live_space(connection, second)
        drop_retired_spaces(connection)
        connection.rollback()
    assert rows(engine, SHOWN) == [("one ", 8)]
    assert rows(engine, STATUS) == [(first.id, "live"), (second.id, "building")]


def test_retired_spaces_are_dropped_with_partition_probe_and_failures(engine: Engine) -> None:
    first, second = create_space(engine), create_space(engine, definition("f2"))
    add_vectors(engine, first, 5)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE UNLOGGED TABLE rag.latency_probe_{first.id} (x int)"))
        set_live_space(connection, first)
        set_live_space(connection, second)
        assert drop_retired_spaces(connection) == 0
        retire_space(connection, first.id)
        retire_space(connection, second.id)
        assert drop_retired_spaces(connection) == 1
        assert drop_retired_spaces(connection) == 0
    names = inspect(engine).get_table_names("rag")
    assert [name for name in names if is_runtime_object(name)] == [f"embeddings_{second.id}"]
    assert rows(engine, STATUS) == [(second.id, "live")]


def test_the_live_space_is_maintained_beside_the_wanted_one_and_after_its_promotion(engine: Engine) -> None:
    old, wanted = DEFINITION, definition("f2")
    with engine.begin() as connection:
        set_live_space(connection, ensure_space(connection, old))
        assert [space.fingerprint for space in spaces_to_maintain(connection, wanted)] == ["f2", "f1"]
        set_live_space(connection, ensure_space(connection, wanted))
        # So that a rollback needs no work.
        assert [space.fingerprint for space in spaces_to_maintain(connection, wanted)] == ["f2", "f1"]


def test_a_retired_space_that_is_wanted_again_is_built_again(engine: Engine) -> None:
    first = create_space(engine)
    add_vectors(engine, first, 3)
    with engine.begin() as connection:
        set_live_space(connection, first)
        set_live_space(connection, ensure_space(connection, definition("f2")))
        retire_space(connection, first.id)
    again = create_space(engine)
    assert (again.id, again.status) == (first.id, "building")
    with engine.connect() as connection:
        assert count_vectors(connection, again) == 3


def test_a_dropped_partition_is_created_again(engine: Engine) -> None:
    space = create_space(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE rag.embeddings_{space.id}"))
    assert create_space(engine).id == space.id
    with engine.connect() as connection:
        assert count_vectors(connection, space) == 0


@pytest.mark.parametrize(
    ("table", "ours"),
    [
        ("embeddings_12", True),
        ("latency_probe_3", True),
        ("embeddings", False),
        ("embeddings_x", False),
        ("my_embeddings_1", False),
        (None, False),
    ],
)
def test_tables_created_at_run_time_are_recognized_by_name(table: str | None, ours: bool) -> None:
    assert is_runtime_object(table) is ours
