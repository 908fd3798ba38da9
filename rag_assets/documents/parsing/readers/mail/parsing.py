"""The parts of a mail by Python's parser, also where boundaries or encodings break the rules."""

import re
from collections.abc import Iterator, Mapping
from email import policy
from email.errors import MessageDefect
from email.message import Message
from email.parser import BytesParser

from rag_assets.documents.parsing.encoding import decode_text
from rag_assets.documents.parsing.readers.mail.headers import read_parameter, restore_raw_headers
from rag_assets.documents.parsing.readers.mail.transfer import (
    decode_base64,
    decode_quoted,
    is_clean_base64,
    part_bytes,
)
from rag_assets.errors import DocumentError

_BOUNDARY = re.compile(rb"^--([^\r\n]{1,200}?)[ \t]*\r?\n(?:[\w-]+:[^\n]*\n|[ \t][^\n]*\n)*?Content-", re.MULTILINE)
# Written in another case, it is read as well, but slower.
_BASE64 = b"base64"
_ENCODING = re.compile(rb"content-transfer-encoding:[ \t]*", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
_LEAST_HELD_BYTES = 64 * 1024
_HELD = b"held-base64-"


class NestedTooDeeplyDefect(MessageDefect):
    """The parts of the mail were not told apart: its text is that of its source."""


def parse_message(data: bytes) -> Message:
    """The parsed mail; whatever its bytes are, they are a mail, if only one without headers.

    One that is nested too deeply is a single text, and has a NestedTooDeeplyDefect.
    """
    data = _strip_envelope(data)
    if (message := _parse_single(data)) is not None:
        restore_raw_headers(message, _body_charset)
        return message
    data, held = _hold_attachments(data)
    try:
        message = BytesParser(policy=policy.compat32).parsebytes(data)
    except RecursionError:
        message = BytesParser(policy=policy.compat32).parsebytes(data, headersonly=True)
        message.set_type("text/plain")
        message.defects.append(NestedTooDeeplyDefect())
    if held:
        _put_back(message, held)
    restore_raw_headers(message, _body_charset)
    return message


def _parse_single(data: bytes) -> Message | None:
    """A mail of one part, without Python's parser, which looks at each line of its text; None for any other."""
    head_end = _HEAD_END.search(data)
    if head_end is None:
        return None
    head = data[: head_end.end()]
    lowered = head.lower()
    if b"multipart" in lowered or b"message/" in lowered:
        return None
    message = BytesParser(policy=policy.compat32).parsebytes(head)
    if message.defects or message.get_payload() or message.get_content_maintype() in {"multipart", "message"}:
        return None
    message.set_payload(data[head_end.end() :].decode("ascii", "surrogateescape"))
    return message


def _hold_attachments(data: bytes) -> tuple[bytes, dict[str, str]]:
    """The mail with a line in place of each long piece of base64, by that line: Python's parser looks at each line."""
    held: dict[str, str] = {}
    if len(data) < _LEAST_HELD_BYTES or _HELD in data:
        return data, held
    pieces, reached = [], 0
    for at in _find_all(data, _BASE64):
        if not _ENCODING.fullmatch(data, data.rfind(b"\n", 0, at) + 1, at):
            continue
        head_end = _HEAD_END.search(data, at)
        start = head_end.end() if head_end else len(data)
        end = data.find(b"\n--", start)
        block = data[start : end if end >= 0 else len(data)].removesuffix(b"\r")
        if start >= reached and len(block) >= _LEAST_HELD_BYTES and is_clean_base64(block):
            line = _HELD + str(len(held)).encode()
            held[line.decode()] = block.decode()
            pieces += [data[reached:start], line]
            reached = start + len(block)
    return b"".join([*pieces, data[reached:]]), held


def _find_all(data: bytes, name: bytes) -> Iterator[int]:
    at = data.find(name)
    while at >= 0:
        yield at
        at = data.find(name, at + len(name))


def _put_back(message: Message, held: Mapping[str, str]) -> None:
    for part in message.walk():
        payload = part.get_payload()
        if isinstance(payload, str) and (line := payload.strip()) in held:
            part.set_payload(payload.replace(line, held[line]))


def _strip_envelope(data: bytes) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = decode_text(data).text.encode("utf-8", "replace")
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    # Apple Mail's .emlx: the length of the mail, the mail, and a property list.
    length, _, rest = data[:20].partition(b"\n")
    if length.strip().isdigit() and rest:
        start = len(length) + 1
        data = data[start : start + int(length)]
    return data


def _body_charset(message: Message) -> str | None:
    """The charset of the first text, declared or found: that of header bytes that declare none."""
    for part in message.walk():
        if part.get_content_maintype() != "text" or part.is_multipart():
            continue
        declared = read_parameter(part, "charset", "content-type")
        if declared is not None and declared.lower() not in {"us-ascii", "ascii"}:
            return declared
        body = part_bytes(part)
        if not body.isascii():
            try:
                return decode_text(body, declared).encoding
            except DocumentError:
                return None
    return None


def split_parts(part: Message) -> list[Message] | None:
    """The parts of a multipart; also where its boundary is missing or another than the header says."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return [child for child in payload if isinstance(child, Message)]
    data = part_bytes(part)
    match = _BOUNDARY.search(data)
    if match is None:
        return None
    boundary = match[1].decode("latin-1").replace('"', "").replace("\\", "")
    header = f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n'.encode("latin-1")
    found = BytesParser(policy=policy.compat32).parsebytes(header + data).get_payload()
    children = [child for child in found if isinstance(child, Message)] if isinstance(found, list) else []
    return children or None


def decode_message(message: Message, encoding: str) -> Message:
    """A mail within a mail that was encoded, which the standard forbids and some servers do."""
    payload = message.get_payload()
    if not isinstance(payload, str) or list(message.raw_items()):
        return message
    data = payload.encode("ascii", "replace")
    return parse_message(decode_base64(data) if encoding == "base64" else decode_quoted(data))
