"""How many statements a filtered search sends, and which, depending on how many rows pass the filter."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.search.execution import coverage
from rag_assets.search.retriever import Retriever
from rag_assets.search.vector import selectivity
from tests.support.data.vectors import DIMENSIONS, Corpus, make_corpus
from tests.support.fakes import HashEncoder
from tests.support.pipeline.check_runs import change_database


@pytest.fixture
def corpus(engine: Engine) -> Corpus:
    return make_corpus(engine)


@pytest.fixture
def sent(engine: Engine) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(*given: object) -> None:
        statements.append(str(given[2]))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def retriever(engine: Engine, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> Retriever:
    """A retriever that has checked its space already, and does not check it again."""
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 1e6)
    retriever = Retriever(engine, encoder=lambda space: HashEncoder(DIMENSIONS))
    retriever.search(corpus.chunks[0].vector, path_glob="nothing")
    return retriever


def test_a_selective_filter_costs_one_statement_from_the_first_time(
    retriever: Retriever, corpus: Corpus, sent: list[str]
) -> None:
    for glob in ("d1*", "d2*", "d1*"):
        sent.clear()
        answer = retriever.search(corpus.chunks[0].vector, k=3, path_glob=glob)
        assert (len(answer.hits), answer.plan, len(sent)) == (3, "exact", 1)
        assert answer.considered == len(
            {one.content_hash for one in corpus.chunks if one.file_path.startswith(glob[:2])}
        )


def test_one_generic_plan_serves_all_values_of_a_filter(engine: Engine, corpus: Corpus) -> None:
    # So many that the server would prefer a new plan for each value, if it saw the values.
    change_database(
        engine,
        "INSERT INTO rag.documents (id, project_id, file_path, content, content_hash, file_type, metadata) "
        "SELECT gen_random_uuid(), d.project_id, 'more' || n, '', d.content_hash, 'text', jsonb_build_object('n', n) "
        "FROM (SELECT * FROM rag.documents LIMIT 1) AS d, generate_series(1, 5000) AS n",
    )
    change_database(
        engine,
        "INSERT INTO rag.document_chunks (id, document_id, chunking, chunk_index, chunk_text, content_hash, "
        "char_start, char_end, token_count, heading_path) SELECT gen_random_uuid(), d.id, c.chunking, 0, c.chunk_text, "
        "sha256(d.file_path::bytea), c.char_start, c.char_end, c.token_count, c.heading_path FROM rag.documents AS d, "
        "(SELECT * FROM rag.document_chunks LIMIT 1) AS c WHERE d.file_path LIKE 'more%'",
    )
    change_database(engine, "ANALYZE rag.documents, rag.document_chunks")
    used = make_engine(engine.url, options=EngineOptions(pool_size=1, autocommit=True))
    searching = Retriever(used)
    for number in range(20):
        searching.search(corpus.chunks[0].vector, metadata={"n": number})
    plans = "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%counted%'"
    with used.connect() as connection:
        planned_once = connection.scalar(text(plans))
    used.dispose()
    assert planned_once >= 5


def test_a_filter_that_nothing_passes_costs_no_walk_through_the_graph(
    retriever: Retriever, corpus: Corpus, sent: list[str]
) -> None:
    answer = retriever.search(corpus.chunks[0].vector, path_glob="other")
    assert (answer.hits, answer.plan, answer.considered) == ([], "exact", 0)
    # One compares. Since it finds nothing, another checks that the space is still live.
    assert len(sent) == 2


def test_a_broad_filter_uses_the_graph_at_once_the_next_time(
    retriever: Retriever, corpus: Corpus, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectivity, "ALWAYS_EXACT_ROWS", 5)
    monkeypatch.setattr(selectivity, "CANDIDATE_COST", 0)
    found = []
    for statements in (2, 1, 1):
        sent.clear()
        answer = retriever.search(corpus.chunks[0].vector, k=3, path_glob="d*")
        assert (answer.plan, len(sent)) == ("index", statements)
        found.append([hit.chunk_id for hit in answer.hits])
    assert found[0] == found[1] == found[2]
    # The filter is counted again after a while: fewer rows may pass by then.
    monkeypatch.setattr(selectivity, "MAX_AGE_S", 0)
    sent.clear()
    assert retriever.search(corpus.chunks[0].vector, k=3, path_glob="d*").plan == "index"
    assert len(sent) > 1
