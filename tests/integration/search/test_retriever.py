"""Searches in the live space: their hits, their order, and wrong searches."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from numpy.typing import NDArray
from sqlalchemy import URL, Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.analysis.provenance import explain_chunk
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.retriever import Retriever
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."


class Counting(HashEncoder):
    """Records the texts that it embeds."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions)
        self.questions: list[str] = []

    def encode_query(self, text: str) -> NDArray[Any]:
        self.questions.append(text)
        return super().encode_query(text)


@pytest.fixture
def encoder() -> Counting:
    return Counting(384)


@pytest.fixture
def retriever(built: Engine, encoder: Counting) -> Retriever:
    return Retriever(built, encoder=lambda space: encoder)


def best_by_hand(engine: Engine, encoder: HashEncoder, question: str, k: int, projects: Sequence[str]) -> list[float]:
    """The scores of an exact scan, best first."""
    found = rows(
        engine,
        "SELECT 1 - (e.embedding <=> CAST(:q AS vector)) FROM rag.document_chunks c "
        "JOIN rag.documents d ON d.id = c.document_id JOIN rag.projects p ON p.id = d.project_id "
        "JOIN rag.embeddings e ON e.content_hash = c.content_hash WHERE p.name = ANY(:p) ORDER BY 1 DESC LIMIT :k",
        q=str(encoder.encode_query(question).tolist()),
        k=k,
        p=list(projects),
    )
    return [score for (score,) in found]


def test_a_text_finds_itself_first_with_all_that_a_citation_needs(built: Engine, retriever: Retriever) -> None:
    [(id_, stored, path, title, index, start, end, headings, project, content)] = rows(
        built,
        "SELECT c.id, chunk_text, file_path, title, chunk_index, char_start, char_end, heading_path, p.name, d.content "
        "FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id "
        "JOIN rag.projects p ON p.id = d.project_id WHERE file_path = 'page05.md' ORDER BY c.id LIMIT 1",
    )
    answer = retriever.search(stored, k=3, mode="vector")
    first = answer.hits[0]
    assert (first.rank, first.chunk_id, first.text, first.file_path) == (1, id_, stored, path)
    assert (first.title, first.chunk_index, first.heading_path, first.project) == (title, index, headings, project)
    assert content[first.char_start : first.char_end] == first.text
    assert (first.char_start, first.char_end) == (start, end)
    assert first.score == pytest.approx(1, abs=1e-5)
    assert answer.took_ms > 0
    assert [hit.rank for hit in answer.hits] == [1, 2, 3]


def test_hits_and_provenance_have_header_and_page_in_each_mode(built: Engine, retriever: Retriever) -> None:
    assert {(hit.header, hit.page) for hit in retriever.search(SHARED).hits} == {(None, None)}
    change_database(built, "UPDATE rag.document_chunks SET header = 'Port | Depth', page = 3")
    for mode in ("vector", "text", "hybrid"):
        hits = retriever.search(SHARED, mode=mode).hits
        assert {(hit.header, hit.page) for hit in hits} == {("Port | Depth", 3)}
        assert hits[0].embedded_text == f"Port | Depth\n{hits[0].text}"
        with built.connect() as connection:
            origin = explain_chunk(connection, hits[0].chunk_id)
        assert (origin.header, origin.page) == ("Port | Depth", 3)


@pytest.mark.parametrize(("project", "plan"), [(None, "index"), ("zoo", "exact")])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_hits_are_those_of_an_exact_scan(
    built: Engine, retriever: Retriever, encoder: Counting, k: int, project: str | None, plan: str
) -> None:
    question = "violin in the winter forest"
    answer = retriever.search(question, k=k, project=project, mode="vector", distinct=False)
    expected = best_by_hand(built, encoder, question, k, [project] if project else ["sea", "zoo"])
    assert answer.plan == plan
    assert [hit.score for hit in answer.hits] == pytest.approx(expected, abs=1e-5)
    assert {hit.project for hit in answer.hits} <= ({project} if project else {"sea", "zoo"})


