"""Evaluate a search on evaluation queries: quality metrics and latency."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rag_assets.search.evaluation.metrics import PAGE_SIZE, RECALL_DEPTH, compute_metrics, mean_metrics, percentiles
from rag_assets.search.evaluation.queries import EvaluationQuery

if TYPE_CHECKING:
    from rag_assets.search.results import Hit

MAX_CHUNKS = 1_000


class TimedAnswer(Protocol):
    """The result of a search, such as the retriever's `Answer`. `took_ms` is the time in the database."""

    @property
    def hits(self) -> "Sequence[Hit]": ...
    @property
    def took_ms(self) -> float: ...
    @property
    def embedding_ms(self) -> float: ...


Search = Callable[[str, int], TimedAnswer]


@dataclass(frozen=True, slots=True)
class QueryEvaluation:
    """The metrics of one query, and the documents found for it, best first."""

    query: EvaluationQuery
    metrics: Mapping[str, float]
    found: Sequence[str]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Mean metrics over all queries, from 0 to 1.

    `passages` has the metrics of the chunks of a page, over the queries with judged passages. `incomplete` counts the
    queries whose 1,000 best chunks belong to fewer than 100 documents although there are more chunks.
    """

    metrics: Mapping[str, float]
    passages: Mapping[str, float]
    latency_ms: Mapping[str, float]
    queries: Sequence[QueryEvaluation]
    incomplete: int

    def worst(self, count: int = 10) -> list[QueryEvaluation]:
        """The queries with the lowest metrics, worst first; without those of a perfect ranking."""
        ordered = sorted(self.queries, key=lambda one: (one.metrics["ndcg@10"], one.metrics["recall@100"]))
        return [one for one in ordered if one.metrics["ndcg@10"] < 1][:count]


def evaluate_search(
    queries: Iterable[EvaluationQuery], search: Search, document_of: Callable[[str], str] = lambda path: path
) -> Evaluation:
    """Search for each query, and compare the results with its judgements.

    A document ranks by its best chunk; `document_of` maps a file path to the name by which documents are judged. Gains
    are the grades themselves, as in trec_eval and BEIR; a grade of 1 or more counts as relevant. Latency is measured on
    a search for ten chunks, and that of the model on the first search for a query; the embedding of a query that was
    searched before this evaluation comes from the cache.
    """
    queries = list(queries)
    times, embedding = [], []
    documents: list[list[str]] = []
    chunks: list[list[str]] = []
    incomplete = 0
    for number, query in enumerate(queries):
        page = search(query.text, PAGE_SIZE)
        embedding.append(page.embedding_ms)
        if number == 0:
            # The first search includes the time to connect, to plan and to read cold pages.
            page = search(query.text, PAGE_SIZE)
        times.append(page.took_ms)
        chunks.append(_rank_passages(query, page.hits))
        found, complete = _rank_documents(search, query.text, document_of)
        documents.append(found)
        incomplete += not complete
    metrics = compute_metrics([query.relevant for query in queries], documents)
    with_passages = [index for index, query in enumerate(queries) if query.passages]
    passage_metrics = compute_metrics(
        [{_passage_name(n): one.grade for n, one in enumerate(queries[index].passages)} for index in with_passages],
        [chunks[index] for index in with_passages],
    )
    passage_means = mean_metrics(passage_metrics)
    # The first query includes the time to load the model.
    embedded = embedding[1:] or embedding
    return Evaluation(
        metrics=mean_metrics(metrics),
        # Ten hits may contain more than ten passages: all of them count, so recall@100 is that of the page.
        passages=passage_means
        and {
            "recall@10": passage_means["recall@100"],
            "mrr@10": passage_means["mrr@10"],
            "hit_rate@10": passage_means["hit_rate@10"],
        },
        latency_ms={**percentiles(times), **percentiles(embedded, "embedding_")},
        queries=[QueryEvaluation(*one) for one in zip(queries, metrics, documents, strict=True)],
        incomplete=incomplete,
    )


def _rank_documents(search: Search, query: str, document_of: Callable[[str], str]) -> tuple[list[str], bool]:
    """The best 100 documents, and whether the list is complete: it has 100, or there are no more chunks."""
    chunks = RECALL_DEPTH
    while True:
        hits = search(query, chunks).hits
        found = list(dict.fromkeys(document_of(hit.file_path) for hit in hits))[:RECALL_DEPTH]
        complete = len(found) == RECALL_DEPTH or len(hits) < chunks
        if complete or chunks == MAX_CHUNKS:
            return found, complete
        # As many as the documents per chunk so far suggest, and a quarter more.
        chunks = min(MAX_CHUNKS, max(2 * chunks, chunks * RECALL_DEPTH * 5 // (4 * max(1, len(found)))))


def _rank_passages(query: EvaluationQuery, hits: "Sequence[Hit]") -> list[str]:
    """For each hit the passages that it is the first to contain; for other hits a name of no passage.

    A hit contains a passage when they share half of the shorter of the two.
    """
    remaining = {_passage_name(number): passage for number, passage in enumerate(query.passages)}
    found = []
    for hit in hits:
        contained = []
        for name, passage in remaining.items():
            shared = min(hit.char_end, passage.char_end) - max(hit.char_start, passage.char_start)
            shorter = min(hit.char_end - hit.char_start, passage.char_end - passage.char_start)
            if hit.file_path == passage.file_path and 2 * shared >= shorter:
                contained.append(name)
        for name in contained:
            del remaining[name]
        found.extend(contained or [f"hit {hit.rank}"])
    return found


def _passage_name(number: int) -> str:
    return f"passage {number}"
