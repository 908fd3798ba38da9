"""Outlook's .msg files (MS-OXMSG): the properties of a mail in a compound file."""

import datetime as dt
import struct
from email import policy
from email.message import Message
from email.parser import Parser
from typing import TYPE_CHECKING, Any

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ConvertedDocument
from rag_assets.documents.parsing.readers.mail.headers import read_header, read_header_value
from rag_assets.documents.parsing.readers.mail.message import MessageReader, section_below
from rag_assets.documents.parsing.readers.mail.texts import has_words, html_text
from rag_assets.documents.parsing.readers.mail.transfer import decompress_rtf
from rag_assets.errors import DocumentError

if TYPE_CHECKING:
    from olefile import OleFileIO

_SUBJECT, _SENDER, _SENDER_ADDRESS, _SENDER_SMTP = "0037", "0C1A", "0C1F", "5D01"
_TO, _CC, _HEADERS = "0E04", "0E03", "007D"
_BODY, _HTML, _RTF = "1000", "1013", "1009"
_SUBMITTED, _DELIVERED, _CODEPAGE, _MESSAGE_CODEPAGE = 0x0039, 0x0E06, 0x3FDE, 0x3FFD
_FILE_NAMES, _FILE_DATA, _FILE_TYPE, _CONTENT_ID = ("3707", "3704", "3001"), "3701", "370E", "3712"
_EMBEDDED = "__substg1.0_3701000D"
_MOST_NESTED = 10


def read_outlook_message(data: bytes) -> ConvertedDocument:
    """The mail as the one that was sent: headers, text, attachments. Raises DocumentError for a damaged container."""
    import olefile

    try:
        with olefile.OleFileIO(data) as container:
            found = _Reader(container)
            subject, content = found.section((), level=1)
            return found.mails.result(subject, content, found.metadata(()))
    except (OSError, ValueError, IndexError, KeyError, struct.error, TypeError, AttributeError) as error:
        raise DocumentError(f"its container is damaged: {' '.join(str(error).split())[:200]}") from error


