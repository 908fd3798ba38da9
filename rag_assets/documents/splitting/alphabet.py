"""How much of a text a model's tokenizer does not know."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from tokenizers import Encoding, Tokenizer

# A text is looked at when a fifth of its letters are not Latin; for any other, this costs one scan.
_NOT_LATIN: Final = re.compile(
    "[^\x00-\u024f\u1e00-\u1eff\u2000-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff00-\uffef\U0001f000-\U0001faff]"
)
_LEAST_SHARE: Final = 0.2
_SAMPLED_TEXTS: Final = 16
_SAMPLED_CHARS: Final = 2000  # of each text
_UNKNOWN_TOKENS: Final = ("[UNK]", "<unk>", "<UNK>", "[unk]")
_LEAST_WORD: Final = 2
# A word that is spelled letter by letter. Tokenizers that know a language need a token for two letters or more.
_TOKENS_PER_LETTER: Final = 0.75


def unknown_share(tokenizer: Tokenizer, content: str, texts: Sequence[str]) -> float:
    """The share of a document's letters, from 0 to 1, in words that the tokenizer does not know.

    It does not know a word that it replaces by its unknown token, or spells letter by letter. `texts` are pieces of the
    content; a sample of them is tokenized.
    """
    if content.isascii() or len(_NOT_LATIN.findall(content)) < _LEAST_SHARE * sum(map(len, content.split())):
        return 0.0
    step = max(1, len(texts) // _SAMPLED_TEXTS)
    sample = [text[:_SAMPLED_CHARS] for text in texts[::step]]
    unknown_ids = {tokenizer.token_to_id(name) for name in _UNKNOWN_TOKENS} - {None}
    letters = unknown = 0
    # encode_batch_fast has no offsets.
    for encoding in tokenizer.encode_batch(sample, add_special_tokens=False):
        for length, is_known in _words(encoding, unknown_ids):
            letters += length
            unknown += 0 if is_known else length
    return unknown / letters if letters else 0.0


def _words(encoding: Encoding, unknown_ids: set[int | None]) -> Iterator[tuple[int, bool]]:
    """The length of each word, and whether the tokenizer knows it."""
    tokens = zip(encoding.word_ids, encoding.ids, encoding.offsets, strict=True)
    for word, own in groupby(tokens, key=lambda token: token[0]):
        if word is None:
            continue
        parts = list(own)
        length = max(end for *_, (_, end) in parts) - min(start for *_, (start, _) in parts)
        is_unknown = any(token in unknown_ids for _, token, _ in parts)
        is_spelled = length >= _LEAST_WORD and len(parts) >= _TOKENS_PER_LETTER * length
        yield length, not (is_unknown or is_spelled)
