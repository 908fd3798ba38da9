"""How fast each backend embeds on this machine, and whether its vectors are those of torch.

    python -m tests.benchmarks.backends [--texts 400] [--rounds 3] [--model NAME]

Pieces of Python's documentation topics are embedded as an ingest embeds them: longest first, in batches of
RAG_ASSETS_BATCH_TOKENS. Backends take turns, and the fastest round of each counts. Prints one JSON object: for each
backend seconds, processor seconds, texts/s, the time's ratio to torch, the lowest cosine to torch's vectors, nDCG@10 of
the topics' questions and what is lost against torch. Backends that are not installed, and devices that are not there,
are `not run`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag_assets.embedding.batches import token_batches
from rag_assets.embedding.encoder import SentenceTransformerEncoder
from rag_assets.embedding.model import find_model
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKENDS = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
PIECE_WORDS = (20, 60, 120, 160)
QUESTIONS = Path(__file__).with_name("topics_questions.jsonl")
BEST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=load_settings().model)
    options = parser.parse_args()
    model, pieces = find_model(options.model), _pieces(options.texts)
    texts = [text for _, text in pieces]
    batches = list(token_batches([len(text) // 4 for text in texts], load_settings().batch_tokens))
    report: dict[str, Any] = {"model": model.name, "texts": len(texts), "cuda": "not run"}
    with tempfile.TemporaryDirectory() as folder:
        encoders = {
            backend: SentenceTransformerEncoder(
                model, device="cpu", backend=backend, state_dir=Path(folder), has_own_vectors=True
            )
            for backend, package in BACKENDS.items()
            if find_spec(package) is not None
        }
        vectors: dict[str, NDArray[np.float32]] = {}
        best: dict[str, tuple[float, float]] = {}
        for _ in range(options.rounds):
            for backend, encoder in encoders.items():
                encoder.encode(texts[-1:])
                before = time.perf_counter(), time.process_time()
                vectors[backend] = np.concatenate([encoder.encode(texts[batch]) for batch in batches])
                took = time.perf_counter() - before[0], time.process_time() - before[1]
                best[backend] = min(took, best.get(backend, took))
        topics = [topic for topic, _ in pieces]
        quality = {name: _ndcg(encoder, vectors[name], topics) for name, encoder in encoders.items()}
    for backend in BACKENDS:
        if backend not in best:
            report[backend] = "not run"
            continue
        seconds, cpu_s = best[backend]
        report[backend] = {
            "seconds": round(seconds, 3),
            "cpu_s": round(cpu_s, 3),
            "texts_per_s": round(len(texts) / seconds, 1),
            "time_to_torch": round(seconds / best["torch"][0], 3),
            "cosine_to_torch": round(float((vectors[backend] * vectors["torch"]).sum(axis=1).min()), 6),
            "ndcg@10": round(quality[backend], 4),
            "ndcg_loss": round(quality["torch"] - quality[backend], 4),
        }
    print(json.dumps(report))


def _pieces(most: int) -> list[tuple[str, str]]:
    """Topics with pieces of their texts, of several lengths, the longest first."""
    from pydoc_data.topics import topics

    pieces: list[tuple[str, str]] = []
    for topic, text in sorted(topics.items()):
        words, start = text.split(), 0
        while start < len(words):
            size = PIECE_WORDS[len(pieces) % len(PIECE_WORDS)]
            pieces.append((topic, " ".join(words[start : start + size])))
            start += size
    chosen = pieces[:: max(1, len(pieces) // most)][:most]
    return sorted(chosen, key=lambda piece: -len(piece[1]))


def _ndcg(encoder: SentenceTransformerEncoder, vectors: "NDArray[np.float32]", topics: Sequence[str]) -> float:
    """nDCG@10 of the questions whose topic has a piece; a topic is as near as its nearest piece."""
    found: list[float] = []
    for line in QUESTIONS.read_text("utf-8").splitlines():
        question = json.loads(line)
        relevant = {Path(name).stem: grade for name, grade in question["relevant"].items()}
        if not relevant.keys() & set(topics):
            continue
        nearest: dict[str, float] = {}
        for topic, score in zip(topics, vectors @ encoder.encode_query(question["query"]), strict=True):
            nearest[topic] = max(nearest.get(topic, -2.0), float(score))
        ranked = sorted(nearest, key=lambda topic: -nearest[topic])[:BEST]
        gains = [relevant.get(topic, 0) / log2(rank + 2) for rank, topic in enumerate(ranked)]
        ideal = [grade / log2(rank + 2) for rank, grade in enumerate(sorted(relevant.values(), reverse=True)[:BEST])]
        found.append(sum(gains) / sum(ideal))
    return sum(found) / max(1, len(found))


if __name__ == "__main__":
    main()
