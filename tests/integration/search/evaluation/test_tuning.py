"""The curve of recall against ef_search, and the choice of a setting."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from rag_assets.db.index.build import ensure_index
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space, set_live_space
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.evaluation.tuning import RecallCurve, SweepPoint, store_ef_search, sweep_ef_search
from tests.support.database.rows import add_vectors, create_space, definition, unit_vectors
from tests.support.pipeline.runs import rows


def build(engine: Engine, space: EmbeddingSpace) -> None:
    ensure_index(engine, space)


@pytest.fixture
def sparse(engine: Engine) -> EmbeddingSpace:
    """A live space with the sparsest possible graph: only a large ef_search gives high recall."""
    space = create_space(engine, definition("thin", dimensions=64, m=2, ef_construction=4))
    add_vectors(engine, space, 1_500)
    build(engine, space)
    with engine.begin() as connection:
        set_live_space(connection, space)
    return space


def curve(*points: tuple[int, float, float]) -> RecallCurve:
    measured = [SweepPoint(ef, {"held_out": held_out, "stored": stored}, 1.0, 2.0) for ef, held_out, stored in points]
    return RecallCurve(1, 1_000, {"held_out": 100, "stored": 100}, measured)


def test_recall_grows_with_ef_search(engine: Engine, sparse: EmbeddingSpace) -> None:
    found = sweep_ef_search(engine, sparse, number=40)
    assert found.vectors == 1_500
    # No query is stored yet.
    assert found.questions == {"held_out": 40, "stored": 40}
    assert [point.ef_search for point in found.points] == sorted(point.ef_search for point in found.points)
    assert found.points[0].worst_recall < 0.8
    assert found.points[-1].worst_recall > found.points[0].worst_recall + 0.2
    assert all(0 < point.p50_ms <= point.p95_ms for point in found.points)


def test_recall_equals_a_count_by_hand(engine: Engine, sparse: EmbeddingSpace) -> None:
    questions = unit_vectors(30, 64, seed=9)
    with engine.begin() as connection:
        for number, question in enumerate(questions):
            connection.execute(
                text("INSERT INTO rag.query_vectors (space_id, query_hash, embedding) VALUES (:space, :hash, :vector)"),
                {"space": sparse.id, "hash": bytes([number]) * 32, "vector": str(question.tolist())},
            )
    found = sweep_ef_search(engine, sparse, number=30)
    assert found.questions["asked"] == 30
    stored = np.array(
        [np.fromstring(row[0][1:-1], sep=",") for row in rows(engine, "SELECT embedding::text FROM rag.embeddings")]
    )
    best = np.sort(1 - questions @ stored.T, axis=1)[:, 9]
    recalls = []
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL hnsw.ef_search = 40"))
        for question, limit in zip(questions, best, strict=True):
            near = connection.execute(
                text(
                    "SELECT embedding::vector(64) <=> CAST(:query AS vector(64)) AS distance "
                    f"FROM rag.embeddings_{sparse.id} ORDER BY 1 LIMIT 10"
                ),
                {"query": str(question.tolist())},
            )
            recalls.append(sum(row.distance <= limit + 1e-6 for row in near) / 10)
    [measured] = [point.recall["asked"] for point in found.points if point.ef_search == 40]
    assert measured == pytest.approx(sum(recalls) / len(recalls), abs=1e-4)


def test_the_smallest_setting_that_reaches_the_target_is_stored_with_its_curve(
    engine: Engine, sparse: EmbeddingSpace
) -> None:
    found = sweep_ef_search(engine, sparse, number=20)
    target = found.points[3].worst_recall
    chosen = store_ef_search(engine, found, target)
    assert chosen.worst_recall >= target
    assert all(point.worst_recall < target for point in found.points if point.ef_search < chosen.ef_search)
    with engine.connect() as connection:
        live = get_live_space(connection)
    assert live is not None
    assert live.ef_search == chosen.ef_search
    stored: Any = live.tuning
    assert (stored["target_recall"], stored["k"], stored["vectors"]) == (target, 10, 1_500)
    assert [point["ef_search"] for point in stored["points"]] == [point.ef_search for point in found.points]


def test_every_kind_of_query_must_reach_the_target() -> None:
    found = curve((10, 0.90, 0.99), (20, 0.96, 0.96), (40, 0.98, 0.99))
    assert found.smallest_point(0.95).ef_search == 20
    assert found.smallest_point(0.97).ef_search == 40


def test_a_target_out_of_reach_stores_nothing_and_is_an_error(engine: Engine, sparse: EmbeddingSpace) -> None:
    before = rows(engine, "SELECT ef_search, tuning FROM rag.embedding_spaces")
    with pytest.raises(UsageError, match=r"reaches 0\.960 \(at ef_search 80\), not 0\.97.*RAG_ASSETS_HNSW_M") as error:
        store_ef_search(engine, curve((40, 0.90, 0.99), (80, 0.96, 0.99)), 0.97)
    assert "RAG_ASSETS_HNSW_EF_CONSTRUCTION" in str(error.value)
    assert rows(engine, "SELECT ef_search, tuning FROM rag.embedding_spaces") == before


@pytest.mark.parametrize("target", [0, -0.5, 1.01, float("nan")])
def test_an_invalid_target_is_refused(engine: Engine, target: float) -> None:
    with pytest.raises(UsageError, match="target recall is"):
        store_ef_search(engine, curve((40, 0.9, 0.9)), target)


def test_an_empty_space_and_a_missing_index_are_errors(engine: Engine) -> None:
    space = create_space(engine)
    with pytest.raises(ServiceError, match="has no vector"):
        sweep_ef_search(engine, space)
    add_vectors(engine, space, 30)
    with pytest.raises(ServiceError, match="does not serve searches"):
        sweep_ef_search(engine, space)
