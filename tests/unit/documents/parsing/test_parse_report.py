"""The report of reading: stored as JSON, and asked for the page of a chunk."""

import json
from dataclasses import fields

import pytest

from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.text import clean

FULL = ParseReport(
    page_starts=(0, 40, 90),
    replaced_characters=3,
    recognised_pages=(2,),
    unread_pages=(3,),
    notes=("Half is a picture.",),
    attachments=("report.pdf",),
)


def test_a_report_survives_json_and_an_empty_one_is_empty() -> None:
    assert ParseReport.from_json(json.loads(json.dumps(FULL.as_json()))) == FULL
    assert FULL.as_json().keys() == {one.name for one in fields(ParseReport)}
    assert ParseReport().as_json() == {}
    assert ParseReport.from_json(None) == ParseReport.from_json({"of_a_later_version": 1}) == ParseReport()


@pytest.mark.parametrize(
    ("char_start", "char_end", "page"),
    [(0, 10, 1), (0, 40, 1), (40, 41, 2), (30, 60, 2), (20, 60, 1), (39, 91, 2), (0, 500, 3), (95, 99, 3)],
)
def test_a_stretch_is_on_the_page_with_most_of_it(char_start: int, char_end: int, page: int) -> None:
    assert FULL.page_of(char_start, char_end) == page
    assert ParseReport().page_of(char_start, char_end) is None


def test_an_empty_page_counts_as_a_page() -> None:
    assert ParseReport(page_starts=(0, 10, 10)).page_of(12, 15) == 3


def test_pages_begin_at_the_same_words_after_cleaning() -> None:
    content = "\ufeffone\r\nmore\ntwo\x00two\r\nthree"
    starts = (0, content.index("two"), content.index("three"))
    moved = ParseReport(page_starts=starts).after_cleaning(content)
    cleaned = clean(content)
    assert moved.page_starts == (0, cleaned.index("two"), cleaned.index("three"))
