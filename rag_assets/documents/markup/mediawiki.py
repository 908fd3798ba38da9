"""The headings of MediaWiki's markup, and its blocks of code."""

import re
from typing import Final

from rag_assets.documents.markup.heading import TITLE_LIMIT, Heading

_MARK: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<code>nowiki|pre|source|syntaxhighlight|math)\b[^>\n]{0,300}(?<!/)>"
    r"|^(?P<level>={1,6})[ \t]*(?P<title>[^\n=](?:[^\n]*[^\n=])?)[ \t]*(?P=level)[ \t]*"
    r"(?:<!--[^\n]*?-->[ \t]*)?(?:\n|\Z)"
    r"|\{\{DISPLAYTITLE:(?P<page>[^}\n]{1,300})\}\}",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_TAG: Final = re.compile(r"</?[a-zA-Z][^>\n]{0,300}>|<!--.*?-->|'{2,5}")
_LINK: Final = re.compile(r"\[\[(?:[^\]|\n]*\|)?([^\]\n]*)\]\]|\[\S+[ \t]+([^\]\n]*)\]")
_TEMPLATE: Final = re.compile(r"\{\{(?:[^{}|\n]*\|)?([^{}\n]*)\}\}")


def mediawiki_headings(content: str) -> tuple[list[Heading], list[tuple[int, int]]]:
    """`== Heading ==` and {{DISPLAYTITLE:...}}, and where code stands; there are none in comments."""
    headings: list[Heading] = []
    blocks: list[tuple[int, int]] = []
    at = 0
    while match := _MARK.search(content, at):
        at = match.end()
        if match["code"]:
            close = re.compile(f"</{match['code']}[ \t]*>", re.IGNORECASE).search(content, at)
            if close:
                at = close.end()
                blocks.append((match.start(), at))
        elif match["page"]:
            headings.append(Heading(match.start(), match.end(), 1, _strip_markup(match["page"])))
        elif match["level"] and len(match["title"]) <= TITLE_LIMIT:
            headings.append(Heading(match.start(), match.end(), len(match["level"]), _strip_markup(match["title"])))
    return headings, blocks


def _strip_markup(title: str) -> str:
    title = _LINK.sub(lambda match: match[1] or match[2] or "", _TAG.sub("", title))
    return " ".join(_TEMPLATE.sub(r"\1", title).split())
