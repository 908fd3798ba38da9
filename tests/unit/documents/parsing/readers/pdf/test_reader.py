"""What a PDF becomes: words apart, in the order in which they are read, each on its page."""

import textwrap

import pytest

from rag_assets.documents.parsing.readers.pdf import page_words, reader
from rag_assets.documents.parsing.readers.pdf.reader import read_pdf
from rag_assets.errors import DocumentError
from tests.support.data.pdf_file import Page, make_pdf
from tests.support.paths import FILES

HARBOUR = (
    "The harbour master keeps a log of every ship that enters the bay. Each entry names the vessel, the hour and the "
    "depth of the water at the quay. When the tide is low, pilots wait outside until the signal is given from the "
    "tower. The fee is paid before the ropes are cast off, and a receipt is written in two copies."
)
GARDEN = (
    "Gardeners in the old town grow herbs on the terraces above the river. Rosemary and thyme stand in clay pots that "
    "are moved indoors during the winter. Water comes from a cistern under the square, which is filled by rain alone. "
    "In spring the beds are dug over and fed with compost made from leaves and kitchen waste."
)
LEFT, RIGHT = textwrap.wrap(HARBOUR, 42), textwrap.wrap(GARDEN, 42)


def text_of(*pages: Page) -> str:
    return read_pdf(make_pdf(pages)).content


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def across(x: float) -> Page:
    page = Page()
    for number, pair in enumerate(zip(LEFT, RIGHT, strict=False)):
        for place, line in zip((50, x), pair, strict=True):
            page.text(place, 100 + 13 * number, line, 10)
    return page


def upwards() -> Page:
    page = Page()
    for x, lines in ((50, LEFT), (310, RIGHT)):
        for number, line in reversed(list(enumerate(lines))):
            page.text(x, 100 + 13 * number, line, 10)
    return page


def one_after_the_other() -> Page:
    return Page().lines(50, 100, LEFT, 10).lines(310, 100, RIGHT, 10)


@pytest.mark.parametrize("page", [across(310), across(285), upwards(), one_after_the_other()])
def test_columns_are_read_one_after_the_other(page: Page) -> None:
    count = min(len(LEFT), len(RIGHT))
    left, right = (" ".join(lines[:count]) for lines in (LEFT, RIGHT))
    text = unwrapped(text_of(page))
    assert left in text
    assert right in text
    assert text.index(left) < text.index(right)


def test_a_title_that_is_drawn_last_and_a_footnote_that_is_drawn_first_stand_in_their_place() -> None:
    page = Page().text(50, 780, "1 A note at the bottom of the page.", 8).lines(50, 100, LEFT, 10)
    page.lines(310, 100, RIGHT, 10).text(50, 60, "Two stories", 20)
    text = unwrapped(text_of(page))
    title, left, right, note = (text.index(words) for words in ("Two stories", LEFT[0], RIGHT[0], "1 A note"))
    assert title < left < note
    assert left < right


def test_gaps_are_spaces_and_marks_of_footnotes_no_part_of_their_word() -> None:
    page = Page()
    lines = ["lengths as the basic retrieval units~3 and get", "passages, and each question is a subop-", "timal one."]
    for number, line in enumerate(lines):
        page.kerned(50, 100 + 13 * number, line).kerned(310, 100 + 13 * number, line)
    text = unwrapped(text_of(page))
    assert text.count("as the basic retrieval units 3 and get passages, and each question is a suboptimal one.") == 2


@pytest.mark.parametrize("gap", [0.8, 1.4, 1.8])
def test_words_that_stand_close_together_are_parted(gap: float) -> None:
    page = Page()
    for number, line in enumerate(LEFT):
        words = f"{-gap / 11 * 1000:.0f} ".join(f"({word}) " for word in line.split())
        page.parts.append(f"BT /F1 11 Tf 1 0 0 1 50 {700 - 14 * number} Tm [{words}] TJ ET".encode())
    assert unwrapped(text_of(page)) == " ".join(LEFT)


def test_letters_that_stand_apart_are_words() -> None:
    page = Page()
    page.parts.append(b"BT /F1 11 Tf 1.5 Tc 1 0 0 1 50 700 Tm (The internationalization of documentation) Tj ET")
    assert text_of(page) == "The internationalization of documentation\n"


def test_ligatures_and_divided_words_are_dissolved_and_real_hyphens_kept() -> None:
    assert read_pdf((FILES / "ligatures.pdf").read_bytes()).content == (
        "The efficient workflow of the office was described in the documentation of the transport ministry. "
        "A well-known fact is the two-year plan. finally it ended.\n"
    )


def test_ligatures_whose_box_is_small_are_not_taken_for_exponents() -> None:
    # Printed by Chromium.
    content = read_pdf((FILES / "chrome.pdf").read_bytes()).content
    assert content == "The final offer of the first fluffy files.\n"


