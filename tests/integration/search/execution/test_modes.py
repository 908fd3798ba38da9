"""The modes vector, text and hybrid: their fusion, and post-processing with each of them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from rag_assets.errors import ServiceError, UsageError
from rag_assets.search import request
from rag_assets.search.ranking.fusion import RRF_CONSTANT
from rag_assets.search.request import FUSION_DEPTH
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from tests.support.database.database_server import DatabaseServer
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

QUESTION = "whale in the winter storm"
MODES = ("vector", "text", "hybrid")


class ByLength:
    """A reranker that scores longer texts higher, on a scale of its own."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked += texts
        return [len(text) - 10_000 for text in texts]


@pytest.fixture
def retriever(built: Engine) -> Retriever:
    return Retriever(built, encoder=lambda space: HashEncoder(), reranker=ByLength())


def ids(answer: Answer) -> list[UUID]:
    return [hit.chunk_id for hit in answer.hits]


def ranks(answer: Answer) -> dict[UUID, int]:
    return {hit.chunk_id: hit.rank for hit in answer.hits}


def mean_ranks(answer: Answer) -> dict[UUID, float]:
    """Hits with the same score share the mean of their ranks."""
    of_score = defaultdict(list)
    for hit in answer.hits:
        of_score[hit.score].append(hit.rank)
    return {hit.chunk_id: mean(of_score[hit.score]) for hit in answer.hits}


def test_hybrid_search_is_the_reciprocal_rank_fusion_of_both_rankings(retriever: Retriever) -> None:
    filters: list[dict[str, Any]] = [{}, {"project": "zoo"}, {"path_glob": "page0[0-4].md"}, {"path_glob": "page01*"}]
    for chosen in filters:
        for weights in ((1, 1), (2.0, 0.5)):
            chosen["distinct"] = False
            by_vector = retriever.search(QUESTION, mode="vector", k=FUSION_DEPTH, **chosen)
            by_text = retriever.search(QUESTION, mode="text", k=FUSION_DEPTH, **chosen)
            answer = retriever.search(QUESTION, mode="hybrid", k=25, weights=weights, **chosen)
            expected: dict[UUID, float] = {}
            for weight, ranking in zip(weights, (by_vector, by_text), strict=True):
                for id_, rank in mean_ranks(ranking).items():
                    expected[id_] = expected.get(id_, 0) + weight / (RRF_CONSTANT + rank)
            best = sorted(expected.values(), reverse=True)[:25]
            assert [hit.score for hit in answer.hits] == pytest.approx(best, abs=1e-6)
            scores = {
                name: {h.chunk_id: h.score for h in a.hits} for name, a in (("vector", by_vector), ("text", by_text))
            }
            for hit in answer.hits:
                assert hit.score == pytest.approx(expected[hit.chunk_id], abs=1e-6)
                of_each = {name: found[hit.chunk_id] for name, found in scores.items() if hit.chunk_id in found}
                assert hit.parts == pytest.approx({"fused": hit.score, **of_each}, abs=1e-6)
    # The last filter passes chunks.
    assert answer.hits
    assert retriever.search(QUESTION, mode="hybrid", path_glob="page0\\[0-4].md").hits == []


def test_a_ranking_with_weight_0_has_no_effect(retriever: Retriever) -> None:
    by_vector = retriever.search(QUESTION, mode="vector", k=50)
    by_text = retriever.search(QUESTION, mode="text", k=50)
    assert ids(retriever.search(QUESTION, mode="hybrid", k=50, weights=(1, 0))) == ids(by_vector)
    assert ids(retriever.search(QUESTION, mode="hybrid", k=50, weights=(0, 1))) == ids(by_text)
    # Three chunks have the phrase; no other is a hit, whatever k is.
    phrase = '"keeper feeds the whale every morning"'
    for distinct, count in ((False, 3), (True, 1)):
        answer = retriever.search(phrase, mode="hybrid", k=50, weights=(0, 1), distinct=distinct)
        assert ids(answer) == ids(retriever.search(phrase, mode="text", k=50, distinct=distinct))
        assert len(answer.hits) == count


