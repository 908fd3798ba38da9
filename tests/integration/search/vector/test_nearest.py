"""Vector search finds what numpy finds, for every kind of space, distance, filter and plan."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import pytest
from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.errors import UsageError
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from rag_assets.search.vector import selectivity
from tests.support.data.vectors import DIMENSIONS, SHARED, Corpus, StoredChunk, make_corpus
from tests.support.database.database_server import DatabaseServer
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database

# Distance, storage, whether vectors have length 1, method.
SPACES = [
    ("cosine", "vector", True, "hnsw"),
    ("cosine", "halfvec", False, "hnsw"),
    ("cosine", "bit", True, "hnsw"),
    ("l2", "vector", False, "ivfflat"),
    ("l2", "halfvec", True, "hnsw"),
    ("l2", "bit", False, "hnsw"),
    ("ip", "vector", True, "hnsw"),
    ("ip", "halfvec", False, "ivfflat"),
    ("ip", "bit", True, "ivfflat"),
]
DISTANCES = ("cosine", "l2", "ip", "l1")
FILTERS: list[dict[str, Any]] = [
    {},
    {"project": "q"},
    {"file_type": "text", "path_glob": "d[0-2]*"},
    {"path_glob": "d1*"},
]
# So few rows are cheaper to sort; where that is forbidden, the planner must take the graph.
ONLY_THE_GRAPH = "-c enable_seqscan=off -c enable_sort=off -c enable_bitmapscan=off"


@pytest.fixture(scope="module", params=SPACES, ids=lambda space: "-".join(map(str, space)))
def corpus_engine(
    request: pytest.FixtureRequest, databases: DatabaseServer, template: str
) -> Iterator[tuple[Corpus, Engine]]:
    distance, storage, normalize, method = request.param
    with databases.copy(template) as url:
        engine = make_engine(url)
        yield make_corpus(engine, distance, storage, normalize=normalize, method=method), engine
        engine.dispose()


@pytest.fixture
def corpus(engine: Engine) -> Corpus:
    return make_corpus(engine)


class ChunkRetriever(Retriever):
    """Finds all chunks with the same text."""

    def search(self, query: Any, **options: Any) -> Any:  # type: ignore[override]
        return super().search(query, **({"distinct": False} | options))

    def search_many(self, queries: Any, **options: Any) -> Any:
        return super().search_many(queries, **({"distinct": False} | options))


def retriever_of(engine: Engine) -> Retriever:
    return ChunkRetriever(engine, encoder=lambda space: HashEncoder(DIMENSIONS))


def graph_engine(engine: Engine) -> Engine:
    url = engine.url.update_query_string(f"options={quote_plus(ONLY_THE_GRAPH)}", append=True)
    return make_engine(url)


def through_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the graph however few rows pass."""
    monkeypatch.setattr(selectivity, "ALWAYS_EXACT_ROWS", 0)
    monkeypatch.setattr(selectivity, "CANDIDATE_COST", 0)


def passing(corpus: Corpus, chosen: dict[str, Any]) -> list[StoredChunk]:
    def passes(one: StoredChunk) -> bool:
        number = int(one.file_path[1:3])
        glob = chosen.get("path_glob")
        return (
            one.project == chosen.get("project", one.project)
            and (chosen.get("file_type") != "text" or number % 3 == 0)
            and (glob != "d[0-2]*" or number < 30)
            and (glob != "d1*" or 10 <= number < 20)
        )

    return [one for one in corpus.chunks if passes(one)]


