"""An index in several parts: each is built, lost, found and built again by itself, and searches merge them."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy import Engine, text

from rag_assets.db.access.roles import ROLES, apply_roles
from rag_assets.db.index import build_parts
from rag_assets.db.index.build import ensure_index, rebuild_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.state import IndexState, index_identity, inspect_index, inspect_parts
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import has_all_tables, partition_bytes, partition_name, table_names
from rag_assets.db.spaces.retention import retire_space
from rag_assets.db.spaces.spaces import drop_retired_spaces
from tests.support.database.indexes import execute_statements, get_oid, index_state, make_live
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import rows

DIVIDED = definition("divided", parts=3)
NAMES = [f"ix_embeddings_1_p{number}_hnsw" for number in (1, 2, 3)]


@pytest.fixture
def space(engine: Engine) -> EmbeddingSpace:
    made = create_space(engine, DIVIDED)
    add_vectors(engine, made, 60)
    return made


def oids(engine: Engine) -> list[int]:
    return [get_oid(engine, name) for name in NAMES]


def test_each_part_holds_a_share_of_the_vectors_and_has_an_index(engine: Engine, space: EmbeddingSpace) -> None:
    assert ensure_index(engine, space) is IndexState.ABSENT
    assert ensure_index(engine, space) is IndexState.VALID
    held = rows(engine, "SELECT tableoid::regclass::text, count(*) FROM rag.embeddings_1 GROUP BY 1 ORDER BY 1")
    assert [name for name, _ in held] == [f"rag.{name}" for name in table_names(space)]
    assert sum(number for _, number in held) == 60
    with engine.connect() as connection:
        found = inspect_index(connection, space)
        assert (found.state, found.name, found.leftovers) == (IndexState.VALID, "ix_embeddings_1_hnsw", ())
        parts = inspect_parts(connection, space)
        assert [part.name for part in parts.values()] == NAMES
        assert found.bytes == sum(part.bytes for part in parts.values())
        assert partition_bytes(connection, space.id) > partition_bytes(connection, space.id, indexes=False) > 0


@pytest.mark.parametrize("live", [False, True], ids=["building", "live"])
@pytest.mark.parametrize(
    ("damage", "state"),
    [
        ([f"DROP INDEX rag.{NAMES[1]}"], IndexState.ABSENT),
        (
            [f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'rag.{NAMES[1]}'::regclass"],
            IndexState.INVALID,
        ),
        (
            [
                f"DROP INDEX rag.{NAMES[1]}",
                f"CREATE INDEX {NAMES[1]} ON rag.embeddings_1_p2 USING hnsw ((embedding::vector(8)) vector_l2_ops)",
            ],
            IndexState.STALE,
        ),
    ],
    ids=["lost", "invalid", "stale"],
)
def test_only_the_damaged_part_is_built_again(
    engine: Engine, space: EmbeddingSpace, damage: list[str], state: IndexState, *, live: bool
) -> None:
    ensure_index(engine, space)
    if live:
        make_live(engine, space)
    before = oids(engine)
    execute_statements(engine, *damage)
    assert index_state(engine, space) is state
    assert ensure_index(engine, space) is state
    assert index_state(engine, space) is IndexState.VALID
    changed = [one != other for one, other in zip(before, oids(engine), strict=True)]
    assert changed == [False, True, False]


def test_a_rebuild_replaces_the_index_of_each_part(engine: Engine, space: EmbeddingSpace) -> None:
    ensure_index(engine, space)
    make_live(engine, space)
    before = oids(engine)
    with engine.connect() as connection:
        identity = index_identity(connection, space)
    told: list[tuple[int, int]] = []
    options = IndexBuildOptions(recall=lambda: 0.97, progress=lambda *blocks: told.append(blocks))
    assert rebuild_index(engine, space, options) is IndexState.VALID
    assert not set(before) & set(oids(engine))
    with engine.connect() as connection:
        assert index_identity(connection, space) != identity
        comments = connection.scalars(
            text("SELECT obj_description(to_regclass(n)) FROM unnest(CAST(:n AS text[])) n"),
            {"n": [f"rag.{name}" for name in NAMES]},
        )
        assert all('"recall": 0.97' in comment for comment in comments)


def test_an_interrupted_build_leaves_no_build_behind(
    engine: Engine, space: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(builds: Sequence[Future[None]]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build_parts, "wait", interrupt)
    monkeypatch.setattr("rag_assets.db.index.build_resources._MIN_ROWS_FOR_WORKERS", 10)
    with pytest.raises(KeyboardInterrupt):
        ensure_index(engine, space, IndexBuildOptions(workers=2))
    assert index_state(engine, space) in (IndexState.ABSENT, IndexState.VALID)
    assert not rows(engine, "SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()")
    monkeypatch.undo()
    ensure_index(engine, space)
    assert index_state(engine, space) is IndexState.VALID


def test_the_failure_of_one_part_is_raised_once_the_others_are_built(
    engine: Engine, space: EmbeddingSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = build_parts.IndexSession.build

    def fail_one(session: build_parts.IndexSession, *arguments: Any, **named: Any) -> None:
        if session._table.endswith("_p2"):
            raise errors.UndefinedFile("a broken disk")
        build(session, *arguments, **named)

    monkeypatch.setattr("rag_assets.db.index.build_resources._MIN_ROWS_FOR_WORKERS", 10)
    monkeypatch.setattr(build_parts.IndexSession, "build", fail_one)
    with pytest.raises(errors.UndefinedFile, match="a broken disk"):
        ensure_index(engine, space, IndexBuildOptions(workers=2))
    with engine.connect() as connection:
        states = [part.state for part in inspect_parts(connection, space).values()]
    assert states == [IndexState.VALID, IndexState.ABSENT, IndexState.VALID]


def test_changes_of_a_part_are_recorded_like_those_of_the_whole(engine: Engine, space: EmbeddingSpace) -> None:
    execute_statements(engine, "DELETE FROM rag.row_changes")
    deleted = "DELETE FROM rag.{0} WHERE content_hash = (SELECT content_hash FROM rag.{0} LIMIT 1)"
    for name in (partition_name(space.id), *table_names(space)):
        execute_statements(engine, deleted.format(name))
    assert rows(engine, "SELECT count(*), count(DISTINCT content_hash) FROM rag.row_changes WHERE space_id = 1") == [
        (4, 4)
    ]


def test_policies_protect_each_part(engine: Engine) -> None:
    with engine.begin() as connection:
        apply_roles(connection)
    create_space(engine, DIVIDED)
    policies = rows(
        engine,
        "SELECT tablename, ARRAY(SELECT unnest(roles)::text ORDER BY 1) FROM pg_policies "
        "WHERE tablename ~ '^embeddings_[0-9]' AND permissive = 'RESTRICTIVE'",
    )
    assert dict(policies) == dict.fromkeys(
        ("embeddings_1", "embeddings_1_p1", "embeddings_1_p2", "embeddings_1_p3"), sorted(ROLES)
    )


def test_a_lost_part_is_created_again_and_all_go_with_their_space(engine: Engine, space: EmbeddingSpace) -> None:
    execute_statements(engine, "DROP TABLE rag.embeddings_1_p2")
    with engine.connect() as connection:
        assert not has_all_tables(connection, space)
    assert create_space(engine, DIVIDED).id == space.id
    add_vectors(engine, space, 60)
    assert rows(engine, "SELECT count(*) FROM rag.embeddings_1") == [(60,)]
    with engine.begin() as connection:
        assert has_all_tables(connection, space)
        retire_space(connection, space.id)
        assert drop_retired_spaces(connection) == 1
    assert rows(engine, "SELECT relname FROM pg_class WHERE relname ~ '^embeddings_1'") == []
