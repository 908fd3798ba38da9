"""Markdown for Dagster's metadata: tables and pictures."""

from collections.abc import Iterable, Sequence

LONGEST_CELL = 120


class Markdown(str):
    """Text that Dagster shows as Markdown."""

    __slots__ = ()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A Markdown table; cells are put on one line and cut off after LONGEST_CELL characters."""
    lines = [head, ["---"] * len(head), *([_cell(str(value)) for value in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _cell(text: str) -> str:
    plain = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain if len(plain) <= LONGEST_CELL else f"{plain[: LONGEST_CELL - 1]}…"
