"""Two isolated pipelines in one code location, each with its own database, settings and projects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import URL, Engine, text

from rag_assets import Settings, build_definitions
from rag_assets.db.connections.engines import make_engine
from rag_assets.projects.store import save_project
from rag_assets.repositories import NewMessage, SyncConversations
from tests.support.database.database_server import DatabaseServer
from tests.support.fakes import FakeEmbedder
from tests.support.pipeline.runs import errors
from tests.support.pipeline.stages import write

TEXTS = {
    "docs": "# Tides\n\nThe harbour opens at high water.\n\n# Keys\n\nThe keys hang behind the door.\n",
    "notes": "# Bees\n\nThe bees fly when the sun is out.\n",
}
VECTORS = ("raw_documents", "chunks", "embeddings")


@dataclass(frozen=True)
class Location:
    defs: dg.Definitions
    instance: dg.DagsterInstance
    engines: Mapping[str, Engine]
    settings: Mapping[str, Settings]

    def tick(self, prefix: str, sensor: str, cursor: str | None = None) -> Any:
        """Evaluate the sensor and add its partitions, as the daemon does; returns the result."""
        repository = self.defs.get_repository_def()
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                instance=self.instance,
                cursor=cursor,
                repository_def=repository,
                resources={name: self.defs.resources[name] for name in (f"{prefix}_postgres",)},  # type: ignore[index]
            ) as context,
        ):
            found = repository.get_sensor_def(f"{prefix}_{sensor}").evaluate_tick(context)
        for request in found.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return found

    def run(self, job: str, *assets: list[str], **more: Any) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(key) for key in assets] or None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            **more,
        )

    def ingest(self, prefix: str) -> None:
        result = self.run(f"{prefix}_ingest", *([prefix, name] for name in VECTORS), partition_key="shared")
        assert errors(result) == []

    def rows(self, prefix: str, statement: str) -> list[Any]:
        with self.engines[prefix].connect() as connection:
            return list(connection.scalars(text(statement)))


@pytest.fixture
def second(databases: DatabaseServer, template: str) -> Iterator[URL]:
    with databases.copy(template) as url:
        yield url


@pytest.fixture
def location(database: URL, second: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    # Code that reads the environment instead of the given settings fails.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", "postgresql://nobody:wrong@127.0.0.1:1/none")
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "unused"))
    more: dict[str, dict[str, Any]] = {"docs": {}, "notes": {"chunk_tokens": 40, "messages_since": "2026-01-01"}}
    settings, engines = {}, {}
    for prefix, url in (("docs", database), ("notes", second)):
        engines[prefix] = make_engine(url)
        settings[prefix] = Settings(
            database_url=url.render_as_string(hide_password=False),  # type: ignore[arg-type]
            state_dir=tmp_path / prefix,
            **more[prefix],
        )
        write(tmp_path / prefix / "source" / f"{prefix}.md", TEXTS[prefix])
        with engines[prefix].begin() as connection:
            save_project(connection, "shared", str(tmp_path / prefix / "source"), {})
            save_project(connection, f"only-{prefix}", str(tmp_path / prefix / "source"), {})

    @dg.asset(
        ins={"chunks": dg.AssetIn(["docs", "chunks"])},
        partitions_def=dg.DynamicPartitionsDefinition(name="docs_projects"),
    )
    def longest(chunks: pd.DataFrame) -> str:
        return str(chunks["chunk_text"].max())

    @dg.asset
    def catalogue() -> None: ...

    defs = dg.Definitions.merge(
        dg.Definitions(
            assets=[longest, catalogue],
            jobs=[
                dg.define_asset_job("ours", selection=[longest]),
                dg.define_asset_job("more", selection=["catalogue", "notes/raw_documents"]),
            ],
        ),
        *(
            build_definitions(
                key_prefix=prefix,
                group_name="search",
                settings=settings[prefix],
                resources={"embedder": FakeEmbedder()},
            )
            for prefix in TEXTS
        ),
    )
    with dg.DagsterInstance.ephemeral() as instance:
        made = Location(defs, instance, engines, settings)
        for prefix in TEXTS:
            made.tick(prefix, "project_partitions")
        yield made
    for engine in engines.values():
        engine.dispose()


def test_each_pipeline_has_the_partitions_of_its_projects(location: Location) -> None:
    found = {prefix: set(location.instance.get_dynamic_partitions(f"{prefix}_projects")) for prefix in TEXTS}
    assert found == {"docs": {"shared", "only-docs"}, "notes": {"shared", "only-notes"}}
    assert location.instance.get_dynamic_partitions("projects") == []


def test_projects_of_the_same_name_are_separate(location: Location) -> None:
    location.ingest("docs")
    assert location.rows("notes", "SELECT count(*) FROM rag.documents") == [0]
    location.ingest("notes")
    for prefix, words in (("docs", "harbour"), ("notes", "bees")):
        assert location.rows(prefix, "SELECT file_path FROM rag.documents") == [f"{prefix}.md"]
        assert words in " ".join(location.rows(prefix, "SELECT chunk_text FROM rag.document_chunks"))
        assert location.rows(prefix, "SELECT count(*) > 0 FROM rag.embeddings") == [True]
    spaces = [location.rows(prefix, "SELECT chunking FROM rag.embedding_spaces") for prefix in TEXTS]
    assert spaces[0] != spaces[1], "each pipeline splits with its own settings"
    assert location.rows("notes", "SELECT chunking_settings->>'max_tokens' FROM rag.embedding_spaces") == ["40"]


def test_a_user_asset_loads_a_table_of_one_pipeline(location: Location) -> None:
    location.ingest("docs")
    location.ingest("notes")
    result = location.run("ours", partition_key="shared")
    assert errors(result) == []
    assert result.output_for_node("longest").startswith("# Tides")


def test_metadata_and_lineage_have_the_prefixed_asset_keys(location: Location) -> None:
    location.ingest("docs")
    event = location.instance.get_latest_materialization_event(dg.AssetKey(["docs", "chunks"]))
    assert event is not None
    assert event.asset_materialization is not None
    materialization = event.asset_materialization
    assert materialization.partition == "shared"
    assert (
        materialization.metadata["dagster/table_name"].value
        == f"{location.engines['docs'].url.database}.rag.document_chunks"
    )
    lineage = materialization.metadata["dagster/column_lineage"].value
    assert lineage.deps_by_column["chunk_text"][0].asset_key == dg.AssetKey(["docs", "raw_documents"])
    assert location.instance.get_latest_materialization_event(dg.AssetKey(["notes", "chunks"])) is None


def test_a_changed_source_is_requested_only_by_its_pipeline(location: Location) -> None:
    seen = {prefix: location.tick(prefix, "changed_sources").cursor for prefix in TEXTS}
    write(location.settings["notes"].state_dir / "source" / "new.md", "New.")
    results = {prefix: location.tick(prefix, "changed_sources", cursor) for prefix, cursor in seen.items()}
    assert results["docs"].run_requests == []
    [request] = results["notes"].run_requests
    assert {key.path[0] for key in request.asset_selection} == {"notes"}


def test_checks_examine_their_own_database(location: Location) -> None:
    for prefix in TEXTS:
        location.ingest(prefix)
    with location.engines["notes"].begin() as connection:
        connection.execute(text("UPDATE rag.document_chunks SET chunk_text = 'something else'"))
    failed = {}
    for prefix in TEXTS:
        keys = [dg.AssetCheckKey(dg.AssetKey([prefix, "chunks"]), "offsets_reproduce_text")]
        job = location.defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=set(keys))
        result = job.execute_in_process(
            instance=location.instance,
            raise_on_error=False,
            resources=location.defs.resources,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        [found] = result.get_asset_check_evaluations()
        failed[prefix] = not found.passed
    assert failed == {"docs": False, "notes": True}


def test_messages_are_embedded_in_their_own_database(location: Location) -> None:
    day = datetime(2026, 3, 2, tzinfo=UTC)
    for prefix in TEXTS:
        conversations = SyncConversations(location.engines[prefix])
        talk = conversations.create("talk").id
        conversations.append_many(talk, [NewMessage("user", f"{prefix} said this", created_at=day)])
    result = location.run("docs_embed_messages", ["docs", "message_embeddings"], partition_key="2026-03-02")
    assert errors(result) == []
    count = "SELECT count(*) FROM rag.embeddings"
    assert (location.rows("docs", count), location.rows("notes", count)) == ([1], [0])


def test_each_pipeline_runs_its_own_maintenance(location: Location) -> None:
    for prefix in TEXTS:
        result = location.run(f"{prefix}_maintenance")
        assert errors(result) == []
        assert {event.step_key for event in result.all_events if event.is_step_success} == {f"{prefix}_maintain"}


@pytest.mark.parametrize("job", ["notes_ingest", "more"])
def test_a_failed_run_is_reported_only_by_its_pipeline(location: Location, job: str) -> None:
    with location.engines["notes"].begin() as connection:
        connection.execute(text("UPDATE rag.projects SET source_uri = '/nowhere/at/all'"))
    assets = [["notes", "raw_documents"]] if job == "notes_ingest" else []
    result = location.run(job, *assets, partition_key="shared")
    assert not result.success
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    run = location.instance.get_run_by_id(result.run_id)
    assert run is not None
    logged = {}
    for prefix in TEXTS:
        context = dg.build_run_status_sensor_context(
            sensor_name=f"{prefix}_failed_runs",
            dagster_event=event,
            dagster_instance=location.instance,
            dagster_run=run,
        ).for_run_failure()
        lines: list[str] = []
        context.log.error = lines.append  # type: ignore[method-assign,assignment]
        location.defs.get_repository_def().get_sensor_def(f"{prefix}_failed_runs")(context)
        logged[prefix] = lines
    assert logged["docs"] == []
    [line] = logged["notes"]
    assert f"{job} of shared" in line
    assert "/nowhere/at/all" in line
