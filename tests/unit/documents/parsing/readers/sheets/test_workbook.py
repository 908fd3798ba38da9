"""Workbooks as Markdown: values as they are shown, comments, headers, merged cells."""

from rag_assets.documents.parsing.readers.sheets.workbook import read_workbook
from tests.support.data.workbooks import Rows, ods, xlsx
from tests.support.paths import FILES

FORMATS = ("0.0%", '#,##0.00 "EUR"', "dd.mm.yyyy")


def test_values_are_those_that_excel_shows_and_comments_stand_beside_them() -> None:
    rows: Rows = [
        ["Item", "Share", "Amount", "Date", "Account"],
        ["Crane", (0.125, 1), (1234567.5, 2), (46095, 3), "00420"],
        ["Fuel|oil", None, -99.90000000000001],
    ]
    read = read_workbook(
        xlsx({"Budget": rows}, formats=FORMATS, comments={"A2": "leased\nfrom Gdynia", "E3": "open"}, title="Year"),
        "xlsx",
    )
    assert read.title == "Year"
    assert read.metadata == {"sheet_count": 1, "sheet_names": ["Budget"]}
    assert read.content == (
        "## Budget\n\n"
        "| Item | Share | Amount | Date | Account |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| Crane [comment: leased from Gdynia] | 12.5% | 1,234,567.50 EUR | 14.03.2026 | 00420 |\n"
        "| Fuel\\|oil |  | -99.9 |  | [comment: open] |\n"
    )


def test_each_sheet_with_a_value_has_its_heading_and_hidden_ones_say_so() -> None:
    sheets: dict[str, Rows] = {"One": [["a", "b"], [1, 2]], "Empty": [], "Two": [["Esme", "Riga"], ["Otto", "Kiel"]]}
    content = read_workbook(xlsx(sheets, hidden=["Two"]), "xlsx").content
    assert content == (
        "## One\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
        "## Two (hidden)\n\n|  |  |\n| --- | --- |\n| Esme | Riga |\n| Otto | Kiel |\n"
    )


def test_lines_above_a_table_empty_columns_and_a_second_table() -> None:
    rows: Rows = [
        ["Sales 2026"],
        [],
        [None, "Item", None, "Units"],
        [None, "Bolt", None, 5],
        [None, "Sum", None, 5],
        [],
        [],
    ]
    rows += [["Port", "Depth"], ["Oslo", 12]]
    assert read_workbook(xlsx({"S": rows}), "xlsx").content == (
        "## S\n\nSales 2026\n\n| Item | Units |\n| --- | --- |\n| Bolt | 5 |\n| Sum | 5 |\n\n"
        "| Port | Depth |\n| --- | --- |\n| Oslo | 12 |\n"
    )


def test_merged_cells_label_all_rows_and_columns_that_they_cover() -> None:
    rows: Rows = [
        ["Banner", None, None, None, None],
        ["Country", 2021, None, 2022, None],
        [None, "Sales", "Cost", "Sales", "Cost"],
        ["Norway", 1, 2, 3, 4],
        [None, 5, 6, 7, 8],
    ]
    places = ("A1:E1", "A2:A3", "B2:C2", "D2:E2", "A4:A5")
    merged = "".join(f'<mergeCell ref="{place}"/>' for place in places)
    assert read_workbook(xlsx({"S": rows}, tail=f"<mergeCells>{merged}</mergeCells>"), "xlsx").content == (
        "## S\n\nBanner\n\n"
        "| Country | 2021 Sales | 2021 Cost | 2022 Sales | 2022 Cost |\n| --- | --- | --- | --- | --- |\n"
        "| Norway | 1 | 2 | 3 | 4 |\n| Norway | 5 | 6 | 7 | 8 |\n"
    )


def test_a_wide_sheet_is_lines_of_names_and_values() -> None:
    cells = "".join(f"<table:table-cell><text:p>Field {n}</text:p></table:table-cell>" for n in range(40))
    first = "<table:table-cell><text:p>Oslo</text:p></table:table-cell>"
    empty = '<table:table-cell table:number-columns-repeated="38"/>'
    row = f"<table:table-row>{first}{empty}<table:table-cell><text:p>7</text:p></table:table-cell></table:table-row>"
    table = f'<table:table table:name="S"><table:table-row>{cells}</table:table-row>{row}{row}</table:table>'
    content = read_workbook(ods(table), "ods").content
    assert content.startswith("## S\n\nColumns: Field 0 | Field 1 | ")
    assert content.endswith("\n\nField 0: Oslo; Field 39: 7\nField 0: Oslo; Field 39: 7\n")


def test_a_threaded_comment_replaces_the_remark_for_old_programs_and_has_its_answers() -> None:
    thread = (
        '<ThreadedComments xmlns="http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments">'
        '<threadedComment ref="A2"><text>Is it ours?</text></threadedComment>'
        '<threadedComment ref="A2"><text>Yes_x000D_, since May.</text></threadedComment></ThreadedComments>'
    )
    data = xlsx(
        {"S": [["Item", "Units"], ["Crane", 5]]}, comments={"A2": "[Threaded comment] Update Excel"}, thread=thread
    )
    assert "| Crane [comment: Is it ours? / Yes , since May.] | 5 |" in read_workbook(data, "xlsx").content


def test_a_formula_without_a_value_and_a_table_that_excel_knows() -> None:
    rows: Rows = [["Esme", "Riga"], ["Otto", "=A2&B2"]]
    data = xlsx({"S": rows}, table="A1:B2")
    assert read_workbook(data, "xlsx").content == "## S\n\n| Esme | Riga |\n| --- | --- |\n| Otto | =A2&B2 |\n"


ODS_TABLE = """
<table:table table:name="Ports"><table:table-header-rows><table:table-row>
<table:table-cell><text:p>Port</text:p></table:table-cell><table:table-cell><text:p>Esme</text:p></table:table-cell>
</table:table-row></table:table-header-rows>
<table:table-row table:number-rows-repeated="2"><table:table-cell><text:p>Oslo</text:p>
<office:annotation><text:p>deep <text:span>water</text:span></text:p></office:annotation></table:table-cell>
<table:table-cell office:value-type="percentage" office:value="0.125"><text:p>12.5<text:s/>%</text:p></table:table-cell>
</table:table-row>
<table:table-row table:number-rows-repeated="1048000">
<table:table-cell table:number-columns-repeated="16384"/></table:table-row>
</table:table><table:table table:name="None"/>
"""


def test_an_ods_has_its_shown_values_comments_and_declared_headers() -> None:
    read = read_workbook(ods(ODS_TABLE), "ods")
    assert read.content == (
        "## Ports\n\n| Port | Esme |\n| --- | --- |\n| Oslo [comment: deep water] | 12.5 % |\n| Oslo | 12.5 % |\n"
    )
    assert read.metadata["sheet_names"] == ["Ports", "None"]


def test_an_old_workbook_is_read() -> None:
    assert "| pear, green | 5 | 0.8 |" in read_workbook((FILES / "book.xls").read_bytes(), "xls").content
