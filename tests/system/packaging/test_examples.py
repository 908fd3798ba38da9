"""The examples under docs/examples, each run with the wheel and `dg`, as their READMEs say."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree

import pytest

from tests.support.installation.wheel_install import ProjectFolder
from tests.support.paths import ROOT

EXAMPLES = ROOT / "docs" / "examples"
DRIVE = ROOT / "tests" / "support" / "installation" / "wheel_drive.py"


@pytest.fixture
def example(make_project: Callable[..., ProjectFolder]) -> Callable[..., ProjectFolder]:
    """Copies an example into an empty folder."""
    pytest.importorskip("dagster_dg_cli", reason="components need dg: pip install -e '.[dg]' -c constraints.txt")

    def make(name: str, **environ: str) -> ProjectFolder:
        project = make_project(RAG_ASSETS_LATENCY_LIMIT_MS="10000", **environ)
        copytree(EXAMPLES / name, project.folder, dirs_exist_ok=True)
        return project

    return make


@pytest.fixture
def served_site() -> Iterator[str]:
    """The address of the site of the example, served on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    handler = partial(Quiet, directory=str(EXAMPLES / "table_and_site" / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"site+http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_folder_is_served_and_a_chat_answers_from_it(example: Callable[..., ProjectFolder], tmp_path: Path) -> None:
    folder = example("folder")
    folder.check_output("dg", "check", "defs")
    report = json.loads(folder.check_output("python", str(DRIVE), "library.definitions", "library=handbook"))["library"]
    assert (report["success"], report["failed_checks"]) == (True, [])
    chat = folder.check_output(
        *("python", str(EXAMPLES / "chat" / "chat.py"), "When can a boat come in?", "What does a night cost?"),
        RAG_ASSETS_STATE_DIR=str(folder.folder / ".rag_assets"),
    )
    assert "The harbour opens at high water." in chat
    assert "twelve crowns" in chat
    assert chat.count("[tides.md") == 2


def test_a_table_and_a_site_between_assets_of_a_team(example: Callable[..., ProjectFolder], served_site: str) -> None:
    shop = example("table_and_site", HELP_SITE=served_site)
    shop.check_output("dg", "check", "defs")
    arguments = ("shop.definitions", "search=products", "search=help", "--job", "everything")
    report = json.loads(shop.check_output("python", str(DRIVE), *arguments))
    assert report["search"]["success"], report
    assert report["search"]["materialized"][-2:] == ["shop/chunk_sizes", "shop/products"]
    hits = shop.check_output(
        *("rag-assets", "search", "brass lamp", "--mode", "text", "--json"),
        RAG_ASSETS_STATE_DIR=str(shop.folder / ".rag_assets"),
    )
    assert [hit["file_path"] for hit in json.loads(hits)["hits"]] == ["7"]
    found = shop.check_output(
        *("rag-assets", "search", "money back", "--mode", "text", "--project", "help", "--json"),
        RAG_ASSETS_STATE_DIR=str(shop.folder / ".rag_assets"),
    )
    assert json.loads(found)["hits"][0]["title"] == "Returns"
