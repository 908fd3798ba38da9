import pytest

from rag_assets.documents.markup.title import find_title


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("# One\n\n## Two\n", "One"),
        ("text first\n\n## Later ##\n", "Later"),
        ("Setext\n======\n", "Setext"),
        ("---\ntitle: 'From the front'\ntags: [a]\n---\n# Body\n", "From the front"),
        ("---\ntags: [a]\n---\n# Body\n", "Body"),
        ("```sh\n# a comment\n```\n# Real\n", "Real"),
        ("# The **bold** [link](http://x) `code`\n", "The bold link code"),
        ("#hashtag, no heading\n", None),
        ("- item\n---\n", None),
        ("<!--\n# A comment\n-->\n# Real\n", "Real"),
        ('<h1 align="center">My <b>Project</b></h1>\n\n## Two\n', "My Project"),
        ("", None),
    ],
)
def test_title_of_markdown(content: str, title: str | None) -> None:
    assert find_title(content, "markdown") == title


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("=====\nTitle\n=====\n", "Title"),
        (".. _label:\n\nTitle here\n----------\n", "Title here"),
        ("=====  =====\na      b\n=====  =====\n", None),
        ("plain text", None),
    ],
)
def test_title_of_restructuredtext(content: str, title: str | None) -> None:
    assert find_title(content, "rst") == title


def test_plain_text_and_code_have_no_title() -> None:
    assert find_title("# a comment\n", "python") is None
    assert find_title("# a line\n", "text") is None


def test_pathological_text_is_searched_in_bounded_time() -> None:
    assert find_title("a\n" * 40_000, "markdown") is None
    assert find_title("```" * 20_000, "markdown") is None
    assert find_title("*" * 64_000, "rst") is None


@pytest.mark.parametrize(
    ("content", "file_type", "title"),
    [
        ("text\n\n" * 1000 + "# Below\n", "markdown", "Below"),
        ("x" * 4090 + "\n\nTitle\n=====\n", "markdown", "Title"),
        ("text\n" * 818 + "\nTitle\n=====\n\ntext\n", "rst", "Title"),
        ("\\begin{verbatim}\n" + "x\n" * 3000 + "\\section{No}\n\\end{verbatim}\n\\section{Yes}\n", "latex", "Yes"),
        ("----\n" + "x\n" * 3000 + "== No\n----\n\n== Yes\n", "asciidoc", "Yes"),
    ],
)
def test_a_title_below_the_first_lines_is_found(content: str, file_type: str, title: str) -> None:
    assert find_title(content, file_type) == title
