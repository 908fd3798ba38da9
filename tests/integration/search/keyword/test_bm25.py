"""Keyword search in the database, compared with the BM25 formula in Python."""

import math
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from rag_assets.db.writes.word_statistics import refresh_word_statistics
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.keyword import search as keyword_search
from rag_assets.search.keyword.bm25 import K1, B
from tests.support.data.keyword_corpus import search_paths, search_scores, write_corpus
from tests.support.pipeline.runs import rows

VOCABULARY = ["zebra", "lion", "river", "plain", "grass", "horn", "tail", "claw", "mane", "hoof", "fang", "paw"]


def random_documents(number: int, vocabulary: Sequence[str]) -> dict[str, str]:
    """Documents of various lengths, with terms of various frequencies."""
    rng = random.Random(0)
    weights = [1 / (rank + 1) for rank in range(len(vocabulary))]
    return {f"{n:04}.txt": " ".join(rng.choices(vocabulary, weights, k=rng.randint(2, 40))) for n in range(number)}


def bm25_scores(texts: dict[str, str], query: str) -> dict[str, float]:
    counts = {path: Counter(text.split()) for path, text in texts.items()}
    mean = sum(count.total() for count in counts.values()) / len(counts)
    scores: Counter[str] = Counter()
    for word in set(query.split()):
        having = sum(word in count for count in counts.values())
        idf = math.log(1 + (len(counts) - having + 0.5) / (having + 0.5))
        for path, count in counts.items():
            if times := count[word]:
                scores[path] += idf * times * (K1 + 1) / (times + K1 * (1 - B + B * count.total() / mean))
    return dict(scores)


def test_scores_and_order_are_those_of_the_formula(locale_engine: Engine) -> None:
    texts = random_documents(200, VOCABULARY)
    write_corpus(locale_engine, texts)
    for query in ("zebra", "paw", "zebra paw fang", " ".join(VOCABULARY)):
        expected = bm25_scores(texts, query)
        found = search_scores(locale_engine, query, k=1_000)
        assert dict(found) == pytest.approx(expected)
        assert [path for path, _ in found] == sorted(expected, key=lambda path: (-round(expected[path], 9), path))


def test_few_candidates_include_the_best_chunks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_documents(2_000, [f"w{n}x" for n in range(500)])
    write_corpus(engine, texts)
    monkeypatch.setattr(keyword_search, "MIN_CANDIDATES", 200)
    for query in (
        "w1x w5x w300x",
        "w0x w2x w20x w40x w60x",
        "w3x w8x w13x w21x w34x w55x w89x w144x",
        "w100x w200x",
    ):
        expected = bm25_scores(texts, query)
        best = sorted(expected, key=lambda path: (-expected[path], path))[:10]
        assert len(set(search_paths(engine, query)) & set(best)) >= 9


@pytest.mark.parametrize("k", [1, 10, 300])
def test_all_matching_chunks_are_found(engine: Engine, monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    """A rare term must not hide the chunks that share only common ones."""
    monkeypatch.setattr(keyword_search, "MIN_CANDIDATES", 20)
    monkeypatch.setattr(keyword_search, "CANDIDATES_PER_HIT", 1)
    texts = {f"{n:03}.txt": "the river runs" for n in range(250)} | {"rare.txt": "a quokka"}
    write_corpus(engine, texts)
    found = search_paths(engine, "quokka river", k=k)
    assert len(found) == min(k, 251)
    assert found[0] == "rare.txt"
    assert len(set(found)) == len(found)


def test_filters_hide_no_matching_chunk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyword_search, "MIN_CANDIDATES", 20)
    monkeypatch.setattr(keyword_search, "CANDIDATES_PER_HIT", 2)
    write_corpus(engine, {f"{n:03}.txt": "the quokka by the river" for n in range(300)}, project="big")
    write_corpus(engine, {f"{n:03}.md": "the river" for n in range(15)}, project="small")
    for filters in (Filters(projects=["small"]), Filters(path_glob="*.md")):
        assert len(search_paths(engine, "quokka river", filters=filters)) == 10
        assert len(search_paths(engine, "quokka river", k=100, filters=filters)) == 15
    assert len(search_paths(engine, "quokka river", k=200, filters=Filters(path_glob="*.txt"))) == 200
    assert search_paths(engine, "quokka", filters=Filters(projects=["small"])) == []


