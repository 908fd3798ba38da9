"""E-mail (RFC 5322) as text: the headers and body that a mail program shows, and the names of the attachments."""

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from rag_assets.documents.parsing.encoding import decode
from rag_assets.documents.parsing.readers.html_to_markdown import read_html

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")


def read_email(data: bytes) -> tuple[str | None, str, dict[str, Any]]:
    """The subject, the Markdown of headers and body, and the metadata; attachments are named, not read."""
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
    subject = _header(message, "Subject")
    headers = {name: value for name in _SHOWN_HEADERS if (value := _header(message, name))}
    lines = [f"# {subject}" if subject else "", *(f"{name}: {value}" for name, value in headers.items())]
    body = message.get_body(("plain", "html"))
    text = _body(body) if isinstance(body, EmailMessage) else ""
    attachments = [name for part in _attachments(message) if (name := part.get_filename())]
    metadata: dict[str, Any] = {name.lower(): value for name, value in headers.items()}
    if subject:
        metadata["subject"] = subject
    if attachments:
        metadata["attachments"] = attachments
        lines.append(f"Attachments: {', '.join(attachments)}")
    head = "\n".join(line for line in lines if line)
    return subject, f"{head}\n\n{text}".strip() + "\n", metadata


def _header(message: EmailMessage, name: str) -> str | None:
    try:
        value = message[name]
    except (ValueError, IndexError, AttributeError, TypeError):
        # The header parser fails on some malformed addresses and dates; the rest of the message can be read.
        return None
    return " ".join(str(value).split()) or None if value is not None else None


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    return (part for part in message.walk() if isinstance(part, EmailMessage) and part.is_attachment())


def _body(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    if not data.strip():
        return ""
    charset = part.get_content_charset()
    if part.get_content_type() == "text/html":
        return read_html(data, charset)[1]
    return decode(data, charset)
