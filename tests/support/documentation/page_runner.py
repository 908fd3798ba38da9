"""Fixtures that run the code blocks of pages in an ingested installation; each page gets a copy of it."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import URL

import rag_assets.definitions
from rag_assets.db.connections.engines import make_engine
from rag_assets.db.database import dispose_engines
from rag_assets.documents.sources import TOPICS_NAME, TOPICS_URI
from rag_assets.orchestration.build import build_definitions
from rag_assets.pipeline.audit import latency
from tests.support.database.database_server import DatabaseServer
from tests.support.documentation.pages import Runner
from tests.support.fakes import FakeEmbedder
from tests.support.installation.command_line import Cli, cli
from tests.support.installation.installations import PROBE_VECTORS, install
from tests.support.pipeline.runs import add_project, run

__all__ = ["cli", "ingested", "runner"]

NOTES = {
    "notes/garden.md": "# Garden\n\nWater the tomatoes every morning.\n",
    "notes/travel/lisbon.md": "# Lisbon\n\nTram 28 leaves from Martim Moniz.\n",
    "handbook/leave.md": "# Leave\n\nAsk for holidays two weeks before they begin.\n",
    "handbook/expenses.md": "# Expenses\n\nSend receipts by the end of the month.\n",
}


@pytest.fixture(scope="session")
def ingested(databases: DatabaseServer, template: str, corpus_digest: str) -> Iterator[str]:
    """The template of the databases: the state after `rag-assets ingest`. The installation is in its files."""

    def fill(url: URL, files: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            install(url, files, monkeypatch)
            monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
            engine = make_engine(url)
            with DagsterInstance.get():
                result = run(key=add_project(engine, TOPICS_NAME, TOPICS_URI))
            assert result.success
            engine.dispose()
            dispose_engines()

    with databases.template("pages", corpus_digest, fill, of=template) as name:
        yield name


@pytest.fixture
def runner(
    databases: DatabaseServer, ingested: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> Iterator[Runner]:
    """A runner after `rag-assets ingest`, in a home folder with `notes` and `handbook`."""
    with databases.copy(ingested) as url:
        shutil.copytree(databases.files(ingested) / "state", tmp_path / "state")
        install(url, tmp_path, monkeypatch)
        monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        for name, content in NOTES.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")

        def command(arguments: Sequence[str]) -> tuple[int, str]:
            result = cli(*arguments)
            return result.code, result.err

        def reload_definitions() -> None:
            # An installed package may register tables, which get their own assets.
            defs = build_definitions(resources={"embedder": FakeEmbedder()})
            monkeypatch.setattr(rag_assets.definitions, "defs", defs)

        yield Runner(command, monkeypatch.setenv, reload_definitions)