def test_equal_scores_are_sorted_by_project_and_path(locale_engine: Engine) -> None:
    for project in ("b", "a"):
        write_corpus(locale_engine, {f"{project}{n}.txt": "the river" for n in (3, 1, 2)}, project=project)
    assert search_paths(locale_engine, "river", k=4) == ["a1.txt", "a2.txt", "a3.txt", "b1.txt"]


def test_a_phrase_of_common_words_finds_its_chunks(locale_engine: Engine) -> None:
    texts = {f"{n:03}.txt": "a river with a long plain" for n in range(50)}
    write_corpus(locale_engine, texts | {"phrase.txt": "the plain river of the long day"})
    assert search_paths(locale_engine, '"plain river"') == ["phrase.txt"]
    assert search_paths(locale_engine, 'long -"plain river"', k=100) == sorted(texts)
    assert search_paths(locale_engine, '"plain river" -day', operators="all") == []
    assert search_paths(locale_engine, '"plain river" -"day"') == []
    assert search_paths(locale_engine, '"plain river" -day') == ["phrase.txt"]


def test_stop_words_find_nothing_and_exclude_nothing(locale_engine: Engine) -> None:
    write_corpus(locale_engine, {"a.txt": "to be or not to be by the river", "b.txt": "a plain"})
    for query in ("to be or not to be", '"the"', "-river", '-"the river"', "", "!!!"):
        assert search_paths(locale_engine, query, operators="all") == []
    assert search_paths(locale_engine, '"to be" river') == ["a.txt"]
    assert search_paths(locale_engine, "river -the", operators="all") == ["a.txt"]


def test_a_phrase_of_stop_words_alone_finds_its_chunks(locale_engine: Engine) -> None:
    texts = {
        "once.txt": "To be or not to be by the river",
        "twice.txt": "to be or not to be; to be or not to be: a plain",
        "curly.txt": "“The Who” played",
    }
    write_corpus(locale_engine, texts)
    for query, found in (
        ('"to be or not to be"', ["twice.txt", "once.txt"]),
        ('"To be, or NOT"', ["twice.txt", "once.txt"]),
        ('"to be or not to be" -"river"', ["twice.txt"]),
        ('"not or"', []),
        ('"the who"', ["curly.txt"]),
        ('"who the"', []),
    ):
        assert search_paths(locale_engine, query) == found
        for filters in (Filters(projects=["p"]), Filters(path_glob="*.txt")):
            assert search_paths(locale_engine, query, filters=filters) == found
        assert search_paths(locale_engine, query, filters=Filters(path_glob="*.md")) == []


IDENTIFIERS = [
    ("Override object.__getattr__ and call __init__ first.", ["__init__", "__getattr__", "object.__getattr__"]),
    ("Set RAG_ASSETS_STATE_DIR=/srv/state first.", ["RAG_ASSETS_STATE_DIR", "state_dir", '"STATE_DIR"']),
    ("It raises errno.ECONNREFUSED at once.", ["ECONNREFUSED", "errno.ECONNREFUSED", "econnrefused"]),
    ("Use collections.OrderedDict, not dict.", ["OrderedDict", "collections.OrderedDict", "collections"]),
    ("Look at /usr/lib/python3/dist-packages/foo/bar.py there.", ["bar.py", "foo/bar.py", "dist-packages"]),
    ("See https://docs.example.org/library/os.path.html for it.", ["os.path", "docs.example.org", "library"]),
    ("Code E1234, or ERR-404, or CVE-2024-1234.", ["E1234", "ERR-404", "404", "CVE-2024-1234", "err 404"]),
    ("Written in C++ and std::vector<int>.", ["std::vector", "vector", "C++"]),
    ("Patients and/or controls, patients/controls.", ["controls", "patients", "and/or"]),
    ("Version 3.14 of libc.so.6 is here.", ["3.14", "libc.so.6", "libc"]),
    ("Write to ada@example.org about foo-bar.", ["ada@example.org", "foo-bar", "bar"]),
]


