"""The files that a mail carries: which of them become documents of their own, and under which names."""

import re
import unicodedata
from dataclasses import dataclass, field

from rag_assets.documents.parsing.encoding import decode_text
from rag_assets.documents.parsing.file_types import VERBATIM, detect_kind, file_type
from rag_assets.documents.parsing.parse_report import Attachment, number_name
from rag_assets.errors import DocumentError

_MOST_NAME_CHARS = 120
_MOST_NOTES = 20
_SAMPLE_BYTES = 64 * 1024
_MOST_FILES = 10_000
_EXTENSIONS = {
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.ms-outlook": ".msg",
    "application/epub+zip": ".epub",
    "application/rtf": ".rtf",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/rtf": ".rtf",
    "text/vcard": ".vcf",
    "text/xml": ".xml",
}


@dataclass(slots=True)
class Attachments:
    """The files found in one mail: those to be read as documents, and notes about the others."""

    files: list[Attachment] = field(default_factory=list)
    # As the sender wrote them, of all files.
    shown_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Of each name, the number that its last file got.
    _taken: dict[str, int] = field(default_factory=dict)
    _left_out: int = 0

    def add(self, name: str | None, content_type: str, data: bytes, folder: str = "") -> None:
        """Keep a file that can be read, else note why it cannot."""
        safe = _safe_name(name, content_type)
        self.shown_names.append(name or safe)
        if safe.lower().endswith(".svg"):
            # Text by its bytes; as a file it is left out too.
            self._note(f"the attachment {safe} was not read: it is a picture")
            return
        if not data.strip():
            self._note(f"the attachment {safe} is empty")
            return
        try:
            if detect_kind(safe, data) in VERBATIM:
                decode_text(data[:_SAMPLE_BYTES])
        except DocumentError as error:
            self._note(f"the attachment {safe} was not read: {error}")
            return
        if len(self.files) == _MOST_FILES:
            self._left_out += 1
            return
        self.files.append(Attachment(self.take_name(folder + safe), data))

    def take_name(self, wanted: str) -> str:
        """The name, numbered if the mail has another file of this name."""
        name = wanted
        while name in self._taken:
            self._taken[wanted] += 1
            name = number_name(wanted, self._taken[wanted])
        self._taken[name] = 1
        return name

    def all_notes(self) -> list[str]:
        more = f"{self._left_out} further attachments were not read" if self._left_out else ""
        return [*self.notes, more] if more else self.notes

    def _note(self, sentence: str) -> None:
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(sentence)
        else:
            self._left_out += 1


def folder_name(name: str | None, content_type: str) -> str:
    """The name of a mail within a mail, as it stands in the paths of its attachments."""
    return _safe_name(name, content_type)


def _safe_name(name: str | None, content_type: str) -> str:
    """A file name without folders, control characters and invisible ones, with an extension where the type has one."""
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name or ""))[-1]
    kept = "".join("_" if c in '\ufffd:*?"<>|' else c for c in last if unicodedata.category(c)[0] != "C")
    safe = " ".join(kept.split()).rstrip(" .") or "attachment"
    if safe.startswith("."):
        safe = "attachment" + safe
    extension = _EXTENSIONS.get(content_type, "")
    if extension and file_type(safe) == "unknown" and not safe.lower().endswith(extension):
        safe += extension
    if len(safe) > _MOST_NAME_CHARS:
        stem, dot, last = safe.rpartition(".")
        ending = dot + last if dot and len(last) <= 10 else ""
        safe = (stem if ending else safe)[: _MOST_NAME_CHARS - len(ending)].rstrip() + ending
    return safe
