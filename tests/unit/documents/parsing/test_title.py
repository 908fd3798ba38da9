import pytest

from rag_assets.documents.parsing.title import title_of


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
        ("", None),
    ],
)
def test_the_title_of_markdown(content: str, title: str | None) -> None:
    assert title_of(content, "markdown") == title


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("=====\nTitle\n=====\n", "Title"),
        (".. _label:\n\nTitle here\n----------\n", "Title here"),
        ("=====  =====\na      b\n=====  =====\n", None),
        ("plain text", None),
    ],
)
def test_the_title_of_restructuredtext(content: str, title: str | None) -> None:
    assert title_of(content, "rst") == title


def test_plain_text_and_code_have_no_title() -> None:
    assert title_of("# a comment\n", "python") is None
    assert title_of("# a line\n", "text") is None


def test_a_hostile_text_costs_little() -> None:
    assert title_of("a\n" * 40_000, "markdown") is None
    assert title_of("```" * 20_000, "markdown") is None
    assert title_of("*" * 64_000, "rst") is None
