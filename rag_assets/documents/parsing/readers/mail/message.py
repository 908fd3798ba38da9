"""A mail (RFC 5322) as Markdown: its headers and the text that its reader sees, mails in it as sections."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from typing import Any

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR, ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.mail.attachments import Attachments, folder_name
from rag_assets.documents.parsing.readers.mail.calendar import read_calendar
from rag_assets.documents.parsing.readers.mail.headers import (
    file_name,
    read_header,
    read_header_value,
    read_parameter,
    restore_raw_headers,
)
from rag_assets.documents.parsing.readers.mail.smime import find_signed_content
from rag_assets.documents.parsing.readers.mail.transfer import (
    decode_base64,
    decode_quoted,
    part_bytes,
    transfer_encoding,
)
from rag_assets.errors import DocumentError

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
_SMIME = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_MOST_NESTED = 100
_HEADING = re.compile(r"^(#{1,6})(?= )", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
# Markdown takes the line above for a heading.
_UNDERLINE = re.compile(r"(?<=[^\n])\n(?=(?:-+|=+)[ \t]*(?:\n|\Z))")
_HTML_TITLE = re.compile(r"<title[^>]*>.*?</title[^>]*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,100}>")
_BOUNDARY = re.compile(rb"^--([^\r\n]{1,200}?)[ \t]*\r?\n(?:[\w-]+:[^\n]*\n|[ \t][^\n]*\n)*?Content-", re.MULTILINE)
_PGP = "-----BEGIN PGP MESSAGE-----"


def read_email(data: bytes) -> ConvertedDocument:
    """The text and the attachments of one mail."""
    message = parse_message(data)
    if not list(message.raw_items()):
        # No mail at all. Raises DocumentError for binary data.
        decode_text(data)
    reader = MessageReader()
    subject, content = reader.section(message, level=1)
    return reader.result(subject, content, _metadata(message))


def parse_message(data: bytes) -> Message:
    """The parsed mail; whatever its bytes are, they are a mail, if only one without headers."""
    data = _strip_envelope(data)
    try:
        message = BytesParser(policy=policy.compat32).parsebytes(data)
    except RecursionError:
        message = BytesParser(policy=policy.compat32).parsebytes(data, headersonly=True)
        message.set_type("text/plain")
    restore_raw_headers(message, _body_charset)
    return message


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


def _metadata(message: Message) -> dict[str, Any]:
    headers = {name.lower(): value for name in _SHOWN_HEADERS if (value := read_header(message, name))}
    subject = read_header(message, "Subject")
    return headers | ({"subject": subject} if subject else {})


@dataclass(slots=True)
class MessageReader:
    """Reads one document's mails, and gathers their attachments and what is to be said of them."""

    attachments: Attachments = field(default_factory=Attachments)
    notes: list[str] = field(default_factory=list)
    replaced_characters: int = 0
    _depth: int = 0

    def result(self, title: str | None, content: str, metadata: dict[str, Any]) -> ConvertedDocument:
        if names := self.attachments.shown_names:
            metadata = metadata | {"attachments": names}
        notes = [*dict.fromkeys(self.notes), *self.attachments.all_notes()]
        report = ParseReport(
            replaced_characters=self.replaced_characters,
            notes=tuple(notes),
            attachments=tuple(file.name for file in self.attachments.files),
        )
        return ConvertedDocument(title, content, metadata, report, tuple(self.attachments.files))

    def section(self, message: Message, level: int, folder: str = "") -> tuple[str | None, str]:
        """The subject, and the text of a mail under a heading of this level."""
        subject = read_header(message, "Subject")
        headers = {name: value for name in _SHOWN_HEADERS if (value := read_header(message, name))}
        named, noted = len(self.attachments.shown_names), len(self.notes)
        text = self._part_text(message, level, folder).strip("\n")
        names = self.attachments.shown_names[named:]
        if not text.strip() and len(self.notes) == noted and not names:
            self.notes.append(f"the mail {subject!r} has no text" if subject else "the mail has no text")
        return subject, self.format_section(subject, headers, text, level, (), names)

    def format_section(
        self,
        subject: str | None,
        headers: Mapping[str, str],
        text: str,
        level: int,
        sections: Sequence[str] = (),
        attached: Sequence[str] = (),
    ) -> str:
        """A mail as Markdown: heading, headers, names of its attachments, text, and the mails in it."""
        lines = [f"{'#' * min(level, 6)} {subject}"] if subject else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if attached:
            lines.append(f"Attachments: {', '.join(attached)}")
        self.replaced_characters += sum(line.count("\ufffd") for line in lines)
        return _join(["\n".join(lines), text, *sections]) + "\n"

    def html_text(self, page: str, level: int) -> str:
        """The Markdown of a mail's HTML, with its headings below that of the mail."""
        return _below(_html_text(page), level)

    def _part_text(self, part: Message, level: int, folder: str) -> str:
        if self._depth > _MOST_NESTED:
            self.notes.append("parts that are nested too deeply were not read")
            return ""
        self._depth += 1
        try:
            return self._read_part(part, level, folder)
        finally:
            self._depth -= 1

    def _read_part(self, part: Message, level: int, folder: str) -> str:
        kind = part.get_content_type()
        if kind.startswith("message/"):
            return self._embedded_message(part, kind, level, folder)
        if kind.startswith("multipart/"):
            return self._multipart(part, kind, level, folder)
        if kind in _SIGNATURES:
            return ""
        if kind in _SMIME:
            return self._smime(part, level, folder)
        if not kind.startswith("text/") or part.get_content_disposition() == "attachment":
            self._attach(part, kind, folder)
            return ""
        return self._text(part, kind, level)

    def _multipart(self, part: Message, kind: str, level: int, folder: str) -> str:
        children = _children(part)
        if children is None:
            # No boundary was found: what there is, is text.
            return self._text(part, "text/plain", level)
        if kind == "multipart/encrypted":
            self.notes.append(_encrypted("PGP" if "pgp" in str(part.get("content-type", "")).lower() else "its sender"))
            return ""
        if kind == "multipart/alternative":
            return self._alternative(children, level, folder)
        if kind == "multipart/related":
            return self._related(part, children, level, folder)
        return _join(self._part_text(child, level, folder) for child in children)

    def _alternative(self, children: list[Message], level: int, folder: str) -> str:
        """The first that has words; of the others only their attachments, and a calendar, which is no other wording."""
        chosen, calendars = "", []
        for child in children:
            if child.get_content_type() == "text/calendar" and has_words(chosen):
                calendars.append(self._part_text(child, level, folder))
            elif not has_words(chosen):
                found = self._part_text(child, level, folder)
                chosen = found if has_words(found) or not chosen.strip() else chosen
            else:
                self._attach_all(child, folder)
        return _join([chosen, *calendars])

    def _related(self, part: Message, children: list[Message], level: int, folder: str) -> str:
        """The root, and what is not shown within it."""
        start = read_parameter(part, "start", "content-type")
        root = next((child for child in children if start and str(child.get("content-id", "")).strip() == start), None)
        root = root if root is not None else (children[0] if children else None)
        texts = []
        for child in children:
            resource = child is not root and ("content-id" in child or "content-location" in child)
            if not resource:
                texts.append(self._part_text(child, level, folder))
            elif not child.get_content_type().startswith("text/"):
                self._attach_all(child, folder)
        return _join(texts)

    def _embedded_message(self, part: Message, kind: str, level: int, folder: str) -> str:
        """A mail in the mail is a section of it; a report of delivery is the lines that it has."""
        inner = part.get_payload()
        messages = [one for one in inner if isinstance(one, Message)] if isinstance(inner, list) else []
        if kind in _MESSAGES:
            if len(messages) == 1 and transfer_encoding(part) in ("base64", "quotedprintable"):
                messages = [_decode_message(messages[0], transfer_encoding(part))]
            name = file_name(part)
            if name and part.get_content_disposition() == "attachment":
                self.attachments.shown_names.append(name)
            texts = []
            for message in messages:
                below = section_below(self.attachments, name or read_header(message, "Subject"), folder)
                texts.append(self.section(message, level + 1, below)[1])
            return _join(texts)
        lines = []
        for message in messages:
            values = ((name, read_header_value(str(value))) for name, value in message.raw_items())
            lines.append("\n".join(f"{name}: {value}" for name, value in values if value))
            if message.is_multipart() or part_bytes(message).strip():
                lines.append(self._part_text(message, level, folder))
        return _join(lines)

    def _smime(self, part: Message, level: int, folder: str) -> str:
        data = part_bytes(part)
        signed = find_signed_content(data)
        if signed is not None:
            message = parse_message(signed)
            return self._part_text(message, level, folder)
        self.notes.append(_encrypted("S/MIME"))
        return ""

    def _attach_all(self, part: Message, folder: str) -> None:
        """Keep the attachments of a part whose text is not shown."""
        for leaf in part.walk():
            kind = leaf.get_content_type()
            is_text = kind.startswith("text/") and leaf.get_content_disposition() != "attachment"
            if not leaf.is_multipart() and not is_text and kind not in _SIGNATURES:
                self._attach(leaf, kind, folder)

    def _attach(self, part: Message, kind: str, folder: str) -> None:
        name = file_name(part)
        if kind in ("application/ms-tnef", "application/vnd.ms-tnef") or (name or "").lower() == "winmail.dat":
            self.attachments.shown_names.append(name or "winmail.dat")
            self.notes.append(f"{name or 'winmail.dat'} was not read: Outlook's own format (TNEF); it may hold files")
            return
        inline = part.get_content_disposition() != "attachment"
        picture = inline and kind.partition("/")[0] in ("image", "audio", "video")
        self.attachments.add(name, kind, part_bytes(part), folder, shown=not picture)

    def _text(self, part: Message, kind: str, level: int) -> str:
        data = part_bytes(part)
        if not data.strip():
            return ""
        charset = read_parameter(part, "charset", "content-type")
        if kind == "text/html" and charset is None:
            charset = declared_encoding(data, "html")
        try:
            decoded = decode_text(data, charset)
        except DocumentError as error:
            self.notes.append(f"a part of type {kind} was not read: {error}")
            return ""
        self.replaced_characters += decoded.replaced_characters
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        if kind == "text/html":
            return self.html_text(text, level)
        if kind == "text/calendar":
            return read_calendar(text)
        if kind in ("text/rtf", "text/richtext", "text/enriched"):
            return _rich_text(text, data)
        if _PGP in text:
            self.notes.append(_encrypted("PGP"))
        return _UNDERLINE.sub("\n\n", text) if "\n-" in text or "\n=" in text else text


