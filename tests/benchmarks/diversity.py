"""python -m tests.benchmarks.diversity --project NAME [--questions FILE] [--mode MODE]: the cost of diverse hits.

Runs the evaluation queries (by default those over Python's documentation topics) in the configured installation, and
prints a line of JSON for each weight of relevance (`mmr`), over pages of ten hits: `ndcg@10` and `recall@10` of the
documents on the page, `alike` (the mean cosine similarity of two hits of a page), `documents` (distinct documents on a
page), and `p50_ms` of the search including the choice among candidates.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

from rag_assets.db.database import shared_engine
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.search.evaluation.metrics import compute_metrics, mean_metrics
from rag_assets.search.evaluation.queries import read_queries
from rag_assets.search.ranking.mmr import fetch_chunk_vectors
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import load_settings
from tests.benchmarks.quality import TOPICS_QUESTIONS

BALANCES = (1.0, 0.9, 0.7, 0.5, 0.3)
PAGE = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", required=True)
    parser.add_argument("--questions", type=Path, default=TOPICS_QUESTIONS)
    parser.add_argument("--mode", default="vector")
    arguments = parser.parse_args()
    engine = shared_engine(load_settings())
    with engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    retriever = Retriever(engine)
    questions = read_queries(arguments.questions).queries
    for balance in BALANCES:
        found, alike, documents, took_ms = [], [], [], []
        for question in questions:
            answer = retriever.search(
                question.text, k=PAGE, project=arguments.project, mode=arguments.mode, mmr=balance
            )
            ids = [hit.chunk_id for hit in answer.hits]
            with engine.connect() as connection:
                vectors = np.array([vector for _, vector in fetch_chunk_vectors(connection, space, ids).values()])
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            pairs = np.triu_indices(len(vectors), 1)
            alike.append(float(np.mean((vectors @ vectors.T)[pairs])))
            found.append(list(dict.fromkeys(hit.file_path for hit in answer.hits)))
            documents.append(len(found[-1]))
            took_ms.append(answer.took_ms)
        figures = mean_metrics(compute_metrics([question.relevant for question in questions], found))
        report = {
            "mmr": balance,
            "mode": arguments.mode,
            "ndcg@10": round(figures["ndcg@10"], 3),
            "recall@10": round(figures["recall@10"], 3),
            "alike": round(statistics.mean(alike), 3),
            "documents": round(statistics.mean(documents), 2),
            "p50_ms": round(statistics.median(took_ms), 1),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
