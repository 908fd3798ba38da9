"""winmail.dat (TNEF, MS-OXTNEF): what Outlook wraps its text and attachments in for other mail programs."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.readers.mail.texts import has_words, html_text, rich_text
from rag_assets.documents.parsing.readers.mail.transfer import decompress_rtf
from rag_assets.errors import DocumentError

_SIGNATURE = b"\x78\x9f\x3e\x22"
_CODEPAGE, _BODY, _MESSAGE_PROPERTIES = 0x9007, 0x800C, 0x9003
_NEW_ATTACHMENT, _TITLE, _DATA, _ATTACHMENT_PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_TEXT_PROPERTY, _HTML_PROPERTY, _RTF_PROPERTY, _NAME_PROPERTY, _DATA_PROPERTY = 0x1000, 0x1013, 0x1009, 0x3707, 0x3701
_FIXED_BYTES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_STRING, _UNICODE, _OBJECT, _BINARY = 0x1E, 0x1F, 0x0D, 0x102
_MOST_NESTED = 10


@dataclass(slots=True)
class TransportFile:
    """The texts of a TNEF file, in the formats that it has, and its files by name."""

    text: str = ""
    html: bytes = b""
    compressed_rtf: bytes = b""
    files: list[tuple[str, bytes]] = field(default_factory=list)

    def as_text(self) -> str:
        """The text in the simplest format that has words. Raises DocumentError where it cannot be read."""
        if has_words(self.text) or not (self.html or self.compressed_rtf):
            return self.text.replace("\r\n", "\n")
        if self.html:
            return html_text(decode_text(self.html, declared_encoding(self.html, "html")).text, level=1)
        return rich_text("", decompress_rtf(self.compressed_rtf))


def read_tnef(data: bytes, depth: int = 0) -> TransportFile | None:
    """The content as far as it can be read; None where it is not TNEF."""
    if not data.startswith(_SIGNATURE) or depth > _MOST_NESTED:
        return None
    found = TransportFile()
    codepage: str | None = None
    name, content = "", b""
    for attribute, value in _attributes(data):
        if attribute == _CODEPAGE and len(value) >= 4:
            codepage = f"cp{struct.unpack_from('<I', value)[0]}"
        elif attribute == _BODY:
            found.text = _decode(value, codepage)
        elif attribute == _MESSAGE_PROPERTIES:
            for prop, kind, item in _properties(value):
                if prop == _TEXT_PROPERTY:
                    found.text = _decode_property(kind, item, codepage)
                elif prop == _HTML_PROPERTY:
                    found.html = item if kind == _BINARY else _decode_property(kind, item, codepage).encode()
                elif prop == _RTF_PROPERTY:
                    found.compressed_rtf = item
        elif attribute == _NEW_ATTACHMENT:
            _keep(found, name, content, depth)
            name, content = "", b""
        elif attribute == _TITLE:
            name = name or _decode(value, codepage)
        elif attribute == _DATA:
            content = value
        elif attribute == _ATTACHMENT_PROPERTIES:
            for prop, kind, item in _properties(value):
                if prop == _NAME_PROPERTY:
                    name = _decode_property(kind, item, codepage)
                elif prop == _DATA_PROPERTY and not content:
                    content = item
    _keep(found, name, content, depth)
    return found


def _keep(found: TransportFile, name: str, content: bytes, depth: int) -> None:
    # A mail in the mail is an object: the identifier of its interface, and TNEF again.
    inner = read_tnef(content[16:], depth + 1) if content[16:20] == _SIGNATURE else None
    if inner is not None:
        found.text = "\n\n".join(filter(None, (found.text, inner.text)))
        found.files += inner.files
    elif name or content:
        found.files.append((name, content))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 6
    while at + 9 <= len(data):
        attribute, length = struct.unpack_from("<xII", data, at)
        yield attribute & 0xFFFF, data[at + 9 : at + 9 + length]
        at += 9 + length + 2


def _properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each property with its type and its last value."""
    try:
        count, at = struct.unpack_from("<I", data)[0], 4
        for _ in range(count):
            kind, prop = struct.unpack_from("<HH", data, at)
            at += 4
            if prop >= 0x8000:
                at += 16
                named = struct.unpack_from("<I", data, at)[0]
                at += 4
                at += _padded(struct.unpack_from("<I", data, at)[0]) + 4 if named else 4
            single = kind & ~0x1000
            values = 1
            if kind & 0x1000 or single in (_STRING, _UNICODE, _OBJECT, _BINARY):
                values = struct.unpack_from("<I", data, at)[0]
                at += 4
            item = b""
            for _ in range(values):
                size = _FIXED_BYTES.get(single)
                length = size
                if length is None:
                    length = struct.unpack_from("<I", data, at)[0]
                    at += 4
                if at + length > len(data):
                    return
                item = data[at : at + length]
                at += length if size else _padded(length)
            yield prop, single, item
    except struct.error:
        return  # The file is cut.


def _padded(length: int) -> int:
    return -(-length // 4) * 4


def _decode_property(kind: int, item: bytes, codepage: str | None) -> str:
    return item.decode("utf-16-le", "replace").rstrip("\x00") if kind == _UNICODE else _decode(item, codepage)


def _decode(value: bytes, codepage: str | None) -> str:
    try:
        return decode_text(value.rstrip(b"\x00"), codepage).text
    except DocumentError:
        return ""
