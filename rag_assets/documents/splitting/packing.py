"""Packs the atoms of a text into stretches that become chunks."""

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from rag_assets.documents.splitting.boundaries import Atoms, boundary_strength
from rag_assets.documents.splitting.outline import Outline
from rag_assets.documents.tables.blocks import TableIndex

# WordPiece makes one [UNK] token of a run of more than 100 letters: a megabyte of base64 would be one token. English
# and code have 3 to 5 characters per token, so only such runs and wide white space reach this limit.
CHARS_PER_TOKEN = 8

# Whether short sections that follow each other share a chunk. Texts that are no documents are split as `short`: another
# split would embed all messages and memories again.
Fill = Literal["full", "short"]

# Shares of the window. A stretch never ends before LEAST, except at the end of the text.
LEAST = 1 / 4
HALF = 1 / 2
# A stretch that is filled ends behind HALF; at a heading behind FULL, or behind FULL_OF_SECTIONS where a section begins
# that is too long for one chunk.
FULL = 0.6
FULL_OF_SECTIONS = 0.4

# Merits of a place to split at, on the scale of boundary_strength.
HEADING = 10
AFTER_HEADING = -10
PARAGRAPH = 4
SMALL_REST_PENALTY = 2
FENCE_PENALTY = 3
ROW_PENALTY = 6