def check(answer: Answer, corpus: Corpus, vector: Any, distance: str, chosen: list[StoredChunk], k: int) -> None:
    """As many hits as pass, up to k, with the scores that numpy computes."""
    size = max(1.0, float(np.linalg.norm(vector)))
    tolerance = size * (2e-2 if corpus.space.storage == "halfvec" else 1e-4)
    shift = 1 if distance == "cosine" else 0
    by_id = {one.chunk_id: shift - corpus.distance(one.vector, vector, distance) for one in chosen}
    assert len(answer.hits) == min(k, len(chosen))
    assert len({hit.chunk_id for hit in answer.hits}) == len(answer.hits)
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([by_id[hit.chunk_id] for hit in answer.hits], abs=tolerance)
    assert scores == pytest.approx(sorted(by_id.values(), reverse=True)[:k], abs=tolerance)
    assert [hit.parts for hit in answer.hits] == [{"vector": score} for score in scores]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_each_distance_in_each_space_is_right(
    corpus_engine: tuple[Corpus, Engine], distance: str, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, engine = corpus_engine
    random = np.random.default_rng(1)
    retriever = retriever_of(engine)
    for chosen, length in zip(FILTERS, (7, 1, 1, 0.01), strict=True):
        vector = random.standard_normal(DIMENSIONS)
        vector *= length / np.linalg.norm(vector)
        answer = retriever.search(vector, k=12, distance=distance, exact=exact, **chosen)
        check(answer, corpus, vector, distance, passing(corpus, chosen), 12)
    served = corpus.space.distance == distance or (corpus.space.normalize and distance != "l1")
    whole = retriever.search(vector, k=12, distance=distance, exact=exact)
    assert whole.plan == ("index" if served and not exact else "exact")
    assert (whole.ef_search is None) == (whole.plan == "exact")
    own = retriever.search(vector, k=12, exact=exact)
    if distance == corpus.space.distance:
        assert own.hits == whole.hits


def test_the_graph_finds_what_an_exact_comparison_finds(
    corpus_engine: tuple[Corpus, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, engine = corpus_engine
    through_the_graph(monkeypatch)
    graph = graph_engine(engine)
    retriever = retriever_of(graph)
    random = np.random.default_rng(2)
    for chosen in FILTERS:
        # Every fifth document shares one text, so there are fewer texts than chunks.
        for k in (1, 10, 25, 1000):
            vector = random.standard_normal(DIMENSIONS)
            answer = retriever.search(vector, k=k, ef_search=200, **chosen)
            assert answer.plan == ("index" if k <= 10 and passing(corpus, chosen) else answer.plan)
            check(answer, corpus, vector, corpus.space.distance, passing(corpus, chosen), k)
    graph.dispose()


def test_orphaned_vectors_do_not_displace_hits(engine: Engine, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [one for one in corpus.chunks if one.project == "q"]
    # The vectors of 15 documents stay in the graph until they are pruned.
    change_database(
        engine, "DELETE FROM rag.documents WHERE project_id = (SELECT id FROM rag.projects WHERE name = 'p')"
    )
    graph = graph_engine(engine)
    for used in (engine, graph):
        for k in (1, 5, 20, 60):
            vector = corpus.chunks[0].vector
            check(retriever_of(used).search(vector, k=k), corpus, vector, "cosine", kept, k)
            through_the_graph(monkeypatch)
            check(retriever_of(used).search(vector, k=k, project="q"), corpus, vector, "cosine", kept, k)
            monkeypatch.undo()
    graph.dispose()


@pytest.mark.parametrize("plan", ["index", "exact"])
def test_a_text_in_many_chunks_is_found_in_each(
    engine: Engine, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    if plan == "index":
        through_the_graph(monkeypatch)
    retriever = retriever_of(engine)
    shared = [one for one in corpus.chunks if one.content_hash == corpus.chunks_of("d00.md")[2].content_hash]
    vector = shared[0].vector
    for k in (1, 4, len(shared), len(shared) + 3):
        answer = retriever.search(vector, k=k, exact=plan == "exact")
        check(answer, corpus, vector, "cosine", corpus.chunks, k)
        assert {hit.text for hit in answer.hits[: len(shared)]} == {SHARED}
        # Equal texts are in the order of project, path and position.
        places = [(hit.project, hit.file_path, hit.chunk_index) for hit in answer.hits[: len(shared)]]
        assert places == sorted((one.project, one.file_path, one.index) for one in shared)[:k]


def test_a_graph_search_that_ends_early_costs_no_hit(
    engine: Engine, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_the_graph(monkeypatch)
    monkeypatch.setattr(selectivity, "MAX_SCAN_TUPLES", 1)
    graph = graph_engine(engine)
    far = -corpus.chunks_of("d28.md")[0].vector
    answer = retriever_of(graph).search(far, k=4, ef_search=4, project="p", path_glob="d28.md")
    check(answer, corpus, far, "cosine", corpus.chunks_of("d28.md"), 4)
    graph.dispose()


def test_min_score_keeps_the_hits_that_reach_it(engine: Engine, corpus: Corpus) -> None:
    retriever = retriever_of(engine)
    vector = corpus.chunks[0].vector
    for distance in DISTANCES:
        scores = [hit.score for hit in retriever.search(vector, k=50, distance=distance).hits]
        middle = (scores[9] + scores[10]) / 2
        least = retriever.search(vector, k=50, distance=distance, min_score=middle)
        assert [hit.score for hit in least.hits] == scores[:10]
    assert retriever.search(vector, min_score=1.5).hits == []


def test_a_vector_that_the_space_cannot_compare_is_refused(engine: Engine, corpus: Corpus) -> None:
    retriever = retriever_of(engine)
    refused = [
        ([1.0] * (DIMENSIONS - 1), "has 7 dimensions, but the live space \\(some/model\\) has 8"),
        (np.ones(DIMENSIONS + 1), "has 9 dimensions"),
        ([0.0] * DIMENSIONS, "zero, which has no direction"),
    ]
    for vector, message in refused:
        for asked in ({}, {"exact": True}, {"project": "p"}):
            with pytest.raises(UsageError, match=message):
                retriever.search(vector, **asked)


def test_vectors_of_any_length_are_compared_by_direction(engine: Engine, corpus: Corpus) -> None:
    retriever = retriever_of(engine)
    vector = corpus.chunks[5].vector
    expected = [hit.chunk_id for hit in retriever.search(vector).hits]
    for length in (1e-300, 1e-40, 1e-20, 1e20, 1e40, 1e300):
        answer = retriever.search(vector * length)
        check(answer, corpus, vector, "cosine", corpus.chunks, 10)
        assert [hit.chunk_id for hit in answer.hits] == expected
    # Distances that grow with the vector are limited by the server's four-byte numbers.
    check(retriever.search(vector * 1e14, distance="l2"), corpus, vector * 1e14, "l2", corpus.chunks, 10)
    zero = np.zeros(DIMENSIONS)
    for distance in ("l2", "ip", "l1"):
        check(retriever.search(zero, distance=distance), corpus, zero, distance, corpus.chunks, 10)
        with pytest.raises(UsageError, match="beyond 1e\\+15"):
            retriever.search(vector * 1e300, distance=distance)


def test_a_stored_zero_vector_is_no_hit_for_cosine(engine: Engine) -> None:
    corpus = make_corpus(engine, "ip")
    zero = corpus.chunks_of("d04.md")[0]
    change_database(
        engine,
        "UPDATE rag.embeddings_1 SET embedding = '[0,0,0,0,0,0,0,0]' WHERE content_hash = :h",
        h=zero.content_hash,
    )
    answer = retriever_of(engine).search(corpus.chunks[0].vector, k=1000, distance="cosine")
    assert len(answer.hits) == len(corpus.chunks) - 1
    assert zero.chunk_id not in {hit.chunk_id for hit in answer.hits}


def test_search_many_answers_like_single_searches(engine: Engine, corpus: Corpus) -> None:
    retriever = retriever_of(engine)
    vectors = [one.vector for one in corpus.chunks[:7]]
    queries = [*vectors, vectors[0], "text 4 2.", list(vectors[1]), "text 4 2."]
    options: list[dict[str, Any]] = [
        {},
        {"k": 1},
        {"k": 1000},
        {"distance": "l2"},
        {"distance": "l1"},
        {"exact": True},
        {"project": "q"},
        {"min_score": 0.5},
        {"mmr": 0.5},
        {"context": 1},
        {"timeout_s": 60.0},
    ]
    for chosen in options:
        alone = [retriever.search(query, **chosen) for query in queries]
        together = retriever.search_many(iter(queries), **chosen)
        for one, other in zip(alone, together, strict=True):
            assert (one.query, one.hits, one.plan) == (other.query, other.hits, other.plan)
    assert retriever.search_many([]) == []
    with pytest.raises(UsageError, match="the query is empty"):
        retriever.search_many([vectors[0], " "])
    # The characters of a text are not queries.
    for one in ("whale", b"whale", {"whale": 1}, None, 5):
        with pytest.raises(UsageError, match="search_many takes a list of texts or vectors, not"):
            retriever.search_many(one)  # type: ignore[arg-type]
