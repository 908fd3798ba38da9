"""The text of a cell that spans several rows is in each of them."""

from rag_assets.documents.parsing.readers.office.merged_cells import fill_merged_cells


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
