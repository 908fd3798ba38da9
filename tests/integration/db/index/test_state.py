"""Each state is recognized, and its action ends with one valid index under the regular name."""

import threading
import time

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.index.build import ensure_index, rebuild_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.build_resources import build_memory_mb
from rag_assets.db.index.definition import index_name
from rag_assets.db.index.state import ACTIONS, IndexAction, IndexState, IndexThresholds
from rag_assets.db.models import EmbeddingSpace
from tests.integration.db.index.test_definition import space as shape
from tests.support.database.database_server import DatabaseServer
from tests.support.database.indexes import (
    execute_statements,
    get_oid,
    index_state,
    inspect_space_index,
    list_indexes,
    make_live,
)
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import rows

NAME = "ix_embeddings_1_hnsw"
INVALID = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'rag.{NAME}'::regclass"
HNSW = "hnsw ((embedding::vector(8)) vector_cosine_ops)"


@pytest.fixture(params=[False, True], ids=["building", "live"])
def space(request: pytest.FixtureRequest, engine: Engine) -> EmbeddingSpace:
    """A space with a valid index, once live and once building."""
    made = create_space(engine)
    add_vectors(engine, made, 30)
    assert ensure_index(engine, made) is IndexState.ABSENT
    if request.param:
        make_live(engine, made)
    return made


def ends_in_one_valid_index(engine: Engine, space: EmbeddingSpace) -> None:
    assert index_state(engine, space) is IndexState.VALID
    assert list_indexes(engine, space) == [(index_name(space), True)]


def test_every_state_has_an_action() -> None:
    assert set(ACTIONS) == set(IndexState)
    assert [found for found, action in ACTIONS.items() if action is IndexAction.NOTHING] == [IndexState.VALID]
    assert {found for found in IndexState if found.serves} == {
        IndexState.VALID,
        IndexState.BLOATED,
        IndexState.DEGRADED,
    }


def test_a_valid_index_is_kept(engine: Engine, space: EmbeddingSpace) -> None:
    before = get_oid(engine, NAME)
    assert ensure_index(engine, space) is IndexState.VALID
    assert get_oid(engine, NAME) == before
    assert inspect_space_index(engine, space).bytes > 0


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        pytest.param([f"DROP INDEX rag.{NAME}"], IndexState.ABSENT, id="absent"),
        pytest.param([INVALID], IndexState.INVALID, id="invalid"),
        *(
            pytest.param(
                [f"DROP INDEX rag.{NAME}", f"CREATE INDEX {NAME} ON rag.embeddings_1 USING {other}"],
                IndexState.STALE,
                id=name,
            )
            for name, other in {
                "other-operators": "hnsw ((embedding::vector(8)) vector_l2_ops) WITH (m=16, ef_construction=64)",
                "other-ef-construction": f"{HNSW} WITH (m=16, ef_construction=65)",
                "default-parameters": HNSW,
                "half-precision": "hnsw ((embedding::halfvec(8)) halfvec_cosine_ops) WITH (m=16, ef_construction=64)",
                "signs": "hnsw ((binary_quantize(embedding::vector(8))::bit(8)) bit_hamming_ops) "
                "WITH (m=16, ef_construction=64)",
                "part-of-the-rows": f"{HNSW} WITH (m=16, ef_construction=64) WHERE space_id = 1",
                "other-method": "ivfflat ((embedding::vector(8)) vector_cosine_ops) WITH (lists=1)",
                "other-column": "btree (content_hash)",
            }.items()
        ),
    ],
)
def test_an_index_that_is_not_valid_is_recognized_and_rebuilt(
    engine: Engine, space: EmbeddingSpace, statements: list[str], found: IndexState
) -> None:
    execute_statements(engine, *statements)
    assert index_state(engine, space) is found
    assert ensure_index(engine, space) is found
    ends_in_one_valid_index(engine, space)


def test_searches_use_the_old_index_until_the_new_one_is_ready(engine: Engine) -> None:
    made = create_space(engine, definition("f", dimensions=256, ef_construction=200))
    # Enough that the build can be observed on a fast machine.
    add_vectors(engine, made, 4_000)
    ensure_index(engine, made)
    make_live(engine, made)
    execute_statements(engine, f"ALTER INDEX rag.{NAME} SET (ef_construction = 100)")
    seen: list[list[tuple[str, bool]]] = []

    def watch(_done: int, _total: int) -> None:
        seen.append(list_indexes(engine, made))

    before = get_oid(engine, NAME)
    assert ensure_index(engine, made, IndexBuildOptions(progress=watch)) is IndexState.STALE
    assert seen
    assert all((NAME, True) in found for found in seen)
    assert get_oid(engine, NAME) != before
    ends_in_one_valid_index(engine, made)


