"""Content-Transfer-Encodings, decoded as far as damaged or truncated data goes."""

import binascii
import quopri
import re
from email.message import Message

_CLEAN_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]*={0,2}\s*")
_BASE64_LINE = re.compile(rb"[ \t]*[A-Za-z0-9+/]+={0,3}[ \t]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")


def decode_base64(data: bytes) -> bytes:
    """The bytes of base64 that may be cut, unpadded, joined of several pieces, or followed by other lines."""
    if _CLEAN_BASE64.fullmatch(data):
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            kept = data
    else:
        lines = data.splitlines()
        kept = b"".join(line for line in lines if _BASE64_LINE.fullmatch(line)) if len(lines) > 1 else data
    pieces = _NOT_BASE64.sub(b"", kept).split(b"=")
    return b"".join(map(_decode_piece, pieces))


def _decode_piece(piece: bytes) -> bytes:
    # A single character holds no whole byte.
    whole = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def decode_quoted(data: bytes) -> bytes:
    return quopri.decodestring(data)


def transfer_encoding(part: Message) -> str:
    return re.sub("[^a-z0-9]", "", str(part.get("content-transfer-encoding", "")).lower())


def part_bytes(part: Message) -> bytes:
    """The decoded content of a part that is not a multipart."""
    if transfer_encoding(part) == "base64":
        payload = part.get_payload()
        return decode_base64(payload.encode("ascii", "replace")) if isinstance(payload, str) else b""
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError, AttributeError):
        return b""
    return found if isinstance(found, bytes) else b""
