"""One ingested installation to run the pages' blocks in; each page gets a copy."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import rag_assets.definitions
import rag_assets.search.execution.query_embedding
from rag_assets.cli.main import main
from rag_assets.db.database import dispose_engines
from rag_assets.pipeline.audit import latency
from tests.conftest import PROBED, install, new_database
from tests.support.fakes import HashEncoder
from tests.support.pages import Runner
from tests.support.runs import fake_defs

DATABASE = "rag_pages_template"
NOTES = {
    "notes/garden.md": "# Garden\n\nWater the tomatoes every morning.\n",
    "notes/travel/lisbon.md": "# Lisbon\n\nTram 28 leaves from Martim Moniz.\n",
    "handbook/leave.md": "# Leave\n\nAsk for holidays two weeks before they begin.\n",
    "handbook/expenses.md": "# Expenses\n\nSend receipts by the end of the month.\n",
}


def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "CERTIFIED_AT", PROBED)
    monkeypatch.setattr(rag_assets.definitions, "defs", fake_defs)
    monkeypatch.setattr(
        rag_assets.search.execution.query_embedding, "_model_of", lambda space: HashEncoder(space.dimensions)
    )


def run_command(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["rag-assets", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="session")
def ingested(admin: Engine, template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation after `rag-assets ingest`; its database is the template of each page's."""
    root = tmp_path_factory.mktemp("pages")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {DATABASE} TEMPLATE {template} STRATEGY file_copy"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        install(admin.url.set(database=DATABASE), root, monkeypatch)
        fake_models(monkeypatch)
        assert run_command(["ingest"], monkeypatch) == 0
        dispose_engines()
    return root


@pytest.fixture
def runner(
    admin: Engine,
    ingested: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Runner]:
    """In a folder with `notes` and `handbook` in its home, after `rag-assets ingest`."""
    for url in new_database(admin, DATABASE):
        shutil.copytree(ingested / "state", tmp_path / "state")
        install(url, tmp_path, monkeypatch)
        fake_models(monkeypatch)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        for name, content in NOTES.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")

        def command(arguments: Sequence[str]) -> tuple[int, str]:
            code = run_command(arguments, monkeypatch)
            return code, capsys.readouterr().err

        yield Runner(command, monkeypatch.setenv)