@pytest.mark.parametrize(
    "crash",
    [
        pytest.param([f"CREATE INDEX {NAME}_2 ON rag.embeddings_1 USING {HNSW}"], id="while-another-was-built"),
        pytest.param(
            [
                f"ALTER INDEX rag.{NAME} RENAME TO {NAME}_2",
                f"CREATE INDEX {NAME} ON rag.embeddings_1 USING {HNSW} WITH (m=16, ef_construction=64)",
            ],
            id="before-the-old-one-was-removed",
        ),
        pytest.param(
            [
                f"CREATE INDEX {NAME}_2 ON rag.embeddings_1 USING {HNSW} WITH (m=16, ef_construction=64)",
                INVALID,
            ],
            id="before-the-names-were-exchanged",
        ),
        pytest.param([f"CREATE INDEX {NAME}_ccnew ON rag.embeddings_1 USING {HNSW}"], id="in-a-reindex-of-others"),
    ],
)
def test_leftovers_of_a_crash_beside_a_valid_index_are_dropped(
    engine: Engine, space: EmbeddingSpace, crash: list[str]
) -> None:
    execute_statements(engine, *crash)
    assert index_state(engine, space) is IndexState.VALID
    assert len(list_indexes(engine, space)) == 2
    assert ensure_index(engine, space) is IndexState.VALID
    ends_in_one_valid_index(engine, space)


def test_an_index_of_the_user_is_no_leftover(engine: Engine, space: EmbeddingSpace) -> None:
    execute_statements(engine, f"CREATE INDEX mine ON rag.embeddings_1 USING {HNSW}", INVALID)
    assert ensure_index(engine, space) is IndexState.INVALID
    assert list_indexes(engine, space) == [(NAME, True), ("mine", True)]


@pytest.mark.parametrize("live", [False, True], ids=["building", "live"])
def test_an_index_of_mostly_dead_entries_is_bloated_and_rebuilt(engine: Engine, live: bool) -> None:
    made = create_space(engine, definition("f", dimensions=384, ef_construction=32))
    add_vectors(engine, made, 1_500)
    ensure_index(engine, made)
    if live:
        make_live(engine, made)
    full = inspect_space_index(engine, made)
    assert full.dead_share == pytest.approx(0, abs=0.01)
    execute_statements(
        engine, "DELETE FROM rag.embeddings_1 WHERE get_byte(content_hash, 0) < 77", "VACUUM rag.embeddings_1"
    )
    third = inspect_space_index(engine, made)
    assert third.state is IndexState.VALID
    assert third.dead_share == pytest.approx(0.3, abs=0.05)
    execute_statements(
        engine, "DELETE FROM rag.embeddings_1 WHERE get_byte(content_hash, 0) < 180", "VACUUM rag.embeddings_1"
    )
    bloated = inspect_space_index(engine, made)
    assert bloated.state is IndexState.BLOATED
    assert bloated.dead_share == pytest.approx(0.7, abs=0.05)
    # The threshold is a setting.
    assert index_state(engine, made, thresholds=IndexThresholds(dead_share=0.9)) is IndexState.VALID
    assert ensure_index(engine, made) is IndexState.BLOATED
    ends_in_one_valid_index(engine, made)
    assert inspect_space_index(engine, made).bytes < full.bytes / 2


def test_a_small_index_is_never_bloated(engine: Engine, space: EmbeddingSpace) -> None:
    execute_statements(engine, "DELETE FROM rag.embeddings_1", "VACUUM rag.embeddings_1")
    assert inspect_space_index(engine, space).dead_share == 1
    assert index_state(engine, space) is IndexState.VALID


def test_an_index_whose_recall_has_fallen_is_degraded_and_rebuilt(engine: Engine, space: EmbeddingSpace) -> None:
    assert index_state(engine, space, recall=0.96) is IndexState.VALID
    assert index_state(engine, space, recall=0.9) is IndexState.DEGRADED
    assert index_state(engine, space, recall=0.9, thresholds=IndexThresholds(recall=0.85)) is IndexState.VALID
    before = get_oid(engine, NAME)
    measured = iter([0.9, 0.99])
    assert ensure_index(engine, space, IndexBuildOptions(recall=lambda: next(measured))) is IndexState.DEGRADED
    ends_in_one_valid_index(engine, space)
    assert get_oid(engine, NAME) != before
    assert list(measured) == []


