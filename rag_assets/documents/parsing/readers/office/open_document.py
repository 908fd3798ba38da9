"""OpenDocument: notes and comments of texts, headers and footers, the titles of slides."""

import re
from typing import Final

from rag_assets.documents.parsing.readers.office.package import PackageParts

_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_SPACES: Final = re.compile(r"<text:s(?:\s[^>]*)?/>")
_SPACES_BYTES: Final = re.compile(_SPACES.pattern.encode())
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
_TAG: Final = re.compile(r"<[^>]*>")
_SLIDE: Final = re.compile(r"<draw:page\s[^>]*>")
_SLIDE_NAME: Final = re.compile(r"\sdraw:name=(?:\"[^\"]*\"|'[^']*')")
_TITLE: Final = re.compile(
    r"<draw:frame\b[^>]*\spresentation:class=[\"']title[\"'][^>]*>(?:(?!</draw:frame>).)*</draw:frame>", re.DOTALL
)
_SLIDE_NOTES: Final = re.compile(r"(<presentation:notes\b.*?<text:p(?:\s[^>]*)?(?<!/)>)", re.DOTALL)


def complete_text(parts: PackageParts) -> dict[str, str | bytes | None]:
    content = parts.content(_CONTENT)
    styles = parts.content(_STYLES)
    running = _RUNNING.finditer(styles.decode()) if any(name in styles for name in _RUNNING_BYTES) else ()
    texts = [_text(_PAGE_FIELD.sub("", match[1])) for match in running]
    shown = "".join(f"<text:p>{text}</text:p>" for text in dict.fromkeys(texts) if any(map(str.isalpha, text)))
    if not shown and not any(name in content for name in _BESIDE_TEXT):
        # Only blanks are written another way, which takes half of the time without decoding the text.
        spaced = _SPACES_BYTES.sub(b" ", content)
        return {_CONTENT: spaced} if spaced != content else {}
    before = content.decode()
    document = _insert_notes(_SPACES.sub(" ", _TRACKED.sub("", before)))
    if shown:
        document = re.sub(r"<office:text(?:\s[^>]*)?(?<!/)>", lambda match: match[0] + shown, document, count=1)
    return {_CONTENT: document} if document != before else {}


def complete_presentation(parts: PackageParts) -> dict[str, str | bytes | None]:
    """xberg takes the name of a slide for its title: it gets the title that is shown."""
    before = parts.text(_CONTENT)
    document = _SPACES.sub(" ", before)
    slides = [match.start() for match in _SLIDE.finditer(document)]
    pieces = [document[: slides[0]]] if slides else [document]
    for start, end in zip(slides, [*slides[1:], len(document)], strict=True):
        slide = document[start:end]
        if (frame := _TITLE.search(slide)) and (title := _text(frame[0])) and '"' not in title:
            tag = _SLIDE.match(slide)
            assert tag is not None
            named = _SLIDE_NAME.sub("", tag[0])
            slide = f'<draw:page draw:name="{title}"{named.removeprefix("<draw:page")}' + slide[tag.end() :].replace(
                frame[0], "", 1
            )
        pieces.append(_SLIDE_NOTES.sub(r"\1Notes: ", slide, count=1))
    document = "".join(pieces)
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
    text = _text(xml)
    return f"<text:p>{label}: {text}</text:p>" if text else ""


def _text(xml: str) -> str:
    """The text in XML, still escaped."""
    return " ".join(_TAG.sub("", re.sub(r"</text:[ph]>|<text:(?:tab|line-break)\b[^>]*/>", " ", xml)).split())
