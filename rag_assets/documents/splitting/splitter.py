"""Splits the text of a document into chunks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tokenizers import Tokenizer

from rag_assets.documents.splitting.alphabet import unknown_share
from rag_assets.documents.splitting.boundaries import Atoms, boundary_strength, split_in_half
from rag_assets.documents.splitting.outline import MARKDOWN_TYPES, Outline, parse_outline
from rag_assets.documents.splitting.packing import CHARS_PER_TOKEN, AtomPacker, Fill
from rag_assets.documents.splitting.table_headers import TableHeaders
from rag_assets.documents.splitting.tokenizer import distinct_token_counts
from rag_assets.documents.tables.blocks import DATA_TYPES, TableIndex, find_tables
from rag_assets.documents.tables.markup_tables import find_markup_tables
from rag_assets.documents.versions import splitter_version
from rag_assets.errors import UsageError

MIN_TOKENS = 16

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk's text: content[char_start:char_end] == text.

    `header` has the names of the columns where the piece lies within a table. `token_count` is that of the header and
    the text, without special tokens.
    """

    char_start: int
    char_end: int
    text: str
    token_count: int
    heading_path: tuple[str, ...]
    header: str | None = None

    @property
    def embedded_text(self) -> str:
        return self.text if self.header is None else f"{self.header}\n{self.text}"