def test_an_index_whose_recall_was_never_higher_is_not_rebuilt(engine: Engine, space: EmbeddingSpace) -> None:
    before = get_oid(engine, NAME)
    assert ensure_index(engine, space, IndexBuildOptions(recall=lambda: 0.9)) is IndexState.DEGRADED
    rebuilt = get_oid(engine, NAME)
    assert rebuilt != before
    assert ensure_index(engine, space, IndexBuildOptions(recall=lambda: 0.9)) is IndexState.VALID
    assert get_oid(engine, NAME) == rebuilt
    assert index_state(engine, space, recall=0.895) is IndexState.VALID
    assert index_state(engine, space, recall=0.88) is IndexState.DEGRADED


@pytest.mark.parametrize("comment", ["made by hand", "[1]", '{"rows": 0, "bytes": 0}'])
def test_a_comment_of_the_user_on_an_index_is_ignored(engine: Engine, space: EmbeddingSpace, comment: str) -> None:
    execute_statements(engine, f"COMMENT ON INDEX rag.{NAME} IS '{comment}'")
    found = inspect_space_index(engine, space)
    assert (found.state, found.dead_share) == (IndexState.VALID, None)


def test_a_valid_index_can_be_rebuilt_on_demand(engine: Engine, space: EmbeddingSpace) -> None:
    before = get_oid(engine, NAME)
    assert rebuild_index(engine, space) is IndexState.VALID
    ends_in_one_valid_index(engine, space)
    assert get_oid(engine, NAME) != before


def test_lists_for_far_fewer_rows_are_stale(engine: Engine) -> None:
    made = create_space(engine, definition("f", method="ivfflat"))
    assert ensure_index(engine, made) is IndexState.ABSENT
    add_vectors(engine, made, 4_000)
    assert index_state(engine, made) is IndexState.VALID
    add_vectors(engine, made, 1_000, seed=1)
    assert index_state(engine, made) is IndexState.STALE
    assert ensure_index(engine, made) is IndexState.STALE
    assert index_state(engine, made) is IndexState.VALID
    with engine.connect() as connection:
        made_of = connection.scalar(text("SELECT pg_get_indexdef('rag.ix_embeddings_1_ivfflat'::regclass)"))
    assert made_of.endswith("WITH (lists='5')")


def test_memory_for_the_graph_grows_with_the_rows_up_to_the_limit() -> None:
    assert build_memory_mb(shape(), 0, 2048) == 64
    assert 250 < build_memory_mb(shape(), 100_000, 2048) < 500
    assert build_memory_mb(shape(), 10_000_000, 2048) == 2048
    sizes = [build_memory_mb(shape(storage=storage), 100_000, 2048) for storage in ("vector", "halfvec", "bit")]
    assert sizes == sorted(sizes, reverse=True)


def test_memory_for_lists_is_what_pgvector_requires(engine: Engine) -> None:
    lists = shape(method="ivfflat", dimensions=384)
    # 100,000 rows: 100 lists of 10,000 samples; a million: 1,000 lists of 50,000.
    assert build_memory_mb(lists, 100_000, 2048) == 64
    assert 250 < build_memory_mb(lists, 1_000_000, 2048) < 500


def test_a_build_in_a_copy_of_the_database_is_not_taken_for_one_here(
    databases: DatabaseServer, built_template: str, built: Engine
) -> None:
    with databases.copy(built_template) as url, Session(built, expire_on_commit=False) as session:
        space = session.scalars(select(EmbeddingSpace)).one()
        other = make_engine(url)
        build = threading.Thread(
            target=execute_statements, args=(other, "CREATE INDEX CONCURRENTLY other ON rag.embeddings_1 (checksum)")
        )
        with other.connect() as writer:
            # A transaction that wrote to the table keeps the build waiting.
            writer.execute(text("DELETE FROM rag.embeddings_1 WHERE false"))
            build.start()
            progress = (
                "SELECT relid = 'rag.embeddings_1'::regclass FROM pg_stat_progress_create_index WHERE datname = :name"
            )
            while not (found := rows(built, progress, name=url.database)):
                time.sleep(0.01)
            # Tables of a copy have the same oids.
            assert found == [(True,)]
            execute_statements(built, f"DROP INDEX rag.{NAME}")
            assert index_state(built, space) is IndexState.ABSENT
            writer.rollback()
        build.join()
        other.dispose()
