"""A mail (RFC 5322) as Markdown: its headers and the text that its reader sees, mails in it as sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.file_types import file_type
from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR, ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.mail.attachments import Attachments, folder_name
from rag_assets.documents.parsing.readers.mail.headers import (
    SHOWN_HEADERS,
    file_name,
    read_header,
    read_header_value,
    read_metadata,
    read_parameter,
)
from rag_assets.documents.parsing.readers.mail.parsing import (
    NestedTooDeeplyDefect,
    decode_message,
    parse_message,
    split_parts,
)
from rag_assets.documents.parsing.readers.mail.smime import find_signed_content
from rag_assets.documents.parsing.readers.mail.texts import (
    count_words,
    has_words,
    html_text,
    join_texts,
    plain_text,
    rich_text,
    without_blocks,
)
from rag_assets.documents.parsing.readers.mail.tnef import read_tnef
from rag_assets.documents.parsing.readers.mail.transfer import (
    part_bytes,
    transfer_encoding,
)
from rag_assets.documents.parsing.readers.structured.calendar import read_calendar
from rag_assets.errors import DocumentError

_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
_SMIME = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_MOST_NESTED = 100
# A text of fewer words gives way to a page of at least so many, and of so many times as many.
_STUB_WORDS = 40
_PAGE_WORDS = 60
_PAGE_SHARE = 3
_PGP = "-----BEGIN PGP MESSAGE-----"


def read_email(data: bytes) -> ConvertedDocument:
    """The text and the attachments of one mail."""
    message = parse_message(data)
    if not list(message.raw_items()):
        # No mail at all. Raises DocumentError for binary data.
        decode_text(data)
    reader = MessageReader()
    subject, content = reader.section(message, level=1)
    return reader.result(subject, content, read_metadata(message))


@dataclass(slots=True)
class MessageReader:
    """Reads one document's mails, and gathers their attachments and what is to be said of them."""

    attachments: Attachments = field(default_factory=Attachments)
    notes: list[str] = field(default_factory=list)
    replaced_characters: int = 0
    # Texts that are read only where a mail has no other.
    _spare_texts: list[str] = field(default_factory=list)
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
        if any(isinstance(defect, NestedTooDeeplyDefect) for defect in message.defects):
            self.notes.append("its parts are nested too deeply to be told apart: it was read as plain text")
        headers = {name: value for name in SHOWN_HEADERS if (value := read_header(message, name))}
        named, noted = len(self.attachments.shown_names), len(self.notes)
        text = self._part_text(message, level, folder).strip("\n")
        if not has_words(text) and self._spare_texts:
            text = join_texts([text, *self._spare_texts])
        self._spare_texts.clear()
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
        return join_texts(["\n".join(lines), text, *sections]) + "\n"

    def _part_text(self, part: Message, level: int, folder: str) -> str:
        if self._depth > _MOST_NESTED:
            self.notes.append("parts that are nested too deeply were not read")
            return ""
        self._depth += 1
        try:
            return self._read_part(part, level, folder)
        except DocumentError as error:
            self.notes.append(f"a part of type {part.get_content_type()} was not read: {error}")
            return ""
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
        if kind in _SMIME or (file_name(part) or "").lower().endswith(".p7m"):
            return self.signed_text(part_bytes(part), level, folder)
        if not kind.startswith("text/") or part.get_content_disposition() == "attachment":
            self._attach(part, kind, folder)
            return ""
        return self._text(part, kind, level, folder)

    def _multipart(self, part: Message, kind: str, level: int, folder: str) -> str:
        children = split_parts(part)
        if children is None:
            # No boundary was found: what there is, is text.
            return self._text(part, "text/plain", level, folder)
        if kind == "multipart/encrypted":
            self.notes.append(_encrypted("PGP" if "pgp" in str(part.get("content-type", "")).lower() else "its sender"))
            return ""
        if kind == "multipart/alternative":
            return self._alternative(children, level, folder)
        if kind == "multipart/related":
            return self._related(part, children, level, folder)
        return join_texts(self._part_text(child, level, folder) for child in children)

    def _alternative(self, children: list[Message], level: int, folder: str) -> str:
        """The first that has words; of the others only their attachments, and a calendar, which is no other wording."""
        chosen, calendars = "", []
        for child in children:
            words = count_words(chosen, _STUB_WORDS)
            if child.get_content_type() == "text/calendar" and words:
                calendars.append(self._part_text(child, level, folder))
            elif words < _STUB_WORDS:
                found = self._part_text(child, level, folder)
                # A few words above a page are a note that the mail program should show the page.
                many = max(_PAGE_WORDS, _PAGE_SHARE * words) if words else 1
                if not chosen.strip() or count_words(found, many) >= many:
                    chosen = found
            else:
                self._attach_all(child, folder)
        return join_texts([chosen, *calendars])

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
        return join_texts(texts)

    def _embedded_message(self, part: Message, kind: str, level: int, folder: str) -> str:
        """A mail in the mail is a section of it; a report of delivery is the lines that it has."""
        inner = part.get_payload()
        messages = [one for one in inner if isinstance(one, Message)] if isinstance(inner, list) else []
        if kind in _MESSAGES:
            if len(messages) == 1 and transfer_encoding(part) in ("base64", "quotedprintable"):
                messages = [decode_message(messages[0], transfer_encoding(part))]
            name = file_name(part)
            if name and part.get_content_disposition() == "attachment":
                self.attachments.shown_names.append(name)
            texts = []
            for message in messages:
                below = section_below(self.attachments, name or read_header(message, "Subject"), folder)
                texts.append(self.section(message, level + 1, below)[1])
            return join_texts(texts)
        lines = []
        for message in messages:
            values = ((name, read_header_value(str(value))) for name, value in message.raw_items())
            lines.append("\n".join(f"{name}: {value}" for name, value in values if value))
            if message.is_multipart() or part_bytes(message).strip():
                lines.append(self._part_text(message, level, folder))
        return join_texts(lines)

    def signed_text(self, data: bytes, level: int, folder: str) -> str:
        """The text of a mail that S/MIME wraps; empty, with a note, where it is encrypted."""
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
            self._unwrap(name or "winmail.dat", part_bytes(part), folder)
            return
        shows_media = kind.partition("/")[0] in ("image", "audio", "video") or file_type(name or "") == "image"
        if shows_media and part.get_content_disposition() != "attachment":
            return  # A picture within the text, mostly a logo.
        data = part_bytes(part)
        charset = read_parameter(part, "charset", "content-type") if kind.startswith("text/") else None
        if charset is not None and not data.isascii():
            # The file alone no longer says which encoding the mail declares for it.
            data = decode_text(data, charset).text.encode("utf-8", "replace")
        self.attachments.add(name, kind, data, folder)

    def _unwrap(self, name: str, data: bytes, folder: str) -> None:
        """Keep the files that Outlook wraps in its own format, and the text, for a mail that has no other."""
        found = read_tnef(data)
        if found is None:
            self.attachments.shown_names.append(name)
            self.notes.append(f"{name} was not read: it is not in Outlook's format (TNEF), or is damaged")
            return
        for file, content in found.files:
            self.attachments.add(file, "", content, folder)
        self._spare_texts.append(found.as_text())

    def _text(self, part: Message, kind: str, level: int, folder: str) -> str:
        data = part_bytes(part)
        if not data.strip():
            return ""
        charset = read_parameter(part, "charset", "content-type")
        if kind == "text/html" and charset is None:
            charset = declared_encoding(data, "html")
        decoded = decode_text(data, charset)
        self.replaced_characters += decoded.replaced_characters
        text = decoded.text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        if kind == "text/html":
            return html_text(text, level)
        if kind == "text/calendar":
            return read_calendar(text)
        if kind in ("text/rtf", "text/richtext", "text/enriched"):
            return rich_text(text, data)
        if _PGP in text:
            self.notes.append(_encrypted("PGP"))
        text, files = without_blocks(text)
        for name, content in files:
            self.attachments.add(name, "", content, folder)
        return plain_text(text)


def section_below(attachments: Attachments, name: str | None, folder: str) -> str:
    """The folder in which the attachments of a mail within a mail are named."""
    return attachments.take_name(folder + folder_name(name or "message", "message/rfc822")) + ATTACHMENT_SEPARATOR


def _encrypted(by: str) -> str:
    return f"its text is encrypted ({by}); store the mail decrypted to search in it"
