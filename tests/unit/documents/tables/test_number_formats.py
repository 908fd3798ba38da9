"""Numbers as Excel shows them. The expected texts are those of Excel's documentation and of its cells."""

import pytest

from rag_assets.documents.tables.number_formats import BUILT_IN, number_formatter

ACCOUNTING = '_-* #,##0.00\\ _€_-;\\-* #,##0.00\\ _€_-;_-* "-"??\\ _€_-;_-@_-'


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("General", 0.1 + 0.2, "0.3"),
        ("General", 1 / 3, "0.33333333333"),
        ("General", -99.90000000000001, "-99.9"),
        ("0%", 0.125, "13%"),
        ("0.0%", 0.125, "12.5%"),
        ("0.00", 1.005, "1.01"),
        ("0.0", -0.01, "0.0"),
        ('#,##0.00 "EUR"', 1234567.5, "1,234,567.50 EUR"),
        ("[$€-407] #,##0.00", 12.5, "€ 12.50"),
        ("#,##0.00\\ [$€-407]", -3, "-3.00 €"),
        ("$#,##0.00;[Red]($#,##0.00)", -5, "($5.00)"),
        (ACCOUNTING, -1234.5, "-1,234.50"),
        (ACCOUNTING, 0, "-"),
        ('0.00;-0.00;"none"', 0, "none"),
        ("[<1]0.00%;0.0", 0.5, "50.00%"),
        ("0.##", 2, "2"),
        ("#,##0", 999.5, "1,000"),
        ('0.0,,"M"', 12345678, "12.3M"),
        ("00000", 420, "00420"),
        ("000-00-0000", 123456789, "123-45-6789"),
        ("0.00E+00", 12345, "1.23E+04"),
        ("# ?/?", 1.5, "1 1/2"),
        ("# ?/16", 0.5, "8/16"),
        ('0" kg"', 12, "12 kg"),
        ('General" kg"', 2.5, "2.5 kg"),
        ('[>=1000]0.0,"k";0', 2500, "2.5k"),
        ("#\\ ##0.00", 1234567.891, "1234 567.89"),
    ],
)
def test_numbers(code: str, value: float, shown: str) -> None:
    assert number_formatter(code)(value) == shown


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("yyyy-mm-dd", 46095, "2026-03-14"),
        ("dd.mm.yyyy", 46095, "14.03.2026"),
        ("m/d/yy h:mm", 46095.5, "3/14/26 12:00"),
        ("d mmmm yyyy", 46095, "14 March 2026"),
        ('yyyy"年"m"月"d"日"', 46095, "2026年3月14日"),
        ("yyyy-mm-dd h:mm:ss", 46356.73958333334, "2026-11-30 17:45:00"),
        ("h:mm AM/PM", 0.75, "6:00 PM"),
        ("[hh]:mm:ss", 1.083333333333333, "26:00:00"),
        ("mm:ss.0", 0.0005, "00:43.2"),
        ("dddd", 46095, "Saturday"),
        ("[$-409]d\\-mmm\\-yyyy;@", 46095, "14-Mar-2026"),
        ("[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", 46095, "Saturday, March 14, 2026"),
        ("yyyy-mm-dd", 1, "1900-01-01"),
    ],
)
def test_dates_and_times(code: str, value: float, shown: str) -> None:
    assert number_formatter(code)(value) == shown


def test_the_epoch_of_old_macs() -> None:
    assert number_formatter("yyyy-mm-dd", epoch_1904=True)(0) == "1904-01-01"


@pytest.mark.parametrize("value", [-1e300, -5.0, 0.0, 1e-300, 0.5, 1e12, 1e300])
def test_any_number_is_shown_in_any_format(value: float) -> None:
    for code in (*BUILT_IN.values(), "", ";;;", "[", '"', "0/0", "yyyy;[>", "\\", "E+00", "[h", "@", "?.?", "0.0.0"):
        assert isinstance(number_formatter(code)(value), str)
