"""Tables that are ruled: by the grid that lines and boxes draw, or by lines below each other."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rag_assets.documents.parsing.readers.layout.geometry import Box, Segment, Word
from rag_assets.documents.parsing.readers.layout.tables.grids import fill_grid, rule_grids
from rag_assets.documents.parsing.readers.layout.tables.rules import find_rules
from rag_assets.documents.parsing.readers.layout.tables.stacks import fill_stack, rule_stacks

_MAX_STACK = 60
_MOST_TRIES = 8


def find_ruled_tables(words: Sequence[Word], boxes: Iterable[Box]) -> list[tuple[Segment, list[int]]]:
    """The tables, each with the indexes of its words; `boxes` are those of the lines and rectangles of the page."""
    horizontal, vertical = find_rules(boxes)
    found: list[tuple[Segment, list[int]]] = []
    taken: set[int] = set()
    free = {id(rule): rule for rule in horizontal}
    for rows, columns in rule_grids(horizontal, vertical):
        table = fill_grid(words, rows, columns)
        if table is not None and taken.isdisjoint(table[1]):
            taken.update(table[1])
            found.append(table)
            for rule in rows:
                free.pop(id(rule), None)
    for rules in rule_stacks(list(free.values())):
        first = 0
        while first + 2 < len(rules):
            # Of several tables below each other, each is found on its own: over all of them the text has no columns.
            for last in islice(range(min(len(rules), first + _MAX_STACK), first + 2, -1), _MOST_TRIES):
                table = fill_stack(words, rules[first:last])
                if table is not None and taken.isdisjoint(table[1]):
                    taken.update(table[1])
                    found.append(table)
                    first = last - 1
                    break
            first += 1
    return found