def test_figures_say_how_an_answer_was_found(retriever: Retriever, built: Engine) -> None:
    [(ef_search,)] = rows(built, "SELECT ef_search FROM rag.embedding_spaces")
    by_vector, by_text, by_hybrid = (retriever.search(QUESTION, mode=mode, k=5) for mode in MODES)
    assert (by_vector.plan, by_text.plan, by_hybrid.plan) == ("index", "words", "index, words")
    assert (by_vector.ef_search, by_text.ef_search, by_hybrid.ef_search) == (ef_search, None, ef_search)
    assert by_hybrid.considered == max(ef_search, FUSION_DEPTH) + by_text.considered
    assert retriever.search(QUESTION, mode="hybrid", ef_search=300).ef_search == 300
    assert retriever.search(QUESTION, mode="vector", k=150, ef_search=30).ef_search == 150
    zoo = retriever.search(QUESTION, mode="vector", project="zoo")
    assert (zoo.plan, zoo.ef_search) == ("exact", None)
    assert by_text.embedding_ms == 0
    assert [answer.mode for answer in (by_vector, by_text, by_hybrid)] == list(MODES)


def test_text_mode_needs_no_model(built: Engine) -> None:
    def none(space: Any) -> Any:
        raise AssertionError("the model was asked")

    assert Retriever(built, encoder=none).search(QUESTION, mode="text").hits


@pytest.mark.parametrize("mode", MODES)
def test_post_processing_works_with_each_mode(retriever: Retriever, built: Engine, mode: Any) -> None:
    plain = retriever.search(QUESTION, mode=mode, k=10)
    scores = [hit.score for hit in plain.hits]
    count = next(number for number in range(5, 10) if scores[number - 1] > scores[number])
    middle = (scores[count - 1] + scores[count]) / 2
    assert ids(retriever.search(QUESTION, mode=mode, k=10, min_score=middle)) == ids(plain)[:count]
    assert ids(retriever.search(QUESTION, mode=mode, k=10, mmr=1.0)) == ids(plain)
    diverse = retriever.search(QUESTION, mode=mode, k=10, mmr=0.3)
    wide = retriever.search(QUESTION, mode=mode, k=50)
    assert diverse.hits[0].chunk_id == plain.hits[0].chunk_id
    assert set(ids(diverse)) <= set(ids(wide))
    assert ids(diverse) != ids(plain)
    around = retriever.search(QUESTION, mode=mode, k=10, context=1)
    assert ids(around) == ids(plain)
    contents = dict(rows(built, "SELECT id, content FROM rag.documents"))
    for hit, bare in zip(around.hits, plain.hits, strict=True):
        assert bare.context is None
        assert hit.context is not None
        assert hit.text in hit.context
        assert hit.context in contents[hit.document_id]
        # A copy is a document of one chunk.
        assert (len(hit.context) > len(hit.text)) == ("copy" not in hit.file_path)


@pytest.mark.parametrize("mode", MODES)
def test_a_reranker_orders_the_best_hits_again(retriever: Retriever, mode: Any) -> None:
    found = retriever.search(QUESTION, mode=mode, k=20)
    answer = retriever.search(QUESTION, mode=mode, k=20, rerank=8)
    judged = sorted(found.hits[:8], key=lambda hit: -len(hit.text))
    assert [len(hit.text) for hit in answer.hits[:8]] == [len(hit.text) for hit in judged]
    assert ids(answer)[8:] == ids(found)[8:]
    assert [hit.score for hit in answer.hits[:8]] == [len(hit.text) - 10_000 for hit in judged]
    assert all((hit.parts["rerank"] == hit.score) == (hit.rank <= 8) for hit in answer.hits if "rerank" in hit.parts)
    # Deeper than k: the best of 60 by the reranker's score.
    longest = sorted((len(hit.text) for hit in retriever.search(QUESTION, mode=mode, k=60).hits), reverse=True)
    assert [len(hit.text) for hit in retriever.search(QUESTION, mode=mode, k=3, rerank=60).hits] == longest[:3]
    # The reranker's scores are negative and the others' are not, but the others come after them.
    diverse = retriever.search(QUESTION, mode=mode, k=10, rerank=5, mmr=0.5)
    assert set(ids(diverse)[:5]) == set(ids(retriever.search(QUESTION, mode=mode, k=5)))
    assert ids(diverse)[5:] == ids(found)[5:10]


