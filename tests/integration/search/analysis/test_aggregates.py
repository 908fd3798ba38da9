"""Averages, counts, nearest documents and histograms, compared with numpy."""

from collections import Counter
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, event

from rag_assets.errors import UsageError
from rag_assets.search.analysis.aggregates import Aggregate, aggregate
from rag_assets.search.analysis.centroid import centroid
from rag_assets.search.filters.document_filters import Filters
from tests.support.data.vectors import Corpus, StoredChunk, make_corpus
from tests.support.pipeline.check_runs import change_database

SPACES = [("cosine", "vector"), ("cosine", "halfvec"), ("l2", "vector"), ("ip", "vector"), ("cosine", "bit")]


@pytest.fixture
def corpus(engine: Engine) -> Corpus:
    return make_corpus(engine)


def ask(engine: Engine, corpus: Corpus, *given: Any, **options: Any) -> Aggregate:
    with engine.connect() as connection:
        return aggregate(connection, corpus.space, *given, **options)


def averaged(engine: Engine, corpus: Corpus, *given: Any, **options: Any) -> list[float]:
    with engine.connect() as connection:
        return centroid(connection, corpus.space, *given, **options)


def assert_is_of(found: Aggregate, corpus: Corpus, chunks: list[StoredChunk], target: Any) -> None:
    """Every figure except the average is what numpy computes for these chunks."""
    assert found.chunks == len(chunks)
    assert found.documents == len({one.document_id for one in chunks})
    assert found.texts == len({one.content_hash for one in chunks})
    by_document: dict[Any, list[StoredChunk]] = {}
    for one in chunks:
        by_document.setdefault(one.document_id, []).append(one)
    apart = {id_: [corpus.distance(one.vector, target) for one in of] for id_, of in by_document.items()}
    assert [one.distance for one in found.nearest] == pytest.approx(sorted(map(min, apart.values()))[:5], abs=1e-5)
    for one in found.nearest:
        of = by_document[one.document_id]
        assert (one.project, one.file_path, one.chunks) == (of[0].project, of[0].file_path, len(of))
        assert one.distance == pytest.approx(min(apart[one.document_id]), abs=1e-5)
        assert one.mean_distance == pytest.approx(np.mean(apart[one.document_id]), abs=1e-5)
    distances = [corpus.distance(one.vector, target) for one in chunks]
    counts, edges = np.histogram(distances, bins=4)
    assert [one.chunks for one in found.histogram] == counts.tolist()
    assert [one.start for one in found.histogram] == pytest.approx(edges[:-1], abs=1e-5)
    assert [one.end for one in found.histogram] == pytest.approx(edges[1:], abs=1e-5)


@pytest.mark.parametrize(("distance", "storage"), SPACES)
def test_figures_are_those_of_numpy_in_every_kind_of_space(engine: Engine, distance: str, storage: str) -> None:
    corpus = make_corpus(engine, distance, storage)
    for filters in (Filters(), Filters(projects=["q"])):
        chunks = [one for one in corpus.chunks if not filters.projects or one.project in filters.projects]
        found = ask(engine, corpus, filters, nearest=5, buckets=4)
        mean = corpus.mean(chunks)
        assert found.vector == pytest.approx(mean, abs=1e-6)
        assert averaged(engine, corpus, filters) == pytest.approx(mean, abs=1e-6)
        assert_is_of(found, corpus, chunks, mean)


def test_distances_can_be_measured_to_a_given_vector(engine: Engine, corpus: Corpus) -> None:
    target = [0.5, -1.5, 0, 0, 2, 0, 0, 0.25]
    found = ask(engine, corpus, to=str(target), nearest=5, buckets=4)
    assert found.vector == pytest.approx(corpus.mean(corpus.chunks), abs=1e-6)
    assert_is_of(found, corpus, corpus.chunks, np.array(target))


def test_a_documents_average_is_that_of_its_chunks(engine: Engine, corpus: Corpus) -> None:
    own = corpus.chunks_of("d00.md")
    # A text that occurs twice in it counts twice.
    assert Counter(one.content_hash for one in own).most_common(1)[0][1] == 2
    found = averaged(engine, corpus, document_id=own[0].document_id)
    assert found == pytest.approx(corpus.mean(own), abs=1e-6)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def test_one_text_makes_one_bucket(engine: Engine, corpus: Corpus) -> None:
    change_database(
        engine,
        "DELETE FROM rag.embeddings WHERE content_hash <> :hash",
        hash=corpus.chunks_of("d00.md")[2].content_hash,
    )
    found = ask(engine, corpus, Filters(projects=["p"]), buckets=9)
    assert (found.documents, found.chunks, found.texts) == (3, 4, 1)
    [bucket] = found.histogram
    assert bucket.chunks == 4
    assert bucket.start == bucket.end == pytest.approx(0, abs=1e-6)
    assert [one.file_path for one in found.nearest] == ["d00.md", "d10.md", "d20.md"]


def test_an_aggregate_of_no_chunks_is_empty(engine: Engine, corpus: Corpus) -> None:
    nothing = Filters(file_types=["none"])
    assert ask(engine, corpus, nothing) == Aggregate(None, 0, 0, 0, [], [])
    assert ask(engine, corpus, nothing, to=str([1.0] * 8)) == Aggregate(None, 0, 0, 0, [], [])
    with pytest.raises(UsageError, match="no vectors of these chunks to average"):
        averaged(engine, corpus, nothing)
    with pytest.raises(UsageError, match="there is no document"):
        averaged(engine, corpus, document_id=uuid4())


def test_vectors_that_cancel_each_other_out_have_no_average(engine: Engine, corpus: Corpus) -> None:
    one, other, *rest = corpus.chunks_of("d04.md")
    change_database(
        engine, "DELETE FROM rag.embeddings WHERE content_hash = ANY(:rest)", rest=[o.content_hash for o in rest]
    )
    for sign, chunk in ((1, one), (-1, other)):
        change_database(
            engine,
            "UPDATE rag.embeddings SET embedding = CAST(:vector AS vector) WHERE content_hash = :hash",
            vector=str([sign] * 8),
            hash=chunk.content_hash,
        )
    filters = Filters(path_glob="d04.md")
    found = ask(engine, corpus, filters)
    assert (found.vector, found.documents, found.chunks, found.nearest, found.histogram) == (None, 1, 2, [], [])
    with pytest.raises(UsageError, match="no vectors of these chunks to average"):
        averaged(engine, corpus, filters)
    # Distances to another vector are defined all the same.
    found = ask(engine, corpus, filters, to=str([1.0] * 8), buckets=2)
    assert [bucket.chunks for bucket in found.histogram] == [1, 1]
    assert [(near.distance, near.mean_distance) for near in found.nearest] == [pytest.approx((0, 1), abs=1e-6)]


def test_an_aggregate_is_one_statement(engine: Engine, corpus: Corpus) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    ask(engine, corpus)
    assert len(statements) == 1


def test_what_cannot_be_is_refused(engine: Engine, corpus: Corpus) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"nearest": -1}, "nearest is -1; choose 0 to 1000"),
        ({"buckets": 0}, "buckets is 0; choose 1 to 1000"),
        ({"nearest": "5"}, "nearest is '5'; choose 0 to 1000"),
        ({"nearest": None}, "nearest is None"),
        ({"nearest": True}, "nearest is True"),
        ({"buckets": 1.5}, "buckets is 1.5"),
        ({"filters": Filters(projects=["nope"])}, "there is no project 'nope'"),
    ]
    for options, message in refused:
        with pytest.raises(UsageError, match=message):
            ask(engine, corpus, **options)
