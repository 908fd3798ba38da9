import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from rag_assets.documents.splitting.boundaries import Atoms, strength
from rag_assets.documents.splitting.outline import Outline

# WordPiece makes one [UNK] of a run of more than 100 letters: a megabyte of base64 would be one token.
# English and code have 3 to 5 characters per token, so only such runs and wide white space meet this bound.
CHARS_PER_TOKEN = 8

HEADING = 10
GLUED = -10
PARAGRAPH = 4
TINY_REST = 2
INSIDE_FENCE = 3


class Packer:
    """Joins atoms to stretches of at most `limit` tokens, each decided by nothing but what stands near it.

    Filling every piece to the brim would move all later cuts when one line is inserted. Here a piece ends at
    the best place between half and full (a quarter for paragraphs and headings), and among equally good ones
    at that whose surroundings have the highest checksum: two runs that began at different lines soon agree on
    such a place, and from there on are the same.
    """

    def __init__(self, content: str, atoms: Atoms, token_counts: Sequence[int], outline: Outline, limit: int) -> None:
        self.content = content
        self.starts, self.ends = atoms.starts, atoms.ends
        self.outline = outline
        self.limit = limit
        self._tokens_before = array("q", accumulate(token_counts, initial=0))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Stretches of content, as (char_start, char_end), in order."""
        first = 0
        while first < len(self.starts):
            stop = self._stop(first)
            yield self.starts[first], self.ends[stop - 1]
            first = stop

    def _stop(self, first: int) -> int:
        """The atom before which the piece that begins with atom `first` ends."""
        furthest = self._furthest(first)
        own_level, next_heading = self._section(first, furthest)
        section_end = len(self.starts)
        for heading in self.outline.headings[next_heading : next_heading + furthest - first + 1]:
            if heading.level > own_level:
                continue
            at = bisect_left(self.starts, heading.char_start)
            if at > furthest:
                section_end = at
                break
            # A heading and a line or two is no chunk of its own; it takes what follows along.
            if self._cost(first, at) >= self.limit / 4 and not self._in_heading(at - 1):
                return at
        if furthest == len(self.starts):
            return furthest
        merits = {}
        for at in range(furthest, first, -1):
            cost = self._cost(first, at)
            if cost < self.limit / 4:
                break
            merit = self._merit(at, section_end)
            if cost >= self.limit / 2 or merit[0] >= PARAGRAPH:
                merits[at] = merit
        return max(merits, key=merits.__getitem__, default=furthest)

    def _furthest(self, first: int) -> int:
        by_tokens = bisect_right(self._tokens_before, self._tokens_before[first] + self.limit, first + 1) - 1
        by_length = bisect_right(self.ends, self.starts[first] + self.limit * CHARS_PER_TOKEN, first)
        return max(first + 1, min(by_tokens, by_length))

    def _cost(self, first: int, stop: int) -> float:
        tokens = self._tokens_before[stop] - self._tokens_before[first]
        return max(tokens, (self.ends[stop - 1] - self.starts[first]) / CHARS_PER_TOKEN)

    def _section(self, first: int, furthest: int) -> tuple[int, int]:
        """The level of the section that a piece beginning here is in, and the index of the next heading."""
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
        if self._in_heading(at - 1):
            merit = GLUED
        elif self._in_heading(at):
            merit = 2 * HEADING - self.outline.headings[self.outline.last_before(start)].level
        else:
            merit = strength(self.content, start)
            if self.outline.in_fence(start):
                merit -= INSIDE_FENCE
            if self._cost(at, section_end) < self.limit / 4:
                merit -= TINY_REST
        around = self.content[max(0, start - 32) : start + 32]
        return merit, zlib.crc32(around.encode("utf-8", "surrogatepass")), at
