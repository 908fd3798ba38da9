"""The README is short, contains the commands of CI, links every page, and its pictures exist."""

import re

import pytest

from tests.support.documentation.pages import PAGES
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = re.compile(r"^!\[[^\]]+\]\((.*)\)$", flags=re.MULTILINE)


def test_the_readme_has_at_most_250_lines() -> None:
    assert len(README.splitlines()) <= 250


def test_the_readme_has_the_two_commands_of_ci() -> None:
    commands = re.findall(r"^    (pip install -e .*)$", README, flags=re.MULTILINE)
    assert commands == [
        "pip install -e '.[local]' -c constraints.txt && rag-assets ingest",
        "pip install -e '.[local,dev]' -c constraints.txt && pytest",
    ]


def test_the_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/pages/([\w/]+\.md)\)", README))
    pages = {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md")}
    assert pages - linked == {"index.md", "contributing.md", "changelog.md"}


@pytest.mark.parametrize("picture", sorted((PAGES / "images").iterdir()), ids=lambda path: path.name)
def test_pictures_are_small_and_used(picture: object) -> None:
    path = PAGES / "images" / str(picture)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 200_000
    pages = [README, *(page.read_text(encoding="utf-8") for page in PAGES.rglob("*.md"))]
    assert any(target.endswith(f"images/{path.name}") for page in pages for target in PICTURE.findall(page))
