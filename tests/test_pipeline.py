"""The whole pipeline on folders that change, as they do."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings import Settings
from tests.fakes import ENCODERS
from tests.running import add_project, encoder, errors, failed_checks, metadata, rows, run


@pytest.fixture(autouse=True)
def _fresh_encoders() -> None:
    ENCODERS.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "zebra.md").write_text("# Zebras\n\nZebras have stripes.\n\n# Food\n\nThey eat grass.\n")
    (folder / "whale.md").write_text("# Whales\n\nWhales sing in the deep sea.\n")
    (folder / "notes.txt").write_text("Nothing but plain words.\n")
    return folder


def test_first_run_writes_everything_and_passes_all_checks(settings: Settings, engine: Engine, folder: Path) -> None:
    add_project(engine, "zoo", folder)
    result = run(key="zoo")
    assert errors(result) == []
    assert failed_checks(result) == {}
    assert len(result.get_asset_check_evaluations()) == 12
    assert rows(engine, "SELECT file_path FROM rag.documents ORDER BY 1") == [
        ("notes.txt",),
        ("whale.md",),
        ("zebra.md",),
    ]
    assert metadata(result, "raw_documents")["inserted"] == 3
    texts = rows(engine, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")[0][0]
    assert rows(engine, "SELECT count(*) FROM rag.embeddings")[0][0] == texts == len(encoder().embedded)
