from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as installed_version
from itertools import islice, pairwise

from tokenizers import Tokenizer

from rag_assets.errors import UsageError
from rag_assets.text.atoms import Atoms, halves, strength
from rag_assets.text.headings import Outline, outline
from rag_assets.text.packing import CHARS_PER_TOKEN, Packer
from rag_assets.text.tokens import count_tokens

# Raise it with every change after which some text would be cut in other places.
REVISION = 1
MIN_TOKENS = 16


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """content[char_start:char_end] == text; token_count is without the model's special tokens."""

    char_start: int
    char_end: int
    text: str
    token_count: int
    heading_path: tuple[str, ...]


class Splitter:
    """Cuts text at headings, paragraphs and sentences into pieces of at most `max_tokens` of this tokenizer.

    `max_tokens` is without special tokens: the model's window minus `special_token_count`. With
    `overlap_tokens` a piece that does not begin a section repeats up to so many tokens of what stands before
    it. The pieces of one text cover everything in it but white space, and depend on nothing but the text, its
    type and the settings.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, overlap_tokens: int = 0) -> None:
        if max_tokens < MIN_TOKENS:
            raise UsageError(f"a chunk of {max_tokens} tokens is too small; set at least {MIN_TOKENS}")
        if not 0 <= overlap_tokens < max_tokens / 2:
            raise UsageError(
                f"an overlap of {overlap_tokens} tokens does not go with chunks of {max_tokens}; "
                "set it to less than half of that, or to 0"
            )
        self.max_tokens = max_tokens
        self.overlap_tokens = overlap_tokens
        self._tokenizer = tokenizer

    @property
    def version(self) -> str:
        """Changes exactly when the same text and settings would be cut in other places."""
        return _version()

    def split(self, content: str, file_type: str) -> list[Piece]:
        return self.split_all([(content, file_type)])[0]

    def split_all(self, contents: Sequence[tuple[str, str]]) -> list[list[Piece]]:
        """The pieces of each (content, file type), as one by one; counting them together is faster."""
        parts = [Atoms(content, self.max_tokens) for content, _ in contents]
        outlines = [outline(content, file_type) for content, file_type in contents]
        limit = self.max_tokens - self.overlap_tokens
        spans: list[list[Span]] = []
        counted = self._count([list(atoms) for atoms in parts], contents)
        for (content, _), atoms, titles, counts in zip(contents, parts, outlines, counted, strict=True):
            packed = list(Packer(content, atoms, counts, titles, limit))
            spans.append(self._overlapped(content, packed, titles) if self.overlap_tokens else packed)
        # Joined atoms may have more tokens than the sum of their own, so what came out is counted as it is.
        counted = self._count(spans, contents)
        return [
            [
                piece
                for (start, end), count in zip(own, counts, strict=True)
                for piece in self._fitting(content, start, end, count, titles)
            ]
            for (content, _), own, titles, counts in zip(contents, spans, outlines, counted, strict=True)
        ]

    def _count(self, spans: Sequence[Sequence[Span]], contents: Sequence[tuple[str, str]]) -> list[list[int]]:
        texts = [content[start:end] for (content, _), own in zip(contents, spans, strict=True) for start, end in own]
        counts = iter(count_tokens(self._tokenizer, texts))
        return [list(islice(counts, len(own))) for own in spans]

    def _fitting(self, content: str, start: int, end: int, count: int, titles: Outline) -> Iterator[Piece]:
        if count <= self.max_tokens or end - start == 1:
            yield Piece(start, end, content[start:end], count, titles.path(titles.body(start, end)))
            return
        parts = list(halves(content, start, end))
        counts = count_tokens(self._tokenizer, [content[low:high] for low, high in parts])
        for (low, high), part_count in zip(parts, counts, strict=True):
            yield from self._fitting(content, low, high, part_count, titles)

    def _overlapped(self, content: str, spans: list[Span], titles: Outline) -> list[Span]:
        """Moves the start of every piece that does not begin a section back into the piece before it."""
        result = spans[:1]
        for (before, _), (start, end) in pairwise(spans):
            index = titles.last_before(start)
            section = titles.headings[index].char_start if index >= 0 else 0
            low = max(before + 1, section, start - self.overlap_tokens * CHARS_PER_TOKEN)
            result.append((self._overlap_start(content, low, start) if low < start else start, end))
        return result

    def _overlap_start(self, content: str, low: int, start: int) -> int:
        """The best place to begin among the last `overlap_tokens` tokens before `start`."""
        offsets = self._tokenizer.encode(content[low:start], add_special_tokens=False).offsets
        places = {low + begin for begin, _ in offsets[-self.overlap_tokens :]}
        places = {at for at in places if at < start and not content[at].isspace()}
        return max(places, key=lambda at: (strength(content, at), -at), default=start)


@cache
def _version() -> str:
    libraries = ("semantic-text-splitter", "markdown-it-py")
    return "-".join([str(REVISION), *(installed_version(name) for name in libraries)])
