"""How well searches find what judged questions ask for, and how long they take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag_assets.search.evaluation.metrics import PAGE_SIZE, RECALL_DEPTH, compute_metrics, mean_metrics, percentiles
from rag_assets.search.evaluation.queries import EvaluationQuery

if TYPE_CHECKING:
    from rag_assets.search.results import Hit

MAX_CHUNKS = 1_000


class TimedAnswer(Protocol):
    """What a search gives; `Answer` of the retriever is one. `took_ms` is the database's part."""

    @property
    def hits(self) -> "Sequence[Hit]": ...
    @property
    def took_ms(self) -> float: ...
    @property
    def embedding_ms(self) -> float: ...


Search = Callable[[str, int], TimedAnswer]


@dataclass(frozen=True, slots=True)
class QueryEvaluation:
    """One question's figures, and the documents that were found for it, best first."""

    question: EvaluationQuery
    metrics: Mapping[str, float]
    found: Sequence[str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all questions, from 0 to 1.

    `passages` has the like for the chunks shown, over the questions whose passages are judged. `shallow` counts
    the questions for which even the 1,000 best chunks are of fewer than 100 documents while more were to come.
    """

    metrics: Mapping[str, float]
    passages: Mapping[str, float]
    latency_ms: Mapping[str, float]
    judged: Sequence[QueryEvaluation]
    shallow: int

    def lost(self, count: int = 10) -> list[QueryEvaluation]:
        """The questions that lost most, the worst first; without those that lost nothing."""
        worst = sorted(self.judged, key=lambda one: (one.metrics["ndcg@10"], one.metrics["recall@100"]))
        return [one for one in worst if one.metrics["ndcg@10"] < 1][:count]


def evaluate_search(
    questions: Iterable[EvaluationQuery], search: Search, document_of: Callable[[str], str] = lambda path: path
) -> Evaluation:
    """Ask every question, and hold what comes back against what was judged.

    A document's score is that of its best chunk, and `document_of` gives a file path the name by which documents
    are judged. Gains are the grades themselves, as in trec_eval and BEIR; a grade of 1 counts as relevant.
    Latency is that of a search for ten chunks; of the model, that of the first time: a question that was asked
    before this evaluation is only looked up.
    """
    questions = list(questions)
    times, embedding = [], []
    documents: list[list[str]] = []
    chunks: list[list[str]] = []
    shallow = 0
    for number, question in enumerate(questions):
        page = search(question.query, PAGE_SIZE)
        embedding.append(page.embedding_ms)
        if number == 0:
            # The first search also pays for connecting, planning and cold pages.
            page = search(question.query, PAGE_SIZE)
        times.append(page.took_ms)
        chunks.append(_rank_passages(question, page.hits))
        found, complete = _rank_documents(search, question.query, document_of)
        documents.append(found)
        shallow += not complete
    per_question = compute_metrics([question.relevant for question in questions], documents)
    passages = [index for index, question in enumerate(questions) if question.passages]
    of_passages = compute_metrics(
        [{_passage_name(n): one.grade for n, one in enumerate(questions[index].passages)} for index in passages],
        [chunks[index] for index in passages],
    )
    passage_means = mean_metrics(of_passages)
    # The first question pays for loading the model.
    embedded = embedding[1:] or embedding
    return Evaluation(
        metrics=mean_metrics(per_question),
        # Ten hits may show more than ten passages; none of these counts as one too deep.
        passages=passage_means
        and {
            "recall@10": passage_means["recall@100"],
            "mrr@10": passage_means["mrr@10"],
            "hit_rate@10": passage_means["hit_rate@10"],
        },
        latency_ms={**percentiles(times), **percentiles(embedded, "embedding_")},
        judged=[
            QueryEvaluation(question, figures, found)
            for question, figures, found in zip(questions, per_question, documents, strict=True)
        ],
        shallow=shallow,
    )


def _rank_documents(search: Search, query: str, document_of: Callable[[str], str]) -> tuple[list[str], bool]:
    """The best 100 documents, and whether no others could follow or enough came."""
    chunks = RECALL_DEPTH
    while True:
        hits = search(query, chunks).hits
        found = list(dict.fromkeys(document_of(hit.file_path) for hit in hits))[:RECALL_DEPTH]
        enough = len(found) == RECALL_DEPTH or len(hits) < chunks
        if enough or chunks == MAX_CHUNKS:
            return found, enough
        # As many more as the chunks so far suggest, and some to spare.
        chunks = min(MAX_CHUNKS, max(2 * chunks, chunks * RECALL_DEPTH * 5 // (4 * max(1, len(found)))))


def _rank_passages(question: EvaluationQuery, hits: "Sequence[Hit]") -> list[str]:
    """For each hit the passages that it is first to show, else a place that is none.

    A hit shows a passage when they share half of the shorter of the two.
    """
    left = {_passage_name(number): passage for number, passage in enumerate(question.passages)}
    found = []
    for hit in hits:
        shown = []
        for name, passage in left.items():
            shared = min(hit.char_end, passage.char_end) - max(hit.char_start, passage.char_start)
            shorter = min(hit.char_end - hit.char_start, passage.char_end - passage.char_start)
            if hit.file_path == passage.file_path and 2 * shared >= shorter:
                shown.append(name)
        for name in shown:
            del left[name]
        found.extend(shown or [f"hit {hit.rank}"])
    return found


def _passage_name(number: int) -> str:
    return f"passage {number}"
