"""Tables of reStructuredText, Org and AsciiDoc: the names of their columns, and their rows."""

import pytest

from rag_assets.documents.splitting.splitter import Splitter
from rag_assets.documents.tables.markup_tables import find_markup_tables
from tests.unit.documents.splitting.test_splitter import WORDPIECE

ORG = """* Parts
| Part  | Torque |
|-------+--------|
| PN-1  |     12 |
| PN-2  |     13 |
|-------+--------|
"""
GRID = """Parts
=====

+-------+----------+
| Part  | Torque   |
| no.   | Nm       |
+=======+==========+
| PN-1  | 12       |
+-------+----------+
| PN-2  | thirteen |
|       | or more  |
+-------+----------+
"""
SIMPLE = """====  ========
Part  Torque
no.   Nm
====  ========
PN-1  12
PN-2  13
====  ========
"""
LIST = """.. list-table:: Parts
   :header-rows: 1

   * - Part
     - Torque
   * - PN-1
     - 12
   * - PN-2
     - 13

After it.
"""
ADOC = """.Parts
[cols="1,2"]
|===
|Part |Torque

|PN-1 |12
|PN-2
|13
|===
"""
ADOC_OPTION = """[%header,cols=2*]
|===
|Part
|Torque
|PN-1
a|12
|===
"""


@pytest.mark.parametrize(
    ("file_type", "content", "names", "rows"),
    [
        ("org", ORG, ("Part", "Torque"), ["| PN-1  |     12 |", "| PN-2  |     13 |"]),
        (
            "rst",
            GRID,
            ("Part no.", "Torque Nm"),
            ["| PN-1  | 12       |", "| PN-2  | thirteen |", "|       | or more  |"],
        ),
        ("rst", SIMPLE, ("Part no.", "Torque Nm"), ["PN-1  12", "PN-2  13"]),
        ("rst", LIST, ("Part", "Torque"), ["   * - PN-1\n     - 12", "   * - PN-2\n     - 13"]),
        ("asciidoc", ADOC, ("Part", "Torque"), ["|PN-1 |12", "|PN-2\n|13"]),
        ("asciidoc", ADOC_OPTION, ("Part", "Torque"), ["|PN-1\na|12"]),
        # No header is assumed.
        ("org", "| Esme | Tallinn |\n| Otto | Riga |\n", (), ["| Esme | Tallinn |", "| Otto | Riga |"]),
        ("rst", "====  ====\nEsme  Riga\nOtto  Bonn\n====  ====\n", (), ["Esme  Riga", "Otto  Bonn"]),
        ("asciidoc", "|===\n|Esme |Riga\n|Otto |Bonn\n|===\n", (), ["|Esme |Riga", "|Otto |Bonn"]),
        # One row speaks for it.
        ("org", "| Year | Amount |\n| 2021 | 12.50 |\n", ("Year", "Amount"), ["| 2021 | 12.50 |"]),
    ],
)
def test_a_table_has_names_and_rows(file_type: str, content: str, names: tuple[str, ...], rows: list[str]) -> None:
    [block] = find_markup_tables(content, file_type)
    assert block.names == names
    found = [content[start:end] for start, end in zip(block.row_starts, block.row_ends, strict=True)]
    assert found == rows


@pytest.mark.parametrize(
    ("file_type", "content"),
    [
        ("rst", "Title\n=====\n\nOther\n=====\n"),
        ("rst", "=====  =====\n=====  =====\n"),
        ("org", "|\n"),
        ("asciidoc", "|===\n|===\n"),
        ("asciidoc", "|===\nnot closed"),
        ("markdown", ORG),
    ],
)
def test_what_is_no_table_is_none(file_type: str, content: str) -> None:
    assert not [block for block in find_markup_tables(content, file_type) if block.names]


@pytest.mark.parametrize(
    ("file_type", "head", "row", "foot"),
    [
        ("org", "| Part | Torque |\n|------+--------|\n", "| PN-{n} | {n} Nm at most |\n", ""),
        (
            "rst",
            "=====  ============\nPart   Torque\n=====  ============\n",
            "PN-{n:02}  {n} Nm\n",
            "=====  ============\n",
        ),
        ("asciidoc", "|===\n|Part |Torque\n\n", "|PN-{n} |{n} Nm at most\n", "|===\n"),
    ],
)
def test_each_chunk_of_a_table_knows_its_columns(file_type: str, head: str, row: str, foot: str) -> None:
    content = head + "".join(row.format(n=n) for n in range(100)) + foot
    pieces = Splitter(WORDPIECE, max_tokens=64).split(content, file_type)
    assert len(pieces) > 4
    assert {piece.header for piece in pieces if "PN-" in piece.text and "Part" not in piece.text} == {"Part | Torque"}