def test_reranking_without_a_reranker_is_refused(built: Engine) -> None:
    with pytest.raises(UsageError, match="no reranker is set"):
        Retriever(built, encoder=lambda space: HashEncoder()).search(QUESTION, rerank=5)


def test_search_many_answers_like_single_searches(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [QUESTION, "coral reef", QUESTION, "нет таких слов", "keeper -whale"]
    for mode in MODES:
        for chosen in ({"k": 7}, {"project": "sea"}, {"rerank": 3, "k": 5}):
            together = retriever.search_many(questions, mode=mode, **chosen)  # type: ignore[arg-type]
            for question, one in zip(questions, together, strict=True):
                alone = retriever.search(question, mode=mode, **chosen)  # type: ignore[arg-type]
                assert (one.query, one.hits) == (question, alone.hits)
    # Texts and vectors in one call, each in its own mode.
    monkeypatch.setattr(request, "DEFAULT_MODE", "hybrid")
    vector = HashEncoder().encode_query(QUESTION)
    for mixed in ([vector, QUESTION], [QUESTION, vector]):
        answers = retriever.search_many(mixed, k=5)
        assert [answer.mode for answer in answers] == ["hybrid" if isinstance(one, str) else "vector" for one in mixed]
        assert [answer.hits for answer in answers] == [retriever.search(one, k=5).hits for one in mixed]


def test_similar_centroid_aggregate_and_explain_hit(retriever: Retriever, built: Engine) -> None:
    [hit, *_] = retriever.search(QUESTION, mode="vector").hits
    like = retriever.similar(hit.chunk_id, k=5, context=1)
    assert hit.chunk_id not in ids(like)
    assert len(like.hits) == 5
    assert all(one.context for one in like.hits)
    assert retriever.similar(str(hit.chunk_id), k=5, context=1).hits == like.hits  # type: ignore[arg-type]
    exact = retriever.similar(hit.chunk_id, k=5, exact=True)
    assert (exact.plan, ids(exact)) == ("exact", ids(like))
    by_l1 = retriever.similar(hit.chunk_id, k=5, distance="l1")
    assert by_l1.plan == "exact"
    assert all(one.score < -1 for one in by_l1.hits)
    by_l2 = retriever.similar(hit.chunk_id, k=5, distance="l2")
    assert ids(by_l2) == ids(like)
    assert [one.score for one in by_l2.hits] == pytest.approx(
        [-((2 - 2 * one.score) ** 0.5) for one in like.hits], abs=1e-4
    )
    assert retriever.similar(hit.chunk_id, ef_search=77, k=3).ef_search in (77, None)
    others = retriever.similar(document=(hit.project, hit.file_path), k=5, project="zoo")
    assert {one.project for one in others.hits} == {"zoo"}
    known = retriever.explain_hit(hit.chunk_id)
    assert (known.text, known.served, known.current) == (hit.text, True, True)
    centre = retriever.centroid(project="zoo")
    nearest = retriever.search(centre, mode="vector", k=3, project="zoo")
    assert len(nearest.hits) == 3
    about = retriever.aggregate(project="zoo", nearest=2, buckets=4)
    assert about.vector == pytest.approx(centre, abs=1e-6)
    assert (len(about.nearest), len(about.histogram)) == (2, 4)
    towards = retriever.aggregate(to=hit.text, nearest=1)
    assert towards.nearest[0].document_id == hit.document_id
    assert retriever.aggregate(to=HashEncoder().encode_query(hit.text), nearest=1).nearest == towards.nearest


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.similar(), "one of the two"),
        (lambda r: r.similar(uuid4(), document=("zoo", "a")), "one of the two"),
        (lambda r: r.similar(uuid4()), "there is no chunk"),
        (lambda r: r.similar("x'; --"), "is not the id of a chunk"),
        (lambda r: r.similar(uuid4(), mode="text"), "similar has no option mode"),
        (lambda r: r.similar(uuid4(), rerank=3), "similar has no option rerank"),
        (lambda r: r.similar(uuid4(), project="nobody"), "no project 'nobody'"),
        (lambda r: r.similar(document=("zoo", "nowhere.md")), "has no document 'nowhere.md'"),
        (lambda r: r.similar(document=("zoo", "\x00")), "has no document"),
        (lambda r: r.similar(document=("\ud800", "a")), "no project"),
        (lambda r: r.similar(document="zoo/a.md"), "give its project and its file path"),
        (lambda r: r.similar(document=("zoo", 5)), "give its project and its file path"),
        (lambda r: r.centroid(k=5), "centroid has no option k"),
        (lambda r: r.centroid(path_glob="nothing*"), "no vectors of these chunks"),
        (lambda r: r.aggregate(mode="text"), "aggregate has no option mode"),
        (lambda r: r.aggregate(to=""), "the query is empty"),
        (lambda r: r.aggregate(to=[1.0]), "has 1 dimensions"),
        (lambda r: r.aggregate(to=[float("nan")] * 384), "NaN or infinite"),
        (lambda r: r.aggregate(to=["x"] * 384), "a text or a vector of numbers"),
        (lambda r: r.aggregate(to=5), "a text or a vector of numbers"),
        (lambda r: r.aggregate(to=[0.0] * 384), "the vector is zero"),
        (lambda r: r.aggregate(buckets=0), "buckets is 0"),
        (lambda r: r.explain_hit(uuid4()), "there is no chunk"),
        (lambda r: r.explain_hit(5), "5 is not the id of a chunk"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    shared_retriever: Retriever, ask: Callable[[Retriever], Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ask(shared_retriever)


@pytest.fixture(scope="module")
def shared_retriever(databases: DatabaseServer, built_template: str) -> Any:
    from rag_assets.db.connections.engines import make_engine

    with databases.copy(built_template) as url:
        engine = make_engine(url)
        yield Retriever(engine, encoder=lambda space: HashEncoder())
        engine.dispose()


def test_a_deleted_project_becomes_unknown(retriever: Retriever, built: Engine) -> None:
    for mode in MODES:
        assert retriever.search(QUESTION, mode=mode, project="sea").hits
    change_database(built, "DELETE FROM rag.projects WHERE name = 'sea'")
    for mode in MODES:
        with pytest.raises(UsageError, match="no project 'sea' \\(known: zoo\\)"):
            retriever.search(QUESTION, mode=mode, project="sea")
        assert retriever.search(QUESTION, mode=mode, project=["zoo"]).hits


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda text: [0.0] * 384, "zero"),
        (lambda text: [float("nan")] * 384, "NaN"),
        (lambda text: [1.0] * 5, "5 dimensions"),
    ],
)
def test_a_useless_vector_from_the_model_is_a_service_error(
    built: Engine, fault: Callable[[str], Any], message: str
) -> None:
    broken = Retriever(built, encoder=lambda space: HashEncoder(fault=fault))
    for mode in ("vector", "hybrid"):
        with pytest.raises(ServiceError, match=f"a vector that cannot be searched for: .*{message}"):
            broken.search(QUESTION, mode=mode)  # type: ignore[arg-type]
    assert rows(built, "SELECT count(*) FROM rag.query_vectors") == [(0,)]
