"""Similar chunks: compared with distances computed with numpy, with filters, and never fewer than pass."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from rag_assets.db.writes.upserts import delete_documents, write_chunks
from rag_assets.errors import UsageError
from rag_assets.search.analysis.chunk_selection import find_document
from rag_assets.search.analysis.similar import chunk_reference, document_reference
from rag_assets.search.evaluation.query_plans import force_index_scan
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.retriever import Retriever
from rag_assets.search.vector import selectivity
from rag_assets.search.vector.nearest import KnnResult
from rag_assets.search.vector.searchables import CHUNK_ID_POSITION
from tests.support.data.vectors import Corpus, StoredChunk, make_corpus, search_similar
from tests.support.database.rows import add_document, document, split_document
from tests.support.pipeline.check_runs import change_database

SPACES = [("cosine", "vector"), ("cosine", "halfvec"), ("l2", "vector"), ("ip", "halfvec"), ("cosine", "bit")]
# Half precision changes a distance by this much.
TOLERANCE = {"vector": 1e-5, "halfvec": 2e-2, "bit": 1e-5}


@pytest.fixture
def corpus(engine: Engine) -> Corpus:
    return make_corpus(engine)


def pairs(found: KnnResult) -> list[tuple[UUID, float]]:
    """Chunks with their distances."""
    return [(row[CHUNK_ID_POSITION], row[0]) for row in found.rows]


def distances(corpus: Corpus, target: Any, chunks: list[StoredChunk], k: int) -> list[float]:
    return sorted(corpus.distance(one.vector, target) for one in chunks)[:k]


def search_through(monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    few = 0 if plan == "index" else 1_000
    monkeypatch.setattr(selectivity, "ALWAYS_EXACT_ROWS", few)
    monkeypatch.setattr(selectivity, "CANDIDATE_COST", few)


def ask(engine: Engine, *given: Any, graph_only: bool = False, **options: Any) -> KnnResult:
    with engine.connect() as connection:
        if graph_only:
            # So few rows are cheaper to sort; where that is forbidden, the planner must take the graph.
            force_index_scan(connection)
        return search_similar(connection, *given, **options)


@pytest.mark.parametrize(("distance", "storage"), SPACES)
@pytest.mark.parametrize("plan", ["index", "exact"])
def test_the_nearest_chunks_are_found_by_either_plan_in_every_kind_of_space(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, distance: str, storage: str, plan: str
) -> None:
    search_through(monkeypatch, plan)
    corpus = make_corpus(engine, distance, storage)
    [target, *_] = corpus.chunks_of("d04.md")
    filters = Filters(projects=["p"])
    found = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=9, filters=filters)
    others = [one for one in corpus.chunks if one.project == "p" and one.content_hash != target.content_hash]
    assert found.plan == plan
    expected = distances(corpus, target.vector, others, 9)
    assert [apart for _, apart in pairs(found)] == pytest.approx(expected, abs=TOLERANCE[storage])
    known = {one.chunk_id: one for one in others}
    for id_, apart in pairs(found):
        assert corpus.distance(known[id_].vector, target.vector) == pytest.approx(apart, abs=TOLERANCE[storage])


def test_the_chunk_and_equal_texts_are_left_out_unless_equal_texts_is_set(engine: Engine, corpus: Corpus) -> None:
    copies = [one for one in corpus.chunks if one.content_hash == corpus.chunks_of("d00.md")[2].content_hash]
    target = copies[1]
    assert len(copies) == 7
    without = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=1_000)
    assert {id_ for id_, _ in pairs(without)} == {o.chunk_id for o in corpus.chunks} - {o.chunk_id for o in copies}
    with_them = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=1_000, equal_texts=True)
    assert {id_ for id_, _ in pairs(with_them)} == {o.chunk_id for o in corpus.chunks} - {target.chunk_id}
    first = [id_ for id_, apart in pairs(with_them) if apart == pytest.approx(0, abs=1e-6)]
    assert first == [o.chunk_id for o in sorted(copies, key=lambda o: (o.project, o.file_path, o.index)) if o != target]
    again = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=1_000, equal_texts=True)
    assert again == with_them


def test_a_document_is_searched_by_its_average_vector(engine: Engine, corpus: Corpus) -> None:
    own = corpus.chunks_of("d00.md")
    hashes = {one.content_hash for one in own}
    others = [one for one in corpus.chunks if one.document_id != own[0].document_id]
    found = ask(engine, document_reference, corpus.space, own[0].document_id, k=12)
    unlike = [one for one in others if one.content_hash not in hashes]
    assert [apart for _, apart in pairs(found)] == pytest.approx(
        distances(corpus, corpus.mean(own), unlike, 12), abs=1e-5
    )
    found = ask(engine, document_reference, corpus.space, own[0].document_id, k=1_000, equal_texts=True)
    assert {id_ for id_, _ in pairs(found)} == {one.chunk_id for one in others}


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (Filters(projects=["q"]), lambda one: one.project == "q"),
        (Filters(path_glob="d2?.md"), lambda one: one.file_path.startswith("d2")),
        (Filters(projects=["p", "q"], file_types=["text"]), lambda one: int(one.file_path[1:3]) % 3 == 0),
        (Filters(file_types=["none"]), lambda one: False),
    ],
    ids=["project", "glob", "type", "nothing"],
)
def test_filters_never_cost_hits(
    engine: Engine,
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    filters: Filters,
    passes: Callable[[StoredChunk], bool],
) -> None:
    search_through(monkeypatch, "index")
    target = corpus.chunks_of("d04.md")[0]
    wanted = [one for one in corpus.chunks if passes(one) and one.content_hash != target.content_hash]
    for k in (1, 7, 30, 1_000):
        found = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=k, filters=filters)
        expected = distances(corpus, target.vector, wanted, k)
        assert [apart for _, apart in pairs(found)] == pytest.approx(expected, abs=1e-5)
        assert {id_ for id_, _ in pairs(found)} <= {one.chunk_id for one in wanted}


def test_all_passing_rows_are_compared_where_the_graph_finds_too_few(
    engine: Engine, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = corpus.chunks_of("d04.md")[0]
    filters = Filters(path_glob="d29.md")
    search_through(monkeypatch, "index")
    # The walk through the graph ends after the first few candidates, of which hardly any pass.
    monkeypatch.setattr(selectivity, "MAX_SCAN_TUPLES", 1)
    corpus.space.ef_search = 1
    found = ask(engine, chunk_reference, corpus.space, target.chunk_id, k=4, filters=filters, graph_only=True)
    assert found.plan == "exact"
    assert {id_ for id_, _ in pairs(found)} == {one.chunk_id for one in corpus.chunks_of("d29.md", "q")}


def test_a_chunk_of_an_earlier_chunking_can_be_used_if_its_text_has_a_vector(engine: Engine, corpus: Corpus) -> None:
    row = document("old.md", "text 4 0. and what no chunk has now")
    old = split_document(row, ["text 4 0. ", "and what no chunk has now"], chunking="old")
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, "old", [old])
    found = ask(engine, chunk_reference, corpus.space, old.chunks[0].id, k=3)
    assert found == ask(engine, chunk_reference, corpus.space, corpus.chunks_of("d04.md")[0].chunk_id, k=3)
    with pytest.raises(UsageError, match="has no vector in space 1"):
        ask(engine, chunk_reference, corpus.space, old.chunks[1].id)
    with pytest.raises(UsageError, match="has no vector in space 1"):
        ask(engine, document_reference, corpus.space, row.id)


def test_a_document_whose_vectors_cancel_each_other_out_is_refused(engine: Engine, corpus: Corpus) -> None:
    one, *others = corpus.chunks_of("d04.md")
    change_database(
        engine,
        "DELETE FROM rag.embeddings WHERE content_hash = ANY(:hashes)",
        hashes=[other.content_hash for other in others[1:]],
    )
    change_database(
        engine,
        "UPDATE rag.embeddings SET embedding = (SELECT embedding * CAST(:minus AS vector) FROM rag.embeddings "
        "WHERE content_hash = :one) WHERE content_hash = :other",
        minus=str([-1] * 8),
        one=one.content_hash,
        other=others[0].content_hash,
    )
    with pytest.raises(UsageError, match=r"no vector .* cancel"):
        ask(engine, document_reference, corpus.space, one.document_id)


def test_wrong_options_are_refused(engine: Engine, corpus: Corpus) -> None:
    chunk, retriever = corpus.chunks[0], Retriever(engine)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"k": 0}, "k is 0; choose 1 to 1000"),
        ({"k": 1001}, "k is 1001"),
        ({"project": "nope"}, "there is no project 'nope'"),
        ({"path_glob": ""}, "path_glob is ''"),
    ]
    for options, message in refused:
        with pytest.raises(UsageError, match=message):
            retriever.similar(chunk.chunk_id, **options)
        with pytest.raises(UsageError, match=message):
            retriever.similar(document=(chunk.project, chunk.file_path), **options)


def test_unknown_ids_and_paths_are_refused(engine: Engine, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"there is no chunk .*; search again"):
        ask(engine, chunk_reference, corpus.space, uuid4())
    gone = corpus.chunks_of("d04.md")[0].document_id
    with engine.begin() as connection:
        assert find_document(connection, "p", "d04.md") == gone
        delete_documents(connection, [gone])
    with pytest.raises(UsageError, match=r"there is no document .*; search again"):
        ask(engine, document_reference, corpus.space, gone)
    with engine.connect() as connection:
        for path in ("d04.md", "nul\0", "\ud800", ""):
            with pytest.raises(UsageError, match="project 'p' has no document"):
                find_document(connection, "p", path)
        with pytest.raises(UsageError, match="there is no project 'nope'"):
            find_document(connection, "nope", "d06.md")
