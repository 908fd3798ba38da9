"""S/MIME: the mail inside a signed one, whose text is not encrypted but wrapped (RFC 8551, CMS in BER)."""

from collections.abc import Iterator

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_OCTET_STRING, _OBJECT_ID, _SEQUENCE, _CONTEXT_0 = 0x04, 0x06, 0x30, 0xA0
_CONSTRUCTED = 0x20


def find_signed_content(data: bytes) -> bytes | None:
    """The mail that a signature wraps; None where it is encrypted, or no signed data at all."""
    try:
        outer = dict(_children_by_tag(data, _SEQUENCE))
        if outer.get(_OBJECT_ID) != _SIGNED_DATA:
            return None
        # SignedData: version, digest algorithms, encapsulated content (type, [0] content), certificates, signers.
        signed = dict(_children_by_tag(outer[_CONTEXT_0], _SEQUENCE))
        wrapped = dict(_elements(signed[_SEQUENCE]))[_CONTEXT_0]
        return b"".join(_octets(wrapped)) or None
    except (KeyError, IndexError, ValueError, RecursionError):
        return None


def _children_by_tag(data: bytes, tag: int) -> Iterator[tuple[int, bytes]]:
    """The elements within the first element, which must have this tag; the first of each tag counts."""
    found, content = next(_elements(data), (0, b""))
    if found != tag:
        return
    seen = set[int]()
    for inner, value in _elements(content):
        if inner not in seen:
            seen.add(inner)
            yield inner, value


def _octets(data: bytes) -> Iterator[bytes]:
    """The pieces of an octet string, which may be nested."""
    for tag, content in _elements(data):
        if tag & ~_CONSTRUCTED == _OCTET_STRING:
            if tag & _CONSTRUCTED:
                yield from _octets(content)
            else:
                yield content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(data) and data[at : at + 2] != b"\x00\x00":
        tag, content, at = _element(data, at)
        yield tag, content


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The tag and the content of the element at this position, and where the next one begins."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length == 0x80:
        # Of indefinite length: its elements end with two zero bytes.
        start = at
        while data[at : at + 2] != b"\x00\x00":
            if at >= len(data):
                return tag, data[start:], at
            at = _element(data, at)[2]
        return tag, data[start:at], at + 2
    if length > 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    return tag, data[at : at + length], at + length
