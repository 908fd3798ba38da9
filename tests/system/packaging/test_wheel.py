"""The package installed from a wheel, used in folders outside this checkout."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rag_assets.db.schema.migrations import head_revision
from tests.support.installation.installations import PATIENT_LIMIT_MS
from tests.support.installation.wheel_install import ProjectFolder
from tests.support.paths import ROOT
from tests.support.pipeline.stages import write

DRIVE = ROOT / "tests" / "support" / "installation" / "wheel_drive.py"
TEXTS = {"docs": "# Tides\n\nThe harbour opens at high water.\n", "notes": "# Bees\n\nThe bees fly in the sun.\n"}

# Only catches hangs: a slow machine must not reach it.
TIMEOUT_S = 420

Make = Callable[..., ProjectFolder]


def declare(project: ProjectFolder, prefix: str, name: str = "shared") -> None:
    """Write a folder of documents and declare it as a project of the pipeline with its state in `state/PREFIX`."""
    source, state = project.folder / "sources" / prefix, project.folder / "state" / prefix
    write(source / f"{prefix}.md", TEXTS[prefix])
    write(state / "projects.yaml", yaml.safe_dump({"projects": {name: {"source": str(source)}}}))


def search_files(project: ProjectFolder, prefix: str, words: str) -> list[str]:
    """Search the database of the pipeline with rag-assets; return the paths of the files found."""
    arguments = ("search", words, "--mode", "text", "--json")
    result = project.run("rag-assets", *arguments, RAG_ASSETS_STATE_DIR=f"state/{prefix}")
    # The command fails while no space is live.
    return [hit["file_path"] for hit in json.loads(result.stdout)["hits"]] if result.returncode == 0 else []


def test_an_empty_folder_gets_a_database_at_the_newest_revision(make_project: Make) -> None:
    empty = make_project()
    where = empty.check_output("python", "-c", "import rag_assets; print(rag_assets.__file__)")
    assert Path(where.strip()) == empty.site / "rag_assets" / "__init__.py"
    assert empty.check_output("rag-assets", "db", "upgrade") == f"{head_revision()}\n"
    assert empty.check_output("rag-assets", "db", "check") == "models and database are the same\n"
    assert (empty.folder / "dagster_home" / "dagster.yaml").is_file()


def test_two_pipelines_in_one_code_location_are_independent(make_project: Make) -> None:
    project = make_project("merged")
    for prefix in TEXTS:
        declare(project, prefix)
    report = json.loads(project.check_output("python", str(DRIVE), "shop.definitions", "docs=shared", "notes=shared"))
    assert Path(report["file"]).is_relative_to(project.site)
    for prefix in TEXTS:
        ingested = report[prefix]
        assert ingested["success"], ingested
        assert (ingested["partitions"], ingested["failed_checks"]) == (["shared"], [])
        stages = ("chunks", "embeddings", "hnsw_index", "live_space", "raw_documents")
        assert ingested["materialized"] == [f"{prefix}/{stage}" for stage in stages]
    assert search_files(project, "docs", "harbour") == ["docs.md"]
    assert search_files(project, "notes", "bees") == ["notes.md"]
    assert search_files(project, "docs", "bees") == search_files(project, "notes", "harbour") == []


@pytest.fixture
def desk(make_project: Make) -> ProjectFolder:
    """A `dg` project with two pipelines in YAML."""
    pytest.importorskip("dagster_dg_cli", reason="components need dg: pip install -e '.[dg]' -c constraints.txt")
    more = {"CHUNK_TOKENS": "100", "RAG_ASSETS_LATENCY_LIMIT_MS": PATIENT_LIMIT_MS}
    return make_project("component", HANDBOOK_URL="postgresql://u:s3cret@127.0.0.1:1/none", **more)


def list_asset_groups(project: ProjectFolder) -> dict[str, str]:
    result = json.loads(project.check_output("dg", "list", "defs", "--json"))
    return {asset["asset_key"]: asset["group_name"] for asset in result["assets"]}


def test_pipelines_in_yaml_are_loaded_with_a_scaffolded_one(desk: ProjectFolder) -> None:
    desk.check_output("dg", "scaffold", "defs", "rag_assets.RagPipeline", "more/my-docs")
    written = yaml.safe_load((desk.folder / "desk" / "defs" / "more" / "my-docs" / "defs.yaml").read_text())
    assert written["type"] == "rag_assets.RagPipeline"
    assert written["attributes"]["key_prefix"] == "my_docs"
    groups = list_asset_groups(desk)
    assert groups["desk/handbook/chunks"] == "search"
    assert groups["notes/live_space"] == "notes"
    assert groups["my_docs/raw_documents"] == "my_docs"
    assert groups["notes/sources"] == "notes"
    assert len(groups) == 3 * 13


def test_an_unknown_setting_in_yaml_is_refused_with_the_nearest(desk: ProjectFolder) -> None:
    file = desk.folder / "desk" / "defs" / "notes" / "defs.yaml"
    file.write_text(file.read_text().replace("state_dir", "state_dri"))
    result = desk.run("dg", "check", "yaml")
    assert result.returncode != 0
    assert "'state_dri' was unexpected" in result.stdout + result.stderr
    result = desk.run("dg", "check", "defs", "--no-check-yaml")
    assert result.returncode != 0
    assert "there is no setting 'state_dri'; did you mean 'state_dir'?" in result.stdout + result.stderr


def test_dg_knows_the_component_and_checks_its_yaml(desk: ProjectFolder) -> None:
    assert "rag_assets.RagPipeline" in desk.check_output("dg", "list", "components")
    desk.check_output("dg", "scaffold", "defs", "rag_assets.RagPipeline", "2nd", "--format", "python")
    assert list_asset_groups(desk)["_2nd/embeddings"] == "_2nd"
    desk.check_output("dg", "check", "yaml")
    desk.check_output("dg", "check", "defs")
    file = desk.folder / "desk" / "defs" / "notes" / "defs.yaml"
    file.write_text(file.read_text().replace("key_prefix", "key_prefx"))
    result = desk.run("dg", "check", "yaml")
    assert result.returncode != 0
    assert "key_prefx" in result.stdout + result.stderr


def test_a_pipeline_in_yaml_ingests_and_serves_with_the_real_model(desk: ProjectFolder) -> None:
    declare(desk, "notes")
    report = json.loads(desk.check_output("python", str(DRIVE), "desk.definitions", "notes=shared", "--check"))["notes"]
    assert report["success"], report
    assert report["failed_checks"] == []
    assert all(report["checks"].values()), report["checks"]
    assert {check.partition("/")[0] for check in report["checks"]} == {"notes"}
    result = desk.check_output(
        "rag-assets", "search", "insects", "--mode", "vector", "--json", RAG_ASSETS_STATE_DIR="state/notes"
    )
    assert [hit["file_path"] for hit in json.loads(result)["hits"]] == ["notes.md"]


def test_one_daemon_keeps_both_pipelines_up_to_date(make_project: Make) -> None:
    project = make_project("merged", RAG_ASSETS_AUTOMATION="true", RAG_ASSETS_SENSOR_INTERVAL_S="5")
    for prefix in TEXTS:
        declare(project, prefix)
        # Create the database before the daemon starts, so that searches can query it from the start.
        project.check_output("rag-assets", "db", "upgrade", RAG_ASSETS_STATE_DIR=f"state/{prefix}")
    end = time.monotonic() + TIMEOUT_S
    with project.run_in_background("-m", "dagster._daemon", "run", "-m", "shop.definitions") as log:
        for prefix, words in (("docs", "harbour"), ("notes", "bees")):
            while search_files(project, prefix, words) != [f"{prefix}.md"]:
                assert time.monotonic() < end, log.read_text()[-4000:]
                # A search is a process of a second, which the daemon does not have meanwhile.
                time.sleep(5)
    result = log.read_text()
    for prefix in TEXTS:
        assert f"{prefix}_changed_sources" in result
    jobs = "import dagster as dg; print(*{run.job_name for run in dg.DagsterInstance.get().get_runs()})"
    assert set(project.check_output("python", "-c", jobs).split()) == {"docs_ingest", "notes_ingest"}


def test_dagster_commands_run_the_assets_in_their_own_processes(make_project: Make) -> None:
    project = make_project("merged")
    for prefix in TEXTS:
        declare(project, prefix)
        project.check_output("python", str(DRIVE), "shop.definitions", f"{prefix}=shared")
        write(project.folder / "sources" / prefix / "new.md", f"A newcomer to {prefix}.")
    for prefix in TEXTS:
        select = ",".join(f"key:{prefix}/{stage}" for stage in ("raw_documents", "chunks", "embeddings"))
        project.check_output(
            *("dagster", "asset", "materialize", "-m", "shop.definitions"),
            *("--select", select, "--partition", "shared"),
        )
    assert search_files(project, "docs", "newcomer") == search_files(project, "notes", "newcomer") == ["new.md"]
