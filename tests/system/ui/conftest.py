"""A UI per test module, started on an empty state, and a browser that shows it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.embedding_server.server import running_embedding_server
from tests.support.fakes import DIMENSIONS
from tests.support.orchestration.ui_process import RunningUI, run_ui

if TYPE_CHECKING:
    from tests.support.orchestration.ui_pages import Pages

OWNER = "search"
# Use an installed browser; Playwright's own browsers are never downloaded.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")


@pytest.fixture(scope="session")
def browser_path() -> str:
    pytest.importorskip("playwright.sync_api", reason="needs: pip install -e '.[browser]' -c constraints.txt")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def served(browser_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUI]:
    root = tmp_path_factory.mktemp("ui")
    settings = {"RAG_ASSETS_OWNERS": f'["team:{OWNER}"]', "RAG_ASSETS_LATENCY_LIMIT_MS": "1000"}
    # `.ci/run` ingests the same source with the real model, which takes a minute.
    with running_embedding_server(DIMENSIONS) as model, run_ui(root, **settings, **model.settings) as found:
        yield found


@pytest.fixture(scope="module")
def pages(browser_path: str, served: RunningUI, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Pages]":
    from playwright.sync_api import expect, sync_playwright

    from tests.support.orchestration.ui_pages import PAGE_MS, Pages

    pictures = Path(os.environ.get("UI_PICTURES") or tmp_path_factory.mktemp("pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PAGE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PAGE_MS)
        yield Pages(page, served.address, pictures)
        browser.close()


@pytest.fixture(autouse=True)
def save_last_picture(request: pytest.FixtureRequest, pages: "Pages") -> Iterator[None]:
    """Save a screenshot at the end of each test, whether it passed or not."""
    yield
    pages.picture(request.node.name)
