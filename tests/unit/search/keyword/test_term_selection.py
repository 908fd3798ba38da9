"""The candidate condition, derived from the frequencies of the terms."""

import math

import pytest

from rag_assets.search.keyword.term_selection import Term, candidate_tsquery, quote_lexeme

CHUNKS = 100_000


def test_idf_falls_with_frequency_and_is_never_negative() -> None:
    weights = [Term("x", documents).idf(1_000) for documents in (0, 1, 10, 100, 999, 1_000, 2_000)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert weights[1] == pytest.approx(math.log(1 + 999.5 / 1.5))


def test_one_term_suffices_if_few_chunks_have_any_term() -> None:
    assert candidate_tsquery([Term("rare", 3), Term("scarce", 900)], CHUNKS, 1_000) == "'rare' | 'scarce'"


def test_common_terms_suffice_only_together() -> None:
    condition = candidate_tsquery([Term("rare", 3), Term("common", 20_000), Term("usual", 30_000)], CHUNKS, 10_000)
    assert condition == "('rare') | ('common' & 'usual')"


def test_a_query_of_common_terms_requires_all_of_them() -> None:
    assert candidate_tsquery([Term("common", 5_000), Term("usual", 9_000)], CHUNKS, 1_000) == "('common' & 'usual')"


def test_a_single_common_term_is_the_whole_condition() -> None:
    assert candidate_tsquery([Term("common", 50_000)], CHUNKS, 1_000) == "('common')"


def test_conditions_stay_short_for_long_queries() -> None:
    terms = [Term(f"word{n}", 2_000 + 1_000 * n) for n in range(60)]
    assert len(candidate_tsquery(terms, CHUNKS, 1_000)) < 2_000


def test_lexemes_are_quoted() -> None:
    assert quote_lexeme("it's \\ ' | !") == "'it''s \\\\ '' | !'"
