import pydoc_data.topics

import pytest

from rag_assets.documents.splitting.outline import parse_outline


def titles(content: str, file_type: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in parse_outline(content, file_type).headings]


def test_atx_and_setext_headings_of_markdown_have_their_levels() -> None:
    content = "Top\n===\n\ntext\n\nSub\n---\n\n### Deep ###\n\n#no heading\n"
    assert titles(content, "markdown") == [(1, "Top"), (2, "Sub"), (3, "Deep")]


def test_heading_titles_have_no_markup() -> None:
    assert titles("# The `open` [function](#open) & *more*\n", "html") == [(1, "The open function & more")]


@pytest.mark.parametrize(
    "content",
    [
        "```sh\n# a comment\n```\n",
        "~~~\n# a comment\n",
        "    # indented code\n",
        "- item\n---\n",
        "> quoted\n---\n",
        "1. one\n2. two\n---\n",
        "---\ntitle: front matter\n---\n\ntext\n",
        "<!--\n# hidden\n-->\n",
        "word " * 200 + "\n---\n",
        "#!/bin/sh\n\n#hashtag\n",
        "**A line in bold**\n\ntext\n",
        "# \N{BALLOT BOX} No \N{BALLOT BOX WITH X}\n",
        "## ---\n\n# \N{BULLET}\n",
        "A sentence that ends here.\n---\nand more\n",
        "Two lines\nof a paragraph\n---\n",
        "Year | Sum\n---\n",
        "- ```sh\n  # a comment\n  ```\n",
        "1. ```sh\n   # a comment\n   ```\n",
        "<pre>\n# a comment\n</pre>\n",
    ],
)
def test_lines_that_only_resemble_markdown_headings_are_ignored(content: str) -> None:
    assert titles(content, "markdown") == []


def test_headings_of_html_and_anchors_in_markdown() -> None:
    html = '<h1 align="center">\n  My <b>Project</b> &amp; more\n</h1>\n\n<pre><h2>no</h2></pre>\n\n'
    content = html + '## Install <a name="x"></a>\n\n## Usage {#usage}\n'
    assert titles(content, "markdown") == [(1, "My Project & more"), (2, "Install"), (2, "Usage")]
    heading = parse_outline(content, "markdown").headings[0]
    assert content[heading.char_start : heading.char_end].startswith("<h1")
    assert titles("Section 1.\n----------\n\nNote: this\n---\n", "markdown") == [(2, "Section 1.")]


def test_text_after_a_fence_in_a_list_keeps_its_headings() -> None:
    assert titles("- ```sh\n  # a comment\n  ```\n\n# After\n\n```sh\n# b\n```\n", "markdown") == [(1, "After")]


def test_numbers_and_marks_of_pages_are_no_headings_of_a_pdf() -> None:
    form = "## \N{BALLOT BOX} No \N{BALLOT BOX WITH X}"
    content = "\n\n".join(["# Apple Inc.", form, "## 12", "## Page 3 of 9", "## Form 10-Q | 4", "## Note 2", ""])
    assert titles(content, "pdf") == [(1, "Apple Inc."), (2, "Note 2")]
    assert titles("## 2024\n", "markdown") == [(2, "2024")]


def test_heading_offsets_count_front_matter_and_carriage_returns() -> None:
    content = "---\na: 1\n---\r\n\r\ntext\r\n\r\n## Título\r\nmore\r\n"
    (heading,) = parse_outline(content, "markdown").headings
    assert content[heading.char_start : heading.char_end] == "## Título\r\n"


def test_levels_of_underlined_titles_follow_their_first_appearance() -> None:
    content = "=====\nTitle\n=====\n\nPart\n====\n\nSub\n---\n\nPart two\n========\n"
    assert titles(content, "rst") == [(1, "Title"), (2, "Part"), (3, "Sub"), (2, "Part two")]


@pytest.mark.parametrize(
    "content",
    [
        "end of a paragraph\nlonger than its line\n----\n",
        "text\n\n-----\n\ntext\n",
        "two lines\nof a paragraph\n--------------\n",
        "   literal\n   -------\n",
        "====  ====\na     b\n====  ====\n",
        "-----\n",
        "\n=====",
    ],
)
def test_lines_that_only_resemble_underlined_titles_are_ignored(content: str) -> None:
    assert titles(content, "text") == []


def test_code_and_data_have_no_headings() -> None:
    assert titles("# comment\n\nTitle\n=====\n", "python") == []
    assert titles("# comment\n\nTitle\n=====\n", "csv") == []


def test_every_topic_of_the_python_documentation_has_its_title() -> None:
    for topic in pydoc_data.topics.topics.values():
        first = parse_outline(topic, "rst").headings[0]
        assert (first.char_start, first.level) == (0, 1)
        assert first.title == topic.split("\n")[0]


def test_body_path_is_the_chain_of_enclosing_headings() -> None:
    content = "# A\n\na\n\n### B\n\nb\n\n## C\n\nc\n"
    outline = parse_outline(content, "markdown")

    def path_at(offset: int) -> tuple[str, ...]:
        return outline.body_path(content, offset, offset + 1)

    assert path_at(content.index("a\n")) == ("A",)
    assert path_at(content.index("b\n")) == ("A", "B")
    assert path_at(content.index("c\n")) == ("A", "C")
    assert parse_outline("before\n\n# A\n", "markdown").body_path("before\n\n# A\n", 0, 1) == ()


def test_body_path_includes_headings_at_the_start_of_the_span() -> None:
    content = "# A\n\n## B\n\ntext\n"
    outline = parse_outline(content, "markdown")
    assert outline.body_path(content, 0, len(content)) == ("A", "B")
    assert outline.body_path(content, 0, 3) == ("A",)


def path_of(content: str, file_type: str = "markdown") -> tuple[str, ...]:
    return parse_outline(content, file_type).body_path(content, 0, len(content))


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ("intro\n\n# A\n\nmuch longer text below\n", ("A",)),
        ("a long text above all headings\n\n# A\n\nshort\n", ()),
        ("# A\n\nshort\n\n## B\n\nmuch longer text below\n", ("A", "B")),
        ("# A\n\nmuch longer text here\n\n## B\n\nshort\n", ("A",)),
        ("# A\n\n## B\n\nequal\n\n## C\n\nequal\n\n## D\n\nequal\n", ("A",)),
        ("# B\n\nshort\n\n# C\n\nlonger\n\n# D\n\nshort\n", ("C",)),
        ("front matter\n\n# A\n\nshort\n\n# B\n\nshort\n\n# C\n\nshorts\n", ("C",)),
        ("# A\n\n## B\n", ("A", "B")),
    ],
)
def test_the_path_of_a_stretch_is_where_most_of_its_text_stands(content: str, path: tuple[str, ...]) -> None:
    assert path_of(content) == path
