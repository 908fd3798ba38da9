"""The text of a cell that spans several rows is in each of them."""

import io
import zipfile

from rag_assets.documents.parsing.readers.office import complete_document
from rag_assets.documents.parsing.readers.office.merged_cells import fill_merged_cells
from rag_assets.documents.parsing.readers.office.open_tables import fill_covered_cells, has_uneven_rows


def word(*rows: str) -> str:
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def cell(text: str, properties: str = "") -> str:
    paragraph = f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" if text else "<w:p/>"
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph}</w:tc>"


FILLED = "<w:p/><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
BEGINS, GOES_ON = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"


def test_a_merged_cell_of_word_is_in_all_its_rows() -> None:
    wide = '<w:gridSpan w:val="2"/>'
    document = word(
        cell("Fjord &amp; sea", wide + BEGINS) + cell("Oslo"),
        cell("", wide + '<w:vMerge w:val="continue" />') + cell("Bergen"),
        cell("Sweden", wide) + cell("", GOES_ON),
    )
    found = fill_merged_cells(document, "w")
    assert found == word(
        cell("Fjord &amp; sea", wide + BEGINS) + cell("Oslo"),
        f"<w:tc><w:tcPr>{wide}</w:tcPr>{FILLED.format('Fjord &amp; sea')}" + cell("Bergen"),
        cell("Sweden", wide) + cell("", ""),
    )


def test_a_table_inside_a_cell_has_its_own_columns() -> None:
    inner = word(cell("a", BEGINS) + cell("b"), cell("", GOES_ON) + cell("c"))
    document = word(cell("x") + f"<w:tc>{inner}<w:p/></w:tc>", cell("y") + cell("", GOES_ON))
    assert fill_merged_cells(document, "w").count("<w:t>a</w:t>") == 2


def test_a_merged_cell_of_a_slide_is_in_all_its_rows() -> None:
    def slide(second: str) -> str:
        first = '<a:tc rowSpan="2"><a:txBody><a:p><a:r><a:t>PN1</a:t></a:r></a:p></a:txBody></a:tc>'
        below = f'<a:tc vMerge="1"><a:txBody><a:p/>{second}</a:txBody></a:tc>'
        return f"<a:tbl><a:tr>{first}</a:tr><a:tr>{below}</a:tr></a:tbl>"

    assert fill_merged_cells(slide(""), "a") == slide("<a:p><a:r><a:t>PN1</a:t></a:r></a:p>")
    assert fill_merged_cells("<a:tbl><a:tr/></a:tbl>", "a") == "<a:tbl><a:tr/></a:tbl>"


def test_merged_cells_are_filled_in_a_presentation_without_notes() -> None:
    table = (
        '<a:tbl><a:tr><a:tc rowSpan="2"><a:txBody><a:p><a:r><a:t>PN1</a:t></a:r></a:p></a:txBody></a:tc></a:tr>'
        '<a:tr><a:tc vMerge="1"><a:txBody><a:p/></a:txBody></a:tc></a:tr></a:tbl>'
    )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as package:
        package.writestr("ppt/slides/slide1.xml", f"<p:sld>{table}</p:sld>")
        package.writestr("ppt/slides/slide2.xml", "<p:sld/>")
    with zipfile.ZipFile(io.BytesIO(complete_document(written.getvalue(), "pptx"))) as package:
        assert package.read("ppt/slides/slide1.xml").decode().count("PN1") == 2
        assert package.read("ppt/slides/slide2.xml") == b"<p:sld/>"


def open_cell(text: str, **numbers: int) -> str:
    attributes = "".join(f' table:number-{name.replace("_", "-")}="{number}"' for name, number in numbers.items())
    return f"<table:table-cell{attributes}><text:p>{text}</text:p></table:table-cell>"


def open_table(*rows: str) -> str:
    return f"<table:table>{''.join(f'<table:table-row>{row}</table:table-row>' for row in rows)}</table:table>"


def test_every_row_of_an_open_document_has_a_cell_in_each_column() -> None:
    covered = "<table:covered-table-cell/>"
    inner = open_table(open_cell("in", rows_spanned=2) + open_cell("a"), covered + open_cell("b"))
    document = open_table(
        open_cell("Reds &amp; co", rows_spanned=3) + open_cell("Ann") + open_cell("away", columns_spanned=2) + covered,
        covered + open_cell("Ben") + open_cell("3", columns_repeated=2),
        covered.replace("/>", ' table:style-name="x"><text:p/></table:covered-table-cell>') + inner,
        open_cell("Blues") + open_cell("Cat") + open_cell("5") + open_cell("6"),
    )
    assert has_uneven_rows(document.encode())
    assert not has_uneven_rows(open_table(open_cell("a")).encode())
    filled = fill_covered_cells(document)
    assert filled == open_table(
        *(
            open_cell("Reds &amp; co", rows_spanned=3)
            + open_cell("Ann")
            + open_cell("away", columns_spanned=2)
            + open_cell(""),
            open_cell("Reds &amp; co") + open_cell("Ben") + open_cell("3", columns_repeated=2) * 2,
            open_cell("Reds &amp; co")
            + open_table(open_cell("in", rows_spanned=2) + open_cell("a"), open_cell("in") + open_cell("b")),
            open_cell("Blues") + open_cell("Cat") + open_cell("5") + open_cell("6"),
        )
    )


def test_tables_that_are_nested_or_repeated_without_end_take_linear_time() -> None:
    number = 5_000
    head = '<table:table><table:table-row><table:table-cell table:number-rows-spanned="3">'
    nested = head * number + "</table:table-cell></table:table-row></table:table>" * number
    assert fill_covered_cells(nested) == nested
    many = open_table('<table:covered-table-cell table:number-columns-repeated="9999"/>' * number)
    assert fill_covered_cells(many).count("<text:p>") < number + 100
