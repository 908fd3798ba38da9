"""rag-assets check: the gate of a CI job."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import CHECKS, assert_shape
from tests.support.pipeline.runs import rows


def test_passing_checks_exit_with_0_and_materialize_nothing(built: Engine, cli: Cli) -> None:
    before = rows(built, "SELECT max(updated_at), count(*) FROM rag.documents")
    result = cli("check", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, CHECKS)
    assert len(result.json["checks"]) == 19
    assert rows(built, "SELECT max(updated_at), count(*) FROM rag.documents") == before


def test_a_failed_check_exits_with_1_and_is_described(built: Engine, cli: Cli) -> None:
    with built.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings LIMIT 3)"
        )
    result = cli("check", "--json")
    assert result.code == 1
    failed = {check["name"]: check for check in result.json["checks"] if not check["passed"]}
    assert failed["texts_have_vectors"]["metadata"]["missing"] == 3
    assert "embeddings/texts_have_vectors failed: 3 of" in result.err
    assert "have no vector. Materialize embeddings; texts that the model refuses" in result.err
    assert "DagsterAssetCheckFailedError" not in result.err
    result = cli("check")
    assert result.code == 1
    assert "texts_have_vectors" in result.out


def test_junit_has_a_test_case_for_each_check(built: Engine, cli: Cli, tmp_path: Path) -> None:
    with built.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM rag.embeddings WHERE content_hash IN (SELECT content_hash FROM rag.embeddings LIMIT 3)"
        )
        connection.exec_driver_sql(
            "UPDATE rag.documents SET status = 'failed', error = E'bell \\x07 and <angle>' WHERE file_path = 'copy.txt'"
        )
    result = cli("check", "--json", "--junit", tmp_path / "checks.xml")
    assert result.code == 1
    suite = ElementTree.parse(tmp_path / "checks.xml").getroot()[0]
    cases = {(case.get("classname"), case.get("name")): case for case in suite}
    assert set(cases) == {(check["asset"], check["name"]) for check in result.json["checks"]}
    failed = {name for (_, name), case in cases.items() if case.find("failure") is not None}
    assert failed == {check["name"] for check in result.json["checks"] if not check["passed"]} - {"documents_readable"}
    failure = cases["embeddings", "texts_have_vectors"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("3 of ")
    assert '"missing": 3' in (failure.text or "")
    warning = cases["raw_documents", "documents_readable"].find("skipped")
    assert warning is not None
    assert "bell \\u0007 and <angle>" in (warning.text or "")
    counts = {name: int(suite.get(name) or -1) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": len(cases), "failures": len(failed), "errors": 0, "skipped": 1}


def test_an_unwritable_junit_file_exits_with_2(built: Engine, cli: Cli) -> None:
    assert "'/no/such/folder/x.xml' cannot be written" in cli("check", "--junit", "/no/such/folder/x.xml").error(2)


def test_a_failed_check_of_severity_warning_exits_with_0(built: Engine, cli: Cli) -> None:
    with built.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE rag.documents SET status = 'failed', error = 'why' WHERE file_path = 'copy.txt'"
        )
    result = cli("check")
    assert result.code == 0
    assert "documents_readable" in result.out


def test_checks_before_the_first_ingest_exit_with_1_and_name_the_command(settings: Settings, cli: Cli) -> None:
    result = cli("check", "--json")
    assert result.code == 1
    assert_shape(result.json, CHECKS)
    assert "serves_wanted_space failed: no space is live" in result.err
    assert "run rag-assets ingest first" in result.err
    assert "Traceback" not in result.err


def test_an_unreachable_database_exits_with_3(settings: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", "postgresql://u:hidden@127.0.0.1:9/d")
    for command in (["check"], ["status"], ["search", "x"], ["db", "current"], ["db", "upgrade"]):
        error = cli(*command).error(3)
        assert "does not answer" in error
        assert "hidden" not in error
