"""Titles above a line of one punctuation mark, as in reStructuredText and plain text."""

import re
from collections.abc import Iterator

from rag_assets.documents.markup.heading import TITLE_LIMIT, Heading

UNDERLINE = re.compile(r"^([!-/:-@\[-`{-~])\1{2,}[ \t]*$", re.MULTILINE)


def underlined_titles(content: str) -> Iterator[Heading]:
    """Levels follow from the order in which the styles first appear."""
    levels: dict[tuple[str, bool], int] = {}
    for match in UNDERLINE.finditer(content):
        title_start = content.rfind("\n", 0, max(match.start() - 1, 0)) + 1
        title = content[title_start : max(match.start() - 1, 0)]
        width = len(title.rstrip())
        if not 0 < width <= min(len(match[0].rstrip()), TITLE_LIMIT) or UNDERLINE.match(title):
            continue
        above_start = content.rfind("\n", 0, max(title_start - 1, 0)) + 1
        above = content[above_start : max(title_start - 1, 0)]
        overlined = above.rstrip() == match[0].rstrip()
        # A title has an empty line above it; with text there, this is a table or the end of a paragraph.
        if not overlined and (above.strip() or title[0].isspace()):
            continue
        level = levels.setdefault((match[1], overlined), len(levels) + 1)
        start = above_start if overlined else title_start
        yield Heading(start, match.end(), level, " ".join(title.split()))
