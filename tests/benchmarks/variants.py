"""Searches that differ in one thing, asked the same judged questions; tests.benchmarks.quality starts this."""

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

TITLED = text(
    "SELECT DISTINCT ON (c.content_hash) c.content_hash, d.title, c.heading_path, c.chunk_text "
    "FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
    "WHERE c.chunking = :chunking ORDER BY c.content_hash, d.file_path"
)


class Remembering:
    """Asks the same only once: variants that fuse otherwise fuse the same two rankings."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._answers: dict[Any, Answer] = {}

    def search(self, query: str, **which: Any) -> Answer:
        key = (query, *sorted(which.items()))
        if key not in self._answers:
            self._answers[key] = self._retriever.search(query, **which)
        return self._answers[key]


@dataclass(frozen=True)
class Fused:
    """A retriever that fuses the package's two rankings in a way of its own; `run_evaluation` takes it for one."""

    retriever: Remembering
    fuse: Any
    depth: int = 100

    def search(self, query: str, *, k: int = 10, mode: str = "hybrid", **which: Any) -> Answer:
        deep = max(k, self.depth)
        near, worded = (self.retriever.search(query, k=deep, mode=one, **which) for one in ("vector", "text"))
        fused = self.fuse(near.hits[: self.depth], worded.hits[: self.depth])[:k]
        hits = [replace(hit, rank=rank, score=score) for rank, (score, hit) in enumerate(fused, start=1)]
        return replace(near, hits=hits, took_ms=near.took_ms + worded.took_ms)


@dataclass(frozen=True)
class Prompted:
    """Words put before each question, as some models want them."""

    retriever: Remembering
    prompt: str

    def search(self, query: str, **which: Any) -> Answer:
        return self.retriever.search(self.prompt + query, **which)


def by_rank(constant: float, weight: float) -> Any:
    def fuse(near: Sequence[Hit], worded: Sequence[Hit]) -> list[tuple[float, Hit]]:
        weights = [weight, 1 - weight]
        return reciprocal_rank_fusion(
            [near, worded], lambda hit: hit.chunk_id, weights=weights, constant=round(constant)
        )

    return fuse


def relative_score_fusion(weight: float) -> Any:
    """Scores of both rankings, each stretched to 0..1 between its last and its first, and added up.

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
    """Put in place of each vector that of the text with the document's title and the headings above it."""
    from rag_assets.embedding.encoder import get_space_encoder

    with engine.connect() as connection:
        space = get_live_space(connection)
        assert space is not None
        rows = connection.execute(TITLED, {"chunking": space.chunking}).all()
    encoder = get_space_encoder(space)
    titled = sorted(((row.content_hash, with_headings(row)) for row in rows), key=lambda pair: len(pair[1]))
    change = text(f"UPDATE rag.{partition_name(space.id)} SET embedding = :vector WHERE content_hash = :hash")
    for start in range(0, len(titled), 16):
        batch = titled[start : start + 16]
        vectors = encoder.encode([one for _, one in batch])
        with engine.begin() as connection:
            values = [
                {"hash": key, "vector": str(vector.tolist())} for (key, _), vector in zip(batch, vectors, strict=True)
            ]
            connection.execute(change, values)


def with_headings(row: Any) -> str:
    headings = [row.title, *row.heading_path] if row.title not in row.heading_path[:1] else row.heading_path
    above = " > ".join(one for one in headings if one)
    return row.chunk_text if row.chunk_text.startswith(above) else f"{above}\n\n{row.chunk_text}"


def variants(engine: Engine, wanted: dict[str, Any]) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """(retriever, mode, options) by the name that the table gives it; gains are counted from the first."""
    plain = Remembering(Retriever(engine))
    named: dict[str, tuple[Any, Any, dict[str, Any]]] = {mode: (plain, mode, {}) for mode in wanted["modes"]}
    for constant, weight, depth in wanted["fusions"]:
        fused = Fused(plain, by_rank(constant, weight), round(depth))
        named[f"ranks, constant {constant:g}, weight {weight:g}, depth {depth:g}"] = (fused, "hybrid", {})
    for weight in wanted["scores"]:
        named[f"scores, weight {weight:g}"] = (Fused(plain, relative_score_fusion(weight)), "hybrid", {})
    for prompt in wanted["prompts"]:
        named[f"vector, questions begin with {prompt!r}"] = (Prompted(plain, prompt), "vector", {})
    if wanted["ef_search"]:
        # A small project is answered exactly, whatever ef_search is: these look through all of them.
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
    for name, (retriever, mode, options) in variants(engine, wanted).items():
        scores = [ndcg(asked, retriever, mode, {"project": project} | options) for project, asked in sets.items()]
        first = first or scores
        gain = sum(scores) / len(scores) - sum(first) / len(first)
        print(f"| {name} |", " | ".join(f"{score:.3f}" for score in scores), f"| {gain:+.3f} |", flush=True)


def ndcg(asked: EvaluationQuerySet, retriever: Any, mode: str, options: dict[str, Any]) -> float:
    def search(query: str, k: int) -> Answer:
        # The best hundred chunks have ten documents, and both rankings are as deep as in a search for ten hits.
        found: Answer = retriever.search(query, k=min(k, 100), mode=mode, **options)
        return found

    return evaluate_search(asked.queries, search).metrics["ndcg@10"]


if __name__ == "__main__":
    main()
