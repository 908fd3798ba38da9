"""How much of the main text of web pages is lost, and how much else is read.

    python -m tests.benchmarks.web_pages FOLDER [PAGES]

The main text of a page is what stands within its <main>. Where trafilatura is installed, it is compared too.
"""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

from rag_assets.documents.parsing.readers.html_to_markdown import html_to_markdown
from rag_assets.documents.parsing.readers.page_parts import strip_page

MOST_CHARS = 200_000
_TARGET = re.compile(r"\]\([^)]*\)")


def count_words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", _TARGET.sub("]", text)))


def main_words(page: str) -> Counter[str]:
    main = LexborHTMLParser(page).css_first("main, [role=main]")
    if main is None:
        return Counter()
    for node in main.css("script, style, button, svg"):
        node.decompose()
    return count_words(main.text(separator=" "))


def readers() -> dict[str, Callable[[str], str]]:
    found: dict[str, Callable[[str], str]] = {
        "whole page": html_to_markdown,
        "stripped": lambda page: html_to_markdown(strip_page(page)),
    }
    if find_spec("trafilatura"):
        import trafilatura  # type: ignore[import-not-found]

        found["trafilatura"] = lambda page: (
            trafilatura.extract(page, output_format="markdown", favor_recall=True, include_comments=False) or ""
        )
    return found


def main(folder: str, pages: str = "32") -> None:
    paths = sorted(Path(folder).expanduser().rglob("*.html"))
    random.Random(7).shuffle(paths)
    found = (page for path in paths if len(page := path.read_text("utf-8", "replace")) <= MOST_CHARS)
    with_main = ((page, main_words(page)) for page in found)
    sample = list(islice(((page, words) for page, words in with_main if words), int(pages)))
    total = sum(sum(words.values()) for _, words in sample)
    print(f"{len(sample)} pages, {total:,} words of main text")
    for name, read in readers().items():
        lost = other = 0
        seconds = 0.0
        for page, words in sample:
            start = time.process_time()
            text = read(page)
            seconds += time.process_time() - start
            lost += (words - count_words(text)).total()
            other += (count_words(text) - words).total()
        print(f"{name}: {lost / total:.2%} lost, {other / total:.2%} other words, {seconds:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