def section_below(attachments: Attachments, name: str | None, folder: str) -> str:
    """The folder in which the attachments of a mail within a mail are named."""
    return attachments.take_name(folder + folder_name(name or "message", "message/rfc822")) + ATTACHMENT_SEPARATOR


def has_words(text: str) -> bool:
    """Whether there is anything to read; spaces of all kinds and invisible characters are nothing."""
    return any(character.isalnum() for character in text)


def _children(part: Message) -> list[Message] | None:
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


def _decode_message(message: Message, encoding: str) -> Message:
    """A mail within a mail that was encoded, which the standard forbids and some servers do."""
    payload = message.get_payload()
    if not isinstance(payload, str) or list(message.raw_items()):
        return message
    data = payload.encode("ascii", "replace")
    return parse_message(decode_base64(data) if encoding == "base64" else decode_quoted(data))


def _encrypted(by: str) -> str:
    return f"its text is encrypted ({by}); store the mail decrypted to search in it"


def _join(texts: Iterable[str]) -> str:
    return "\n\n".join(stripped for text in texts if (stripped := text.strip("\n")).strip())


def _html_text(text: str) -> str:
    from rag_assets.documents.parsing.readers.html_to_markdown import html_to_markdown

    return html_to_markdown(_HTML_TITLE.sub("", text, count=1))


def _rich_text(text: str, data: bytes) -> str:
    if data.lstrip().startswith(b"{\\rtf"):
        from rag_assets.documents.parsing.readers.xberg import convert_to_markdown

        return convert_to_markdown(data.strip(), "application/rtf").content
    # text/enriched: tags, and "<<" for a single bracket.
    return "<".join(_TAG.sub("", piece) for piece in text.split("<<"))


def _below(markdown: str, level: int) -> str:
    """The text with its headings below the heading of its mail."""
    pieces = list(_split_at_fences(markdown))
    levels = [len(match[1]) for piece, fenced in pieces if not fenced for match in _HEADING.finditer(piece)]
    shift = level + 1 - min(levels, default=level + 1)
    if shift <= 0:
        return markdown

    def lower(match: "re.Match[str]") -> str:
        return "#" * min(6, len(match[1]) + shift)

    return "".join(piece if fenced else _HEADING.sub(lower, piece) for piece, fenced in pieces)


def _split_at_fences(markdown: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for match in _FENCE.finditer(markdown):
        yield markdown[at : match.start()], False
        yield match[0], True
        at = match.end()
    yield markdown[at:], False
