"""A small run of the search benchmark prints every documented figure."""

import pytest
from sqlalchemy import Engine

from tests.benchmarks import synthetic
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.search import Queries, measure
from tests.support.pipeline.runs import rows

SIZE = 2_000


def test_every_documented_figure_is_printed(engine: Engine, settings: object) -> None:
    synthetic.fill(engine, SIZE)
    tiers = rows(engine, "SELECT metadata ->> 'tier', count(*) FROM rag.documents GROUP BY 1")
    assert dict(tiers) == {"0.1": 1, "1": 5, "10": 50, "50": 250, "rest": 194}
    questions = Corpus(SIZE).questions(20)
    found = measure(engine, Queries(questions.texts, list(questions.vectors), filters=True), rounds=1, seconds=0.2)
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert found["recall_at_10"] >= 0.95
    assert found["ratio_to_bare"] == pytest.approx(found["p95_ms"] / found["bare_p95_ms"], abs=0.01)
    assert found["qps"].keys() == found["bare_qps"].keys() == {"1", "8", "32"}
    assert found["filters"].keys() == {"0.1", "1", "10", "50"}
    for share, filtered in found["filters"].items():
        # Of the 0.1 %, only the four chunks of one document qualify.
        assert filtered["rows"] == filtered["qualifying"] == (4 if share == "0.1" else 10)
        assert filtered["recall"] == 1
    assert (found["projects"]["projects"], found["projects"]["rows"], found["projects"]["recall"]) == (20, 10, 1)
    assert found["words"]["rows"] == found["hybrid"]["rows"] == 10
