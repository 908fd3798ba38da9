"""The headers of a mail as text: encoded words (RFC 2047), parameters (RFC 2231), and bytes that follow no rule."""

import re
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import UTC
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from rag_assets.documents.parsing.characters.decoders import REPLACEMENT, decode_as
from rag_assets.documents.parsing.characters.labels import find_encoding
from rag_assets.documents.parsing.encoding import decode
from rag_assets.documents.parsing.readers.mail.transfer import decode_base64, decode_quoted
from rag_assets.errors import DocumentError

SHOWN_HEADERS = ("From", "To", "Cc", "Date")
# Python's parser of parameters takes quadratic time.
_MOST_HEADER_CHARS = 20_000
_ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?(.{0,4000}?)\?=")
_SURROGATE = re.compile("[\udc80-\udcff]")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# Python's parser marks bytes above 0x7f as lone surrogates.
_RAW = ("ascii", "surrogateescape")


def restore_raw_headers(message: Message, body_charset: Callable[[Message], str | None]) -> None:
    """Replace the values of headers that hold bytes above 0x7f, against the rules, by their text.

    They are decoded as UTF-8, else in the charset of the body, else in the encoding that their letters suggest.
    """
    charset: str | None = None
    for part in message.walk():
        found = list(part.raw_items())
        if not any(isinstance(value, str) and _SURROGATE.search(value) for _, value in found):
            continue
        charset = charset or body_charset(message)
        for name in {name for name, _ in found}:
            del part[name]
        for name, value in found:
            # Under this policy, a value that is set is kept as it is.
            part[name] = _decode_raw(value, charset)


def read_metadata(message: Message) -> dict[str, Any]:
    """What users filter mails by."""
    headers = {name.lower(): value for name in SHOWN_HEADERS if (value := read_header(message, name))}
    further = {"subject": read_header(message, "Subject"), "created_at": _sent_at(headers.get("date", ""))}
    return headers | {name: value for name, value in further.items() if value}


def _sent_at(date: str) -> str | None:
    """The time of a Date header in ISO 8601, which filters can compare."""
    try:
        moment = parsedate_to_datetime(date)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def read_header(message: Message, name: str) -> str | None:
    """The first header of this name as one line of text; None where it is missing or empty."""
    value = next((value for known, value in message.raw_items() if known.lower() == name.lower()), None)
    return read_header_value(str(value)) if value is not None else None


def read_header_value(value: str) -> str | None:
    text = "".join(_decode_words(value)) if "=?" in value else value
    if "\x1b$" in text:
        # ISO-2022-JP, which is seven-bit, as it is.
        text = decode_as(text.encode("ascii", "ignore"), "iso-2022-jp")
    return " ".join(_INVISIBLE.sub("", text).split()) or None


def read_parameter(part: Message, name: str, header: str) -> str | None:
    """A parameter of a structured header, for example the charset of Content-Type."""
    if len(str(part.get(header, ""))) > _MOST_HEADER_CHARS:
        return None
    try:
        value = part.get_param(name, header=header)
    except (ValueError, TypeError, IndexError, AttributeError, LookupError):
        return None
    if isinstance(value, tuple):
        label, _, encoded = value
        data = str(encoded).encode("latin-1", "replace")
        return read_header_value(_decode_labelled(data, label or "utf-8"))
    if not isinstance(value, str):
        return None
    if name != "charset" and re.search("%[0-9A-Fa-f]{2}", value):
        # Some programs write percent signs as in RFC 2231 without the asterisk that announces them.
        value = urllib.parse.unquote(value, "utf-8", "strict") if _is_percent_utf8(value) else value
    return read_header_value(value)


def file_name(part: Message) -> str | None:
    """The name that a part gives its file."""
    return read_parameter(part, "filename", "content-disposition") or read_parameter(part, "name", "content-type")


def _is_percent_utf8(value: str) -> bool:
    try:
        urllib.parse.unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_raw(value: str, charset: str | None) -> str:
    if not _SURROGATE.search(value):
        return value
    data = value.encode(*_RAW) if _is_ascii_escaped(value) else value.encode("utf-8", "replace")
    try:
        return decode(data, charset)
    except DocumentError:
        return decode_as(data, "windows-1252")


def _is_ascii_escaped(value: str) -> bool:
    try:
        value.encode(*_RAW)
    except UnicodeEncodeError:
        return False
    return True


def _decode_words(value: str) -> Iterator[str]:
    """The text of a header with encoded words.

    White space between two of them does not count, and bytes of neighbours in one charset are joined before they are
    decoded: many programs end a word within a character.
    """
    value = re.sub(r"\r?\n(?=[ \t])", "", value)
    at, pending, label = 0, b"", ""
    for match in _ENCODED_WORD.finditer(value):
        between = value[at : match.start()]
        if pending and (between.strip() or match[1].lower() != label):
            yield _decode_labelled(pending, label)
            pending = b""
            yield between if between.strip() else ""
        elif not pending:
            yield between
        label = match[1].lower()
        pending += _word_bytes(match[2], match[3])
        at = match.end()
    if pending:
        yield _decode_labelled(pending, label)
    yield value[at:]


def _word_bytes(how: str, text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return decode_base64(data) if how in "bB" else decode_quoted(data.replace(b"_", b" "))


def _decode_labelled(data: bytes, label: str) -> str:
    encoding = find_encoding(label)
    text = decode_as(data, encoding) if encoding is not None else REPLACEMENT
    if REPLACEMENT not in text:
        return text
    # An unknown or a wrong label.
    try:
        found = decode(data, label)
    except DocumentError:
        return text
    return found if encoding is None or found.count(REPLACEMENT) < text.count(REPLACEMENT) else text