def test_the_first_and_last_words_of_lines_tell_too_how_a_word_is_written() -> None:
    lines = ["It takes an hour, which is extra-", "ordinary here, as the self-employed are", "extraordinary", "self-"]
    assert "which is extraordinary here" in text_of(Page().lines(50, 100, lines))
    lines = ["The plans of a harbour that is ex-", "traordinary are kept in the tower."]
    assert "is extraordinary are" in text_of(Page().lines(50, 100, lines))


def test_a_heading_alone_at_the_end_of_a_page_is_that_of_the_table_on_the_next() -> None:
    xs = [50, 150, 250, 350]
    first = Page().lines(50, 100, LEFT).grid(xs, [300, 320], [["Berth", "Depth", "Fee"]])
    second = Page().grid(xs, [60, 80, 100], [["B1", "5 m", "10"], ["B2", "6 m", "20"]])
    assert "| Berth | Depth | Fee |\n| --- | --- | --- |\n| B1 | 5 m | 10 |\n| B2 | 6 m | 20 |" in text_of(
        first, second
    )


def test_a_row_without_rules_between_its_columns_has_cells() -> None:
    xs = [50, 150, 250, 350]
    page = Page().grid(xs, [100, 120, 140], [["Ship", "Load", "Tons"], ["Vesta", "coal", "5"]])
    page.rule(50, 160, 350, 160).rule(50, 140, 50, 180).rule(350, 140, 350, 180).rule(50, 180, 350, 180)
    for x, words in zip(xs, ["Ariel", "iron", "7"], strict=False):
        page.text(x + 4, 154, words, 10)
    page.text(54, 174, "All ships that came in spring", 10)
    assert text_of(page).split("\n")[-3:-1] == ["| Ariel | iron | 7 |", "| All ships that came in spring |  |  |"]


def test_ligatures_whose_bytes_ghostscript_swapped_are_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(text: str) -> str:
        return text.replace("ffi", "\u6600\u6600\u6900").replace("fi", "\u6600\u6900")

    original = page_words._characters
    monkeypatch.setattr(page_words, "_characters", lambda textpage: swap(original(textpage)))
    assert text_of(Page().text(50, 100, "The office of the final officer")) == "The office of the final officer\n"
    assert page_words._SWAPPED.search("\u7d00\u6600\u6600") is None


def test_the_words_of_the_document_tell_which_hyphens_are_real() -> None:
    lines = ["The door-keeper waits until the door-", "keeper of the next house has come, and the sun-", "light fades."]
    assert text_of(Page().lines(50, 100, lines)) == (
        "The door-keeper waits until the door-keeper of the next house has come, and the sunlight fades.\n"
    )


def report_page(number: int) -> Page:
    page = Page().text(50, 30, "Annual report of the harbour board", 8).text(280, 815, f"Page {number} of 4", 8)
    return page.text(50, 80, f"Chapter {number}", 18, "F2").lines(50, 120, [f"{word} {number}." for word in LEFT])


def test_running_headers_stay_once_and_page_numbers_go() -> None:
    read = read_pdf(make_pdf([report_page(number) for number in range(1, 5)]))
    assert read.content.count("Annual report of the harbour board") == 1
    assert "of 4" not in read.content
    assert [f"# Chapter {number}" in read.content for number in range(1, 5)] == [True] * 4


def test_lines_that_slides_share_are_no_running_lines() -> None:
    slides = [
        Page().text(50, 60, f"Lesson {n}", 24).lines(50, 300, ["The same point", "and another"]) for n in (1, 2, 3)
    ]
    assert text_of(*slides).count("The same point") == 3


def test_each_page_begins_where_its_text_does() -> None:
    read = read_pdf(make_pdf([report_page(number) for number in range(1, 5)]))
    starts = read.report.page_starts
    assert starts[0] == 0
    assert [read.content[start:].split("\n")[0] for start in starts[1:]] == [f"# Chapter {n}" for n in (2, 3, 4)]
    assert [read.report.page_of(read.content.index(f"# Chapter {n}"), len(read.content)) for n in (4,)] == [4]


def test_a_sentence_goes_on_over_a_page_break_and_an_empty_page() -> None:
    first = Page().lines(50, 100, ["The sentence that goes on to the next page is divid-"])
    last = Page().lines(50, 100, ["ed there, and ends with this line."])
    read = read_pdf(make_pdf([first, Page(), last]))
    assert read.content == "The sentence that goes on to the next page is divided there, and ends with this line.\n"
    start = read.content.index("ed there")
    assert read.report.page_starts == (0, start, start)


ROWS = [["Product", "Weight kg", "Price"], ["Copper kettle", "2.4", "89.00"], ["Iron trivet", "", "19.50"]]
TABLE = """\
| Product | Weight kg | Price |
| --- | --- | --- |
| Copper kettle | 2.4 | 89.00 |
| Iron trivet |  | 19.50 |"""


def test_a_ruled_table_has_rows_and_columns() -> None:
    page = Page().text(50, 90, "Prices hold until March.").grid([50, 150, 250, 330], [110, 130, 150, 170], ROWS)
    assert text_of(page.text(50, 200, "Shipping is free.")) == (
        f"Prices hold until March.\n\n{TABLE}\n\nShipping is free.\n"
    )


