"""Texts that are a chunk each: rows that have a vector already, which is that of the whole text."""

from collections.abc import Sequence

from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.splitting.tokenizer import distinct_token_counts


class WholeTextSplitter(Splitter):
    """Leaves a text of at most `window` tokens, which the model sees whole, in one piece; splits longer ones."""

    def __init__(self, splitter: Splitter, window: int) -> None:
        super().__init__(
            splitter._tokenizer,
            max_tokens=splitter.max_tokens,
            overlap_tokens=splitter.overlap_tokens,
            fill=splitter.fill,
        )
        self.window = window

    def split_all(self, contents: Sequence[tuple[str, str]]) -> list[list[Piece]]:
        stripped = [content.strip() for content, _ in contents]
        counts = distinct_token_counts(self._tokenizer, stripped)
        fits = [counts[text] <= self.window for text in stripped]
        split = iter(super().split_all([one for one, own in zip(contents, fits, strict=True) if not own]))
        return [
            _whole(content, text, counts[text]) if own else next(split)
            for (content, _), text, own in zip(contents, stripped, fits, strict=True)
        ]


def _whole(content: str, text: str, tokens: int) -> list[Piece]:
    start = len(content) - len(content.lstrip())
    return [Piece(start, start + len(text), text, tokens, ())] if text else []
