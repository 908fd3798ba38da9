"""Metrics of evaluation queries compared with ones worked out by hand, on given rankings and on a real index."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from rag_assets.errors import UsageError
from rag_assets.search.evaluation.evaluate import evaluate_search
from rag_assets.search.evaluation.metrics import percentiles
from rag_assets.search.evaluation.queries import EvaluationQuery, EvaluationQuerySet, Passage
from rag_assets.search.evaluation.run import run_evaluation
from rag_assets.search.results import Hit
from rag_assets.search.retriever import Retriever
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows


@dataclass
class Page:
    hits: list[Hit]
    took_ms: float = 2.0
    embedding_ms: float = 1.0


@dataclass
class Ranking:
    """A search that returns the chunks of these documents in this order, and records each `k`."""

    paths: Sequence[str]
    asked: list[int] = field(default_factory=list)

    def __call__(self, query: str, k: int) -> Page:
        self.asked.append(k)
        return Page([hit(rank, path) for rank, path in enumerate(self.paths[:k], start=1)])


def hit(rank: int, path: str, start: int = 0, end: int = 100) -> Hit:
    return Hit(rank, 1 - rank / 1e9, "p", path, None, uuid4(), 0, [], start, end, "text", uuid4(), "text", None)


def test_metrics_match_their_definitions() -> None:
    # Documents rank by their best chunk: b, x, a.
    found = evaluate_search(
        [EvaluationQuery("1", "?", {"a": 2, "b": 1, "gone": 1, "judged": 0})], Ranking(["b", "b", "x", "b", "a", "x"])
    )
    gained, ideal = 1 / log2(2) + 2 / log2(4), 2 / log2(2) + 1 / log2(3) + 1 / log2(4)
    assert found.metrics == {
        "ndcg@10": round(gained / ideal, 4),
        "recall@10": round(2 / 3, 4),
        "recall@100": round(2 / 3, 4),
        "mrr@10": 1.0,
        "hit_rate@10": 1.0,
    }
    assert found.queries[0].found == ["b", "x", "a"]


def test_a_relevant_document_below_rank_ten_counts_only_for_recall_at_100() -> None:
    found = evaluate_search([EvaluationQuery("1", "?", {"deep": 1})], Ranking([f"x{n}" for n in range(10)] + ["deep"]))
    assert found.metrics == {"ndcg@10": 0, "recall@10": 0, "recall@100": 1, "mrr@10": 0, "hit_rate@10": 0}


def test_means_cover_all_queries_and_the_worst_come_first() -> None:
    class Two(Ranking):
        def __call__(self, query: str, k: int) -> Page:
            return Page([]) if query == "lost" else super().__call__(query, k)

    questions = [
        EvaluationQuery("1", "good", {"a": 1}),
        EvaluationQuery("2", "lost", {"a": 1}),
        EvaluationQuery("3", "late", {"b": 1}),
    ]
    found = evaluate_search(questions, Two(["a", "b"]))
    assert found.metrics["mrr@10"] == 0.5
    assert found.metrics["hit_rate@10"] == round(2 / 3, 4)
    assert [one.query.text for one in found.worst()] == ["lost", "late"]
    assert [one.query.text for one in found.worst(1)] == ["lost"]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "two words", "\n", "ü" * 5000])
def test_any_path_can_be_judged(name: str) -> None:
    found = evaluate_search([EvaluationQuery("1", "?", {name: 1, "a": 1})], Ranking(["a", name]))
    assert found.metrics["ndcg@10"] == 1


def test_hits_rank_by_order_even_where_scores_are_equal_as_floats() -> None:
    paths = [f"{n:03}" for n in range(100)]
    assert evaluate_search([EvaluationQuery("1", "?", {"000": 1})], Ranking(paths)).metrics["mrr@10"] == 1
    assert evaluate_search([EvaluationQuery("1", "?", {"009": 1})], Ranking(paths)).metrics["mrr@10"] == 0.1


def test_searches_widen_until_a_hundred_documents_or_all_are_found() -> None:
    question = [EvaluationQuery("1", "?", {"last": 1})]
    many = Ranking([f"x{n // 9}" for n in range(9 * 99)] + ["last"] + ["y"] * 200)
    found = evaluate_search(question, many)
    assert (found.metrics["recall@100"], found.incomplete) == (1, 0)
    assert len(found.queries[0].found) == 100
    few = Ranking(["x"] * 150 + ["last"])
    found = evaluate_search(question, few)
    assert (found.metrics["recall@10"], found.incomplete) == (1, 0)
    assert max(few.asked) <= 1000


def test_a_query_with_fewer_than_a_hundred_documents_in_reach_is_counted() -> None:
    deep = Ranking(["x"] * 5000)
    found = evaluate_search([EvaluationQuery("1", "?", {"y": 1})], deep)
    assert found.incomplete == 1
    assert max(deep.asked) == 1000


def test_a_passage_is_found_by_a_chunk_with_half_of_it() -> None:
    passages = (Passage("a", 90, 110, 1), Passage("a", 130, 180, 2), Passage("b", 0, 5, 1))

    def search(query: str, k: int) -> Page:
        # The first overlaps too little with any passage, the second contains two, the third repeats them.
        return Page([hit(1, "a", 0, 95), hit(2, "a", 100, 200), hit(3, "a", 100, 200), hit(4, "c", 0, 5)][:k])

    found = evaluate_search(
        [EvaluationQuery("1", "?", {"a": 1}, passages), EvaluationQuery("2", "?", {"a": 1})], search
    )
    assert found.passages == {"recall@10": round(2 / 3, 4), "mrr@10": 0.5, "hit_rate@10": 1}
    assert evaluate_search([EvaluationQuery("2", "?", {"a": 1})], search).passages == {}


def test_latency_of_database_and_model_are_separate() -> None:
    times = iter(range(1, 1000))

    def search(query: str, k: int) -> Page:
        # Loading the model slows down the first query only.
        return Page([], took_ms=float(k), embedding_ms=5000.0 if next(times) == 1 else 3.0)

    found = evaluate_search([EvaluationQuery(str(n), "?", {"a": 1}) for n in range(5)], search)
    assert found.latency_ms == {"p50": 10.0, "p95": 10.0, "embedding_p50": 3.0, "embedding_p95": 3.0}
    assert percentiles([float(n) for n in range(100, 0, -1)]) == {"p50": 50.0, "p95": 95.0}


@pytest.fixture
def retriever(built: Engine) -> Retriever:
    return Retriever(built, encoder=lambda space: HashEncoder(space.dimensions))


def known_chunks(engine: Engine, project: str) -> list[EvaluationQuery]:
    """Queries that are texts of the index, so that the right results are certain."""
    found = rows(
        engine,
        "SELECT c.chunk_text, d.file_path, c.char_start, c.char_end FROM rag.document_chunks c "
        "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id "
        "WHERE p.name = :project AND d.file_path LIKE 'page%' AND c.chunk_index = 4 ORDER BY d.file_path",
        project=project,
    )
    return [EvaluationQuery(path, text, {path: 2}, (Passage(path, start, end, 2),)) for text, path, start, end in found]


def test_stored_texts_find_their_own_documents_and_passages(built: Engine, retriever: Retriever) -> None:
    questions = known_chunks(built, "zoo")
    assert len(questions) == 12
    report = run_evaluation(built, retriever, EvaluationQuerySet(questions), project="zoo", mode="vector")
    assert set(report.evaluation.metrics.values()) == {1.0}
    assert set(report.evaluation.passages.values()) == {1.0}
    assert report.evaluation.latency_ms["p50"] > 0
    assert report.settings["mode"] == "vector"
    # Twelve pages and two copies; the blank file has no chunk.
    assert (report.settings["documents"], report.missing) == (14, [])
    assert len(report.evaluation.queries[0].found) == 14


def test_judged_documents_that_are_not_indexed_are_reported(built: Engine, retriever: Retriever) -> None:
    [question, *_] = known_chunks(built, "zoo")
    asked = EvaluationQuery("1", question.text, {**question.relevant, "gone.md": 2, "blank.txt": 1, "nothing.md": 0})
    report = run_evaluation(built, retriever, EvaluationQuerySet([asked]), project="zoo")
    assert report.missing == ["blank.txt", "gone.md"]
    assert report.settings["judged_documents_missing"] == 2
    assert report.evaluation.metrics["recall@100"] == round(1 / 3, 4)


def test_documents_judged_by_id_match_files_by_name(built: Engine, retriever: Retriever) -> None:
    questions = [
        EvaluationQuery(q.id, q.text, {path.removesuffix(".md"): 1 for path in q.relevant})
        for q in known_chunks(built, "sea")
    ]
    questions.append(EvaluationQuery("x", "storm", {"unknown": 1}))
    report = run_evaluation(
        built, retriever, EvaluationQuerySet(questions, by_document_id=True, not_judged=3), project="sea"
    )
    assert report.missing == ["unknown"]
    assert report.evaluation.metrics["ndcg@10"] == round(12 / 13, 4)
    assert report.settings["questions_not_judged"] == 3


def test_one_project_is_evaluated_on_its_own_documents(built: Engine, retriever: Retriever) -> None:
    questions = EvaluationQuerySet(known_chunks(built, "sea"))
    here, there = (
        run_evaluation(built, retriever, questions, project=project).evaluation.metrics["ndcg@10"]
        for project in ("sea", "zoo")
    )
    assert here == 1 > there


def test_errors_of_searches_are_raised(built: Engine, retriever: Retriever) -> None:
    with pytest.raises(UsageError, match=r"no project 'nope' \(known: sea, zoo\)"):
        run_evaluation(built, retriever, EvaluationQuerySet(known_chunks(built, "sea")), project="nope")
