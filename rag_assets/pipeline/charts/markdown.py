"""Markdown for Dagster's metadata: tables and pictures."""

import re
from collections.abc import Iterable, Sequence

from rag_assets.errors import escape_controls

LONGEST_CELL = 120
# Names and texts of documents may hold tags, links and emphasis, which a page must show and not obey.
_ACTIVE = re.compile(r"[\\`*_\[\]<>&|~]")


class Markdown(str):
    """Text that Dagster shows as Markdown."""

    __slots__ = ()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A Markdown table; cells are put on one line and cut off after LONGEST_CELL characters."""
    lines = [head, ["---"] * len(head), *([_cell(str(value)) for value in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _cell(text: str) -> str:
    line = escape_controls(" ".join(text.split()))
    line = line if len(line) <= LONGEST_CELL else f"{line[: LONGEST_CELL - 1]}…"
    return _ACTIVE.sub(r"\\\g<0>", line)
