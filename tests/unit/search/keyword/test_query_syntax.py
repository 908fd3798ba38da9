"""Questions taken apart: nothing that a person types is an error."""

import pytest

from rag_assets.search.keyword.query_syntax import parse_query


def test_words_phrases_and_excluded_are_told_apart() -> None:
    question = parse_query('find "exact words" well-known -not e-mail -"not this" end')
    assert question.phrases == ("exact words",)
    assert question.excluded == ("not", "not this")
    assert question.words.split() == ["find", "exact", "words", "well-known", "e-mail", "end"]


def test_a_minus_within_a_phrase_excludes_nothing() -> None:
    assert parse_query('"git commit -amend now"').excluded == ()


def test_quotes_of_word_processors_are_quotes() -> None:
    assert parse_query("„exact words“ and “more words”").phrases == ("exact words", "more words")


@pytest.mark.parametrize("word", ["__init__", "foo.bar", "a/b", "zebra", "E1234"])
def test_what_follows_a_minus_is_excluded_whole(word: str) -> None:
    assert parse_query(f"find -{word} now").excluded == (word,)


@pytest.mark.parametrize(
    "question",
    [
        *("-20 degrees", "between -1.5 and 3", "is it 4 or -4?", "rm --force", "a - b", "well-known"),
        *("what does python -O do", "do they run with python -O?", "git commit -m"),
    ],
)
def test_numbers_options_dashes_and_hyphens_exclude_nothing(question: str) -> None:
    assert parse_query(question).excluded == ()


@pytest.mark.parametrize("question", ["", '"', '""', '-""', '"open', "-", '" "', '-" "'])
def test_half_syntax_is_no_syntax(question: str) -> None:
    parsed = parse_query(question)
    assert (parsed.phrases, parsed.excluded) == ((), ())
