"""Bytes to text in any encoding. Binary data is refused instead of decoded into garbage."""

import codecs
import re

from rag_assets.errors import DocumentError

# The order matters: the mark of UTF-32-LE begins with that of UTF-16-LE.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HTML_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{2,40})", re.IGNORECASE)
_PEP_263 = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]{2,40})")
# Browsers read cp1252 where a page declares one of these.
_AS_CP1252 = frozenset({"iso8859-1", "ascii", "latin-1", "latin_1"})
_STATEFUL = frozenset({"iso2022_jp", "iso2022_kr", "hz"})
_CONTROLS = re.compile("[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_WIDE = {"utf-32-le": 4, "utf-32-be": 4, "utf-16-le": 2, "utf-16-be": 2}
_SAMPLE_BYTES = 32 * 1024
_BINARY = "its content is binary, not text; exclude it, or give it the extension of its format"


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode text; `declared` is the encoding that the file or its envelope names.

    Raises DocumentError for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if b"\x00" in data:
        return _decode_with_nul(data)
    if b"\x1b" in data and (text := _decode_stateful(data, declared)) is not None:
        return text
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    if declared is not None and (known := _known_encoding(declared)):
        try:
            return data.decode(known)
        except UnicodeDecodeError:
            pass
    return _decode_legacy(data)


def declared_encoding(data: bytes, file_type: str) -> str | None:
    """The encoding that an HTML page, an XML file or a Python module declares in its first lines."""
    match = None
    if file_type == "html":
        match = _HTML_CHARSET.search(data[:4096]) or _XML_ENCODING.match(data[:1024])
    elif file_type == "python":
        lines = data[:1024].split(b"\n", 2)[:2]
        match = next((found for line in lines if (found := _PEP_263.match(line))), None)
    elif data.lstrip()[:5] == b"<?xml" if len(data) < _SAMPLE_BYTES else data.startswith(b"<?xml"):
        match = _XML_ENCODING.match(data[:1024])
    return match[1].decode("ascii", "replace") if match else None


def _known_encoding(name: str) -> str | None:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Codecs such as "hex" or "rot13" are not text encodings, and some of them decompress.
    if not getattr(info, "_is_text_encoding", True) or info.name in {"idna", "punycode", "unicode_escape"}:
        return None
    return "cp1252" if info.name in _AS_CP1252 else info.name


def _decode_stateful(data: bytes, declared: str | None) -> str | None:
    """ISO-2022 and HZ, which are seven-bit and would pass for UTF-8."""
    encodings = [encoding for encoding in (_known_encoding(declared or ""),) if encoding in _STATEFUL]
    if b"\x1b$B" in data or b"\x1b$@" in data:
        encodings.append("iso2022_jp_2")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _decode_with_nul(data: bytes) -> str:
    """Decode UTF-16 and UTF-32 without a mark, and text with stray NULs. Raises DocumentError for anything else."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    nul_share = data.count(0) / len(data)
    is_text = text is not None and not _is_binary(text[:_SAMPLE_BYTES])
    # Half of the bytes of English text in UTF-16 are NUL, and UTF-16 of other scripts is hardly ever valid UTF-8.
    if text is not None and is_text and nul_share < 0.25:
        return text
    scores = {encoding: _score_wide(data, encoding) for encoding in _WIDE}
    best = max(scores, key=scores.__getitem__)
    if scores[best] > 0:
        return data.decode(best, "replace")
    if text is not None and is_text and nul_share < 0.67:
        return text
    if text is None and nul_share < 0.02:
        return _decode_legacy(data.replace(b"\x00", b""))
    raise DocumentError(_BINARY)


def _score_wide(data: bytes, encoding: str) -> float:
    """The share of blanks and ASCII characters in a sample decoded this way; 0 where it cannot be decoded."""
    if len(data) % _WIDE[encoding]:
        return 0.0
    sample = data[:_SAMPLE_BYTES]
    try:
        # The sample may end within a surrogate pair.
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return 0.0
    if "\x00" in text or _is_binary(text) or not text:
        return 0.0
    ascii_share = sum(character < "\x7f" for character in text) / len(text)
    # Real text has blanks or ASCII; decoded with the wrong byte order, it has hardly any.
    return ascii_share if ascii_share > 0.005 else 0.0


def _is_binary(text: str) -> bool:
    return len(_CONTROLS.findall(text)) * 20 > len(text)


def _decode_legacy(data: bytes) -> str:
    """Decode damaged UTF-8, or one of the old 8-bit encodings, which only statistics of the letters tell apart."""
    head = data[: 4 * _SAMPLE_BYTES].decode("utf-8", "replace")
    bad = head.count("\ufffd")
    good = sum(not character.isascii() for character in head) - bad
    if good > 4 * bad:
        return data.decode("utf-8", "replace")
    if _is_binary(data[:_SAMPLE_BYTES].decode("latin-1")):
        raise DocumentError(_BINARY)
    return data.decode(_detect(data), "replace")


def _detect(data: bytes) -> str:
    # Only lines with other characters than ASCII help, and a sample of them is enough and keeps this fast.
    lines, size = [], 0
    for line in data[: 64 * _SAMPLE_BYTES].splitlines(keepends=True):
        if not line.isascii():
            lines.append(line[:_SAMPLE_BYTES])
            size += len(lines[-1])
            if size > _SAMPLE_BYTES:
                break
    import chardetng_py  # type: ignore[import-untyped]

    return _known_encoding(chardetng_py.detect(b"".join(lines) or data)) or "cp1252"
