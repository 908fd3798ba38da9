"""What mails wrap their content in, decoded as far as damaged or truncated data goes."""

import binascii
import quopri
import re
import string
import struct
from email.message import Message

_BASE64_CHARACTERS = (string.ascii_letters + string.digits + "+/\r\n").encode()
_BASE64_LINE = re.compile(rb"[ \t]*[A-Za-z0-9+/]+={0,3}[ \t]*")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
# The dictionary that compressed RTF begins with (MS-OXRTFCP).
_RTF_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
_MOST_RTF_BYTES = 64 * 1024 * 1024


def decode_base64(data: bytes) -> bytes:
    """The bytes of base64 that may be cut, unpadded, joined of several pieces, or followed by other lines."""
    if is_clean_base64(data):
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            kept = data
    else:
        lines = data.splitlines()
        kept = b"".join(line for line in lines if _BASE64_LINE.fullmatch(line)) if len(lines) > 1 else data
    pieces = _NOT_BASE64.sub(b"", kept).split(b"=")
    return b"".join(map(_decode_piece, pieces))


def is_clean_base64(data: bytes) -> bool:
    """Whether it has nothing but base64, ends of lines and padding at its end."""
    # Ten times as fast as a regular expression, and attachments are large.
    padding = data.translate(None, _BASE64_CHARACTERS)
    return padding in (b"", b"=", b"==") and data.rstrip(b"\r\n").endswith(padding)


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


def decompress_rtf(data: bytes) -> bytes:
    """The RTF that Outlook stores compressed (MS-OXRTFCP), as far as it goes."""
    if len(data) < 16:
        return b""
    size, kind = struct.unpack_from("<4xI4s4x", data)
    if kind == b"MELA":
        return data[16 : 16 + size]
    window = bytearray(_RTF_DICTIONARY.ljust(4096, b"\0"))
    write, at, output = len(_RTF_DICTIONARY), 16, bytearray()
    while at < len(data) and len(output) < min(size, _MOST_RTF_BYTES):
        control, at = data[at], at + 1
        for bit in range(8):
            if at + (control >> bit & 1) >= len(data):
                return bytes(output)
            if not control >> bit & 1:
                piece, at = data[at : at + 1], at + 1
            else:
                reference, at = int.from_bytes(data[at : at + 2], "big"), at + 2
                start, length = reference >> 4, (reference & 15) + 2
                if start == write % 4096:
                    return bytes(output)
                piece = b""
                for offset in range(length):
                    piece += bytes([window[(start + offset) % 4096]])
                    window[(write + offset) % 4096] = piece[-1]
            for byte in piece:
                window[write % 4096] = byte
                write += 1
            output += piece
    return bytes(output[:size])
