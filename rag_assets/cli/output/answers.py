"""What `search` prints: the hits of an answer, best first, with what a citation needs."""

import re
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from rag_assets.cli.output.console import PREVIEW_CHARS, on_one_line, out, pluralize, shorten
from rag_assets.cli.output.status import print_degraded_space

if TYPE_CHECKING:
    from rag_assets.search.results import Answer

COPIES_SHOWN = 5
# Lines under titles and around tables.
_RULES = re.compile(r"([-=*~^#+_.`])\1{3,}")


def print_answer(answer: "Answer") -> None:
    for hit in answer.hits:
        page = ("" if hit.page is None else f" page {hit.page}") + (" recognised" if hit.recognised else "")
        where = f"{hit.project}/{on_one_line(hit.file_path)}{page} [{hit.char_start}:{hit.char_end}]"
        headings = on_one_line(" / ".join(hit.heading_path))
        out.print(
            Text.assemble((f"{hit.rank}. ", "bold"), f"{hit.score:.3f}  ", (where, "cyan"), (f"  {headings}", "dim"))
        )
        if hit.copies:
            places = [f"{copy.project}/{on_one_line(copy.file_path)}" for copy in hit.copies]
            more = f" and {len(places) - COPIES_SHOWN:,} more" if len(places) > COPIES_SHOWN else ""
            _print_indented(f"also in: {', '.join(places[:COPIES_SHOWN])}{more}")
        if hit.header is not None:
            _print_indented(shorten(hit.header, PREVIEW_CHARS))
        # The context around a hit was asked for, so it is shown in full.
        text = _RULES.sub(" ", hit.context or hit.text)
        _print_indented(" ".join(text.split()) if hit.context else shorten(text, PREVIEW_CHARS))
    if answer.excluded:
        out.print(f"Left out: chunks with {', '.join(answer.excluded)}.", markup=False, style="dim")
    for word, found in answer.corrected.items():
        out.print(f"No text has {word}; searched for {', '.join(found)} instead.", markup=False, style="dim")
    if answer.degraded is not None:
        print_degraded_space(answer.space, answer.degraded.missing, answer.degraded.texts)
    out.print(
        f"{pluralize(len(answer.hits), 'hit')} in space {answer.space}: database {answer.took_ms:,.0f} ms, "
        f"embedding the query {answer.embedding_ms:,.0f} ms",
        style="dim",
    )


def _print_indented(text: str) -> None:
    if out.is_terminal:
        out.print(Padding(Text(text), (0, 0, 0, 3)), soft_wrap=False)
    else:
        out.print(f"   {text}", markup=False)
