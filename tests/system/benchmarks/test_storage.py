"""The benchmark of methods and storages runs, and what it prints is what it says."""

import numpy as np
from sqlalchemy import Engine

from tests.benchmarks.clustered import Corpus
from tests.benchmarks.storage import KINDS, as_markdown, fill, measure, nearest_hashes
from tests.support.pipeline.runs import rows


def test_every_kind_has_its_figures_over_the_same_rows(engine: Engine) -> None:
    corpus = Corpus(400)
    found = measure(engine, fill(engine, corpus), corpus)
    assert list(found) == KINDS
    for kind, figures in found.items():
        assert figures["bytes"] > 8192
        assert figures["insert_ms"] > 0
        # All of so few are looked at in the end.
        assert figures["points"][-1]["recall"] > 0.95
        assert all(0 < point["p50_ms"] <= point["p95_ms"] for point in figures["points"])
        assert ("oversampling" in figures) == kind.endswith("bit")
    sizes = [found[f"hnsw {storage}"]["bytes"] for storage in ("vector", "halfvec", "bit")]
    assert sizes == sorted(sizes, reverse=True)
    assert rows(engine, "SELECT count(*) FROM pg_indexes WHERE indexdef ~ 'USING (hnsw|ivfflat)'") == [(0,)]
    table = as_markdown(found).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == KINDS


def test_the_right_answers_are_those_of_a_comparison_by_hand() -> None:
    corpus = Corpus(200)
    [block] = corpus.blocks()
    from rag_assets.documents.text import content_hash

    found = nearest_hashes(corpus, block.vectors[:5])
    assert [row[0] for row in found] == [content_hash(one) for one in block.texts[:5]]
    assert np.all([len(row) == 100 for row in found])