class AtomPacker:
    """Joins atoms to stretches of at most `limit` tokens. Where a stretch ends depends only on the text near its end.

    Filling every stretch completely would move all later boundaries when one line is inserted. Here a stretch ends at
    the best place between half full and full (from a quarter for paragraphs and headings). Among equally good places it
    is the one whose surroundings have the highest checksum: packings that start at different lines soon end a stretch
    at the same place, and are the same from there on.
    """

    def __init__(
        self,
        content: str,
        atoms: Atoms,
        token_counts: Sequence[int],
        outline: Outline,
        tables: TableIndex,
        *,
        limit: int,
        reserved: Callable[[int], int],
        fill: Fill,
    ) -> None:
        # `reserved` gives the tokens to keep free beside a stretch that begins at a character.
        self.content = content
        self.tables = tables
        self._whole_limit = limit
        self._reserved = reserved
        self._is_filling = fill == "full"
        self.starts, self.ends = atoms.starts, atoms.ends
        self.outline = outline
        self.limit = limit
        self._tokens_before = array("q", accumulate(token_counts, initial=0))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The stretches in order, as (char_start, char_end)."""
        first = 0
        while first < len(self.starts):
            stop = self._find_stop(first)
            yield self.starts[first], self.ends[stop - 1]
            first = stop

    def _find_stop(self, first: int) -> int:
        """The atom before which the stretch that begins with atom `first` ends."""
        self.limit = self._whole_limit - self._reserved(self.starts[first])
        furthest = self._furthest(first)
        row_stop = self._row_stop(self.starts[first])
        if row_stop is not None and row_stop <= furthest:
            # The rest of a row that was cut stays alone: its header is of its own columns.
            return row_stop
        if self._is_filling:
            if furthest == len(self.starts):
                return furthest
            section_end = self._end_of(self._section_at(furthest - 1))
            stop = self._best_heading(first, furthest)
        else:
            section_end = self._next_section(first, furthest)
            stop = section_end if section_end <= furthest else None
        if stop is not None:
            return stop
        best = self._best_in_text(first, furthest, section_end)
        return self._whole_rows(first, best) if self.tables and self._row_end(best) is not None else best

    def _best_heading(self, first: int, furthest: int) -> int | None:
        """The heading to stop before when stretches are filled; None if the stretch should end within a text.

        A section that fits a stretch, with its subsections, is not divided.
        """
        whole = self._next_whole_section(first, furthest)
        index = self._section_at(furthest if whole is None else whole)
        places: list[int] = []
        while index >= 0 and (at := self._atom_of(index)) > first and self._cost(first, at) >= self.limit * LEAST:
            if at <= furthest and not self._in_heading(at - 1):
                places.append(at)
            index -= 1
        full = [at for at in places if self._cost(first, at) >= self.limit * FULL]
        if full:
            return max(full, key=lambda at: self._merit(at, len(self.starts)))
        last = places[0] if places else None
        if last is not None and last != whole and self._cost(first, last) < self.limit * FULL_OF_SECTIONS:
            return None
        return last

    def _next_whole_section(self, first: int, furthest: int) -> int | None:
        """Where the outermost section begins that fits a stretch of its own but does not fit this one any more."""
        index = self._section_at(furthest)
        found = None
        while index >= 0 and (at := self._atom_of(index)) > first:
            if at <= furthest and self._end_of(index) <= self._furthest(at):
                found = at
            index = self.outline.parents[index]
        while found is not None and self._in_heading(found - 1):
            found = found - 1 if found - 1 > first else None
        return found

    def _next_section(self, first: int, furthest: int) -> int:
        """Where a section begins that is not below the stretch's own; a stretch of less than a quarter goes on."""
        own_level, next_heading = self._section(first, furthest)
        for heading in self.outline.headings[next_heading : next_heading + furthest - first + 1]:
            if heading.level > own_level:
                continue
            at = bisect_left(self.starts, heading.char_start)
            # A heading with a line or two is too little for a chunk and continues into the next section.
            if at > furthest or (self._cost(first, at) >= self.limit * LEAST and not self._in_heading(at - 1)):
                return at
        return len(self.starts)

    def _best_in_text(self, first: int, furthest: int, section_end: int) -> int:
        merits = {}
        least = self.limit * (HALF if self._is_filling else LEAST)
        for at in range(furthest, first, -1):
            cost = self._cost(first, at)
            if cost < least:
                break
            merit = self._merit(at, section_end)
            if cost >= self.limit * HALF or merit[0] >= PARAGRAPH:
                merits[at] = merit
        return max(merits, key=merits.__getitem__, default=furthest)

    def _section_at(self, atom: int) -> int:
        return self.outline.last_before(self.starts[atom])

    def _atom_of(self, heading: int) -> int:
        return bisect_left(self.starts, self.outline.starts[heading])

    def _end_of(self, heading: int) -> int:
        """The first atom behind a section and its subsections."""
        end = self.outline.section_ends[heading] if heading >= 0 else None
        return len(self.starts) if end is None else bisect_left(self.starts, end)

    def _row_end(self, atom: int) -> int | None:
        """Where the row ends inside of which this atom begins."""
        return self.tables.row_end(self.starts[atom]) if self.tables and atom < len(self.starts) else None

    def _row_stop(self, start: int) -> int | None:
        """The first atom behind the row inside of which a stretch begins; None where it does not."""
        end = self.tables.row_end(start) if self.tables else None
        return None if end is None else bisect_left(self.starts, end)

    def _whole_rows(self, first: int, stop: int) -> int:
        """An earlier place between two rows, if the stretch is a quarter full there; else `stop`, inside a row."""
        for at in range(stop - 1, first, -1):
            if self._cost(first, at) < self.limit / 4:
                break
            if self._row_end(at) is None and self._merit(at, len(self.starts))[0] > AFTER_HEADING:
                return at
        return stop

    def _furthest(self, first: int) -> int:
        by_tokens = bisect_right(self._tokens_before, self._tokens_before[first] + self.limit, first + 1) - 1
        by_length = bisect_right(self.ends, self.starts[first] + self.limit * CHARS_PER_TOKEN, first)
        return max(first + 1, min(by_tokens, by_length))

    def _cost(self, first: int, stop: int) -> float:
        tokens = self._tokens_before[stop] - self._tokens_before[first]
        return max(tokens, (self.ends[stop - 1] - self.starts[first]) / CHARS_PER_TOKEN)

    def _section(self, first: int, furthest: int) -> tuple[int, int]:
        """The level of the section in which a stretch beginning here lies, and the index of the next heading."""
        body = first
        while body < furthest - 1 and self._in_heading(body):
            body += 1
        index = self.outline.last_before(self.starts[body])
        return (self.outline.headings[index].level if index >= 0 else HEADING), index + 1

    def _in_heading(self, atom: int) -> bool:
        index = self.outline.last_before(self.starts[atom])
        return index >= 0 and self.starts[atom] < self.outline.headings[index].char_end

    def _merit(self, at: int, section_end: int) -> tuple[int, int, int]:
        start = self.starts[at]
        if self._in_heading(at - 1) or self.tables.in_head(start, most_chars=self.limit):
            merit = AFTER_HEADING
        elif self._in_heading(at):
            merit = 2 * HEADING - self.outline.headings[self.outline.last_before(start)].level
        else:
            merit = boundary_strength(self.content, start)
            if self.outline.in_fence(start):
                merit -= FENCE_PENALTY
            row_stop = self._row_stop(start)
            if row_stop is not None:
                merit -= ROW_PENALTY
                section_end = row_stop
            if self._cost(at, section_end) < self.limit / 4:
                merit -= SMALL_REST_PENALTY
        around = self.content[max(0, start - 32) : start + 32]
        return merit, zlib.crc32(around.encode("utf-8", "surrogatepass")), at