@pytest.mark.parametrize("ys", [(110, 130, 170), (110, 130, 150, 170)])
def test_a_table_with_rules_between_its_rows_alone_has_columns_too(ys: tuple[float, ...]) -> None:
    page = Page().lines(50, 40, LEFT[:3])
    for y in ys:
        page.rule(50, y, 330, y)
    for number, row in enumerate(ROWS):
        for x, words in zip((54, 154, 254), row, strict=True):
            page.text(x, 124 + 20 * number, words, 10)
    assert TABLE in text_of(page.lines(50, 200, LEFT[3:]))


def test_merged_cells_and_bars_and_turned_heads_stay_in_their_place() -> None:
    page = Page().grid([50, 150, 250], [100, 160, 180], [[], ["a | b", "2"]])
    text = text_of(page.text(54, 120, "Two").text(54, 135, "lines").upwards(200, 155, "Turned"))
    assert text == "| Two lines | Turned |\n| --- | --- |\n| a \\| b | 2 |\n"


def test_a_table_that_goes_on_on_the_next_page_is_one() -> None:
    xs = [50, 150, 250, 330]
    first = Page().text(50, 60, "Stock").grid(xs, [740, 760, 780], ROWS[:2])
    second = Page().grid(xs, [60, 80, 100], [ROWS[0], ROWS[2]]).text(50, 140, "End.")
    read = read_pdf(make_pdf([first, second]))
    assert read.content == f"Stock\n\n{TABLE}\n\nEnd.\n"
    assert read.report.page_starts == (0, read.content.index("| Iron"))


def test_boxes_and_columns_of_prose_are_no_tables() -> None:
    page = across(310)
    for x in (45, 300, 555):
        page.rule(x, 80, x, 300)
    for y in (80, 300):
        page.rule(45, y, 555, y)
    text = unwrapped(text_of(page))
    assert "|" not in text
    assert LEFT[0] + " " + LEFT[1] in text


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_turned_pages_are_read_upright(rotate: int) -> None:
    page = Page(rotate)
    for number, line in enumerate(LEFT):
        page.upwards(100 + 14 * number, 700, line)
    assert unwrapped(text_of(page)) == " ".join(LEFT)


def test_text_in_the_margin_does_not_cut_the_lines_beside_it() -> None:
    page = Page().lines(60, 100, LEFT).upwards(30, 400, "arXiv:2004.04906 30 Sep 2020")
    assert unwrapped(text_of(page)) == f"{' '.join(LEFT)} arXiv:2004.04906 30 Sep 2020"


def test_bookmarks_are_headings_and_large_or_bold_lines_are_without_them() -> None:
    page = Page().text(50, 60, "A Guide", 22, "F2").text(50, 100, "Arrival").lines(50, 130, LEFT)
    page.text(50, 300, "NOTE", 11, "F2").lines(50, 330, RIGHT)
    marked = read_pdf(make_pdf([page], [("Arrival", 0), ("Note", 0)])).content
    assert [line for line in marked.split("\n") if line.startswith("#")] == ["# A Guide", "## Arrival", "## NOTE"]
    plain = read_pdf(make_pdf([page])).content
    assert [line for line in plain.split("\n") if line.startswith("#")] == ["# A Guide", "## NOTE"]


def test_code_keeps_its_lines_and_a_number_sign_is_no_heading() -> None:
    page = Page().lines(50, 60, LEFT)
    page.text(50, 200, "def f():", font="F3").text(76.4, 213.75, "return 1", font="F3")
    page.lines(50, 240, ["# of ships: the number of ships in the bay."])
    text = text_of(page)
    assert "```\ndef f():\n    return 1\n```" in text
    assert "\n\\# of ships" in text


def test_fields_of_forms_and_comments_are_read() -> None:
    text = text_of(Page().text(50, 100, "Application").field("Applicant", "Ana Mueller").comment("To be checked"))
    assert "Ana Mueller" in text
    assert "To be checked" in text


GRAY = bytes(64) * 64


def test_pages_that_are_pictures_are_named_and_blank_pages_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "recognition_version", lambda: None)
    stamped = [Page().image(64, 64, GRAY).text(50, 30, "RECEIVED 12 MAY") for _ in range(3)]
    blank = Page().rule(50, 50, 500, 50)
    read = read_pdf(make_pdf([Page().lines(50, 60, LEFT), blank, *stamped]))
    assert read.report.unread_pages == (3, 4, 5)


def test_a_damaged_page_tree_is_refused_with_a_reason() -> None:
    with pytest.raises(DocumentError, match="the parser refused it"):
        read_pdf(b"%PDF-1.7\nnothing more")


def test_letters_that_no_program_can_read_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "recognition_version", lambda: None)
    page = Page()
    page.parts.append(b"BT /F1 11 Tf 1 0 0 1 50 700 Tm <0102030405060708090102030405> Tj ET")
    read = read_pdf(make_pdf([page]))
    assert read.content == ""
    assert read.report.unread_pages == (1,)
