"""The title that a text gives itself: its first heading, or its front matter."""

import re

_HEAD_CHARS = 64 * 1024
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_FRONT_MATTER_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.+)$", re.MULTILINE)
_FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
_MARKDOWN_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<atx>\S.*?)(?:[ \t]+#+)?[ \t]*$|^(?P<setext>[^\s#>|`*+-].*)\n(?:={3,}|-{3,})[ \t]*$",
    re.MULTILINE,
)
_RST_HEADING = re.compile(r"^(?P<text>\S.*)\n(?P<line>([=\-~^\"'`#*+.:_<>])\3{2,})[ \t]*$", re.MULTILINE)
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|\*\*|__|`|<[^>]{1,80}>|\s\{[#.][^}]*\}$")


def title_of(content: str, file_type: str) -> str | None:
    head = content[:_HEAD_CHARS]
    if file_type == "markdown":
        return _markdown_title(head)
    if file_type == "rst":
        match = _RST_HEADING.search(head)
        # An underline is at least as long as its title; anything else is a table or a transition.
        return match["text"].strip() if match and len(match["line"]) >= len(match["text"].rstrip()) else None
    return None


def _markdown_title(head: str) -> str | None:
    if front := _FRONT_MATTER.match(head):
        if title := _FRONT_MATTER_TITLE.search(front[1]):
            return title[1].strip().strip("\"'")
        head = head[front.end() :]
    match = _MARKDOWN_HEADING.search(_FENCED.sub("", head))
    if match is None:
        return None
    return _MARKUP.sub(lambda found: found[1] or "", match["atx"] or match["setext"]).strip()
