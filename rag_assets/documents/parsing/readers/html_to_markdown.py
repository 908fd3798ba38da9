"""HTML to Markdown: by xberg, or by a flat converter of our own where xberg fails, or a page is too deep for it."""

import contextlib
import html
import re
from html.parser import HTMLParser
from typing import Any

from rag_assets.documents.markup.front_matter import FrontMatter, read_front_matter
from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.page_parts import is_deeper, parse_page, strip_tree
from rag_assets.documents.parsing.readers.xberg import convert_to_markdown
from rag_assets.documents.tables.html_rows import prepare_tables
from rag_assets.errors import DocumentError

# xberg 1.3.9 silently drops what is nested deeper than about 60 levels.
_MAX_DEPTH = 48
_MAX_STRIPPED_DEPTH = 1000  # A search in the tree of a deeper page takes quadratic time.
_MAX_TREE_DEPTH = 20_000
_BLOCK_CHARS = 32 * 1024
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_UNNESTED_NAMES = (
    "area base br col embed hr img input link meta param source track wbr p dt dd option html head body "
    "li tr td th thead tbody tfoot colgroup caption"
)
_UNNESTED = frozenset(_UNNESTED_NAMES.split())
# Rows, cells and items end by themselves, and pages leave out their end tags: they count with the element around them.
_LEVELS = {"table": 4, "ul": 2, "ol": 2}
_BLOCK_NAMES = (
    "p div section article header footer main aside nav ul ol dl dt dd table tr blockquote pre form fieldset "
    "address figure figcaption br hr"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_HIDDEN = frozenset({"script", "style", "template", "noscript", "head"})
_TITLE = re.compile(r"<title[^>]*>(.*?)</title[^>]*>", re.IGNORECASE | re.DOTALL)
_LANGUAGE = re.compile(r"<html[^>]{0,500}?\slang\s*=\s*[\"']?([\w-]{2,20})", re.IGNORECASE)
_META_TAG = re.compile(r"<meta\s[^>]{0,500}?name\s*=\s*[\"']?(author|description)\b[^>]{0,2000}>", re.IGNORECASE)
_META_CONTENT = re.compile(r"\scontent\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_HEAD_CHARS = 64 * 1024
_BLANKS = re.compile(r"\s+")


def read_html(data: bytes, declared: str | None = None) -> ConvertedDocument:
    """A page as Markdown, without its navigation, footer and cookie banner."""
    decoded = decode_text(data, declared or declared_encoding(data, "html"))
    text, front = decoded.text, FrontMatter("")
    if text.startswith(("---", "+++")):
        front = read_front_matter(text.replace("\r\n", "\n"))
        text = front.body
    head = text[:_HEAD_CHARS]
    title = None
    if match := _TITLE.search(head):
        title = html.unescape(match[1])
        # Without a <head> around it, xberg takes the title for text of the body.
        text = text[: match.start()] + text[match.end() :]
    metadata: dict[str, Any] = {}
    if match := _LANGUAGE.search(head):
        metadata["language"] = match[1]
    for match in _META_TAG.finditer(head):
        if value := _META_CONTENT.search(match[0]):
            metadata[match[1].lower()] = html.unescape(value[1] or value[2] or "")
    report = ParseReport(
        replaced_characters=decoded.replaced_characters, notes=(front.error,) if front.error is not None else ()
    )
    return ConvertedDocument(front.title or title, _read_page(text), metadata | front.values, report)


def _read_page(text: str) -> str:
    tree = None if _may_be_abysmal(text) else parse_page(text)
    if tree is None:
        return html_to_markdown(text)
    # Asking the tree takes a tenth of the time of looking at each tag.
    depth = nesting_depth(text) if is_deeper(tree, _MAX_DEPTH) else None
    stripped = strip_tree(text, tree) if depth is None or depth <= _MAX_STRIPPED_DEPTH else None
    if stripped is not None and depth is None:
        return _convert(stripped, 0)
    return _convert(stripped or text, nesting_depth(text) if depth is None else depth)


def _may_be_abysmal(text: str) -> bool:
    """Whether so many elements may be open at once that a tree, which takes quadratic time, is not to be built."""
    if len(text) < 3 * _MAX_TREE_DEPTH:
        return False
    opened = 0
    for start in range(0, len(text), _BLOCK_CHARS):
        block = text[start : start + _BLOCK_CHARS]
        tags, ends = block.count("<"), block.count("</")
        if opened + tags - ends > _MAX_TREE_DEPTH:
            return True
        opened += tags - 2 * ends
    return False


def html_to_markdown(text: str) -> str:
    return _convert(text, nesting_depth(text))


def _convert(text: str, depth: int) -> str:
    if depth <= _MAX_DEPTH:
        # xberg 1.3.9 fails on some pages, such as one with an empty heading within code.
        with contextlib.suppress(DocumentError):
            return convert_to_markdown(prepare_tables(text).encode("utf-8", "replace"), "text/html").content
    converter = _FlatConverter()
    converter.feed(text)
    converter.close()
    return converter.markdown()


def nesting_depth(text: str) -> int:
    """The greatest depth of nested elements; elements that are never closed count too."""
    deepest = depth = 0
    # By name as it is written: how many are open, and for how many levels one counts; None if it does not.
    kinds: dict[str, list[int] | None] = {}
    for is_end, name in _TAG.findall(text):
        try:
            kind = kinds[name]
        except KeyError:
            tag = name.lower()
            kind = kinds[name] = None if tag in _UNNESTED else kinds.setdefault(tag, [0, _LEVELS.get(tag, 1)])
        if kind is None:
            continue
        if not is_end:
            kind[0] += 1
            depth += kind[1]
            if depth > deepest:
                deepest = depth
        elif kind[0]:
            kind[0] -= 1
            depth -= kind[1]
    return deepest


class _FlatConverter(HTMLParser):
    """Converts headings, paragraphs and list items, without recursion."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "body":
            self._hidden = 0
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._parts.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag in {"td", "th"}:
            self._parts.append(" ")
        elif tag in _BLOCKS:
            self._parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS or (len(tag) == 2 and tag[0] == "h"):
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(_BLANKS.sub(" ", data))

    def updatepos(self, i: int, j: int) -> int:  # noqa: ARG002
        # Nobody asks for line numbers, which take a tenth of the time.
        return j

    def markdown(self) -> str:
        lines = (line.strip() for line in "".join(self._parts).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
