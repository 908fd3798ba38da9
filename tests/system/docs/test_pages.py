"""Run the code blocks of each page in order, each page in one installation."""

from pathlib import Path

import pytest

from tests.support.documentation.pages import Runner, pages_with_code


@pytest.mark.parametrize("page", pages_with_code(), ids=lambda page: page.stem)
def test_blocks_run(page: Path, runner: Runner) -> None:
    runner.run_page(page)
