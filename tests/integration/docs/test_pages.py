"""The code blocks of each page, run in order in one installation; one page has a test of its own."""

from pathlib import Path

import pytest

from tests.support.pages import DOCUMENTS, Runner, read_blocks
from tests.support.paths import ROOT

WITH_CODE = [
    path
    for path in DOCUMENTS
    if path.name != "your_own_table.md" and any(one.is_run for one in read_blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("page", WITH_CODE, ids=[str(path.relative_to(ROOT)) for path in WITH_CODE])
def test_blocks_run(page: Path, runner: Runner) -> None:
    for block in read_blocks(page.read_text(encoding="utf-8")):
        if block.is_run:
            runner.run(block)
