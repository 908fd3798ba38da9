"""CSV and TSV: each row says what it holds."""

import pytest

from rag_assets.documents.parsing.readers.sheets.delimited import read_csv


def test_rows_become_lines_of_named_values_below_the_names() -> None:
    content, metadata = read_csv('name,quantity,note\napple,3,\n"pear, green",5,"two\nlines"\n')
    assert content == (
        "Columns: name | quantity | note\n\nname: apple; quantity: 3\nname: pear, green; quantity: 5; note: two lines\n"
    )
    assert metadata == {"columns": ["name", "quantity", "note"], "row_count": 2}


def test_years_name_columns() -> None:
    content, _ = read_csv("Country,2021,2022,2023\nNorway,5.4,5.5,5.6\nSweden,10.4,10.5,10.6\n")
    assert "\nCountry: Norway; 2021: 5.4; 2022: 5.5; 2023: 5.6\n" in content


def test_rows_without_a_header_get_no_names() -> None:
    content, metadata = read_csv("Esme,Tallinn,teacher\nOtto,Riga,baker\nIda,Vilnius,smith\n")
    assert (content, metadata) == ("Esme; Tallinn; teacher\nOtto; Riga; baker\nIda; Vilnius; smith\n", {"row_count": 3})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str) -> None:
    rows = [["name", "text"], ["x", '"a quoted, line; with | and\nanother"'], ["y", "1,5"]]
    if delimiter == ",":
        rows[2][1] = '"1,5"'
    content, _ = read_csv("".join(delimiter.join(row) + "\n" for row in rows))
    assert content.endswith("name: x; text: a quoted, line; with | and another\nname: y; text: 1,5\n")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r", "\ufeffsep=;"])
def test_a_line_for_excel_declares_the_delimiter(first: str) -> None:
    assert (
        read_csv(f"{first}\nName;Price, net\nBolt;1,50\n")[0]
        == "Columns: Name | Price, net\n\nName: Bolt; Price, net: 1,50\n"
    )


def test_lines_above_the_table_stay_and_equal_names_are_numbered() -> None:
    content, metadata = read_csv("Sales;;\n\nitem;value;value\nbolt;1;2\n")
    assert content == "Sales\n\nColumns: item | value | value (2)\n\nitem: bolt; value: 1; value (2): 2\n"
    assert metadata["columns"] == ["item", "value", "value (2)"]


def test_a_row_of_groups_above_a_header_that_repeats_its_names_is_part_of_them() -> None:
    content, metadata = read_csv(
        "Harbour dues,,,,\n,2021,,2022,\nregion,Sales,Cost,Sales,Cost\nNorth,1,2,3,4\nSouth,5,6,7,8\n"
    )
    assert metadata["columns"] == ["region", "2021 Sales", "2021 Cost", "2022 Sales", "2022 Cost"]
    assert content.startswith("Harbour dues\n\nColumns: region | 2021 Sales")
    assert "region: South; 2021 Sales: 5; 2021 Cost: 6; 2022 Sales: 7; 2022 Cost: 8" in content


def test_an_empty_row_above_another_header_begins_another_table() -> None:
    content, metadata = read_csv("Item,Price\nbolt,1.5\n,\nnut,2.5\n\nPort,City,Depth\nA,Oslo,12\nB,Kiel,11\n")
    assert content == (
        "Columns: Item | Price\n\nItem: bolt; Price: 1.5\nItem: nut; Price: 2.5\n\n"
        "Columns: Port | City | Depth\n\nPort: A; City: Oslo; Depth: 12\nPort: B; City: Kiel; Depth: 11\n"
    )
    assert metadata == {"row_count": 4, "columns": ["Item", "Price"]}


def test_quotes_after_a_space_enclose_a_value_and_a_lone_one_does_not() -> None:
    assert read_csv('name, text\nx, "a, b"\n')[0].endswith("name: x; text: a, b\n")
    assert read_csv('size\tkind\n"5 pipe\tsteel\n6\tbrass\n')[0].endswith(
        'size: "5 pipe; kind: steel\nsize: 6; kind: brass\n'
    )


def test_a_file_of_many_tables_takes_linear_time() -> None:
    content, metadata = read_csv("a,b\n1,2\n\n" * 2_000)
    assert metadata["row_count"] == 2_000
    assert content.count("Columns: a | b") == 2_000


@pytest.mark.parametrize("text", ["only one column\nvalue\n", "", "\n", "plain text without any table"])
def test_what_is_no_table_is_unchanged(text: str) -> None:
    assert read_csv(text)[0] == text


def test_rows_longer_or_shorter_than_the_header_keep_all_values() -> None:
    assert read_csv("a,b\n1,2,extra\n3\n")[0] == "Columns: a | b\n\na: 1; b: 2; extra\na: 3\n"


def test_a_field_of_a_million_characters_is_read() -> None:
    assert len(read_csv("a,b\n" + "x" * 1_000_000 + ",y\n")[0]) > 1_000_000
