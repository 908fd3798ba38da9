"""Two pipelines in one location, each with a database, settings and projects of its own: nothing of them mixes."""

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
from tests.support.database_server import DatabaseServer
from tests.support.fakes import FakeEmbedder
from tests.support.runs import errors
from tests.support.stages import write

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
        """What the daemon would do at a tick of the sensor, to the partitions too; gives what it asked for."""
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

    def chunk(self, prefix: str) -> None:
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
    # Whoever reads the environment, rather than what is given, finds nothing.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", "postgresql://nobody:wrong@127.0.0.1:1/none")
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(tmp_path / "nobodys"))
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


def test_partitions_are_the_projects_of_each(location: Location) -> None:
    found = {prefix: set(location.instance.get_dynamic_partitions(f"{prefix}_projects")) for prefix in TEXTS}
    assert found == {"docs": {"shared", "only-docs"}, "notes": {"shared", "only-notes"}}
    assert location.instance.get_dynamic_partitions("projects") == []


def test_a_project_of_the_same_name_is_another_project(location: Location) -> None:
    location.chunk("docs")
    assert location.rows("notes", "SELECT count(*) FROM rag.documents") == [0]
    location.chunk("notes")
    for prefix, words in (("docs", "harbour"), ("notes", "bees")):
        assert location.rows(prefix, "SELECT file_path FROM rag.documents") == [f"{prefix}.md"]
        assert words in " ".join(location.rows(prefix, "SELECT chunk_text FROM rag.document_chunks"))
        assert location.rows(prefix, "SELECT count(*) > 0 FROM rag.embeddings") == [True]
    spaces = [location.rows(prefix, "SELECT chunking FROM rag.embedding_spaces") for prefix in TEXTS]
    assert spaces[0] != spaces[1], "each cuts by its own settings"
    assert location.rows("notes", "SELECT chunking_settings->>'max_tokens' FROM rag.embedding_spaces") == ["40"]


def test_an_asset_of_ours_loads_what_one_of_them_wrote(location: Location) -> None:
    location.chunk("docs")
    location.chunk("notes")
    result = location.run("ours", partition_key="shared")
    assert errors(result) == []
    assert result.output_for_node("longest").startswith("# Tides")


def test_lineage_and_figures_are_told_of_the_keys_that_were_written(location: Location) -> None:
    location.chunk("docs")
    event = location.instance.get_latest_materialization_event(dg.AssetKey(["docs", "chunks"]))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization
    assert told.partition == "shared"
    assert told.metadata["dagster/table_name"].value == f"{location.engines['docs'].url.database}.rag.document_chunks"
    lineage = told.metadata["dagster/column_lineage"].value
    assert lineage.deps_by_column["chunk_text"][0].asset_key == dg.AssetKey(["docs", "raw_documents"])
    assert location.instance.get_latest_materialization_event(dg.AssetKey(["notes", "chunks"])) is None


def test_a_source_that_changes_is_asked_for_of_its_own_pipeline(location: Location) -> None:
    seen = {prefix: location.tick(prefix, "changed_sources").cursor for prefix in TEXTS}
    write(location.settings["notes"].state_dir / "source" / "new.md", "New.")
    asked = {prefix: location.tick(prefix, "changed_sources", cursor) for prefix, cursor in seen.items()}
    assert asked["docs"].run_requests == []
    [request] = asked["notes"].run_requests
    assert {key.path[0] for key in request.asset_selection} == {"notes"}


def test_checks_find_what_is_wrong_in_their_own_database(location: Location) -> None:
    for prefix in TEXTS:
        location.chunk(prefix)
    with location.engines["notes"].begin() as connection:
        connection.execute(text("UPDATE rag.document_chunks SET chunk_text = 'something else'"))
    red = {}
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
        red[prefix] = not found.passed
    assert red == {"docs": False, "notes": True}


def test_messages_are_embedded_where_they_were_said(location: Location) -> None:
    said = datetime(2026, 3, 2, tzinfo=UTC)
    for prefix in TEXTS:
        conversations = SyncConversations(location.engines[prefix])
        talk = conversations.create("talk").id
        conversations.append_many(talk, [NewMessage("user", f"{prefix} said this", created_at=said)])
    result = location.run("docs_embed_messages", ["docs", "message_embeddings"], partition_key="2026-03-02")
    assert errors(result) == []
    count = "SELECT count(*) FROM rag.embeddings"
    assert (location.rows("docs", count), location.rows("notes", count)) == ([1], [0])


def test_the_maintenance_of_each_works_in_its_own_database(location: Location) -> None:
    for prefix in TEXTS:
        result = location.run(f"{prefix}_maintenance")
        assert errors(result) == []
        assert {event.step_key for event in result.all_events if event.is_step_success} == {f"{prefix}_maintain"}


@pytest.mark.parametrize("job", ["notes_ingest", "more"])
def test_a_run_that_fails_is_told_by_its_own_pipeline_alone(location: Location, job: str) -> None:
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
