"""Notes, comments and text boxes of RTF follow their paragraph; deleted text is left out."""

import pytest

from rag_assets.documents.parsing.readers.office.rich_text import complete_rtf
from rag_assets.documents.parsing.readers.xberg import read_document


def lines(body: str) -> list[str]:
    content = read_document(("{\\rtf1\\ansi " + body + "}").encode(), "rtf").content
    return [line for line in content.split("\n") if line]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            r"Rent{\super\chftn}{\*\footnote\chftn\pard On \{herons\}\par} is due.\par Next.\par",
            ["Rent is due.", "Footnote: On {herons}", "Next."],
        ),
        (r"{\pard Rent{\*\annotation\pard Check \'e4\par} is due.\par}", ["Rent is due.", "Comment: Check ä"]),
        (
            r"Left {\shp{\*\shpinst{\sp{\sn x}{\sv 1}}{\shptxt\pard In a box\par}}{\shprslt In a box}}right.\par",
            ["Left right.", "In a box"],
        ),
        (r"Last{\footnote End note}", ["Last", "Footnote: End note"]),
        (r"Kept {\b\deleted gone }text.\par", ["Kept text."]),
        (r"A\~B\par", ["A\xa0B"]),
    ],
)
def test_what_stands_beside_the_text_follows_its_paragraph(body: str, expected: list[str]) -> None:
    assert lines(body) == expected


def test_a_document_without_such_parts_or_that_is_broken_is_unchanged() -> None:
    for data in (rb"{\rtf1 plain\par}", rb"{\rtf1 cut{\footnote and {open}", rb"{\rtf1{\*\footnote\bin999 {}"):
        assert complete_rtf(data) == data
