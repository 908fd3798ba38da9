"""The headings of Org mode, and its blocks of code."""

import re
from typing import Final

from rag_assets.documents.markup.heading import TITLE_LIMIT, Heading

_MARK: Final = re.compile(
    r"^(?:(?P<stars>\*+)[ \t]+(?P<heading>\S[^\n]*)|[ \t]*#\+title:[ \t]*(?P<title>\S[^\n]*)"
    r"|[ \t]*#\+begin_(?P<begin>\w+)[^\n]*|[ \t]*#\+end_(?P<end>\w+)[^\n]*)(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_VERBATIM: Final = frozenset({"src", "example", "export", "comment"})
_STATE: Final = re.compile(r"(?:TODO|DONE|NEXT|WAITING|WAIT|HOLD|CANCELLED|CANCELED|STARTED)[ \t]+(?=\S)|COMMENT[ \t]+")
_PRIORITY: Final = re.compile(r"\[#\w{1,2}\][ \t]*")
_TAGS: Final = re.compile(r"[ \t]+:[\w@#%:]+:[ \t]*$")
_COOKIE: Final = re.compile(r"[ \t]*\[\d*(?:/\d*|%)\]")
_LINK: Final = re.compile(r"\[\[([^\]\n]*)\](?:\[([^\]\n]*)\])?\]")
_EMPHASIS: Final = re.compile(r"(?<![\w*/=~+])([*/=~+])(\S(?:[^\n]*?\S)?)\1(?![\w*/=~+])")


def org_headings(content: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    """`#+TITLE` and the lines that begin with stars, and where blocks of code stand."""
    headings: list[Heading] = []
    blocks: list[tuple[int, int]] = []
    block, block_start = "", 0
    for match in _MARK.finditer(content):
        if block:
            if match["end"] and match["end"].lower() == block:
                blocks.append((block_start, match.end()))
                block = ""
        elif match["begin"]:
            if match["begin"].lower() in _VERBATIM:
                block, block_start = match["begin"].lower(), match.start()
        elif match["title"]:
            headings.append(Heading(match.start(), match.end(), 1, _strip_markup(match["title"])))
        elif match["heading"] and len(match["heading"]) <= TITLE_LIMIT:
            level = len(match["stars"]) + 1
            headings.append(Heading(match.start(), match.end(), level, _strip_markup(match["heading"])))
    return headings, blocks


def _strip_markup(title: str) -> str:
    """The title without its state, priority, progress and tags."""
    title = _COOKIE.sub("", _TAGS.sub("", _PRIORITY.sub("", _STATE.sub("", title, count=1), count=1)))
    title = _LINK.sub(lambda match: match[2] or match[1], title)
    return " ".join(_EMPHASIS.sub(r"\2", title).split())
