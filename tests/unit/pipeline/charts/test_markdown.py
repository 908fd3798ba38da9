"""Tables in Markdown show names and texts of documents literally."""

import pytest

from rag_assets.pipeline.charts.markdown import LONGEST_CELL, table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<img src=x>.pdf", r"\<img src=x\>.pdf"),
        ("[click](javascript:alert(1)).pdf", r"\[click\](javascript:alert(1)).pdf"),
        ("a|b.md", r"a\|b.md"),
        ("`code` *bold* __init__.py ~~gone~~", r"\`code\` \*bold\* \_\_init\_\_.py \~\~gone\~\~"),
        ("&lt;b&gt; C:\\dir", r"\&lt;b\&gt; C:\\dir"),
        ("two\nlines\tand \x1b[31m\u202ered", r"two lines and \\x1b\[31m\\u202ered"),
        (0.125, "0.125"),
    ],
)
def test_a_cell_shows_its_value_literally(value: object, shown: str) -> None:
    assert table(["value"], [[value]]).splitlines() == ["| value |", "| --- |", f"| {shown} |"]


def test_a_long_cell_is_cut_off_before_it_is_escaped() -> None:
    last = table(["value"], [["<" * 500]]).splitlines()[-1]
    assert last == "| " + r"\<" * (LONGEST_CELL - 1) + "… |"
