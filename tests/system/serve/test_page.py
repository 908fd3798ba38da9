"""The search page in a real browser.

UI_PICTURES=pictures pytest -n 0 tests/system/serve/test_page.py

saves the screenshots that the guide shows.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.installation.server_process import RunningServer
from tests.system.serve.conftest import ServedInstallation
from tests.system.ui.conftest import FLAGS, browser_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["browser_path"]

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'


@pytest.fixture
def page(browser_path: str, installation: ServedInstallation) -> "Iterator[Page]":
    """The page, whose console must stay empty."""
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.extend(_elsewhere(request.url, installation.server)))
        yield page
        browser.close()
    # What the browser itself says of each answer that is a problem.
    assert [line for line in said if not line.startswith("Failed to load resource: the server responded")] == []


def _elsewhere(url: str, server: RunningServer) -> list[str]:
    return [] if url.startswith((server.url, "data:")) else [url]


def picture(page: "Page", name: str) -> None:
    folder = os.environ.get("UI_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def enter(page: "Page", installation: ServedInstallation, address: str = "/") -> None:
    page.goto(installation.server.url + address)
    page.get_by_label("API key").fill(installation.key)
    page.keyboard.press("Enter")
    page.get_by_role("searchbox").wait_for()


def test_a_search_by_keyboard_alone(page: "Page", installation: ServedInstallation) -> None:
    page.goto(installation.server.url)
    page.get_by_label("API key").wait_for()
    page.keyboard.type(installation.key)
    page.keyboard.press("Enter")
    page.get_by_role("searchbox").wait_for()
    page.keyboard.type("keeper feeds the whales")
    page.keyboard.press("Enter")
    page.locator("#hits > li").first.wait_for()
    assert page.locator("#hits > li").count() == 10
    first = page.locator("#hits > li").first
    copy = page.locator("#hits > li", has_text="copy.txt").first
    assert {"keeper", "feeds", "the", "whale"} == {word.lower() for word in copy.locator("mark").all_inner_texts()}
    assert "Also in: zoo/copy.txt" in copy.inner_text()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "BUTTON" and page.evaluate(
            "document.activeElement.closest('li') !== null"
        ):
            break
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    assert page.locator("#document-text strong").inner_text()[:40] in first.locator(".text").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    first.locator("dl").wait_for()
    why = first.locator("dl").inner_text()
    assert "Vector search" in why
    assert "Keyword search" in why
    assert "rank 1, score" in why
    assert "words" in why
    picture(page, "search_page")


def test_filters_and_errors(page: "Page", installation: ServedInstallation) -> None:
    enter(page, installation, "/?q=whale&mode=text&project=zoo")
    page.locator("#hits > li").first.wait_for()
    assert page.get_by_label("Keywords").is_checked()
    assert all("zoo/" in place for place in page.locator("#hits .place").all_inner_texts() if "characters" in place)
    page.get_by_text("Filters").click()
    page.get_by_label("Path").fill("copy.txt")
    page.get_by_label("Hits").fill("1")
    page.get_by_label("Context chunks").fill("1")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("1 hit;").wait_for()
    page.get_by_label("Metadata").fill("{")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("Metadata is no JSON").wait_for()
    page.get_by_label("Metadata").fill('{"$bad": 1}')
    page.get_by_role("button", name="Search").click()
    page.get_by_role("alert").get_by_text("$bad").wait_for()


def test_a_narrow_dark_screen(page: "Page", installation: ServedInstallation) -> None:
    page.set_viewport_size({"width": 340, "height": 700})
    page.emulate_media(color_scheme="dark")
    enter(page, installation, "/?q=whale")
    page.locator("#hits > li").first.wait_for()
    page.get_by_text("Filters").click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    back: Any = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, back.removeprefix("rgb(").removesuffix(")").split(","))) < 60
    page.get_by_text("Filters").click()
    picture(page, "search_page_dark")


def test_hostile_texts_are_shown_as_text(page: "Page", installation: ServedInstallation) -> None:
    word = f"q{uuid4().hex[:12]}"
    with installation.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE rag.documents SET title = :markup, file_path = :path WHERE file_path = 'page00.md' "
                "AND project_id = (SELECT id FROM rag.projects WHERE name = 'sea')"
            ),
            {"markup": MARKUP, "path": f"{MARKUP}{word}.md"},
        )
        connection.execute(
            text(
                "UPDATE rag.document_chunks SET heading_path = ARRAY[:markup] WHERE document_id = "
                "(SELECT id FROM rag.documents WHERE title = :markup)"
            ),
            {"markup": MARKUP},
        )
    enter(page, installation, f"/?q={MARKUP}")
    page.get_by_text("Filters").click()
    page.get_by_label("Path").fill(f"*{word}.md")
    page.get_by_role("searchbox").fill("whale storm")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name=MARKUP).first.wait_for()
    assert page.locator("img, li script").count() == 0
    assert page.title() == "Search"
    page.get_by_text("Why it is here").first.click()
    page.locator("dl").first.wait_for()
    assert page.title() == "Search"


def test_the_page_may_load_nothing_from_elsewhere(page: "Page", installation: ServedInstallation) -> None:
    response = page.goto(installation.server.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
