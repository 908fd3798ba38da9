"""The encoding of text that declares none, from its letters: by chardetng, and by rules for what it mistakes."""

import re
from typing import Final

from rag_assets.documents.parsing.characters.decoders import decode_as
from rag_assets.documents.parsing.characters.labels import find_encoding

_SAMPLE_BYTES = 32 * 1024
_SHORT_BYTES = 2000
_OLD_BYTES = 8 * 1024
_SEARCHED_BYTES = 64 * _SAMPLE_BYTES
# Bytes that stand within words in the encodings of DOS and old Macs, and in those of Windows as capitals and signs.
_FOREIGN_IN_WORDS = re.compile(rb"(?<=[a-z])[\x80-\x84\x86-\x90\x98\x9b\x9d\x9f](?=[a-z])")
_FOREIGN_TO_WESTERN = re.compile(rb"(?<=[a-z])[\x80-\x84\x86-\x90\x98\x9b\x9d\x9f\xa1-\xa7\xa9](?=[a-z])")
_IN_WORDS = re.compile(rb"(?<=[a-z])[\x80-\x90\x98-\xff](?=[a-z])")
_OLD_LETTERS: Final = {
    "cp850": frozenset("äöüßéèêëàâçñóáíúìòùãõåæøïîôû"),
    "macintosh": frozenset("äöüßéèêëàâçñóáíúìòùãõåæøïîôû"),
    "cp852": frozenset("ąćęłńóśźżáčďéěíňřšťúůýžőűäöü"),
}
# Text in which all that is not ASCII is kana, kanji of the first level, symbols, or the characters of NEC and IBM, and
# none of it touches a Latin letter: quotes and dashes of Windows' encodings have these bytes too, beside letters.
_SHORT_SHIFT_JIS = re.compile(
    rb"(?:(?:[\x81-\x84\x87-\x97\xed\xee\xfa-\xfc][\x40-\x7e\x80-\xfc]|\x98[\x40-\x72])++(?![A-Za-z])"
    rb"|[A-Za-z]++(?![\x80-\xff])|[\x00-\x40\x5b-\x60\x7b-\x7f]++)*+"
)
# A guess is another encoding where the text has one of the first bytes and all of the second, and none of the third.
_CORRECTIONS: Final = (
    # Hungarian, whose ő and ű are õ and û in the Western encoding; languages with those have others of its letters too.
    ("windows-1252", b"\xf5\xfb", b"\xe1\xe9", b"\xe0\xe3\xe4\xe5\xe7\xe8\xea", "windows-1250"),
    # Estonian: š and ž are ð and þ, which no language has beside õ.
    ("windows-1252", b"\xf0\xfe", b"\xf5\xe4", b"\xe1\xe9\xed\xf3\xfa\xfd\xe6", "windows-1257"),
    # å and à are the ĺ and ŕ of Slovak, which hardly has them, and never without the letters below 0xc0.
    ("windows-1250", b"\xe5\xe0", b"", bytes(range(0x8A, 0xC0)), "windows-1252"),
    ("iso-8859-2", b"\xe5\xe0", b"", bytes(range(0xA1, 0xC0)), "windows-1252"),
)


def detect_encoding(data: bytes) -> str:
    """The most likely encoding of a text that is not UTF-8."""
    import chardetng_py  # type: ignore[import-untyped]

    sample = _sample(data)
    found = find_encoding(chardetng_py.detect(sample)) or "windows-1252"
    if found.startswith(("windows-125", "iso-8859-")) and _SHORT_SHIFT_JIS.fullmatch(sample[:_SHORT_BYTES]):
        return "shift_jis"
    for guess, some, every, none, right in _CORRECTIONS:
        if (
            found == guess
            and any(byte in sample for byte in some)
            and all(byte in sample for byte in every)
            and not any(byte in sample for byte in none)
        ):
            return right
    if found.startswith(("windows-12", "iso-8859-2")) and (old := _detect_old(sample[:_OLD_BYTES], found)) is not None:
        return old
    return found


def _sample(data: bytes) -> bytes:
    """Only lines with other characters than ASCII help, and a sample of them is enough and keeps this fast."""
    lines, size = [], 0
    for line in data[:_SEARCHED_BYTES].splitlines(keepends=True):
        if not line.isascii():
            lines.append(line[:_SAMPLE_BYTES])
            size += len(lines[-1])
            if size > _SAMPLE_BYTES:
                break
    return b"".join(lines) or data


def _detect_old(sample: bytes, guess: str) -> str | None:
    """An encoding of DOS or of old Macs, which chardetng does not know."""
    in_words = _IN_WORDS.findall(sample)
    foreign = _FOREIGN_TO_WESTERN if guess in ("windows-1252", "windows-1254") else _FOREIGN_IN_WORDS
    if not in_words or len(foreign.findall(sample)) * 3 < len(in_words):
        return None
    text = b"".join(in_words)
    scores = {
        encoding: sum(character in letters for character in decode_as(text, encoding))
        for encoding, letters in _OLD_LETTERS.items()
    }
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] * 4 >= len(in_words) * 3 else None
