"""Bytes to text in any encoding. Binary data is refused instead of decoded into garbage."""

import codecs
import re
from dataclasses import dataclass

from rag_assets.documents.parsing.characters.decoders import PYTHON_NAMES, REPLACEMENT, decode_as
from rag_assets.documents.parsing.characters.detection import detect_encoding
from rag_assets.documents.parsing.characters.labels import find_encoding
from rag_assets.errors import DocumentError

# The order matters: the mark of UTF-32-LE begins with that of UTF-16-LE.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32le"),
    (codecs.BOM_UTF32_BE, "utf-32be"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_HTML_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{2,40})", re.IGNORECASE)
_CODING_LINE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]{2,40})")
_EMACS_LINE = re.compile(rb"[^\n]{0,20}-\*-[^\n]{0,200}?coding:[ \t]*([-\w.]{2,40})[^\n]{0,200}-\*-")
_CSS_CHARSET = re.compile(rb"@charset \"([\w.:-]{2,40})\";")
_GETTEXT_CHARSET = re.compile(rb"^\"Content-Type: text/[^;\"]{1,40}; charset=([\w.:-]{2,40})\\n\"", re.MULTILINE)
_LATEX_ENCODING = re.compile(rb"^[^%\n]{0,20}\\usepackage\[([a-z0-9]{2,20})\]\{inputenc\}", re.MULTILINE)
_LATEX_NAMES = {"ansinew": "windows-1252", "applemac": "macintosh", "utf8x": "utf-8", "latin9": "iso-8859-15"}
_MULTI_BYTE = frozenset({"shift_jis", "euc-jp", "euc-kr", "gbk", "gb18030", "big5"})
_SEVEN_BIT = frozenset({"iso-2022-jp", "iso-2022-kr", "hz", "utf-7"})
_CONTROLS = re.compile("[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_WIDE = {"utf-32le": 4, "utf-32be": 4, "utf-16le": 2, "utf-16be": 2}
_SAMPLE_BYTES = 32 * 1024
_BINARY = "its content is binary, not text; exclude it, or give it the extension of its format"


@dataclass(frozen=True, slots=True)
class DecodedText:
    """Text, the encoding it was read in, and how many of its U+FFFD stand for bytes that could not be read."""

    text: str
    encoding: str
    replaced_characters: int = 0


def decode(data: bytes, declared: str | None = None) -> str:
    """The text alone of `decode_text`."""
    return decode_text(data, declared).text


def decode_text(data: bytes, declared: str | None = None) -> DecodedText:
    """Decode text; `declared` is the label of the encoding that the file or its envelope names.

    A byte order mark counts most, then valid UTF-8, then the label as the Encoding Standard reads it, then the letters.
    Raises DocumentError for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding)
    named = find_encoding(declared) if declared else None
    if named in _WIDE and (wide := _decode_wide(data, named)) is not None:
        return wide
    if b"\x00" in data:
        return _decode_with_nul(data)
    if (named in _SEVEN_BIT or b"\x1b" in data) and (escaped := _decode_seven_bit(data, named)) is not None:
        return escaped
    try:
        text = data.decode()
    except UnicodeDecodeError:
        pass
    else:
        if named not in _MULTI_BYTE or _is_convincing(text):
            return DecodedText(text, "utf-8")
    if named is not None and named not in _WIDE:
        decoded = _decoded(data, named)
        if not decoded.replaced_characters or _is_mostly_good(decoded.text):
            return decoded
    return _decode_legacy(data)


def count_replaced(data: bytes, file_type: str) -> int:
    """How many characters of a file's text stand for bytes that could not be read."""
    return decode_text(data, declared_encoding(data, file_type)).replaced_characters


def declared_encoding(data: bytes, file_type: str) -> str | None:
    """The label of the encoding that a page, an XML file, a module, a style sheet … declares in its first lines."""
    head = data[:4096]
    match: re.Match[bytes] | None = None
    if file_type == "html":
        match = _HTML_CHARSET.search(_COMMENT.sub(b"", head)) or _XML_ENCODING.match(head)
    elif data.lstrip()[:5] == b"<?xml" if len(data) < _SAMPLE_BYTES else data.startswith(b"<?xml"):
        match = _XML_ENCODING.match(head)
    elif file_type in {"python", "code"}:
        if b"coding" in head:
            lines = head.split(b"\n", 2)[:2]
            match = next((found for line in lines if (found := _CODING_LINE.match(line))), None)
        if b"charset" in head:
            match = match or _CSS_CHARSET.match(head) or _GETTEXT_CHARSET.search(head)
    elif b"coding:" in head or b"inputenc" in head:
        match = _EMACS_LINE.match(head) or _LATEX_ENCODING.search(head)
    if match is None:
        return None
    label = match[1].decode("ascii", "replace")
    if match.re is _LATEX_ENCODING:
        return _LATEX_NAMES.get(label, label)
    if file_type == "html" and match.re is _HTML_CHARSET:
        # A page in UTF-16 could not have been searched for these bytes.
        return {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(
            find_encoding(label) or "", label
        )
    return label


def _decoded(data: bytes, encoding: str) -> DecodedText:
    if encoding.startswith("utf"):
        try:
            return DecodedText(data.decode(PYTHON_NAMES.get(encoding, encoding)), encoding)
        except UnicodeDecodeError:
            pass
    text = decode_as(data, encoding)
    replaced = text.count(REPLACEMENT)
    if replaced and (encoding.startswith("utf") or encoding == "gb18030"):
        # The character itself may have been written.
        python_name = PYTHON_NAMES.get(encoding, encoding)
        replaced = max(0, replaced - data.count(REPLACEMENT.encode(python_name)))
    return DecodedText(text, encoding, replaced)


def _is_convincing(text: str) -> bool:
    """Whether text that is valid UTF-8 is hardly by chance so: two bytes of a multi-byte encoding often are."""
    beyond = _count_beyond_ascii(text[:_SAMPLE_BYTES])
    return beyond == 0 or beyond >= 4


def _is_mostly_good(text: str) -> bool:
    bad = text.count(REPLACEMENT)
    return _count_beyond_ascii(text) - bad > 4 * bad


def _count_beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _decode_wide(data: bytes, encoding: str) -> DecodedText | None:
    """UTF-16 or UTF-32 that is declared and without a mark; None where the declaration is wrong."""
    if not data or (data.isascii() and b"\x00" not in data):
        return None
    whole = data[: len(data) - len(data) % _WIDE[encoding]]
    decoded = _decoded(whole, encoding)
    swapped = {"utf-16le": "utf-16be", "utf-16be": "utf-16le"}.get(encoding)
    if swapped and _score_wide(whole, swapped) > _score_wide(whole, encoding):
        # Without a mark, servers and programs disagree on the order of bytes.
        decoded = _decoded(whole, swapped)
    return decoded if decoded.replaced_characters * 20 <= len(decoded.text) and not _is_binary(decoded.text) else None


def _decode_seven_bit(data: bytes, named: str | None) -> DecodedText | None:
    """ISO-2022, HZ and UTF-7, which would pass for UTF-8."""
    if named in _SEVEN_BIT:
        decoded = _decoded(data, named)
        if decoded.replaced_characters * 20 <= len(decoded.text):
            return decoded
    if b"\x1b$B" in data or b"\x1b$@" in data:
        found = "iso-2022-jp"
    elif b"\x1b$)C" in data:
        found = "iso-2022-kr"
    else:
        return None
    decoded = _decoded(data, found)
    return None if decoded.replaced_characters else decoded


def _decode_with_nul(data: bytes) -> DecodedText:
    """Decode UTF-16 and UTF-32 without a mark, and text with stray NULs. Raises DocumentError for anything else."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    nul_share = data.count(0) / len(data)
    is_text = text is not None and not _is_binary(text[:_SAMPLE_BYTES])
    # Half of the bytes of English text in UTF-16 are NUL, and UTF-16 of other scripts is hardly ever valid UTF-8.
    if text is not None and is_text and nul_share < 0.25:
        return DecodedText(text, "utf-8")
    scores = {encoding: _score_wide(data, encoding) for encoding in _WIDE}
    best = max(scores, key=scores.__getitem__)
    if scores[best] > 0:
        return _decoded(data, best)
    if text is not None and is_text and nul_share < 0.67:
        return DecodedText(text, "utf-8")
    if text is None and nul_share < 0.02:
        return _decode_legacy(data.replace(b"\x00", b""))
    raise DocumentError(_BINARY)


def _score_wide(data: bytes, encoding: str) -> float:
    """The share of blanks and ASCII characters in a sample decoded this way; 0 where it cannot be decoded."""
    if len(data) % _WIDE[encoding]:
        return 0.0
    sample = data[:_SAMPLE_BYTES]
    python_name = PYTHON_NAMES.get(encoding, encoding)
    try:
        # The sample may end within a surrogate pair.
        text = codecs.getincrementaldecoder(python_name)().decode(sample)
    except UnicodeDecodeError:
        return 0.0
    if "\x00" in text or _is_binary(text) or not text:
        return 0.0
    ascii_share = sum(character < "\x7f" for character in text) / len(text)
    # Real text has blanks or ASCII; decoded with the wrong byte order, it has hardly any.
    return ascii_share if ascii_share > 0.005 else 0.0


def _is_binary(text: str) -> bool:
    return len(_CONTROLS.findall(text)) * 20 > len(text)


def _decode_legacy(data: bytes) -> DecodedText:
    """Decode damaged UTF-8, or one of the old encodings, which only statistics of the letters tell apart."""
    if _is_mostly_good(data[: 4 * _SAMPLE_BYTES].decode("utf-8", "replace")):
        return _decoded(data, "utf-8")
    if _is_binary(data[:_SAMPLE_BYTES].decode("latin-1")):
        raise DocumentError(_BINARY)
    return _decoded(data, detect_encoding(data))
