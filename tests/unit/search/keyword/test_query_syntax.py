# ruff: noqa: RUF001
"""The syntax of keyword queries: any text can be parsed."""

import pytest

from rag_assets.search.keyword.query_syntax import ParsedQuery, parse_query


def test_words_phrases_and_exclusions_are_separated() -> None:
    query = parse_query('find "exact words" well-known -not e-mail -"not this" end', "all")
    assert query.phrases == ("exact words",)
    assert query.excluded == ("not", "not this")
    assert query.words.split() == ["find", "exact", "words", "well-known", "e-mail", "end"]


def test_a_minus_within_a_phrase_excludes_nothing() -> None:
    assert parse_query('"git commit -amend now"', "all").excluded == ()


@pytest.mark.parametrize("query", ["tar -xzf archive", "Get-ChildItem -Recurse", "-xzf", "zebra -lion", 'a –"lion"'])
def test_by_default_a_bare_word_after_a_minus_is_a_word(query: str) -> None:
    parsed = parse_query(query)
    assert parsed.excluded == ()
    assert parsed.words.split() == query.replace('"', " ").split()


@pytest.mark.parametrize(("query", "excluded"), [('a -"b"', ("b",)), ('-"b c" a', ("b c",)), ("a -“b”", ("b",))])
def test_by_default_a_quoted_phrase_after_a_minus_is_excluded(query: str, excluded: tuple[str, ...]) -> None:
    assert parse_query(query).excluded == excluded
    assert parse_query(query).words.split() == ["a"]


def test_without_operators_everything_is_a_word() -> None:
    query = 'find "exact words" -not -"not this"'
    assert parse_query(query, "none") == ParsedQuery(query)


def test_a_quote_after_a_number_is_a_unit() -> None:
    assert parse_query('a 3.5" disk or a 5.25" disk').phrases == ()


def test_curly_quotes_delimit_phrases() -> None:
    assert parse_query("„exact words“ and “more words”").phrases == ("exact words", "more words")


@pytest.mark.parametrize("word", ["__init__", "foo.bar", "a/b", "zebra", "E1234"])
def test_a_whole_word_after_a_minus_is_excluded(word: str) -> None:
    assert parse_query(f"find -{word} now", "all").excluded == (word,)


@pytest.mark.parametrize(
    "query",
    [
        *("-20 degrees", "between -1.5 and 3", "is it 4 or -4?", "rm --force", "a - b", "well-known"),
        *("what does python -O do", "do they run with python -O?", "git commit -m"),
    ],
)
def test_numbers_options_dashes_and_hyphens_exclude_nothing(query: str) -> None:
    assert parse_query(query, "all").excluded == ()


@pytest.mark.parametrize("query", ["", '"', '""', '-""', '"open', "-", '" "', '-" "'])
def test_malformed_syntax_excludes_and_requires_nothing(query: str) -> None:
    parsed = parse_query(query, "all")
    assert (parsed.phrases, parsed.excluded) == ((), ())
