"""python -m tests.benchmarks.pdf_readers [FOLDER]: which words, in which order, readers of PDF find.

Prints one JSON object. `made` has, for PDFs that are written here, the share of the words and of the pairs of
neighbouring words that each reader finds. With FOLDER, `real` has for the files in it: the same shares of what PyMuPDF
finds, the number of words of more than 25 letters (glued ones are among them), and the milliseconds of processor time
for a page. Readers that are not installed are left out:
pip install pypdf pdfplumber pdf_oxide PyMuPDF, in an environment of its own, since PyMuPDF's licence is the AGPL.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import io
import json
import logging
import re
import textwrap
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.data.pdf_file import HEIGHT, Page, make_pdf

Reader = Callable[[bytes], str]
YARDSTICK = "pymupdf"
_WORD = re.compile(r"\w+")
# Divided words are joined for all readers alike.
_DIVIDED = re.compile("(\\w)[-\u00ad\ufffe\x02]\\s*\n\\s*(\\w)")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFFFE: "", 2: ""}

HARBOUR = (
    "The harbour master keeps a log of every ship that enters the bay. Each entry names the vessel, the hour and the "
    "depth of the water at the quay. When the tide is low, pilots wait outside until the signal is given from the "
    "tower. The fee is paid before the ropes are cast off, and a receipt is written in two copies. Night arrivals must "
    "show three lights and keep their speed below four knots while they pass the breakwater."
)
GARDEN = (
    "Gardeners in the old town grow herbs on the terraces above the river. Rosemary and thyme stand in clay pots that "
    "are moved indoors during the winter. Water comes from a cistern under the square, which is filled by rain alone. "
    "In spring the beds are dug over and fed with compost made from leaves and kitchen waste. Seeds are exchanged at "
    "the market on the first Saturday of the month, together with advice and jam."
)
# Of Helvetica, in thousandths of its size.
_WIDTHS = {
    **dict.fromkeys("abdeghnopqu", 556),
    **dict.fromkeys("cksvxyz", 500),
    **dict.fromkeys("ijl", 222),
    **dict.fromkeys("ft.,", 278),
    "m": 833,
    "w": 722,
    "r": 333,
    "T": 611,
    "E": 667,
    "W": 944,
    "N": 722,
    "G": 778,
    "R": 722,
    "I": 278,
    "S": 667,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    readers = dict(installed_readers())
    found: dict[str, Any] = {
        "made": {
            name: {reader: _shares(read(data), text) for reader, read in readers.items()}
            for name, (data, text) in made_files().items()
        }
    }
    if arguments.folder is not None:
        found["real"] = _compare([path.read_bytes() for path in sorted(arguments.folder.glob("*.pdf"))], readers)
    print(json.dumps(found))


def made_files() -> dict[str, tuple[bytes, str]]:
    """PDFs, and the text in them."""
    texts = [HARBOUR, GARDEN, f"{HARBOUR} {GARDEN}"]
    files = {
        "two columns, drawn across": (_across(texts[:2], 46, 260, 10), " ".join(texts[:2])),
        "three columns, drawn across": (_across([HARBOUR, GARDEN, HARBOUR], 34, 178, 9), f"{texts[2]} {HARBOUR}"),
        "each letter drawn alone": (_placed(texts[2], letters=True, gap=3), texts[2]),
    }
    for gap in (2.2, 1.8, 1.4, 1.0):
        files[f"words {gap} points apart"] = _placed(texts[2], letters=False, gap=gap), texts[2]
        files[f"words {gap} points apart in one string"] = _strings(texts[2], gap), texts[2]
    return files


def _across(columns: Sequence[str], letters: int, width: float, size: float) -> bytes:
    page = Page()
    lines = [textwrap.wrap(column, letters) for column in columns]
    for number in range(max(map(len, lines))):
        for place, column in enumerate(lines):
            if number < len(column):
                page.text(40 + place * width, 80 + number * 1.3 * size, column[number], size)
    return make_pdf([page])


def _placed(text: str, *, letters: bool, gap: float, size: float = 11) -> bytes:
    """Words, or letters, that are each drawn at a place of their own, without spaces."""
    page = Page()
    x, y = 50.0, 80.0
    for word in text.split():
        width = sum(_WIDTHS[letter] for letter in word) * size / 1000
        if x + width > 540:
            x, y = 50.0, y + 14
        at = x
        for part in word if letters else [word]:
            page.text(at, y, part, size)
            at += sum(_WIDTHS[letter] for letter in part) * size / 1000
        x += width + gap
    return make_pdf([page])


def _strings(text: str, gap: float, size: float = 11) -> bytes:
    page = Page()
    for number, line in enumerate(textwrap.wrap(text, 85)):
        words = f" {-gap / size * 1000:.0f} ".join(f"({word})" for word in line.split())
        page.parts.append(f"BT /F1 {size} Tf 1 0 0 1 50 {HEIGHT - 80 - 14 * number} Tm [{words}] TJ ET".encode())
    return make_pdf([page])


def installed_readers() -> Iterator[tuple[str, Reader]]:
    makers: Mapping[str, Callable[[], Reader]] = {
        "ours": _ours,
        "xberg plain": lambda: _xberg("plain"),
        "xberg markdown": lambda: _xberg("markdown"),
        "pypdfium2": _pypdfium2,
        "pypdf": _pypdf,
        "pdfplumber": _pdfplumber,
        "pdf_oxide": _pdf_oxide,
        YARDSTICK: _pymupdf,
    }
    for name, make in makers.items():
        with contextlib.suppress(ImportError):
            yield name, make()


def _ours() -> Reader:
    from rag_assets.documents.parsing.readers.pdf.reader import read_pdf

    return lambda data: read_pdf(data).content


def _xberg(output: str) -> Reader:
    import xberg

    from rag_assets.documents.parsing.readers.xberg import _config

    config, loop = dataclasses.replace(_config(), output_format=output), asyncio.new_event_loop()

    async def extract(data: bytes) -> str:
        kind = xberg.ExtractInputKind.BYTES
        source = xberg.ExtractInput(kind=kind, bytes=data, mime_type="application/pdf")
        return str((await xberg.extract(source, config)).results[0].content)

    return lambda data: loop.run_until_complete(extract(data))


def _pypdfium2() -> Reader:
    import pypdfium2

    return lambda data: "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(data))


def _pypdf() -> Reader:
    import pypdf  # type: ignore[import-not-found,unused-ignore]

    return lambda data: "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


def _pdfplumber() -> Reader:
    import pdfplumber  # type: ignore[import-not-found,unused-ignore]

    def read(data: bytes) -> str:
        with pdfplumber.open(io.BytesIO(data)) as document:
            return "\n".join(page.extract_text() or "" for page in document.pages)

    return read


def _pdf_oxide() -> Reader:
    import pdf_oxide  # type: ignore[import-not-found,unused-ignore]

    def read(data: bytes) -> str:
        document = pdf_oxide.PdfDocument.from_bytes(data)
        return "\n".join(document.extract_text(page) for page in range(document.page_count()))

    return read


def _pymupdf() -> Reader:
    import pymupdf  # type: ignore[import-not-found,unused-ignore]

    return lambda data: "\n".join(page.get_text() for page in pymupdf.open(stream=data, filetype="pdf"))


def _compare(files: Sequence[bytes], readers: Mapping[str, Reader]) -> dict[str, Any]:
    import pypdfium2

    texts: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for name, read in readers.items():
        started = time.process_time()
        texts[name] = [read(data) for data in files]
        seconds[name] = time.process_time() - started
    pages = sum(len(pypdfium2.PdfDocument(data)) for data in files)
    expected = "\n".join(texts[YARDSTICK]) if YARDSTICK in texts else None
    found: dict[str, Any] = {"files": len(files), "pages": pages}
    for name, own in texts.items():
        text = "\n".join(own)
        found[name] = {
            **(_shares(text, expected) if expected is not None else {}),
            "long_words": sum(len(word) > 25 for word in _words(text)),
            "ms_per_page": round(1000 * seconds[name] / pages, 1),
        }
    return found


def _shares(text: str, expected: str) -> dict[str, float]:
    found, wanted = _words(text), _words(expected)
    return {
        "words": _share(Counter(found), Counter(wanted)),
        "pairs": _share(Counter(pairwise(found)), Counter(pairwise(wanted))),
    }


def _share(found: Counter[Any], wanted: Counter[Any]) -> float:
    return round((found & wanted).total() / max(1, wanted.total()), 3)


def _words(text: str) -> list[str]:
    return _WORD.findall(_DIVIDED.sub(r"\1\2", text).translate(_LIGATURES).lower())


if __name__ == "__main__":
    main()
