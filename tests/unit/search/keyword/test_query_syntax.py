"""The syntax of keyword queries: any text can be parsed."""

import pytest

from rag_assets.search.keyword.query_syntax import parse_query


def test_words_phrases_and_exclusions_are_separated() -> None:
    query = parse_query('find "exact words" well-known -not e-mail -"not this" end')
    assert query.phrases == ("exact words",)
    assert query.excluded == ("not", "not this")
    assert query.words.split() == ["find", "exact", "words", "well-known", "e-mail", "end"]


def test_a_minus_within_a_phrase_excludes_nothing() -> None:
    assert parse_query('"git commit -amend now"').excluded == ()


def test_curly_quotes_delimit_phrases() -> None:
    assert parse_query("„exact words“ and “more words”").phrases == ("exact words", "more words")


@pytest.mark.parametrize("word", ["__init__", "foo.bar", "a/b", "zebra", "E1234"])
def test_a_whole_word_after_a_minus_is_excluded(word: str) -> None:
    assert parse_query(f"find -{word} now").excluded == (word,)


@pytest.mark.parametrize(
    "query",
    [
        *("-20 degrees", "between -1.5 and 3", "is it 4 or -4?", "rm --force", "a - b", "well-known"),
        *("what does python -O do", "do they run with python -O?", "git commit -m"),
    ],
)
def test_numbers_options_dashes_and_hyphens_exclude_nothing(query: str) -> None:
    assert parse_query(query).excluded == ()


@pytest.mark.parametrize("query", ["", '"', '""', '-""', '"open', "-", '" "', '-" "'])
def test_malformed_syntax_excludes_and_requires_nothing(query: str) -> None:
    parsed = parse_query(query)
    assert (parsed.phrases, parsed.excluded) == ((), ())
