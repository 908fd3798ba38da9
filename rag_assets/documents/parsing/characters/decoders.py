"""Decoders of the encodings of the Encoding Standard (WHATWG): Python's codecs, corrected where their tables differ.

What cannot be decoded becomes U+FFFD exactly where the standard says. Two families are read further than it goes:
ISO-2022-JP with the character sets that mail programs add to it, and ISO-2022-KR, HZ and UTF-7, which it refuses.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

from rag_assets.documents.parsing.characters.differences import BIG5, EUC_JP, GB18030, SHIFT_JIS, SINGLE_BYTE

REPLACEMENT = "\ufffd"
_MOST_KNOWN_SEQUENCES = 100_000
PYTHON_NAMES = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be"}


def decode_as(data: bytes, encoding: str) -> str:
    """The text of bytes in one of the encodings that `find_encoding` returns."""
    if encoding in SINGLE_BYTE:
        return codecs.charmap_decode(data, "replace", _single_byte_table(encoding))[0]
    if encoding in _MULTI_BYTE:
        return _MULTI_BYTE[encoding].decode(data)
    if encoding == "iso-2022-jp":
        return _decode_iso_2022_jp(data)
    if encoding == "x-user-defined":
        return "".join(chr(byte if byte < 0x80 else 0xF700 + byte) for byte in data)
    return data.decode(PYTHON_NAMES.get(encoding, encoding), "replace")


@cache
def _single_byte_table(encoding: str) -> str:
    """The characters of the 256 bytes; U+FFFE, which `charmap_decode` refuses, where there is none."""
    codec, differences = SINGLE_BYTE[encoding]
    table = [*map(chr, range(0x80)), *bytes(range(0x80, 0x100)).decode(codec, "replace").replace(REPLACEMENT, "\ufffe")]
    if encoding.startswith("windows-"):
        # Bytes that Windows left undefined are control characters.
        table[0x80:0xA0] = [chr(at) if table[at] == "\ufffe" else table[at] for at in range(0x80, 0xA0)]
    for byte, character in differences.items():
        table[byte] = character
    return "".join(table)


@dataclass(slots=True)
class _MultiByteDecoder:
    """Uses Python's codec as far as its table is right, and reads sequence by sequence where text is not valid in it.

    In patterns and tables, the characters U+0080 to U+00FF stand for bytes. `tokens` matches a whole sequence as the
    standard delimits it, `decode_token` gives its text or None. `unclear` are sequences for which the
    codec gives the character that is right for others.
    """

    codec: str
    tokens: re.Pattern[str]
    decode_token: Callable[[str], str | None]
    differences: dict[str, str]
    unclear: tuple[str, ...] = ()
    _known: dict[str, str] = field(default_factory=dict)
    _swaps: dict[int, str] | None = None

    def decode(self, data: bytes) -> str:
        try:
            text = data.decode(self.codec)
        except UnicodeDecodeError:
            return self._decode_tokens(data)
        if any(sequence.encode("latin-1") in data for sequence in self.unclear):
            return self._decode_tokens(data)
        if self._swaps is None:
            self._swaps = self._find_swaps()
        if any(chr(character) in text for character in self._swaps):
            return text.translate(self._swaps)
        return text

    def _find_swaps(self) -> dict[int, str]:
        """The characters in the codec's text that should be others."""
        swaps = {}
        for sequence, right in self.differences.items():
            if sequence not in self.unclear and (found := _decode_strictly(sequence, self.codec)) is not None:
                swaps[ord(found)] = right
        return swaps

    def _decode_tokens(self, data: bytes) -> str:
        return self.tokens.sub(self._look_up, data.decode("latin-1"))

    def _look_up(self, match: "re.Match[str]") -> str:
        sequence = match[0]
        known = self._known.get(sequence)
        if known is None:
            known = self.differences.get(sequence) or self.decode_token(sequence)
            if known is None:
                # An ASCII character ends a broken sequence and is read as itself.
                known = REPLACEMENT + (sequence[-1] if sequence[-1] < "\x80" else "")
            if len(self._known) > _MOST_KNOWN_SEQUENCES:
                self._known.clear()
            self._known[sequence] = known
        return known


def _decode_strictly(sequence: str, codec: str) -> str | None:
    try:
        return sequence.encode("latin-1").decode(codec)
    except UnicodeDecodeError:
        return None


def _decode_gb18030(sequence: str) -> str | None:
    if len(sequence) > 1 and "0" <= sequence[1] <= "9" and len(sequence) < 4:
        return REPLACEMENT  # The end of the text within a sequence of four.
    return _decode_strictly(sequence, "gb18030")


