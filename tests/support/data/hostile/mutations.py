"""Damaged files: fixtures and small samples of every format, cut off or with bytes changed, by a seed."""

# ruff: noqa: E501
# Lines of markup, as they stand in such files.

import io
import random
import zipfile
from collections.abc import Iterator

from tests.support.data.compound_file import compound_file
from tests.support.data.hostile.packages import docx, epub, open_document, paragraph
from tests.support.data.pdf_file import Page, make_pdf
from tests.support.paths import FILES

_TEXTS = {
    "page.html": "<html><head><title>Title</title></head><body><h1>Head</h1><ul><li>one<li>two</ul>"
    "<table><tr><th>a<th>b<tr><td>1<td>2</table></body></html>",
    "mail.eml": 'Subject: =?utf-8?q?H=C3=A4llo?=\nFrom: a@b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n'
    "--x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nW=C3=B6rds of a mail.\n"
    "--x\nContent-Type: message/rfc822\n\nSubject: inner\n\nInner words.\n"
    "--x\nContent-Type: text/csv; name=t.csv\nContent-Transfer-Encoding: base64\n\nYSxiCjEsMgo=\n--x--\n",
    "box.mbox": "From a@b Mon Jan  1 00:00:00 2024\nSubject: one\n\nWords.\n\nFrom c@d Mon Jan  1 00:00:00 2024\nSubject: two\n\nMore.\n",
    "saved.mht": 'MIME-Version: 1.0\nContent-Type: multipart/related; boundary="x"; type="text/html"\n\n'
    "--x\nContent-Type: text/html\n\n<h1>Saved</h1><p>Words.</p>\n--x--\n",
    "table.csv": 'name;value\n"quoted; one";1,5\ntwo;2\n',
    "data.json": '{"title": "Words", "list": [1, 2.5, null, true, {"deep": "\\u00e4"}]}',
    "lines.jsonl": '{"a": 1, "b": "words"}\n{"a": 2, "b": "more"}\n',
    "book.ipynb": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, '
    '"source": ["# Title\\n", "words"]}, {"cell_type": "code", "metadata": {}, "source": "1 + 1", "outputs": '
    '[{"output_type": "stream", "name": "stdout", "text": "2"}]}]}',
    "film.srt": "1\n00:00:01,000 --> 00:00:02,000\nFirst words.\n\n2\n00:00:03,000 --> 00:00:04,000\nSecond words.\n",
    "meeting.ics": "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Berlin:20260101T090000\n"
    "SUMMARY:Words\nDESCRIPTION:More\\, and\n  folded\nEND:VEVENT\nEND:VCALENDAR\n",
    "notes.md": "---\ntitle: Title\ntags: [a, b]\n---\n\n# Head\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n```python\nx = 1\n```\n",
    "paper.tex": "\\documentclass{article}\n\\title{A \\emph{title}}\n\\begin{document}\n\\section{One}\nCaf\\'e.\n\\end{document}\n",
    "page.adoc": "= Title\n:author: A\n\n== Section\n\nWords.\n",
    "notes.org": "#+TITLE: Title\n* One\nWords.\n** Two\n",
    "page.wiki": "== Head ==\nWords.\n{| class=x\n| a\n|}\n",
    "page.rst": "Title\n=====\n\nWords.\n",
    "code.py": "# coding: latin-1\nx = 1\n",
    "drawing.svg": "<svg><text>Words</text></svg>",
}


def samples() -> dict[str, bytes]:
    """A sound file of every format, by name."""
    found = {path.name: path.read_bytes() for path in sorted(FILES.rglob("*")) if path.is_file()}
    found |= {name: text.encode() for name, text in _TEXTS.items()}
    cells = "<table:table table:name='One'><table:table-row><table:table-cell><text:p>words</text:p></table:table-cell>"
    found["text.odt"] = open_document("odt", "<text:h>Head</text:h><text:p>words</text:p>")
    found["slides.odp"] = open_document(
        "odp", "<draw:page draw:name='One'><draw:frame><text:p>words</text:p></draw:frame></draw:page>"
    )
    found["sheet.ods"] = open_document("ods", f"{cells}</table:table-row></table:table>")
    found["small.docx"] = docx(paragraph("words &amp; more"))
    found["small.epub"] = epub("<h1>Head</h1><p>words</p>")
    found["small.pdf"] = make_pdf([Page().text(72, 100, "words").comment("note")], [("Head", 0)], "Title")
    found["outlook.msg"] = compound_file(
        {"__substg1.0_0037001F": "Subject".encode("utf-16-le"), "__substg1.0_1000001F": "Words.".encode("utf-16-le")}
    )
    return found


def cuts(data: bytes, number: int = 10) -> Iterator[bytes]:
    """The file cut off at so many places."""
    for place in range(number):
        yield data[: len(data) * place // number]


def mutations(data: bytes, number: int, seed: str) -> Iterator[bytes]:
    """Copies with a few bytes changed, removed, inserted or doubled; of packages, mostly within a part."""
    chance = random.Random(seed)
    for _ in range(number):
        if data.startswith(b"PK") and chance.random() < 0.7:
            yield _mutate_part(data, chance)
        else:
            yield _mutate(data, chance)


def _mutate(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 8)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randrange(1, 64)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randrange(1, 32))
            case 3:
                stop = at + chance.randrange(1, 200)
                changed[at:at] = changed[at:stop] * chance.randrange(1, 20)
            case 4:
                changed[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"])
            case 5:
                number = chance.choice(
                    [b"-1", b"99999999999", b"1e999", b"NaN", b"&a;", b"<", b"%s%n", b"\xed\xa0\x80"]
                )
                changed[at:at] = number
    return bytes(changed)


def _mutate_part(data: bytes, chance: random.Random) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(written, "w") as target:
        names = source.namelist()
        chosen = set(chance.sample(names, min(len(names), 3)))
        for name in names:
            content = source.read(name)
            target.writestr(name, _mutate(content, chance) if name in chosen and content else content)
    return written.getvalue()
