"""The title of a text: its first heading, or the title in its front matter."""

import html
import re
from itertools import pairwise
from typing import Final

from rag_assets.documents.markup.asciidoc import asciidoc_headings
from rag_assets.documents.markup.heading import is_dashed_title, is_title
from rag_assets.documents.markup.latex import latex_headings
from rag_assets.documents.markup.mediawiki import mediawiki_headings
from rag_assets.documents.markup.org import org_headings

_HEADINGS: Final = {
    "asciidoc": asciidoc_headings,
    "latex": latex_headings,
    "mediawiki": mediawiki_headings,
    "org": org_headings,
}

# Patterns are matched line by line and within these bounds: over a whole hostile text they take quadratic time.
_HEAD_CHARS = 64 * 1024
# Most texts have their title here. What begins in front matter or code may go on below.
_FIRST_CHARS = 4 * 1024
_GOES_ON = re.compile(
    r"\A---|\\begin\{(?:[vV]erbatim|lstlisting|minted|comment|alltt|filecontents)|<(?:nowiki|pre|source|syntaxhighlight|math)\b",
    re.IGNORECASE,
)
_MAX_LINE_CHARS = 600
_ATX = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*)")
_HTML_HEADING = re.compile(r"\s{0,3}<h[1-6](?:\s[^>]{0,500})?>(.{1,500}?)</h[1-6]\s*>", re.IGNORECASE)
_SETEXT_LINE = re.compile(r"(?:=+|-{3,})[ \t]*")
_NO_SETEXT_TEXT = re.compile(r"[\s#>|`*+=-]|$")
_RST_LINE = re.compile(r"([=\-~^\"'`#*+.:_<>])\1{2,}[ \t]*")
_FRONT_MATTER_TITLE = re.compile(r"title[ \t]*:[ \t]*(.+)")
_LIST_MARK = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])[ \t]+(?=(?:```|~~~)[^\s`])")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKUP = re.compile(r"\*\*|__|`|<[^>]{1,80}>|\{[#.][^}]*\}$")


def find_title(content: str, file_type: str) -> str | None:
    first = content[:_FIRST_CHARS]
    if len(first) < len(content) and not _GOES_ON.search(first):
        # Without the last line, which is cut, and may be the underline of the one above.
        title = _title_of_head(first[: first.rfind("\n") + 1], file_type)
        if title is not None:
            return title
    return _title_of_head(content[:_HEAD_CHARS], file_type)


def _title_of_head(head: str, file_type: str) -> str | None:
    if file_type in {"markdown", "rst"}:
        lines = [line for line in head.split("\n") if len(line) <= _MAX_LINE_CHARS]
        return _markdown_title(lines) if file_type == "markdown" else _rst_title(lines)
    if file_type in _HEADINGS:
        headings, _ = _HEADINGS[file_type](head)
        # The first heading of a page of MediaWiki is a section; its title is the page's name.
        return next((found.title for found in headings if found.level == 1 or file_type != "mediawiki"), None)
    return None


def _markdown_title(lines: list[str]) -> str | None:
    if lines and lines[0].rstrip() == "---":
        end = next((index for index, line in enumerate(lines) if index and line.rstrip() in {"---", "..."}), 0)
        for line in lines[1:end]:
            if match := _FRONT_MATTER_TITLE.match(line):
                return match[1].strip().strip("\"'")
        lines = lines[end + 1 :]
    fence = above = ""
    in_comment = False
    for line, below in pairwise([*lines, ""]):
        if in_comment or line.lstrip().startswith("<!--"):
            in_comment = "-->" not in line
            continue
        mark = _LIST_MARK.sub("", line).lstrip()[:3]
        if mark in {"```", "~~~"} and fence in {"", mark}:
            fence = "" if fence else mark
        elif fence:
            continue
        elif match := _ATX.match(line):
            if is_title(title := _strip_markup(match[1].rstrip().rstrip("#"))):
                return title
        elif (match := _HTML_HEADING.match(line)) and is_title(title := _strip_markup(html.unescape(match[1]))):
            return title
        elif _SETEXT_LINE.fullmatch(below) and not _NO_SETEXT_TEXT.match(line) and is_title(line):
            is_alone = not above.strip() and is_dashed_title(line, len(below.rstrip()))
            if is_alone or below[0] == "=":
                return _strip_markup(line)
        above = line
    return None


def _rst_title(lines: list[str]) -> str | None:
    for line, below in pairwise(lines):
        # An underline is at least as long as its title; a shorter one belongs to a table or a transition.
        if line.strip() and not _RST_LINE.fullmatch(line) and not line[0].isspace():
            match = _RST_LINE.fullmatch(below)
            if match and len(below.rstrip()) >= len(line.rstrip()):
                return line.strip()
    return None


def _strip_markup(heading: str) -> str:
    return _MARKUP.sub("", _LINK.sub(r"\1", heading)).strip()
