"""rag-assets ingest: JSON, exit codes, and the choice of project and globs."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import INGEST, assert_shape
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write


def test_json_has_the_promised_shape_and_correct_figures(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    result = cli("ingest", folder, "--json")
    assert result.code == 0, result.err
    first = result.json
    assert_shape(first, INGEST)
    assert result.out.count("\n") == 1
    assert first["project"] == "my-zoo-2024"
    assert first["documents"] == {"seen": 3, "new": 3, "changed": 0, "unchanged": 0, "deleted": 0, "failed": 0}
    assert first["chunks"] == {"total": 3, "written": 3, "deleted": 0}
    assert first["texts"] == {"distinct": 3, "embedded": 3, "reused": 0}
    assert first["vectors"] == 3
    assert len(first["checks"]) == 19
    assert all(check["passed"] for check in first["checks"])
    assert len(first["run_ids"]) == 1

    write(folder / "zebra.md", "# Zebras\n\nZebras have many stripes.\n")
    write(folder / "broken.pdf", b"%PDF-1.7 nothing")
    (folder / "notes.txt").unlink()
    result = cli("ingest", "--project", "my-zoo-2024", "--json")
    assert result.code == 0, "a document that cannot be read is a warning"
    second = result.json
    assert_shape(second, INGEST)
    assert second["documents"] == {"seen": 3, "new": 0, "changed": 1, "unchanged": 1, "deleted": 1, "failed": 1}
    assert second["chunks"] == {"total": 2, "written": 1, "deleted": 1}
    assert second["texts"] == {"distinct": 2, "embedded": 1, "reused": 1}
    assert second["vectors"] == 2
    failed = [check for check in second["checks"] if not check["passed"]]
    assert [(check["name"], check["severity"]) for check in failed] == [("documents_readable", "WARN")]

    third = cli("ingest", folder, "--json").json
    assert third["documents"] == {"seen": 3, "new": 0, "changed": 0, "unchanged": 2, "deleted": 0, "failed": 1}
    assert third["chunks"] == {"total": 2, "written": 0, "deleted": 0}
    assert third["texts"] == {"distinct": 2, "embedded": 0, "reused": 2}
    retried = cli("ingest", folder, "--retry-failed", "--json").json
    assert retried["documents"]["failed"] == 1


def test_text_output_has_tables_checks_and_an_answer(settings: Settings, folder: Path, cli: Cli) -> None:
    result = cli("ingest", folder)
    assert result.code == 0, result.err
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[:4] == [
        "project my-zoo-2024",
        "documents 3 (3 new)",
        "chunks 3 (3 written)",
        "distinct texts 3 (3 embedded)",
    ]
    assert "documents_readable passed 3 documents, 0 failed" in lines
    assert "19 checks: 19 passed" in lines
    assert "my-zoo-2024/" in result.out, "the answer to the sample query names its sources"
    assert "raw_documents" not in result.out


def test_verbose_shows_all_figures_and_the_time_of_each_stage(
    settings: Settings, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "broken.pdf", b"%PDF-1.7 nothing")
    result = cli("ingest", folder)
    assert result.code == 0, result.err
    assert "1 of 4 documents could not be read: my-zoo-2024/broken.pdf" in " ".join(result.out.split())
    result = cli("ingest", folder, "--verbose")
    assert result.code == 0, result.err
    for words in ("raw_documents/documents_readable", "  hnsw_index  ", "wrong_dimensions 0"):
        assert words in result.out


def test_a_run_that_fails_before_reading_is_a_one_line_error(settings: Settings, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no documents" in cli("ingest", tmp_path / "empty").error(2)


def test_a_failed_check_exits_with_1_and_is_named(
    settings: Settings, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.0001")
    result = cli("ingest", folder, "--json")
    assert result.code == 1
    assert_shape(result.json, INGEST)
    assert "search_latency" in result.err
    assert "Traceback" not in result.err
    assert [check["name"] for check in result.json["checks"] if not check["passed"]] == ["search_latency"]


def test_vanished_documents_are_kept_until_confirmed(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    cli("ingest", folder)
    for name in ("zebra.md", "whale.md"):
        (folder / name).unlink()
    result = cli("ingest", folder, "--json")
    assert result.code == 1
    assert "2 of the 3 documents" in result.err
    assert "--confirm-deletions" in result.err
    assert result.err.count("\n") == 1
    assert rows(engine, "SELECT count(*) FROM rag.documents") == [(3,)]
    assert cli("ingest", folder, "--json", "--confirm-deletions").json["documents"]["deleted"] == 2


def test_globs_are_stored_with_the_project_and_reused(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    first = cli("ingest", folder, "--project", "zoo", "--include", "*.md", "--exclude", "whale*", "--json").json
    assert (first["project"], first["documents"]["seen"]) == ("zoo", 1)
    assert cli("ingest", "--project", "zoo", "--json").json["documents"]["seen"] == 1
    assert rows(engine, "SELECT settings FROM rag.projects") == [({"include": ["*.md"], "exclude": ["whale*"]},)]
    assert cli("ingest", folder, "--project", "zoo", "--json").json["documents"]["seen"] == 3


def test_a_second_folder_of_the_same_name_needs_a_project_name(
    settings: Settings, folder: Path, cli: Cli, tmp_path: Path
) -> None:
    cli("ingest", folder)
    other = tmp_path / "elsewhere" / folder.name
    write(other / "a.md", "Another zoo.")
    error = cli("ingest", other).error(2)
    assert "'my-zoo-2024' already has another source" in error
    assert "--project" in error
    assert cli("ingest", other, "--project", "other", "--json").json["documents"]["new"] == 1


def test_single_files_and_archives_are_sources(settings: Settings, folder: Path, cli: Cli, tmp_path: Path) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "zoo"), "zip", folder)
    one = cli("ingest", folder / "zebra.md", "--project", "one", "--json").json
    assert one["documents"]["seen"] == 1
    zipped = cli("ingest", f"zip://*.md::{archive}", "--project", "zipped", "--json").json
    assert zipped["documents"]["seen"] == 2
    assert zipped["texts"]["embedded"] == 1, "one of the two texts was embedded for the single file"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["/no/such/folder"], 2, "/no/such/folder"),
        (["nope://bucket/x"], 2, "nope"),
        (["abfs://container/x"], 2, "adlfs"),
        (["--project", "unknown"], 2, "no project 'unknown' yet"),
        ([".", "--project", "Bad Name"], 2, "'bad-name'"),
        ([".", "--include", ""], 2, "glob"),
        ([".", "--language", "germann"], 2, "did you mean german"),
    ],
)
def test_wrong_usage_is_a_one_line_error_and_exits_with_2(
    settings: Settings, cli: Cli, arguments: list[str], code: int, words: str
) -> None:
    assert words in cli("ingest", *arguments).error(code)
    assert words in cli("ingest", *arguments, "--json").error(code)


def test_an_empty_folder_is_a_one_line_error(settings: Settings, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("ingest", tmp_path / "empty", "--json")
    assert result.code == 2
    assert_shape(result.json, INGEST)
    assert "holds no documents" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("CHUNK_TOKENS", "many", 2, "RAG_ASSETS_CHUNK_TOKENS 'many'"),
        ("CHUNK_TOKENS", "1000", 2, "set it to 254 or less"),
        ("LOCK_WAIT_S", "-1", 2, "RAG_ASSETS_LOCK_WAIT_S '-1'"),
        ("DATABASE_URL", "nonsense", 2, "RAG_ASSETS_DATABASE_URL is not a database URL"),
        ("DATABASE_URL", "mysql://u:hidden@h/d", 2, "only PostgreSQL"),
        ("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:9/d", 3, "does not answer"),
        ("MODEL", "nobody/has-this", 3, "nobody/has-this"),
    ],
)
def test_the_error_for_an_invalid_setting_names_its_variable(
    settings: Settings,
    folder: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
    words: str,
) -> None:
    monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    result = cli("ingest", folder)
    assert result.code == code, result
    assert words in result.err
    assert "hidden" not in result.err
    assert "Traceback" not in result.err
    assert result.err.count("\n") == 1, result.err


def test_an_invalid_value_in_the_env_file_is_an_error(settings: Settings, cli: Cli, folder: Path) -> None:
    Path(".env").write_text("RAG_ASSETS_HNSW_M=1000\n")
    assert "RAG_ASSETS_HNSW_M '1000'" in cli("ingest", folder).error(2)


def test_a_state_folder_in_the_source_is_not_ingested(
    settings: Settings, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "state" / "home"))
    report = cli("ingest", ".", "--json").json
    assert report["documents"]["seen"] == 3
    assert report["project"] == "my-zoo-2024"
    assert (folder / "state" / "home" / "dagster.yaml").exists()


def test_figures_are_correct_for_a_copied_and_a_renamed_file(settings: Settings, folder: Path, cli: Cli) -> None:
    cli("ingest", folder)
    (folder / "zebra.md").rename(folder / "horse.md")
    write(folder / "copy.txt", (folder / "notes.txt").read_bytes())
    report = cli("ingest", folder, "--json").json
    assert report["documents"] == {"seen": 4, "new": 2, "changed": 0, "unchanged": 2, "deleted": 1, "failed": 0}
    assert report["texts"] == {"distinct": 3, "embedded": 0, "reused": 3}
    assert json.dumps(report)