def test_identifiers_are_found_whole_and_by_their_parts(locale_engine: Engine) -> None:
    for number, (text, queries) in enumerate(IDENTIFIERS):
        write_corpus(locale_engine, {"wanted.txt": text, "other.txt": "nothing of that kind"}, project=f"p{number}")
        only = Filters(projects=[f"p{number}"])
        for query in queries:
            assert search_paths(locale_engine, query, filters=only) == ["wanted.txt"], query


def test_each_language_is_searched_by_its_own_lexemes(locale_engine: Engine) -> None:
    write_corpus(locale_engine, {"en.txt": "the houses are old and the war is over"}, project="en")
    write_corpus(
        locale_engine, {"de.txt": "die Häuser sind alt, und der Krieg war lang"}, project="de", language="german"
    )
    write_corpus(locale_engine, {"any.txt": "the houses"}, project="any", language="simple")
    assert search_paths(locale_engine, "house") == ["en.txt"]
    assert search_paths(locale_engine, "Haus") == ["de.txt"]
    assert search_paths(locale_engine, "war") == ["en.txt"], "a stop word in German"
    assert sorted(search_paths(locale_engine, "houses")) == ["any.txt", "en.txt"]
    assert search_paths(locale_engine, "houses Haus", filters=Filters(projects=["de"])) == ["de.txt"]


def test_terms_added_since_the_last_count_are_found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.db.writes.word_statistics.ALWAYS_RECOUNT_BELOW", 10)
    write_corpus(engine, {f"{n:03}.txt": "the river" for n in range(200)})
    counted = "SELECT chunks FROM rag.word_statistics"
    write_corpus(engine, {"new.txt": "one quokka"})
    assert rows(engine, counted) == [(200,)], "one chunk more is not worth counting all again"
    assert search_paths(engine, "quokka") == ["new.txt"]
    write_corpus(engine, {f"more{n}.txt": "the plain" for n in range(3)})
    assert rows(engine, counted) == [(204,)], "a fiftieth is"


def test_a_new_language_is_always_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.db.writes.word_statistics.ALWAYS_RECOUNT_BELOW", 10)
    write_corpus(engine, {f"{n:03}.txt": "the river" for n in range(200)})
    write_corpus(engine, {"de.txt": "die Häuser"}, project="de", language="german")
    assert search_paths(engine, "Haus") == ["de.txt"]


def test_words_are_counted_again_where_the_parser_makes_others(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restore into another version of PostgreSQL."""
    monkeypatch.setattr("rag_assets.db.writes.word_statistics.ALWAYS_RECOUNT_BELOW", 1)
    write_corpus(engine, {f"{n}.txt": "the river" for n in range(100)})
    assert refresh_word_statistics(engine, "c1") is False
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE rag.lexemes SET documents = 1")
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION rag.plain_words(given text) RETURNS text LANGUAGE sql IMMUTABLE STRICT "
            "RETURN lower(translate(given, '+', ' '))"
        )
    assert refresh_word_statistics(engine, "c1") is True
    assert rows(engine, "SELECT documents FROM rag.lexemes WHERE lexeme = 'river'") == [(100,)]
    assert refresh_word_statistics(engine, "c1") is False


def test_nothing_is_counted_twice(engine: Engine) -> None:
    write_corpus(engine, {"a.txt": "the river"})
    assert refresh_word_statistics(engine, "c1") is False
    assert refresh_word_statistics(engine, "never") is False


def test_repetitions_count_up_to_the_limit_of_a_tsvector(locale_engine: Engine) -> None:
    write_corpus(
        locale_engine, {f"{n}.txt": " ".join(["river"] * n + ["plain"] * (255 - n)) for n in (1, 2, 3, 50, 254)}
    )
    assert search_paths(locale_engine, "river") == ["254.txt", "50.txt", "3.txt", "2.txt", "1.txt"]
