"""The row that names the columns: found by what is below it, never assumed."""

import pytest

from rag_assets.documents.tables.header_row import HeaderRow, find_header, group_names


def table(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.split("/")]


@pytest.mark.parametrize(
    "rows",
    [
        "Name,City,Job/Esme,Tallinn,teacher/Otto,Riga,baker",
        "name,value,value/x,1,2/y,3,4",
        "Country,2021,2022/Norway,5.4,5.5/Sweden,10.4,10.5",
        "Country,2021/Norway,5.4/Sweden,10.4",
        "Country,1950,1960/Norway,1900,1910/Sweden,1901,1911",
        "2021,2022,2023/5.4,5.5,5.6",
        ",Oslo,Bergen/rain,5,7/sun,3,2",
        "Region,Q1,Q2/North,1,2",
        "Name,1,2,3/Ida,40,50,60",
        "City,2021-01-01,2021-01-02/Oslo,5,6/Kiel,1,2",
        "Item,Price/Bolt,$5.00/Nut,$6.50",
        "Who,Where/Otto,otto@example.org/Ida,ida@example.org",
        "Who are you?,Why now?/Otto,Because/Esme,Nobody knows",
        "Torque (Nm),Part/5,bolt/6,nut",
        "#,Harbour/1,Oslo/2,Kiel",
        "orderId,custName/Bolt,Esme/Nut,Otto",
        "Nimi,Linn/" + "/".join(f"Esme{n},{('Riia', 'Tartu')[n % 2]}" for n in range(10)),
    ],
)
def test_a_row_that_names_the_columns_is_a_header(rows: str) -> None:
    assert find_header(table(rows)) == HeaderRow(0, True)


@pytest.mark.parametrize(
    "rows",
    [
        "Esme,Tallinn,teacher/Otto,Riga,baker/Ida,Vilnius,smith",
        "Oslo,2021,5.5/Riga,2022,6.1/Kiel,2023,7",
        "Norway,2021/Sweden,2022",
        "1,2,3/4,5,6",
        "Otto,1,2,3/Ida,4,5,6",
        "Otto,otto@example.org/Ida,ida@example.org",
        "Bolt M5,steel,0.5/Nut M5,brass,0.25",
        "2024-01-02,Oslo/2024-01-03,Riga",
        "yes,no/no,no/yes,yes",
        "First Street,Oslo/Second Avenue,Riga/Third Street,Kiel",
        "Title Page,Intro/Chapter One,Body",
        "milk,2 bottles/bread,1 loaf",
        "PN-001,Oslo/PN-002,Riga",
        "name,city,job",
        ",,/,,",
    ],
)
def test_a_row_of_values_is_no_header(rows: str) -> None:
    assert not find_header(table(rows)).found


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ("Sales report/Region: EU//Product,Units,Revenue/Bolt,5,100/Nut,6,200", 3),
        ("Sales,,/Made on,2024-05-01,/Product,Units,Revenue/Bolt,5,100/Nut,6,200", 2),
    ],
)
def test_lines_above_a_table_are_skipped(rows: str, first: int) -> None:
    assert find_header(table(rows)) == HeaderRow(first, True)


def test_hostile_cells_take_linear_time() -> None:
    for cell in ("1" * 200_000 + "x", " " * 200_000 + "x", "a_" * 100_000, "aB" * 100_000, "1 " * 100_000 + "x"):
        find_header([[cell, "b"], ["c", cell], [cell, cell]])


@pytest.mark.parametrize(
    ("above", "names", "joined"),
    [
        (",2021,,2022", "region,Sales,Cost,Sales,Cost", "region,2021 Sales,2021 Cost,2022 Sales,2022 Cost"),
        ("region,2021,2022", ",Sales,Sales", "region,2021 Sales,2022 Sales"),
        ("Dues of 2026", "region,Sales,Sales", None),  # a title
        (",2021,2022", "region,Sales,Cost", None),  # nothing to tell apart
        (",2021,2021", "region,Sales,Sales", None),
        (",2021,,,,2022", "region,Sales,Sales", None),
    ],
)
def test_groups_tell_repeated_names_apart(above: str, names: str, joined: str | None) -> None:
    assert group_names(above.split(","), names.split(",")) == (joined and joined.split(","))
