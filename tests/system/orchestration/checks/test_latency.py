"""The latency check measures a bound, or on a probe table that is kept while it fits, or on the space itself."""

from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.definition import index_name
from rag_assets.db.models import EmbeddingSpace
from rag_assets.pipeline.audit import index
from rag_assets.pipeline.audit.latency import LatencyMeasurement, measure_latency
from rag_assets.settings.settings import Settings
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import rows


@pytest.fixture
def space(engine: Engine) -> EmbeddingSpace:
    """A small space of few dimensions: its probe is built in a second."""
    made = create_space(engine)
    add_vectors(engine, made, 60)
    return made


def measure(engine: Engine, space: EmbeddingSpace, limit_ms: float = 0) -> LatencyMeasurement:
    """With a limit of 0, so that no bound suffices."""
    found = measure_latency(engine, space, 80, limit_ms)
    assert found is not None
    return found


def probe_oid(engine: Engine) -> Any:
    """The OID of the probe table, which changes when the table is rebuilt."""
    return rows(engine, "SELECT to_regclass('rag.latency_probe_1')::oid")[0][0]


def test_an_empty_space_has_nothing_to_measure(engine: Engine) -> None:
    made = create_space(engine)
    assert measure_latency(engine, made, 80, 100) is None
    assert index.search_latency(engine, made, Settings()).passed


def test_where_a_bound_is_far_below_the_limit_no_probe_is_built(engine: Engine, space: EmbeddingSpace) -> None:
    probe = measure(engine, space)
    assert probe_oid(engine) is not None
    bound = measure(engine, space, limit_ms=10_000)
    assert (bound.vectors, bound.topped_up, len(bound.times_ms)) == (10_000, 9_940, 60)
    # Comparing a query with 9,940 vectors takes longer than finding its neighbours among them.
    assert bound.times_ms[0] > probe.times_ms[0]
    # A probe from before is dropped.
    assert probe_oid(engine) is None


def test_a_small_space_is_topped_up_to_ten_thousand_once(engine: Engine, space: EmbeddingSpace) -> None:
    found = measure(engine, space)
    assert (found.vectors, found.topped_up, found.planner_used_index) == (10_000, 9_940, True)
    shown = found.metadata()
    assert 0 < shown["p50_ms"] <= shown["p95_ms"] <= shown["p99_ms"]
    assert rows(engine, "SELECT count(*) FROM rag.latency_probe_1") == [(10_000,)]
    # The probe is not user data, so the table is unlogged.
    assert rows(engine, "SELECT relpersistence FROM pg_class WHERE relname = 'latency_probe_1'") == [("u",)]
    stored = "SELECT count(*) FROM rag.latency_probe_1 JOIN rag.embeddings_1 USING (content_hash, embedding)"
    assert rows(engine, stored) == [(60,)]
    # The probe is kept while the space grows or shrinks by less than a fifth.
    before = probe_oid(engine)
    add_vectors(engine, space, 5, seed=1)
    measure(engine, space)
    assert probe_oid(engine) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("TRUNCATE rag.latency_probe_1", id="emptied-by-a-crash"),
        pytest.param("DROP TABLE rag.latency_probe_1", id="dropped"),
        pytest.param(
            "DELETE FROM rag.embeddings WHERE get_byte(content_hash, 0) < 128",
            id="space-shrank",
        ),
        pytest.param("COMMENT ON TABLE rag.latency_probe_1 IS NULL", id="build-died"),
    ],
)
def test_a_probe_that_no_longer_fits_is_rebuilt(engine: Engine, space: EmbeddingSpace, change: str) -> None:
    measure(engine, space)
    before = probe_oid(engine)
    with engine.begin() as connection:
        connection.execute(text(change))
    found = measure(engine, space)
    assert probe_oid(engine) != before
    assert (found.vectors, found.planner_used_index) == (10_000, True)


def test_a_probe_of_another_index_is_rebuilt(engine: Engine, space: EmbeddingSpace) -> None:
    measure(engine, space)
    before = probe_oid(engine)
    space.ef_construction = 32
    measure(engine, space)
    assert probe_oid(engine) != before


def test_from_ten_thousand_vectors_on_the_space_itself_is_measured(engine: Engine) -> None:
    made = create_space(engine, definition("f", dimensions=384))
    add_vectors(engine, made, 10_000)
    ensure_index(engine, made)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE rag.latency_probe_{made.id} (x int)"))
    found = index.search_latency(engine, made, Settings())
    assert found.passed, found.reason
    assert (found.metadata["vectors"], found.metadata["topped_up"]) == (10_000, 0)
    assert found.metadata["planner_used_index"] is True
    # The probe from when the space was small is dropped.
    assert f"latency_probe_{made.id}" not in inspect(engine).get_table_names("rag")
    used = index.index_used(engine, made)
    assert used.passed
    assert (used.metadata["planner_used_index"], used.metadata["table_is_small"]) == (True, False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP INDEX rag.{index_name(made)}"))
    # At this size a sequential scan is a failure.
    assert not index.index_used(engine, made).passed
