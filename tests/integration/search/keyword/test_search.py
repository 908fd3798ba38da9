"""Keyword search on a corpus small enough to work out by hand."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.models import Document, DocumentChunk
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.errors import UsageError
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword.bm25 import K1, B
from rag_assets.search.keyword.word_search import WordSearch
from rag_assets.search.retriever import Answer, Retriever
from tests.support.data.keyword_corpus import SPACE, write_corpus
from tests.support.database.database_server import DatabaseServer
from tests.support.fakes import HashEncoder
from tests.support.installation.installations import install
from tests.support.pipeline.runs import add_project, errors, rows, run

DOCUMENTS = {
    "zebra.txt": "Zebras graze on the plain and zebras run.",
    "lion.txt": "Lions sleep on the plain near the river.",
    "error.txt": "Error E1234 means that the river station is closed.",
    "hidden.txt": "The striped horse is called by another name.",
}


STEPS = ["raw_documents", "chunks", "embeddings", "hnsw_index", "live_space"]


def ingest(engine: Engine, folder: Path) -> None:
    add_project(engine, folder.name, folder)
    assert errors(run(key=folder.name, only=STEPS)) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "animals"
    folder.mkdir()
    for name, content in DOCUMENTS.items():
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="module")
def animals(databases: DatabaseServer, template: str, folder: Path) -> Iterator[Engine]:
    """One installation for the module. Tests that change it come last and restore it."""
    with databases.copy(template) as url, pytest.MonkeyPatch.context() as monkeypatch:
        install(url, folder.parent, monkeypatch)
        engine = make_engine(url)
        ingest(engine, folder)
        yield engine
        engine.dispose()


def retriever_of(engine: Engine) -> Retriever:
    return Retriever(engine, encoder=lambda space: HashEncoder(space.dimensions))


def ask(engine: Engine, query: str, **options: object) -> Answer:
    return retriever_of(engine).search(query, mode="text", **options)  # type: ignore[arg-type]


def paths(answer: Answer) -> list[str]:
    return [hit.file_path for hit in answer.hits]


def test_inflected_words_are_found_and_rarer_words_have_more_weight(animals: Engine) -> None:
    assert paths(ask(animals, "a sleeping zebra"))[:2] == ["zebra.txt", "lion.txt"]
    assert paths(ask(animals, "E1234")) == ["error.txt"]


def test_the_score_is_bm25(animals: Engine) -> None:
    [(tokens, mean)] = rows(
        animals,
        "SELECT c.token_count, s.mean_tokens FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id, "
        "rag.word_statistics s WHERE d.file_path = 'zebra.txt'",
    )
    idf = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * tokens / mean))
    [hit] = ask(animals, "zebra").hits
    assert hit.score == pytest.approx(expected, abs=1e-5)


def test_phrases_are_required_and_exclusions_forbidden(animals: Engine) -> None:
    assert set(paths(ask(animals, "plain river"))) == {"zebra.txt", "lion.txt", "error.txt"}
    assert paths(ask(animals, '"river station" plain')) == ["error.txt"]
    every = {"zebra.txt", "lion.txt", "error.txt"}
    for query, options, excluded in (
        ('plain river -"zebra"', {}, ["zebra"]),
        ("plain river -zebra", {"operators": "all"}, ["zebra"]),
        ("plain river -zebra", {}, []),
        ('plain river -"zebra"', {"operators": "none"}, []),
    ):
        answer = ask(animals, query, **options)
        assert answer.excluded == excluded
        assert set(paths(answer)) == (every - {"zebra.txt"} if excluded else every)


def test_stop_words_of_a_phrase_are_required_too(animals: Engine) -> None:
    assert set(paths(ask(animals, '"on the plain" lion zebra'))) == {"lion.txt", "zebra.txt"}
    # Ignoring case, and any punctuation between the words.
    assert paths(ask(animals, '"Near  (the) *River*"')) == ["lion.txt"]
    assert paths(ask(animals, '"by the river"')) == []
    assert paths(ask(animals, 'zebra river "that the"')) == ["error.txt"]
    assert paths(ask(animals, '"the river station"')) == ["error.txt"]
    assert paths(ask(animals, '"iver station is"')) == []


@pytest.mark.parametrize("options", [{}, {"file_type": "text"}, {"project": "animals"}])
@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_an_excluded_phrase_includes_its_stop_words(animals: Engine, mode: str, options: dict[str, object]) -> None:
    def found(query: str) -> set[str]:
        return set(paths(retriever_of(animals).search(query, mode=mode, **options)))  # type: ignore[arg-type]

    every = found("zebra lion river horse")
    assert every == set(DOCUMENTS)
    assert found('zebra lion river horse -"near the river"') == every - {"lion.txt"}
    assert found('zebra lion river horse -"that the"') == every - {"error.txt"}
    assert found('zebra lion river horse -"on the plain" -"another name"') == {"error.txt"}
    # A phrase in no chunk, of words that some chunks have; and a word in nearly all chunks.
    assert found('zebra lion river horse -"on the river"') == every
    assert found('zebra lion river horse -"the"') == every


def test_a_query_without_a_known_term_finds_nothing(animals: Engine) -> None:
    for query in ("the of and", "quasar", "zxq", '"zebrra"'):
        answer = ask(animals, query)
        assert (answer.hits, answer.corrected) == ([], {})


@pytest.mark.parametrize(
    ("query", "path", "corrected"),
    [
        ("Zebrra", "zebra.txt", {"Zebrra": ["zebras"]}),
        ("zbera?", "zebra.txt", {"zbera": ["zebras"]}),
        ("a strip", "hidden.txt", {"strip": ["striped"]}),
        ("statoin qqq", "error.txt", {"statoin": ["station"]}),
        ("e123", "error.txt", {"e123": ["e1234"]}),
        # Three terms are unknown: two forms of one word with an accent, and a longer word.
        ("zébrra quasarquasar", "zebra.txt", {"zébrra": ["zebras"]}),
    ],
)
def test_a_word_that_no_text_has_is_replaced_by_a_similar_one(
    animals: Engine, query: str, path: str, corrected: dict[str, list[str]]
) -> None:
    answer = ask(animals, query)
    assert paths(answer) == [path]
    assert answer.corrected == corrected
    assert ask(animals, f"river {query}").corrected == {}, "the rest of the query finds something"
    assert retriever_of(animals).search(query, mode="hybrid").hits[0].file_path == path


def test_the_locale_changes_no_result(locale_engine: Engine) -> None:
    write_corpus(locale_engine, DOCUMENTS | {"drive.txt": "A hyperdrive, hyperactive and hypertensive"})
    for query, expected in {
        "plain river": {"zebra.txt", "lion.txt", "error.txt"},
        '"river station" plain': {"error.txt"},
        'plain river -"zebra"': {"lion.txt", "error.txt"},
        '"on the plain" lion zebra': {"lion.txt", "zebra.txt"},
        '"Near  (the) *River*"': {"lion.txt"},
        '"by the river"': set(),
        "Zebrra": {"zebra.txt"},
        "zébrra quasarquasar": {"zebra.txt"},
        "e123": {"error.txt"},
        # The stems differ in more letters than the words do.
        "hyprdrive": {"drive.txt"},
        "hyperdrve": {"drive.txt"},
    }.items():
        with locale_engine.connect() as connection:
            found = WordSearch(connection, SPACE, query, "quoted", Filters()).search(10)
            ids = [chunk for chunk, _ in found.chunks]
            statement = select(Document.file_path).join(DocumentChunk).where(DocumentChunk.id.in_(ids))
            assert set(connection.scalars(statement)) == expected, query


@pytest.mark.parametrize(
    "query",
    [
        "'; DROP TABLE rag.projects; --",
        "a & | ! ( ) : * \\ '",
        "-",
        '"',
        '"" -""',
        'of "a[b (the) {1} \\m" -"(?i)of the .*"',
    ],
)
def test_tsquery_and_sql_syntax_in_a_query_is_data(animals: Engine, query: str) -> None:
    ask(animals, query)
    assert rows(animals, "SELECT count(*) FROM rag.projects") == [(1,)]


def test_hybrid_finds_the_hits_of_both_rankings(animals: Engine) -> None:
    hits = retriever_of(animals).search("E1234 striped horse", k=4, mode="hybrid").hits
    assert {hit.file_path for hit in hits[:2]} == {"error.txt", "hidden.txt"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"file_type": "text"}, {"k": 1}])
@pytest.mark.parametrize("query", ["plain river -zebra", 'plain river -"striped zebra" -zebras', "-zebra"])
def test_vector_search_respects_exclusions(animals: Engine, query: str, options: dict[str, object]) -> None:
    answer = retriever_of(animals).search(query, mode="hybrid", operators="all", **options)  # type: ignore[arg-type]
    others = {"lion.txt", "error.txt", "hidden.txt"}
    assert set(paths(answer)) <= others
    assert len(answer.hits) == options.get("k", len(others))


def test_words_are_counted_again_only_when_chunks_have_changed(animals: Engine, folder: Path) -> None:
    with animals.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    count = "SELECT documents FROM rag.lexemes WHERE lexeme = 'zebra'"
    assert rows(animals, count) == [(1,)]
    assert refresh_word_statistics(animals, space.chunking) is False
    new = folder / "new.txt"
    new.write_text("One more zebra.")
    ingest(animals, folder)
    assert rows(animals, count) == [(2,)]
    new.unlink()
    ingest(animals, folder)
    assert rows(animals, count) == [(1,)]


def test_other_projects_are_left_out_and_unknown_ones_refused(animals: Engine, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "zebra.txt").write_text("Another zebra.")
    ingest(animals, tmp_path / "more")
    assert len(paths(ask(animals, "zebra"))) == 2
    assert [hit.project for hit in ask(animals, "zebra", project="more").hits] == ["more"]
    with pytest.raises(UsageError, match="no project 'none'"):
        ask(animals, "zebra", project="none")