def _decode_euc_jp(sequence: str) -> str | None:
    lead, trail = ord(sequence[0]), ord(sequence[-1])
    if lead == 0x8E or len(sequence) != 2:
        return _decode_strictly(sequence, "euc_jp") if len(sequence) > 1 else None
    # The same characters stand in Windows' Shift_JIS, with the rows that NEC and IBM added.
    row, cell = lead - 0xA1, trail - 0xA1
    if not (0 <= row < 94 and 0 <= cell < 94):
        return None
    low = row % 2 * 94 + cell
    return _decode_strictly(
        chr(row // 2 + (0x81 if row < 62 else 0xC1)) + chr(low + (0x40 if low < 63 else 0x41)), "cp932"
    )


def _tokens(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern, re.DOTALL)


_DOUBLE_BYTE = r"[\x81-\xfe].?|[\x80\xff]"
_GB = r"[\x81-\xfe](?:[0-9][\x81-\xfe][0-9]|[0-9][\x81-\xfe]?\Z|[^0-9])?|[\x80\xff]"
_GB18030_DECODER = _MultiByteDecoder("gb18030", _tokens(_GB), _decode_gb18030, GB18030)
_MULTI_BYTE = {
    "big5": _MultiByteDecoder(
        "big5hkscs",
        _tokens(_DOUBLE_BYTE),
        partial(_decode_strictly, codec="big5hkscs"),
        BIG5,
        unclear=("\xa2\x41", "\xa2\x42"),
    ),
    "euc-jp": _MultiByteDecoder(
        "euc_jp",
        _tokens(r"\x8f[\xa1-\xfe].?|[\x8e\x8f\xa1-\xfe].?|[\x80-\xff]"),
        _decode_euc_jp,
        EUC_JP,
        unclear=("\x8f\xa2\xb7",),
    ),
    "euc-kr": _MultiByteDecoder("cp949", _tokens(_DOUBLE_BYTE), partial(_decode_strictly, codec="cp949"), {}),
    "gb18030": _GB18030_DECODER,
    "gbk": _GB18030_DECODER,
    "shift_jis": _MultiByteDecoder(
        "cp932",
        _tokens(r"[\x81-\x9f\xe0-\xfc].?|[\x80-\xff]"),
        partial(_decode_strictly, codec="cp932"),
        SHIFT_JIS,
    ),
}

_ESCAPE = re.compile(rb"\x1b(\([BJIH]|\$[@AB]|\$\([@BCDOPQ])|[\x0e\x0f]")
_PAIR_OR_OTHER = re.compile(rb"((?:[\x21-\x7e]{2})+)|([\x00-\x20\x7f]+)|.", re.DOTALL)
_HIGH = bytes(byte | 0x80 for byte in range(256))
# What follows an escape sequence: an encoding that reads the pairs with the high bits set, and what precedes each pair.
_PAIR_SETS = {
    **dict.fromkeys((b"$@", b"$B", b"$(@", b"$(B"), ("euc-jp", b"")),
    b"$(D": ("euc-jp", b"\x8f"),
    b"$A": ("gb2312", b""),
    b"$(C": ("euc_kr", b""),
    b"$(O": ("euc_jis_2004", b""),
    b"$(P": ("euc_jis_2004", b"\x8f"),
    b"$(Q": ("euc_jis_2004", b""),
}
_YEN_AND_OVERLINE = str.maketrans({"\\": "\u00a5", "~": "\u203e"})


def _decode_iso_2022_jp(data: bytes) -> str:
    """Also the sets of ISO-2022-JP-1 to -3, katakana after SO, and 8-bit katakana, which mail programs write."""
    parts, at, mode = [], 0, b"(B"
    for match in _ESCAPE.finditer(data):
        parts.append(_decode_in_mode(data[at : match.start()], mode))
        mode = match[1] if match[1] is not None else (b"(I" if match[0] == b"\x0e" else b"(B")
        at = match.end()
    parts.append(_decode_in_mode(data[at:], mode))
    return "".join(parts)


def _decode_in_mode(piece: bytes, mode: bytes) -> str:
    if not piece:
        return ""
    if mode in _PAIR_SETS:
        # Each line begins in ASCII, also where the escape sequence back to it is missing.
        line, newline, rest = piece.partition(b"\n")
        return _decode_pairs(line, *_PAIR_SETS[mode]) + newline.decode() + _decode_single(rest, b"(B")
    return _decode_single(piece, mode)


def _decode_single(piece: bytes, mode: bytes) -> str:
    if mode == b"(I":
        return "".join(
            chr(b + 0xFF40) if 0x21 <= b & 0x7F <= 0x5F else chr(b & 0x7F) for b in (c & 0x7F for c in piece)
        )
    text = "".join(chr(b + 0xFEC0) if 0xA1 <= b <= 0xDF else chr(b) if b < 0x80 else REPLACEMENT for b in piece)
    return text.translate(_YEN_AND_OVERLINE) if mode in (b"(J", b"(H") else text


def _decode_pairs(piece: bytes, encoding: str, prefix: bytes) -> str:
    parts = []
    for match in _PAIR_OR_OTHER.finditer(piece):
        if match[1] is None:
            parts.append(match[0].decode() if match[2] is not None else REPLACEMENT)
            continue
        pairs = match[1].translate(_HIGH)
        if prefix:
            pairs = b"".join(prefix + pairs[at : at + 2] for at in range(0, len(pairs), 2))
        parts.append(decode_as(pairs, encoding))
    return "".join(parts)
