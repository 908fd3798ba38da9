"""OpenDocument texts: notes, comments, text boxes, headers and footers, and merged cells of tables."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.open_tables import fill_covered_cells, has_uneven_rows
from rag_assets.documents.parsing.readers.office.open_xml import SPACES, has_shapes, open_text, shapes_to_boxes
from rag_assets.documents.parsing.readers.office.package import PackageParts

_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_SPACES_BYTES: Final = re.compile(SPACES.pattern.encode())
_TRACKED: Final = re.compile(r"<text:tracked-changes(?:\s[^>]*)?(?<!/)>.*?</text:tracked-changes>", re.DOTALL)
_NOTE: Final = re.compile(
    r"<text:note\s[^>]*?(?:text:note-class=[\"'](?P<kind>\w+)[\"'][^>]*)?>.*?<text:note-body(?:\s[^>]*)?>(?P<note>.*?)</text:note-body>"
    r"\s*</text:note>|<office:annotation\b[^>]*(?<!/)>(?P<comment>.*?)</office:annotation>|<office:annotation-end\b[^>]*/>"
    r"|<draw:frame\b[^>]*>\s*<draw:text-box\b[^>]*(?<!/)>(?P<box>(?:(?!<draw:text-box).)*?)</draw:text-box>"
    r"(?:(?!</draw:frame>|<draw:frame).)*</draw:frame>|<text:[ph](?:\s[^>]*)?(?<!/)>|</text:[ph]>",
    re.DOTALL,
)
_BESIDE_TEXT: Final = (b"<text:tracked-changes", b"<text:note", b"<office:annotation", b"<draw:text-box")
_RUNNING_BYTES: Final = (b"</style:header", b"</style:footer")
_CREATOR: Final = re.compile(r"<dc:creator>([^<]*)</dc:creator>")
_ABOUT: Final = re.compile(r"<(dc:creator|dc:date|meta:creator-initials|text:sender-initials)(?:\s[^>]*)?>[^<]*</\1>")
_RUNNING: Final = re.compile(
    r"<style:(?:header|footer)(?:-first|-left)?(?:\s[^>]*)?(?<!/)>(.*?)</style:(?:header|footer)"
)
_PAGE_FIELD: Final = re.compile(r"<text:page-(?:number|count)\b.*?</text:page-(?:number|count)>", re.DOTALL)


def complete_text(parts: PackageParts) -> dict[str, str | bytes | None]:
    content = parts.content(_CONTENT)
    styles = parts.content(_STYLES)
    running = _RUNNING.finditer(styles.decode()) if any(name in styles for name in _RUNNING_BYTES) else ()
    texts = [open_text(_PAGE_FIELD.sub("", match[1])) for match in running]
    shown = "".join(f"<text:p>{text}</text:p>" for text in dict.fromkeys(texts) if any(map(str.isalpha, text)))
    shaped, uneven = has_shapes(content), has_uneven_rows(content)
    if not (shown or shaped or uneven or any(name in content for name in _BESIDE_TEXT)):
        # Only blanks are written another way, which takes half of the time without decoding the text.
        spaced = _SPACES_BYTES.sub(b" ", content)
        return {_CONTENT: spaced} if spaced != content else {}
    before = content.decode()
    document = SPACES.sub(" ", _TRACKED.sub("", before))
    if shaped:
        document = shapes_to_boxes(document, parts)
    if uneven:
        document = fill_covered_cells(document)
    document = _insert_notes(document)
    if shown:
        document = re.sub(r"<office:text(?:\s[^>]*)?(?<!/)>", lambda match: match[0] + shown, document, count=1)
    return {_CONTENT: document} if document != before else {}


def _insert_notes(document: str) -> str:
    """The document with notes, comments and text boxes as paragraphs below the one that they stand in."""
    pieces: list[str] = []
    waiting: list[str] = []
    at = depth = 0
    for match in _NOTE.finditer(document):
        tag = match[0]
        if tag.startswith(("<text:p", "<text:h", "</text:")):
            depth += -1 if tag[1] == "/" else 1
            if depth <= 0 and waiting:
                pieces += [document[at : match.end()], *waiting]
                at, waiting = match.end(), []
            continue
        if match["box"] is not None and depth == 0:
            continue
        pieces.append(document[at : match.start()])
        at = match.end()
        if match["note"] is not None:
            waiting.append(_paragraph((match["kind"] or "note").capitalize(), match["note"]))
        elif match["comment"] is not None:
            creator = _CREATOR.search(match["comment"])
            label = f"Comment ({creator[1]})" if creator and creator[1] else "Comment"
            waiting.append(_paragraph(label, _ABOUT.sub("", match["comment"])))
        elif match["box"] is not None:
            waiting.append(match["box"])
    return "".join([*pieces, document[at:]])


def _paragraph(label: str, xml: str) -> str:
    text = open_text(xml)
    return f"<text:p>{label}: {text}</text:p>" if text else ""
