"""Web archives (MHTML, RFC 2557): the page that is saved in them."""

from email.message import Message
from typing import Any

from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.mail.headers import read_header, read_parameter
from rag_assets.documents.parsing.readers.mail.parsing import parse_message
from rag_assets.documents.parsing.readers.mail.texts import has_words
from rag_assets.documents.parsing.readers.mail.transfer import part_bytes


def read_web_archive(data: bytes) -> ConvertedDocument:
    """The page as it would be read from an HTML file: the root, else the first page that has words."""
    from rag_assets.documents.parsing.readers.html_to_markdown import read_html

    message = parse_message(data)
    pages = [part for part in message.walk() if part.get_content_type() in ("text/html", "application/xhtml+xml")]
    start = read_parameter(message, "start", "content-type")
    pages.sort(key=lambda part: not start or str(part.get("content-id", "")).strip() != start)
    title, content, replaced = read_header(message, "Subject"), "", 0
    metadata: dict[str, Any] = {}
    for page in pages:
        data = part_bytes(page)
        charset = read_parameter(page, "charset", "content-type") or declared_encoding(data, "html")
        decoded = decode_text(data, charset)
        read = read_html(decoded.text.encode("utf-8", "replace"), "utf-8")
        content, metadata = read.content, read.metadata
        title, replaced = read.title or title, decoded.replaced_characters
        if has_words(content):
            break
    address = next((found for part in (message, *pages) if (found := _address(part))), None)
    notes = () if has_words(content) else ("the archive holds no page with text",)
    report = ParseReport(replaced_characters=replaced, notes=notes)
    return ConvertedDocument(title, content, metadata | ({"url": address} if address else {}), report)


def _address(part: Message) -> str | None:
    found = read_header(part, "Snapshot-Content-Location") or read_header(part, "Content-Location")
    return found if found and found.startswith(("http://", "https://")) else None
