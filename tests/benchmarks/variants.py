"""Evaluate variants of search with the same evaluation queries; started by tests.benchmarks.quality."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from rag_assets.cli.runtime import installation
from rag_assets.db.database import shared_engine
from rag_assets.db.spaces.partitions import partition_name
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.search.evaluation.evaluate import evaluate_search
from rag_assets.search.evaluation.queries import EvaluationQuerySet, read_queries
from rag_assets.search.ranking.fusion import reciprocal_rank_fusion
from rag_assets.search.results import Answer, Hit
from rag_assets.search.retriever import Retriever

TITLED_CHUNKS = text(
    "SELECT DISTINCT ON (c.content_hash) c.content_hash, d.title, c.heading_path, c.chunk_text "
    "FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
    "WHERE c.chunking = :chunking ORDER BY c.content_hash, d.file_path"
)


class CachingRetriever:
    """Caches answers, so that all fusions use the same two rankings without searching again."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._answers: dict[Any, Answer] = {}

    def search(self, query: str, **which: Any) -> Answer:
        key = (query, *sorted(which.items()))
        if key not in self._answers:
            self._answers[key] = self._retriever.search(query, **which)
        return self._answers[key]


@dataclass(frozen=True)
class FusingRetriever:
    """Fuses the two rankings of the package with `fuse`; usable as a retriever in an evaluation."""

    retriever: CachingRetriever
    fuse: Any
    depth: int = 100

    def search(self, query: str, *, k: int = 10, mode: str = "hybrid", **which: Any) -> Answer:
        deep = max(k, self.depth)
        near, worded = (self.retriever.search(query, k=deep, mode=one, **which) for one in ("vector", "text"))
        fused = self.fuse(near.hits[: self.depth], worded.hits[: self.depth])[:k]
        hits = [replace(hit, rank=rank, score=score) for rank, (score, hit) in enumerate(fused, start=1)]
        return replace(near, hits=hits, took_ms=near.took_ms + worded.took_ms)


@dataclass(frozen=True)
class PromptingRetriever:
    """Puts a prompt before each query, as some models need."""

    retriever: CachingRetriever
    prompt: str

    def search(self, query: str, **which: Any) -> Answer:
        return self.retriever.search(self.prompt + query, **which)


def rank_fusion(constant: float, weight: float) -> Any:
    def fuse(near: Sequence[Hit], worded: Sequence[Hit]) -> list[tuple[float, Hit]]:
        weights = [weight, 1 - weight]
        return reciprocal_rank_fusion(
            [near, worded], lambda hit: hit.chunk_id, weights=weights, constant=round(constant)
        )

    return fuse


def relative_score_fusion(weight: float) -> Any:
    """The weighted sum of the scores of both rankings, each scaled to 0..1 between its last and first hit.

    Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS 2023).
    """

    def fuse(near: Sequence[Hit], worded: Sequence[Hit]) -> list[tuple[float, Hit]]:
        scores: dict[Any, float] = {}
        hits = {hit.chunk_id: hit for hit in (*worded, *near)}
        for ranking, share in ((near, weight), (worded, 1 - weight)):
            low, high = (ranking[-1].score, ranking[0].score) if ranking else (0.0, 0.0)
            for hit in ranking:
                stretched = (hit.score - low) / (high - low) if high > low else 1.0
                scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + share * stretched
        return sorted(((score, hits[found]) for found, score in scores.items()), key=lambda pair: -pair[0])

    return fuse


def embed_titles(engine: Engine) -> None:
    """Replace each vector by that of the text with the document's title and heading path before it."""
    from rag_assets.embedding.encoder import get_space_encoder

    with engine.connect() as connection:
        space = get_live_space(connection)
        assert space is not None
        rows = connection.execute(TITLED_CHUNKS, {"chunking": space.chunking}).all()
    encoder = get_space_encoder(space)
    titled = sorted(((row.content_hash, prepend_headings(row)) for row in rows), key=lambda pair: len(pair[1]))
    change = text(f"UPDATE rag.{partition_name(space.id)} SET embedding = :vector WHERE content_hash = :hash")
    for start in range(0, len(titled), 16):
        batch = titled[start : start + 16]
        vectors = encoder.encode([one for _, one in batch])
        with engine.begin() as connection:
            values = [
                {"hash": key, "vector": str(vector.tolist())} for (key, _), vector in zip(batch, vectors, strict=True)
            ]
            connection.execute(change, values)


def prepend_headings(row: Any) -> str:
    headings = [row.title, *row.heading_path] if row.title not in row.heading_path[:1] else row.heading_path
    above = " > ".join(one for one in headings if one)
    return row.chunk_text if row.chunk_text.startswith(above) else f"{above}\n\n{row.chunk_text}"


def make_variants(engine: Engine, wanted: dict[str, Any]) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """(retriever, mode, options) by the name in the table; gains are relative to the first variant."""
    plain = CachingRetriever(Retriever(engine))
    named: dict[str, tuple[Any, Any, dict[str, Any]]] = {mode: (plain, mode, {}) for mode in wanted["modes"]}
    for constant, weight, depth in wanted["fusions"]:
        fused = FusingRetriever(plain, rank_fusion(constant, weight), round(depth))
        named[f"ranks, constant {constant:g}, weight {weight:g}, depth {depth:g}"] = (fused, "hybrid", {})
    for weight in wanted["scores"]:
        named[f"scores, weight {weight:g}"] = (FusingRetriever(plain, relative_score_fusion(weight)), "hybrid", {})
    for prompt in wanted["prompts"]:
        named[f"vector, questions begin with {prompt!r}"] = (PromptingRetriever(plain, prompt), "vector", {})
    if wanted["ef_search"]:
        # Searches of a small project are exact for any ef_search, so these search all projects.
        named["vector in all projects, exact"] = (plain, "vector", {"project": None, "exact": True})
    for ef_search in map(round, wanted["ef_search"]):
        options = {"project": None, "ef_search": ef_search}
        named[f"vector in all projects, ef_search {ef_search}"] = (plain, "vector", options)
    return named


def main() -> None:
    wanted = json.loads(sys.argv[1])
    settings = installation.enter()
    engine = shared_engine(settings)
    if wanted["titles"]:
        embed_titles(engine)
    sets = {name: read_queries(Path(file)) for name, file in wanted["sets"].items()}
    print("| variant |", " | ".join(f"{name} ({len(asked.queries)})" for name, asked in sets.items()), "| gain |")
    print("|---" * (len(sets) + 2) + "|")
    first: list[float] = []
    for name, (retriever, mode, options) in make_variants(engine, wanted).items():
        scores = [
            measure_ndcg(asked, retriever, mode, {"project": project, "distinct": False} | options)
            for project, asked in sets.items()
        ]
        first = first or scores
        gain = sum(scores) / len(scores) - sum(first) / len(first)
        print(f"| {name} |", " | ".join(f"{score:.3f}" for score in scores), f"| {gain:+.3f} |", flush=True)


def measure_ndcg(asked: EvaluationQuerySet, retriever: Any, mode: str, options: dict[str, Any]) -> float:
    def search(query: str, k: int) -> Answer:
        # A hundred chunks cover ten documents, and keep both rankings as deep as in a search for ten hits.
        found: Answer = retriever.search(query, k=min(k, 100), mode=mode, **options)
        return found

    return evaluate_search(asked.queries, search).metrics["ndcg@10"]


if __name__ == "__main__":
    main()
