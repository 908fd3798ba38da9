"""The whole pipeline on folders that change."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.pipeline.runs import add_project, encoder, errors, failed_checks, metadata, rows, run


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


def test_the_first_run_writes_all_tables_and_passes_all_checks(
    settings: Settings, engine: Engine, folder: Path
) -> None:
    add_project(engine, "zoo", folder)
    result = run(key="zoo")
    assert errors(result) == []
    assert failed_checks(result) == {}
    assert len(result.get_asset_check_evaluations()) == 19
    assert rows(engine, "SELECT file_path FROM rag.documents ORDER BY 1") == [
        ("notes.txt",),
        ("whale.md",),
        ("zebra.md",),
    ]
    assert metadata(result, "raw_documents")["inserted"] == 3
    texts = rows(engine, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")[0][0]
    assert rows(engine, "SELECT count(*) FROM rag.embeddings")[0][0] == texts == len(encoder().embedded)


def test_a_text_that_the_model_refuses_fails_the_check_until_the_next_run(
    settings: Settings, engine: Engine, folder: Path
) -> None:
    def refuse(text: str) -> None:
        if "Whales" in text:
            raise RuntimeError("the tensor is cursed")

    add_project(engine, "zoo", folder)
    ENCODERS[1] = HashEncoder(fault=refuse)
    result = run(key="zoo")
    check = failed_checks(result)["texts_have_vectors"]
    assert check["missing"] == 1
    assert "Whales" not in check["set_aside"][0]
    assert "the tensor is cursed" in check["set_aside"][0]
    assert metadata(result, "embeddings")["failed"] == 1
    assert rows(engine, "SELECT status FROM rag.embedding_spaces") == [("building",)], (
        "the failed check prevents the promotion"
    )

    ENCODERS[1] = HashEncoder()
    result = run(key="zoo")
    assert failed_checks(result) == {}
    assert len(encoder().embedded) == 1
    assert rows(engine, "SELECT status FROM rag.embedding_spaces") == [("live",)]


def test_a_run_over_several_projects_reports_figures_per_project(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "more.md").write_text("More words of its own.\n")
    add_project(engine, "zoo", folder)
    add_project(engine, "other", other)
    result = run(keys=["zoo", "other"])
    assert errors(result) == []
    assert failed_checks(result) == {}
    figures = {
        (event.asset_key.to_user_string(), event.partition): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    inserted = {key: found["inserted"].value for key, found in figures.items() if "inserted" in found}
    assert (inserted["raw_documents", "zoo"], inserted["raw_documents", "other"]) == (3, 4)
    embedded = {key: found["embedded"].value for key, found in figures.items() if "embedded" in found}
    assert sum(embedded.values()) == len(encoder().embedded) == len(set(encoder().embedded))


def test_a_project_without_documents_leaves_no_rows(settings: Settings, engine: Engine, folder: Path) -> None:
    add_project(engine, "zoo", folder)
    run(key="zoo")
    for path in folder.iterdir():
        path.unlink()
    refused = run(key="zoo")
    assert not refused.success
    assert "--confirm-deletions" in errors(refused)[0]
    assert rows(engine, "SELECT count(*) FROM rag.documents") == [(3,)]
    confirmed = run(key="zoo", config={"confirm_deletions": True})
    assert metadata(confirmed, "raw_documents")["deleted"] == 3
    for table in ("documents", "document_chunks", "document_chunkings", "embeddings"):
        assert rows(engine, f"SELECT count(*) FROM rag.{table}") == [(0,)]
    assert failed_checks(confirmed) == {}
    assert confirmed.success
