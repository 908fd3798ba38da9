"""Accent-free forms: `Munchen` finds `München` and the reverse, ranked behind the form of the query.

The index has the accent-free form of each word with accents as a lexeme that begins with a mark (`rag.word_vector`).
"""

import unicodedata
from collections.abc import Mapping

from rag_assets.search.keyword.term_selection import Term
from rag_assets.search.keyword.unspaced import is_unspaced

MARK = "\u02bc"
# The weight of the other form, as a share of the word's.
OTHER_FORM = 0.8

_LIGATURES = {ord("ß"): "ss", ord("æ"): "ae", ord("œ"): "oe", ord("þ"): "th"}
_WITHOUT_ACCENT = str.maketrans("øłđħıŧðſ\x01", "oldhitdsй") | _LIGATURES


def make_terms(found: Mapping[str, tuple[int, int]], *, is_ascii: bool = False) -> list[Term]:
    """The terms of a query; `is_ascii` for one without accents.

    `found` has each of its lexemes with two numbers of chunks: with the lexeme, and with its other form, which is the
    unmarked one of a marked lexeme and the marked one of another.
    """
    terms: dict[str, Term] = {}
    accented = {MARK + without_accents(lexeme): lexeme for lexeme in found if not lexeme.isascii()}
    for lexeme, (documents, others) in found.items():
        if lexeme.startswith(MARK) and is_ascii:
            # The joined form of a compound, which the chunks with the compound have as well.
            if others or not documents:
                terms.setdefault(lexeme[1:], Term(lexeme[1:], others, OTHER_FORM, max(documents, others)))
        elif lexeme.startswith(MARK):
            word = accented.get(lexeme)
            weighed_by = documents if word is None else found[word][0]
            # A chunk with the word has the marked form as well: both together have the weight of the word.
            terms[lexeme] = Term(lexeme, documents, OTHER_FORM, weighed_by)
            if others or not documents:
                terms[lexeme[1:]] = Term(lexeme[1:], others, OTHER_FORM, max(weighed_by, others))
        elif not lexeme.isascii() and MARK + without_accents(lexeme) in found:
            terms[lexeme] = Term(lexeme, documents, 1 - OTHER_FORM, is_implied=True)
        else:
            terms.setdefault(lexeme, Term(lexeme, documents))
            # One that is unknown may have come since the last count.
            if others or not (documents or is_unspaced(lexeme)):
                terms.setdefault(MARK + lexeme, Term(MARK + lexeme, others, OTHER_FORM, max(documents, others)))
    return list(terms.values())


def without_accents(word: str) -> str:
    """As `rag.without_accents`."""
    apart = unicodedata.normalize("NFD", word.replace("й", "\x01"))
    bare = "".join(letter for letter in apart if not "\u0300" <= letter <= "\u036f")
    return bare.translate(_WITHOUT_ACCENT)