class _Reader:
    def __init__(self, container: "OleFileIO") -> None:
        self._container = container
        self.mails = MessageReader()

    def metadata(self, at: tuple[str, ...]) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in self._headers(at).items()}
        found = headers | {"subject": self._text(at, _SUBJECT), "author": self._text(at, _SENDER)}
        sent = self._time(at)
        if sent is not None:
            found["created_at"] = sent.isoformat()
        return {name: value for name, value in found.items() if value}

    def section(self, at: tuple[str, ...], level: int, folder: str = "") -> tuple[str | None, str]:
        subject = self._text(at, _SUBJECT)
        try:
            text = self._body(at, level)
        except DocumentError as error:
            self.mails.notes.append(f"its text was not read: {error}")
            text = ""
        names: list[str] = []
        sections: list[str] = []
        for storage in self._attachments(at):
            name = next((found for prop in _FILE_NAMES if (found := self._text((*at, storage), prop))), None)
            inner = (*at, storage, _EMBEDDED)
            if self._container.exists([*inner, "__properties_version1.0"]):
                if len(at) < 2 * _MOST_NESTED:
                    below = section_below(self.mails.attachments, name or self._text(inner, _SUBJECT), folder)
                    sections.append(self.section(inner, level + 1, below)[1])
                    names.append(name or "attachment")
                continue
            kind = self._text((*at, storage), _FILE_TYPE) or ""
            content = self._binary((*at, storage), _FILE_DATA)
            if (name or "").lower().endswith(".p7m"):
                text = self.mails.signed_text(content or b"", level, folder) or text
            elif not (kind.startswith("image/") and self._text((*at, storage), _CONTENT_ID)):
                names.append(name or "attachment")
                self.mails.attachments.add(name, kind, content or b"", folder)
        return subject, self.mails.format_section(subject, self._headers(at), text, level, sections, names)

    def _attachments(self, at: tuple[str, ...]) -> list[str]:
        found = {
            entry[len(at)]
            for entry in self._container.listdir()
            if len(entry) > len(at)
            and tuple(entry[: len(at)]) == at
            and entry[len(at)].startswith("__attach_version1.0")
        }
        return sorted(found)

    def _headers(self, at: tuple[str, ...]) -> dict[str, str]:
        """From, To, Cc and Date: as they were sent, else from Outlook's properties."""
        sent = self._text(at, _HEADERS)
        message = Parser(policy=policy.compat32).parsestr(sent, headersonly=True) if sent else Message()
        address = self._text(at, _SENDER_SMTP) or self._text(at, _SENDER_ADDRESS)
        # Within an organisation, Exchange has addresses of its own, "/o=...".
        address = address if address and "@" in address else None
        name = self._text(at, _SENDER)
        sender = f"{name} <{address}>" if name and address and name != address else name or address
        time = self._time(at)
        own = {
            "From": sender,
            "To": self._text(at, _TO),
            "Cc": self._text(at, _CC),
            "Date": time.strftime("%a, %d %b %Y %H:%M:%S %z") if time else None,
        }
        return {name: value for name, known in own.items() if (value := read_header(message, name) or known)}

    def _body(self, at: tuple[str, ...], level: int) -> str:
        text = self._text(at, _BODY, lines=True) or ""
        if has_words(text):
            return text.replace("\r\n", "\n")
        page = self._binary(at, _HTML)
        if page is None and (written := self._text(at, _HTML, lines=True)):
            page = written.encode("utf-8", "replace")
            return html_text(written, level)
        if page:
            decoded = decode_text(page, declared_encoding(page, "html") or self._codepage(at))
            self.mails.replaced_characters += decoded.replaced_characters
            return html_text(decoded.text, level)
        rtf = self._binary(at, _RTF)
        return _rtf_text(rtf) if rtf else text

    def _text(self, at: tuple[str, ...], prop: str, *, lines: bool = False) -> str | None:
        data = self._stream(at, prop + "001F")
        if data is not None:
            text = data.decode("utf-16-le", "replace")
        elif (data := self._stream(at, prop + "001E")) is not None:
            decoded = decode_text(data, self._codepage(at)) if data.strip() else None
            text = decoded.text if decoded else ""
        else:
            return None
        text = text.rstrip("\x00")
        return text if lines or prop == _HEADERS else read_header_value(text)

    def _binary(self, at: tuple[str, ...], prop: str) -> bytes | None:
        return self._stream(at, prop + "0102")

    def _stream(self, at: tuple[str, ...], name: str) -> bytes | None:
        path = [*at, f"__substg1.0_{name}"]
        if not self._container.exists(path) or self._container.get_type(path) != 2:
            return None
        with self._container.openstream(path) as stream:
            content: bytes = stream.read()
        return content

    def _fixed(self, at: tuple[str, ...], wanted: int) -> bytes | None:
        """A property of eight bytes or fewer; these stand in one stream, behind a head of 32, 24 or 8 bytes."""
        path = [*at, "__properties_version1.0"]
        if not self._container.exists(path):
            return None
        with self._container.openstream(path) as stream:
            data = stream.read()
        for start in range(len(data) % 16, len(data) - 15, 16):
            tag = struct.unpack_from("<HH", data, start)
            if tag[1] == wanted:
                return bytes(data[start + 8 : start + 16])
        return None

    def _time(self, at: tuple[str, ...]) -> dt.datetime | None:
        value = self._fixed(at, _SUBMITTED) or self._fixed(at, _DELIVERED)
        if value is None:
            return None
        try:
            return dt.datetime(1601, 1, 1, tzinfo=dt.UTC) + dt.timedelta(
                microseconds=struct.unpack("<Q", value)[0] // 10
            )
        except OverflowError:
            return None

    def _codepage(self, at: tuple[str, ...]) -> str | None:
        value = self._fixed(at, _CODEPAGE) or self._fixed(at, _MESSAGE_CODEPAGE) or (self._codepage(()) if at else None)
        if value is None or isinstance(value, str):
            return value
        page = struct.unpack("<I", value[:4])[0]
        return {20127: "us-ascii", 28591: "iso-8859-1", 20866: "koi8-r", 51932: "euc-jp"}.get(page, f"cp{page}")


def _rtf_text(data: bytes) -> str:
    from rag_assets.documents.parsing.readers.xberg import convert_to_markdown

    return convert_to_markdown(decompress_rtf(data), "application/rtf").content
