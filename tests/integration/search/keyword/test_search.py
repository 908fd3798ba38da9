"""Search by words, on a corpus small enough to work out by hand."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.errors import UsageError
from rag_assets.search.keyword.bm25 import K1, B
from rag_assets.search.retriever import Answer, Retriever
from tests.conftest import install, new_database
from tests.support.runs import add_project, errors, rows, run

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
def animals(admin: Engine, template: str, folder: Path) -> Iterator[Engine]:
    """One installation for all tests of this module; those that change it come last and leave it as they found it."""
    with contextmanager(new_database)(admin, template) as url, pytest.MonkeyPatch.context() as monkeypatch:
        install(url, folder.parent, monkeypatch)
        engine = make_engine(url)
        ingest(engine, folder)
        yield engine
        engine.dispose()


def ask(engine: Engine, question: str, **more: object) -> Answer:
    return Retriever(engine).search(question, mode="text", **more)  # type: ignore[arg-type]


def paths(answer: Answer) -> list[str]:
    return [hit.file_path for hit in answer.hits]


def test_words_are_found_in_any_form_and_the_rarer_word_weighs_more(animals: Engine) -> None:
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


def test_phrases_must_and_excluded_words_must_not_be_there(animals: Engine) -> None:
    assert set(paths(ask(animals, "plain river"))) == {"zebra.txt", "lion.txt", "error.txt"}
    assert paths(ask(animals, '"river station" plain')) == ["error.txt"]
    assert set(paths(ask(animals, "plain river -zebra"))) == {"lion.txt", "error.txt"}


def test_stop_words_of_a_phrase_must_stand_there_too(animals: Engine) -> None:
    assert set(paths(ask(animals, '"on the plain" lion zebra'))) == {"lion.txt", "zebra.txt"}
    # In capitals too, and whatever stands between the words.
    assert paths(ask(animals, '"Near  (the) *River*"')) == ["lion.txt"]
    assert paths(ask(animals, '"by the river"')) == []
    assert paths(ask(animals, 'zebra river "that the"')) == ["error.txt"]
    assert paths(ask(animals, '"the river station"')) == ["error.txt"]
    assert paths(ask(animals, '"iver station is"')) == []


@pytest.mark.parametrize("chosen", [{}, {"file_type": "text"}, {"project": "animals"}])
@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_an_excluded_phrase_is_that_phrase_and_not_what_is_left_without_its_stop_words(
    animals: Engine, mode: str, chosen: dict[str, object]
) -> None:
    def found(question: str) -> set[str]:
        return set(paths(Retriever(animals).search(question, mode=mode, **chosen)))  # type: ignore[arg-type]

    every = found("zebra lion river horse")
    assert every == set(DOCUMENTS)
    assert found('zebra lion river horse -"near the river"') == every - {"lion.txt"}
    assert found('zebra lion river horse -"that the"') == every - {"error.txt"}
    assert found('zebra lion river horse -"on the plain" -"another name"') == {"error.txt"}
    # A phrase that no chunk has, of words that some have; and a word that nearly all have.
    assert found('zebra lion river horse -"on the river"') == every
    assert found("zebra lion river horse -the") == every


def test_a_question_without_a_known_word_finds_nothing(animals: Engine) -> None:
    assert paths(ask(animals, "the of and")) == []
    assert paths(ask(animals, "quasar")) == []


@pytest.mark.parametrize(
    "question",
    [
        "'; DROP TABLE rag.projects; --",
        "a & | ! ( ) : * \\ '",
        "-",
        '"',
        '"" -""',
        'of "a[b (the) {1} \\m" -"(?i)of the .*"',
    ],
)
def test_what_looks_like_syntax_is_data(animals: Engine, question: str) -> None:
    ask(animals, question)
    assert rows(animals, "SELECT count(*) FROM rag.projects") == [(1,)]


def test_hybrid_finds_what_either_way_finds(animals: Engine) -> None:
    hits = Retriever(animals).search("E1234 striped horse", k=4, mode="hybrid").hits
    assert {hit.file_path for hit in hits[:2]} == {"error.txt", "hidden.txt"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("chosen", [{}, {"exact": True}, {"file_type": "text"}, {"k": 1}])
@pytest.mark.parametrize("question", ["plain river -zebra", 'plain river -"striped zebra" -zebras', "-zebra"])
def test_what_has_an_excluded_word_is_not_found_by_its_meaning_either(
    animals: Engine, question: str, chosen: dict[str, object]
) -> None:
    answer = Retriever(animals).search(question, mode="hybrid", **chosen)  # type: ignore[arg-type]
    others = {"lion.txt", "error.txt", "hidden.txt"}
    assert set(paths(answer)) <= others
    assert len(answer.hits) == chosen.get("k", len(others))


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
