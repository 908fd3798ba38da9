"""Phrases with stop words, which are not indexed: conditions on the text of a chunk."""

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_

from rag_assets.db.models.chunks import EMBEDDED_TEXT

# What stands between the words of a text, unless `_IS_UNUSUAL` finds something.
_BETWEEN = r"[^A-Za-z0-9\u00aa\u00b5\u00ba\u00c0-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff]+"
_IS_UNUSUAL = r"[\u00ad\u0300-\u036f\u200b-\u200f\u2060\ufb00-\ufb06\ufeff\uff01-\uff5e]|&[A-Za-z#]"


def contains_any_phrase(phrases: Sequence[str]) -> ColumnElement[bool]:
    """Whether the text of a chunk has one of these phrases, as `rag.plain_words` writes them."""
    # One pattern: the server caches about thirty compiled patterns, and would recompile more for each chunk.
    normalized = "|".join(_pattern(phrase, "[ \n-]+") for phrase in phrases)
    slow = func.rag.plain_words(EMBEDDED_TEXT).regexp_match(normalized)
    if not all(phrase.isascii() for phrase in phrases):
        return slow
    fast = EMBEDDED_TEXT.regexp_match(raw_pattern(phrases), flags="i")
    return or_(fast, and_(EMBEDDED_TEXT.regexp_match(_IS_UNUSUAL), slow))


def contains_without_accents(phrase: str) -> ColumnElement[bool]:
    """Whether the text of a chunk has the phrase, which has no accents, with any accents."""
    return func.rag.without_accents(func.rag.plain_words(EMBEDDED_TEXT)).regexp_match(_pattern(phrase, "[ \n-]+"))


def raw_pattern(phrases: Sequence[str]) -> str:
    """A regular expression that finds the phrases in most texts as they are."""
    return "|".join(_pattern(phrase, _BETWEEN) for phrase in phrases)


def _pattern(phrase: str, between: str) -> str:
    words = (word.replace(".", r"\.") for word in re.split(r"[\s-]+", phrase) if word)
    return f"(^|{between}){between.join(words)}(?={between}|$)"
