"""Tables of HTML whose first row is data, or whose cells span several rows."""

import pytest

from rag_assets.documents.tables.html_rows import prepare_tables

EMPTY = "<tr><th></th><th></th></tr>"


def rows(*lines: str, tag: str = "td") -> str:
    return "".join("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in line.split(",")) + "</tr>" for line in lines)


@pytest.mark.parametrize(
    "table",
    [
        f"<TABLE class='x'>{rows('Esme,Tallinn', 'Otto,Riga')}</TABLE>",
        f"<table><tbody>{rows('Oslo,2021', 'Riga,2022')}</tbody></table>",
        "<table><tr><td>Esme<td>Tallinn<tr><td>Otto<td>Riga</table>",
        "<table><tr><th>Esme</th><td>Tallinn</td></tr><tr><th>Otto</th><td>Riga</td></tr></table>",
    ],
)
def test_a_table_of_data_gets_an_empty_header(table: str) -> None:
    at = table.lower().index("<tr")
    assert prepare_tables(f"<p>x{table}y") == f"<p>x{table[:at]}{EMPTY}{table[at:]}y"


@pytest.mark.parametrize(
    "table",
    [
        f"<table>{rows('Nimi,Linn', tag='th')}{rows('Otto,Riia', 'Esme,Tartu')}</table>",
        f"<table>{rows('Name,City', 'Otto,Riga', 'Esme,Kiel')}</table>",
        f"<table>{rows('<b>Port</b>,2021', 'Oslo,5.5', 'Kiel,7')}</table>",
        f"<table>{rows('one row,alone')}</table>",
        "<table><tr></tr><tr></tr></table>",
        f"<table>{rows('Name,City', *['Otto,Riga'] * 200)}</table>",
        f"<table>{rows('one', 'column')}</table>",
        f"<table><tr><td><table>{rows('Name,City', 'Otto,Riga')}</table></td><td>x</td></tr>{rows('y,z')}</table>",
        "<table>",
        "no table",
    ],
)
def test_other_tables_stay_as_they_are(table: str) -> None:
    assert prepare_tables(table) == table


def test_a_cell_is_in_all_rows_that_it_spans() -> None:
    page = (
        "<table><tr><th rowspan=2>Country<th colspan=2>2021</tr><tr><th>Sales<th>Cost</tr>"
        "<tr><td ROWSPAN='3'>Norway &amp; sea<td>1<td>2</tr><tr><td>3<td rowspan=2>4<tr><td>5</table> rowspan=7"
    )
    norway = '<td colspan="1">Norway &amp; sea</td>'
    assert prepare_tables(page) == (
        "<table><tr><th data-rows=2>Country<th colspan=2>2021</tr>"
        '<tr><th colspan="1">Country</th><th>Sales<th>Cost</tr>'
        f"<tr><td data-rows='3'>Norway &amp; sea<td>1<td>2</tr><tr>{norway}<td>3<td data-rows=2>4"
        f'<tr>{norway}<td>5<td colspan="1">4</td></table> rowspan=7'
    )


def test_hostile_pages_take_linear_time() -> None:
    for page in (
        "<table>" * 50_000,
        "<table><tr>" * 30_000,
        "<table><tr><td" * 30_000,
        "<table>" + "<tr><td>1<td>2" * 100_000,
    ):
        prepare_tables(page)