class Splitter:
    """Splits text at headings, paragraphs and sentences into pieces of at most `max_tokens` of this tokenizer.

    `max_tokens` is without special tokens: the model's window minus `special_token_count`. With `overlap_tokens`, a
    piece that does not begin a section repeats up to so many tokens of the text before it. With `fill` full, sections
    share a piece as long as they fit; with short, a section of a quarter of the window has a piece of its own. The
    pieces of a text cover all of it but white space, and depend only on the text, its type and the settings.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, overlap_tokens: int = 0, fill: Fill = "short") -> None:
        if max_tokens < MIN_TOKENS:
            raise UsageError(f"a chunk of {max_tokens} tokens is too small; set at least {MIN_TOKENS}")
        if not 0 <= overlap_tokens < max_tokens / 2:
            raise UsageError(
                f"an overlap of {overlap_tokens} tokens is too large for chunks of {max_tokens}; "
                "set it to less than half of that, or to 0"
            )
        self.max_tokens = max_tokens
        self.overlap_tokens = overlap_tokens
        self.fill = fill
        self._tokenizer = tokenizer

    @property
    def version(self) -> str:
        """Changes exactly when the same text and settings are split in other places, or get other headers."""
        return splitter_version()

    def split(self, content: str, file_type: str) -> list[Piece]:
        return self.split_all([(content, file_type)])[0]

    def unknown_share(self, content: str, pieces: Sequence[Piece]) -> float:
        """The share of a document's letters in words that the tokenizer does not know, from 0 to 1."""
        return unknown_share(self._tokenizer, content, [piece.text for piece in pieces])

    def split_all(self, contents: Sequence[tuple[str, str]]) -> list[list[Piece]]:
        """The pieces of each (content, file type). Counting the tokens of many texts together is faster."""
        texts = [content for content, _ in contents]
        outlines = [parse_outline(content, file_type) for content, file_type in contents]
        tables = [_find_tables(*own, outline) for own, outline in zip(contents, outlines, strict=True)]
        headers = [self._headers(*own) for own in zip(texts, tables, strict=True)]
        atoms = [
            Atoms(content, self.max_tokens, own_headers.fields if found else None)
            for content, found, own_headers in zip(texts, tables, headers, strict=True)
        ]
        limit = self.max_tokens - self.overlap_tokens
        atom_counts = [
            own_headers.weigh(own, own_counts, limit)
            for own_headers, own, own_counts in zip(headers, atoms, self._count_tokens(texts, atoms), strict=True)
        ]
        spans = [
            list(AtomPacker(*own, limit=limit, reserved=own_headers.reserved, fill=self.fill))
            for *own, own_headers in zip(texts, atoms, atom_counts, outlines, tables, headers, strict=True)
        ]
        counts = self._count_tokens(texts, spans)
        # Joined atoms can have more tokens than the sum of their counts, and a single atom can be too long.
        fitted = [
            [
                span
                for pair in zip(own, own_counts, strict=True)
                for span in self._split_to_fit(content, *pair, own_headers.reserved)
            ]
            for content, own, own_counts, own_headers in zip(texts, spans, counts, headers, strict=True)
        ]
        if self.overlap_tokens:
            fitted = [self._add_overlap(*own) for own in zip(texts, fitted, outlines, headers, strict=True)]
        return [
            self._add_headers(
                [
                    Piece(
                        start,
                        end,
                        content[start:end],
                        count,
                        outline.body_path(content, start, end),
                        own_headers.header(start, end, count),
                    )
                    for (start, end), count in own
                ]
            )
            for content, own, outline, own_headers in zip(texts, fitted, outlines, headers, strict=True)
        ]

    def _headers(self, content: str, tables: TableIndex) -> TableHeaders:
        return TableHeaders(content, tables, self._tokenizer, self.max_tokens)

    def _add_headers(self, pieces: list[Piece]) -> list[Piece]:
        """Count the tokens of pieces with their headers; a header that makes a piece too long is left out."""
        texts = [piece.embedded_text for piece in pieces if piece.header is not None]
        if not texts:
            return pieces
        counts = distinct_token_counts(self._tokenizer, texts)
        return [
            piece
            if piece.header is None
            else replace(piece, token_count=count)
            if (count := counts[piece.embedded_text]) <= self.max_tokens
            else replace(piece, header=None)
            for piece in pieces
        ]

    def _count_tokens(self, texts: Sequence[str], spans: Sequence[Iterable[Span]]) -> list[list[int]]:
        spanned = (text[start:end] for text, own in zip(texts, spans, strict=True) for start, end in own)
        counts = distinct_token_counts(self._tokenizer, spanned)
        return [[counts[text[start:end]] for start, end in own] for text, own in zip(texts, spans, strict=True)]

    def _split_to_fit(
        self, content: str, span: Span, count: int, reserved: Callable[[int], int]
    ) -> Iterator[tuple[Span, int]]:
        if count <= self.max_tokens - reserved(span[0]) or span[1] - span[0] == 1:
            yield span, count
            return
        parts = list(split_in_half(content, *span))
        for part, part_count in zip(parts, *self._count_tokens([content], [parts]), strict=True):
            yield from self._split_to_fit(content, part, part_count, reserved)

    def _add_overlap(
        self, content: str, spans: list[tuple[Span, int]], outline: Outline, headers: TableHeaders
    ) -> list[tuple[Span, int]]:
        """Move the start of every piece that does not begin a section back into the piece before it."""
        wider = [span for span, _ in spans[:1]]
        for ((before, _), _), ((start, end), _) in pairwise(spans):
            index = outline.last_before(start)
            section = outline.headings[index].char_start if index >= 0 else 0
            low = max(before + 1, section, start - self.overlap_tokens * CHARS_PER_TOKEN)
            wider.append((self._overlap_start(content, low, start) if low < start else start, end))
        counted = zip(wider, *self._count_tokens([content], [wider]), strict=True)
        return [
            new if new[1] <= self.max_tokens - headers.reserved(new[0][0]) else old
            for new, old in zip(counted, spans, strict=True)
        ]

    def _overlap_start(self, content: str, low: int, start: int) -> int:
        """The best place to begin a piece among the last `overlap_tokens` tokens before `start`."""
        offsets = self._tokenizer.encode(content[low:start], add_special_tokens=False).offsets
        places = {low + begin for begin, _ in offsets[-self.overlap_tokens :]}
        places = {at for at in places if at < start and not content[at].isspace()}
        return max(places, key=lambda at: (boundary_strength(content, at), -at), default=start)


def _find_tables(content: str, file_type: str, outline: Outline) -> TableIndex:
    blocks = find_tables(content, file_type, piped=file_type in MARKDOWN_TYPES)
    blocks += find_markup_tables(content, file_type)
    outside = [block for block in blocks if not outline.in_fence(block.char_start)]
    return TableIndex(outside, always_headed=file_type in DATA_TYPES)
