"""The header beside a chunk that is a piece of a table: the names of its columns, within the window."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from tokenizers import Tokenizer

from rag_assets.documents.splitting.boundaries import Atoms
from rag_assets.documents.splitting.tokenizer import count_tokens
from rag_assets.documents.tables.blocks import Field, TableBlock, TableIndex
from rag_assets.documents.tables.writing import format_names

# Of a chunk's tokens: the most that names take, and what is kept free for the key of a row that is cut.
NAMES_SHARE = 3
KEY_SHARE = 8
# A tokenizer may need a token or two more for two texts that are joined.
_MARGIN = 4
# Names that do not fit are shortened to the first of these that fits; then the last names are left out.
_NAME_CHARS = (80, 40, 24)
_ELLIPSIS = "…"


class TableHeaders:
    """The headers of the chunks of one text, and the room that they need beside it.

    A row is cut only where it does not fit a chunk, between its fields. Each of its pieces then has a chunk of its own,
    whose header has the key of the row (its first value) and the names of the columns of the piece.
    """

    def __init__(self, content: str, tables: TableIndex, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._content = content
        self._tables = tables
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._cut_rows: set[int] = set()
        self._counts: dict[str, int] = {}
        self._names_counts: dict[int, int] = {}
        # The fields of the row that was asked for last: a row of hundreds of columns has many pieces.
        self._row_fields: tuple[int, Sequence[Field]] = (-1, ())

    def fields(self, start: int, end: int) -> list[int]:
        """Where the fields of the row at this line begin, if it may have to be cut; else nothing."""
        block = self._tables.holding(start)
        if block is None or (end - start <= self._max_tokens and not self._is_wide(block)):
            return []
        row = block.row_at(start)
        return [at for at, _ in self._fields(block, row)] if row >= 0 and block.row_starts[row] == start else []

    def weigh(self, atoms: Atoms, counts: Sequence[int], limit: int) -> Sequence[int]:
        """The token counts of the atoms, to which those of the names are added in Markdown rows that will be cut.

        In lines of `name: value` pairs the names are in the text already.
        """
        if not self._tables:
            return counts
        before = array("q", accumulate(counts, initial=0))
        weighed = list(counts)
        for block in self._tables.blocks:
            names = self._all_names_tokens(block) if block.piped else self._names_tokens(block)
            for row, (start, end) in enumerate(zip(block.row_starts, block.row_ends, strict=True)):
                first, stop = bisect_left(atoms.starts, start), bisect_left(atoms.starts, end)
                if stop - first < 2 or before[stop] - before[first] + names <= limit:
                    continue
                self._cut_rows.add(start)
                if block.piped:
                    for at, column in self._fields(block, row):
                        atom = bisect_left(atoms.starts, at)
                        if atom < stop and column < len(block.names):
                            weighed[atom] += self._count(block.names[column][: _NAME_CHARS[0]]) + 1
        return weighed

    def reserved(self, start: int) -> int:
        """The tokens to keep free for the header of a chunk that begins here."""
        block = self._tables.heading(start)
        if block is None:
            return 0
        row = block.row_at(start)
        if row < 0 or block.row_starts[row] not in self._cut_rows:
            return self._names_tokens(block)
        return self._max_tokens // KEY_SHARE + (0 if block.piped else self._names_tokens(block))

    def header(self, start: int, end: int, text_tokens: int) -> str | None:
        """The header of the chunk content[start:end]; None outside of tables and where the text has the names."""
        block = self._tables.heading(start, end)
        if block is None:
            return None
        key, names = self._parts(block, start, end)
        return self._fit(key, names, self._max_tokens - text_tokens - _MARGIN)

    def _parts(self, block: TableBlock, start: int, end: int) -> tuple[str, Sequence[str]]:
        row = block.row_at(start)
        if row < 0 or (start == block.row_starts[row] and end >= block.row_ends[row]):
            return "", block.names
        fields = self._fields(block, row)
        key = block.key(self._content, row, fields) if start > block.row_starts[row] else ""
        if end > block.row_ends[row]:
            return key, block.names
        # A value that is longer than a chunk begins before some of its pieces.
        first = max(0, bisect_right(fields, start, key=_field_start) - 1)
        stop = bisect_left(fields, end, key=_field_start)
        return key, [block.names[column] for _, column in fields[first:stop] if column < len(block.names)]

    def _fields(self, block: TableBlock, row: int) -> Sequence[Field]:
        start = block.row_starts[row]
        if self._row_fields[0] != start:
            self._row_fields = start, block.fields(self._content, row)
        return self._row_fields[1]

    def _names_tokens(self, block: TableBlock) -> int:
        return min(self._all_names_tokens(block), self._max_tokens // NAMES_SHARE)

    def _all_names_tokens(self, block: TableBlock) -> int:
        if not block.names:
            return 0
        found = self._names_counts.get(block.char_start)
        if found is None:
            found = self._names_counts[block.char_start] = self._estimate(block.names, _NAME_CHARS[0]) + _MARGIN
        return found

    def _is_wide(self, block: TableBlock) -> bool:
        """Whether the names alone take more than their share, so that a whole row never fits beside them."""
        return block.piped and self._all_names_tokens(block) > self._max_tokens // NAMES_SHARE

    def _fit(self, key: str, names: Sequence[str], room: int) -> str | None:
        """The longest header of at most `room` tokens; None if there is none."""
        room -= self._count(key) + 1 if key else 0
        if room < 0:
            return None
        # Each name takes a token at least, and so does the sign behind it.
        for chars in _NAME_CHARS if len(names) * 2 <= room else ():
            if self._estimate(names, chars) <= room:
                return _join(key, [_shorten(name, chars) for name in names]) or None
        shown: list[str] = []
        room -= self._count(_ELLIPSIS)
        for name in names:
            room -= self._estimate([name], _NAME_CHARS[-1])
            if room < 0:
                break
            shown.append(_shorten(name, _NAME_CHARS[-1]))
        return _join(key, [*shown, _ELLIPSIS]) if shown else key or None

    def _estimate(self, names: Sequence[str], chars: int) -> int:
        """The tokens of these names with a sign between each two, added up."""
        return sum(self._count(_shorten(name, chars)) + 1 for name in names)

    def _count(self, text: str) -> int:
        found = self._counts.get(text)
        if found is None:
            found = self._counts[text] = count_tokens(self._tokenizer, [text])[0]
        return found


def _field_start(field: Field) -> int:
    return field[0]


def _shorten(name: str, chars: int) -> str:
    return name if len(name) <= chars else name[: chars - 1].rstrip() + _ELLIPSIS


def _join(key: str, names: Sequence[str]) -> str:
    columns = format_names(names)
    return f"{key} | {columns}" if key and columns else key or columns
