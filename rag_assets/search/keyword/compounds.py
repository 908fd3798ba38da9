"""Compounds such as `element-wise`: their weight beside that of their parts, and their joined forms.

A compound is indexed as a whole, followed by its parts. The index has the joined form of two neighbouring parts with
the mark of accent-free forms: `email` finds `e-mail`, `username` finds `get_user_name`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag_assets.search.keyword.term_selection import Term


def weigh_compounds(terms: Sequence[Term], positions: Mapping[str, Sequence[int]], chunks: int) -> list[Term]:
    """A compound and its parts together have the weight of the compound, or that of the parts where it is more.

    Chunks with a compound have its parts as well, so that their weights add up. `positions` are those of the terms in
    the query.
    """
    weighed = []
    for term in terms:
        parts = _parts(term.lexeme, terms, positions)
        weight = term.idf(chunks)
        if not parts or not weight:
            weighed.append(term)
            continue
        more = weight - sum(part.idf(chunks) for part in parts)
        if more > 0:
            weighed.append(replace(term, share=term.share * more / weight, is_implied=True))
    return weighed


def _parts(lexeme: str, terms: Sequence[Term], positions: Mapping[str, Sequence[int]]) -> list[Term]:
    if "-" not in lexeme or not positions.get(lexeme):
        return []
    first = positions[lexeme][0]
    following = range(first + 1, first + 2 + lexeme.count("-"))
    return [term for term in terms if any(at in following for at in positions.get(term.lexeme, ()))]
