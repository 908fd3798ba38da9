"""Each storage and index method finds the nearest texts in order, and more of them with more effort."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.index.state import used_index_names
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import set_live_space
from rag_assets.pipeline.audit import index, index_recall, vectors
from rag_assets.search.evaluation.query_plans import force_index_scan, index_search_statement, uses_index
from rag_assets.search.evaluation.tuning import sweep_ef_search
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.database.database_server import DatabaseServer
from tests.support.database.rows import add_vectors, create_space, definition, unit_vectors
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows

DIMENSIONS = 64
VECTORS = 4_000
# First those that other tests do not build.
KINDS = [
    ("hnsw", "bit", 1),
    ("ivfflat", "vector", 1),
    ("ivfflat", "bit", 1),
    ("hnsw", "vector", 1),
    # Divided into parts.
    ("hnsw", "halfvec", 3),
    ("hnsw", "bit", 2),
    ("ivfflat", "halfvec", 1),
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind)))
def kind(
    request: pytest.FixtureRequest, databases: DatabaseServer, template: str
) -> Iterator[tuple[Engine, EmbeddingSpace]]:
    """A live space of random vectors, the hardest to index."""
    method, storage, parts = request.param
    with databases.copy(template) as url:
        engine = make_engine(url)
        wanted = definition("f", dimensions=DIMENSIONS, method=method, storage=storage, parts=parts, ef_construction=32)
        space = create_space(engine, wanted)
        add_vectors(engine, space, VECTORS)
        ensure_index(engine, space)
        with engine.begin() as connection:
            set_live_space(connection, space)
        yield engine, space
        engine.dispose()


def found(connection: Connection, space: EmbeddingSpace, question: Any, k: int, ef_search: int) -> list[float]:
    candidates = rescored_candidates(space, k, ef_search)
    statement = nearest_texts(space, partition(space.id), k, candidates=candidates)
    values = statement_values(str(question.tolist()), ef_search)
    return [row.distance for row in connection.execute(statement, values)]


def recalls(engine: Engine, space: EmbeddingSpace, ef_search: int) -> float:
    measured = index_recall.measure_recall(engine, space, ef_search)
    assert measured is not None
    assert measured.planner_used_index
    return measured.mean


def test_the_index_serves_the_statement_that_searches_send(kind: tuple[Engine, EmbeddingSpace]) -> None:
    engine, space = kind
    assert index.index_valid(engine, space).passed
    used = index.index_used(engine, space)
    assert used.passed, used.reason
    with engine.begin() as connection:
        names = used_index_names(connection, space)
        values = statement_values(str(unit_vectors(1, DIMENSIONS)[0].tolist()), 100)
        assert uses_index(connection, index_search_statement(space, 10, 100), values, names, forced=True)


def test_hits_come_in_the_order_of_their_true_distances_as_many_as_wanted(kind: tuple[Engine, EmbeddingSpace]) -> None:
    engine, space = kind
    # The last query is a stored vector, so its list is probed first, however the lists were built.
    questions = [*unit_vectors(3, DIMENSIONS, seed=5), unit_vectors(VECTORS, DIMENSIONS)[7]]
    with engine.begin() as connection:
        force_index_scan(connection)
        for k, question in zip((1, 10, 300, 1_000), questions, strict=True):
            near = found(connection, space, question, k, 40)
            assert near == sorted(near)
            # The first lists or candidates may be fewer than a thousand; the index must go on.
            assert len(near) == k
    expected = rows(
        engine,
        f"SELECT embedding <=> CAST(:v AS vector) FROM rag.embeddings_{space.id} ORDER BY 1 LIMIT 1",
        v=str(question.tolist()),
    )
    # The first of a thousand is about the nearest of all: rows are sorted by their exact distances.
    assert near[0] == pytest.approx(expected[0][0], abs=0.02)


def test_recall_grows_with_ef_search(kind: tuple[Engine, EmbeddingSpace]) -> None:
    engine, space = kind
    little, much = recalls(engine, space, 10), recalls(engine, space, 1_000)
    assert little < much
    # 64 bits say little about random vectors.
    assert much > (0.9 if space.storage == "bit" else 0.98)


def test_a_filter_costs_no_hit(kind: tuple[Engine, EmbeddingSpace], monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_assets.search.vector import selectivity

    engine, _ = kind
    monkeypatch.setattr(selectivity, "ALWAYS_EXACT_ROWS", 0)
    monkeypatch.setattr(selectivity, "CANDIDATE_COST", 0)
    retriever = Retriever(engine, encoder=lambda space: HashEncoder(DIMENSIONS))
    question = unit_vectors(1, DIMENSIONS, seed=6)[0]
    answer = retriever.search(question, k=20, ef_search=20, project="p")
    exact = retriever.search(question, k=20, exact=True)
    assert (answer.plan, exact.plan) == ("index", "exact")
    assert len(answer.hits) == 20
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert set(scores) <= {hit.score for hit in retriever.search(question, k=1_000, exact=True).hits}
    assert retriever.search_many([question] * 2, k=20, ef_search=20)[1].hits[0].score <= exact.hits[0].score


def test_checks_and_tuning_measure_each_kind_of_index(kind: tuple[Engine, EmbeddingSpace]) -> None:
    engine, space = kind
    measured = index.recall_at_10(engine, space, Settings(ef_search=1000, recall_limit=0.9))
    assert measured.passed, measured.reason
    curve = sweep_ef_search(engine, space, number=20)
    assert curve.points[0].worst_recall < curve.points[-1].worst_recall
    assert vectors.vectors_are_sound(engine, space).passed


def test_other_clients_are_served_by_the_index_through_the_view(kind: tuple[Engine, EmbeddingSpace]) -> None:
    engine, space = kind
    question = f"'{unit_vectors(1, DIMENSIONS)[0].tolist()}'"
    order = f"embedding <=> {question}"
    if space.storage == "bit":
        # As docs/pages/guides/other_clients.md has it.
        order = f"binary_quantize(embedding)::bit({DIMENSIONS}) <~> binary_quantize({question}::vector)"
    with engine.begin() as connection:
        force_index_scan(connection)
        plan = connection.execute(text(f"EXPLAIN SELECT source FROM rag.live_chunks ORDER BY {order} LIMIT 800")).all()
        shown = "\n".join(row[0] for row in plan)
        assert all(name in shown for name in used_index_names(connection, space))