def test_filtered_hits_through_the_graph_are_those_of_an_exact_scan(
    built: Engine, retriever: Retriever, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.search.vector.selectivity.ALWAYS_EXACT_ROWS", 0)
    monkeypatch.setattr("rag_assets.search.vector.selectivity.CANDIDATE_COST", 0)
    question = "violin in the winter forest"
    answer = retriever.search(question, k=20, project="zoo", mode="vector", distinct=False)
    assert answer.plan == "index"
    expected = best_by_hand(built, encoder, question, 20, ["zoo"])
    assert [hit.score for hit in answer.hits] == pytest.approx(expected, abs=1e-5)


def test_equal_texts_are_all_found_and_always_in_the_same_order(retriever: Retriever) -> None:
    answers = [retriever.search(SHARED, k=3, distinct=False).hits for _ in range(3)]
    assert [(hit.project, hit.file_path) for hit in answers[0]] == [
        ("sea", "copy.txt"),
        ("zoo", "copy.txt"),
        ("zoo", "copy2.txt"),
    ]
    assert answers[1] == answers[2] == answers[0]
    of_zoo = retriever.search(SHARED, k=2, project="zoo", distinct=False)
    assert [hit.file_path for hit in of_zoo.hits] == ["copy.txt", "copy2.txt"]


@pytest.mark.parametrize(
    ("filters", "options"),
    [
        (Filters(projects="zoo"), {"project": "zoo"}),
        (Filters(projects=["sea", "zoo"], file_types="text"), {"project": ["sea", "zoo"], "file_type": "text"}),
        (
            Filters(path_glob="page0*", metadata={"$not": {"a": 1}}),
            {"path_glob": "page0*", "metadata": {"$not": {"a": 1}}},
        ),
        (Filters(updated_from=datetime(2000, 1, 1, tzinfo=UTC)), {"updated_from": datetime(2000, 1, 1, tzinfo=UTC)}),
    ],
)
def test_filters_given_whole_find_what_single_options_find(
    retriever: Retriever, filters: Filters, options: dict[str, Any]
) -> None:
    calls: list[Callable[..., Any]] = [
        *(partial(retriever.search, "storm", mode=mode) for mode in ("vector", "text", "hybrid")),
        partial(retriever.search, "storm", kinds=["chunks"]),
        partial(retriever.similar, document=("sea", "copy.txt")),
        retriever.centroid,
        partial(retriever.aggregate, to="storm", nearest=3),
    ]
    for call in calls:
        found, expected = call(filters=filters), call(**options)
        assert found
        assert getattr(found, "hits", found) == getattr(expected, "hits", expected)
    many, each = retriever.search_many(["storm", "whale"], filters=filters), ["storm", "whale"]
    assert [one.hits for one in many] == [retriever.search(text, **options).hits for text in each]
    with pytest.raises(UsageError, match="filters and path_glob are both given"):
        retriever.similar(document=("sea", "copy.txt"), filters=filters, path_glob="*")
    with pytest.raises(UsageError, match="filters is 'zoo'; give a Filters"):
        retriever.centroid(filters="zoo")  # type: ignore[arg-type]


def test_texts_and_vectors_can_be_searched_together_also_without_transactions(built: Engine, encoder: Counting) -> None:
    reader = make_engine(built.url, options=EngineOptions(pre_ping=False, autocommit=True))
    retriever = Retriever(reader, encoder=lambda space: encoder)
    vector = encoder.encode_query("storm")
    for queries in ([vector, "storm"], ["storm", vector]):
        answers = retriever.search_many(queries, k=3)
        assert [answer.hits for answer in answers] == [retriever.search(query, k=3).hits for query in queries]
    reader.dispose()


def test_k_above_the_number_of_chunks_returns_all(built: Engine, retriever: Retriever) -> None:
    [(chunks,)] = rows(built, "SELECT count(*) FROM rag.document_chunks")
    assert len(retriever.search("storm", k=1000, distinct=False).hits) == chunks


def test_a_text_is_embedded_once_for_all_processes(built: Engine, encoder: Counting) -> None:
    for _ in range(2):
        # A new retriever stands for a new process: the vectors are in the database.
        Retriever(built, encoder=lambda space: encoder).search("coral reef")
    assert encoder.questions == ["coral reef"]
    # Only the hash of the text is stored.
    assert "coral" not in str(rows(built, "SELECT * FROM rag.query_vectors"))


def test_index_parameters_do_not_remain_on_the_connection(built: Engine, retriever: Retriever) -> None:
    retriever.search("storm", k=200)
    connections = [built.connect() for _ in range(5)]
    shown = {connection.scalar(text("SELECT current_setting('hnsw.ef_search', true)")) for connection in connections}
    assert shown <= {"40", "", None}
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.search("  \n"), "the query is empty"),
        (lambda r: r.search("\ud800\x00"), "the query is empty"),
        (lambda r: r.search("x", k=0), "k is 0; choose 1 to 1000"),
        (lambda r: r.search("x", k=1001), "k is 1001"),
        (lambda r: r.search("x", project="nope"), r"no project 'nope' \(known: sea, zoo\)"),
    ],
)
def test_wrong_searches_are_refused_before_the_model_is_loaded(
    retriever: Retriever, encoder: Counting, ask: Callable[[Retriever], Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ask(retriever)
    # Nothing was embedded.
    assert encoder.questions == []


def test_characters_that_cannot_be_stored_are_removed_from_a_query(retriever: Retriever, encoder: Counting) -> None:
    assert retriever.search("whale\x00 \udce9storm").hits
    assert encoder.questions == ["whale storm"]


def test_the_error_before_a_space_is_live_names_the_command(engine: Engine, empty_database: URL) -> None:
    bare = make_engine(empty_database)
    for nothing in (engine, bare):
        with pytest.raises(ServiceError, match="run rag-assets ingest first"):
            Retriever(nothing, encoder=lambda space: HashEncoder()).search("x")
    bare.dispose()


def test_a_search_notices_at_once_that_its_space_is_retired(built: Engine, retriever: Retriever) -> None:
    assert retriever.search("storm").space == 1
    change_database(built, "UPDATE rag.embedding_spaces SET status = 'retired'")
    with pytest.raises(ServiceError):
        retriever.search("storm")
