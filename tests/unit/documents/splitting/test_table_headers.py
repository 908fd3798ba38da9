"""Every chunk of a table comes with the names of its columns: in its text or in its header."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from rag_assets.documents.parsing.readers.sheets.delimited import read_csv
from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.splitting.tokenizer import count_tokens
from tests.unit.documents.splitting.test_splitter import WINDOW, WORDPIECE, assert_valid_pieces

SPLITTER = Splitter(WORDPIECE, max_tokens=WINDOW)
NAMES = ("Part number", "Supplier", "Torque Nm", "Shelf")


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def parts(number: int) -> list[tuple[object, ...]]:
    return [(f"PN-{n:04}", f"Supplier {n}", n + 10, f"S{n % 9}") for n in range(number)]


def split(content: str, file_type: str, splitter: Splitter = SPLITTER) -> list[Piece]:
    pieces = splitter.split(content, file_type)
    assert_valid_pieces(content, pieces, WORDPIECE, splitter.max_tokens)
    return pieces


def test_each_chunk_of_a_sheet_has_the_names_of_all_columns() -> None:
    pieces = split("## Parts\n\n" + markdown_table(NAMES, parts(200)), "xlsx")
    assert len(pieces) > 10
    assert {piece.header for piece in pieces} == {"Part number | Supplier | Torque Nm | Shelf"}
    assert all(piece.text.endswith("|") for piece in pieces)
    assert all(piece.text.startswith("| PN-") for piece in pieces[1:])


@pytest.mark.parametrize("file_type", ["markdown", "html", "docx", "pptx", "pdf", "epub", "email", "notebook"])
def test_in_prose_only_chunks_without_the_header_row_have_a_header(file_type: str) -> None:
    content = "# Guide\n\nSome words.\n\n" + markdown_table(NAMES, parts(60)) + "\nMore words.\n" * 3
    pieces = split(content, file_type)
    assert (pieces[0].header, "| Part number |" in pieces[0].text) == (None, True)
    inside = [piece for piece in pieces[1:] if "PN-" in piece.text]
    assert inside
    assert {piece.header for piece in inside} == {"Part number | Supplier | Torque Nm | Shelf"}
    assert {piece.header for piece in pieces if "PN-" not in piece.text} <= {None}


def test_the_header_of_a_table_is_not_parted_from_its_first_row() -> None:
    for words in range(150, 250):
        content = "word " * words + "\n\n" + markdown_table(NAMES, parts(30))
        for piece in SPLITTER.split(content, "markdown"):
            assert not piece.text.endswith(("| Shelf |", "--- |"))


def test_a_long_row_is_cut_between_fields_and_each_piece_has_its_key_and_its_names() -> None:
    header = ["id", *(f"question_{n}" for n in range(60))]
    rows = [[str(row), *(f"answer {row}-{n}" for n in range(60))] for row in range(3)]
    content, _ = read_csv("\n".join(",".join(row) for row in [header, *rows]))
    found = [piece for piece in split(content, "csv") if "answer" in piece.text]
    for piece in found:
        assert piece.text.startswith(("id: ", "question_"))
        row = piece.text.partition("answer ")[2].partition("-")[0]
        assert f"id: {row}" in piece.embedded_text
        fields = [field.partition(":")[0] for field in piece.text.rstrip(";").split("; ")]
        names = (piece.header or "").removeprefix(f"id: {row} | ").split(" | ")
        assert names == fields[: len(names)] or names[-1] == "…"
    answers = [field for piece in found for field in piece.text.rstrip(";").split("; ") if "answer" in field]
    assert answers == [f"question_{n}: answer {row}-{n}" for row in range(3) for n in range(60)]


def test_a_long_row_of_markdown_has_the_names_of_just_the_columns_of_its_pieces() -> None:
    names = ["City", *(f"Rainfall of week {n}" for n in range(52))]
    content = markdown_table(names, [["Oslo", *range(1000, 1052)], ["Kiel", *range(2000, 2052)]])
    found = [piece for piece in split(content, "xlsx") if "1000" in piece.text or piece.text.startswith(("| 1", "| 2"))]
    assert len(found) > 4
    for piece in found:
        numbers = [int(cell) for cell in piece.text.strip("| ").split(" | ") if cell.isdigit()]
        city = "Oslo" if numbers[0] < 2000 else "Kiel"
        expected = [f"Rainfall of week {number % 1000}" for number in numbers]
        key = "City" if piece.text.startswith(f"| {city}") else f"City: {city}"
        assert piece.header == " | ".join([key, *expected])


def test_a_table_of_thousands_of_columns_takes_linear_time() -> None:
    names = ",".join(f"col{n}" for n in range(2_000))
    content, _ = read_csv(f"{names}\n" + "\n".join(",".join(str(n % 97) for n in range(2_000)) for _ in range(2)))
    pieces = split(content, "csv")
    assert all(piece.header for piece in pieces)


def test_names_that_do_not_fit_are_shortened_and_then_left_out() -> None:
    rows = [[n, n] for n in range(200)]
    long = markdown_table(["name of the first column " * 12, "value"], rows)
    [header] = {piece.header for piece in split(long, "xlsx")[2:]}
    assert header is not None
    assert header.startswith("name of the first column")
    assert header.endswith("… | value")
    many = markdown_table([f"column number {n}" for n in range(100)], [[""] * 99 + ["x"]] * 5)
    assert all(piece.header for piece in split(many, "xlsx"))
    tiny = Splitter(WORDPIECE, max_tokens=16)
    for piece in split(markdown_table(NAMES, parts(9)), "xlsx", tiny):
        assert piece.header is None or count_tokens(WORDPIECE, [piece.header])[0] < 16


def test_rows_without_names_have_no_header_but_the_key_of_a_row_that_is_cut() -> None:
    short, _ = read_csv("Esme,Tallinn,teacher\nOtto,Riga,baker\n")
    assert [piece.header for piece in split(short, "csv")] == [None]
    words = list("abcdefghijklmnopqrstuvwxyz")
    rows = [[name, *(f"{word} {name} words" for word in words * 4)] for name in ("Esme", "Otto")]
    content, metadata = read_csv("\n".join(",".join(row) for row in rows))
    assert "columns" not in metadata
    headers = [(piece.text.split("; ")[0].split(" ")[0], piece.header) for piece in split(content, "csv")]
    assert {header for first, header in headers if first in {"Esme", "Otto"}} == {None}
    assert {header for first, header in headers if first not in {"Esme", "Otto"}} == {"Esme", "Otto"}


def test_a_table_in_a_code_block_and_other_types_of_text_have_no_header() -> None:
    table = markdown_table(NAMES, parts(60))
    assert all(piece.header is None for piece in split(f"```\n{table}```\n", "markdown"))
    assert all(piece.header is None for piece in split(table, "text"))


@pytest.mark.parametrize("overlap_tokens", [20, 100])
def test_chunks_that_overlap_fit_with_their_headers(overlap_tokens: int) -> None:
    splitter = Splitter(WORDPIECE, max_tokens=WINDOW, overlap_tokens=overlap_tokens)
    pieces = split(markdown_table(NAMES, parts(200)), "xlsx", splitter)
    assert all(piece.header for piece in pieces)
    assert any(after.char_start < before.char_end for before, after in pairwise(pieces))


def test_a_converted_table_of_data_gets_no_names_and_a_header_of_two_rows_becomes_one() -> None:
    letters = "abcdefghijklmnop"
    people = markdown_table(["Esme", "Tallinn"], [[f"Ott{a}{b}", f"Rig{b}"] for a in letters for b in letters])
    assert all(piece.header is None for piece in split(people, "docx"))
    head = "| Country | 2021  | | 2022  | |\n| --- | --- | --- | --- | --- |\n| | Sales | Cost | Sales | Cost |\n"
    content = head + "".join(f"| Norway {n} | {n} | 2 | 3 | 4 |\n" for n in range(90))
    pieces = split(content, "html")
    assert {piece.header for piece in pieces[1:]} == {"Country | 2021 Sales | 2021 Cost | 2022 Sales | 2022 Cost"}
