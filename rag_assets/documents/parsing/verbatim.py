"""Text that is decoded and otherwise left as it is, but for its front matter."""

from rag_assets.documents.markup.embedded_data import without_embedded_data
from rag_assets.documents.markup.front_matter import FRONT_MATTER_TYPES, FrontMatter, read_front_matter
from rag_assets.documents.markup.header_fields import read_header_fields
from rag_assets.documents.markup.latex import decode_latex
from rag_assets.documents.markup.title import find_title
from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.text import clean


def read_verbatim(data: bytes, kind: str) -> ConvertedDocument:
    decoded = decode_text(data, declared_encoding(data, kind))
    text = clean(decoded.text)
    front = read_front_matter(text) if kind in FRONT_MATTER_TYPES else FrontMatter(text)
    content = front.body
    if kind == "latex":
        content = decode_latex(content)
    elif kind == "markdown":
        content = without_embedded_data(content)
    metadata = read_header_fields(content, kind) | front.values
    report = ParseReport(
        replaced_characters=decoded.replaced_characters, notes=(front.error,) if front.error is not None else ()
    )
    return ConvertedDocument(front.title or find_title(content, kind), content, metadata, report)
