"""Code blocks of the documentation are run, show output, or state why not; links and menu are complete."""

import re
from pathlib import Path

import pytest

from tests.support.documentation.pages import DOCUMENTS, PAGES, RUN, SHOWN, Block, read_blocks
from tests.support.paths import ROOT

PUBLIC_MODULES = {"rag_assets", "rag_assets.tables", "rag_assets.testing"}
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_each_block_is_run_or_states_why_not(page: Path) -> None:
    for block in read_blocks(page.read_text(encoding="utf-8")):
        known = block.language in RUN | SHOWN or block.title is not None or block.mark is not None
        assert known, f"line {block.line}: run it, give it a title, or say above it why it is not run"
        if block.mark == "run by":
            assert block.reason is not None
            test = ROOT / block.reason
            assert test.is_file(), f"line {block.line}: {block.reason} is not a file"
            assert page.stem in test.read_text(encoding="utf-8"), f"{block.reason} does not name {page.stem}"


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_python_names_are_public(page: Path) -> None:
    for block in read_blocks(page.read_text(encoding="utf-8")):
        for module in re.findall(r"^\s*(?:from|import) (rag_assets[\w.]*)", block.code, flags=re.MULTILINE):
            assert module in {"rag_assets", "rag_assets.tables", "rag_assets.testing"}, (
                f"line {block.line}: {module} is private"
            )


def test_every_page_is_in_the_menu() -> None:
    menu = re.findall(r"[\w/]+\.md", (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(menu) == sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md"))


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_links_to_files_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert (page.parent / target).exists(), target


def test_read_blocks_returns_blocks_with_their_marks() -> None:
    text = "\n".join(
        [
            "<!-- not run: it needs a bucket -->",
            "```sh",
            "rag-assets ingest s3://bucket",
            "```",
            "1. a list",
            '    ```yaml title="a.yaml"',
            "    a: 1",
            "    ```",
        ]
    )
    assert read_blocks(text) == [
        Block(2, "sh", None, "rag-assets ingest s3://bucket\n", "not run", "it needs a bucket"),
        Block(6, "yaml", "a.yaml", "a: 1\n"),
    ]
    with pytest.raises(ValueError, match="line 1"):
        read_blocks("```sh {.wide}\n```")
