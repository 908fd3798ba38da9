"""`build_definitions`: names under the prefix, settings of the pipeline, and errors that state the remedy."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from rag_assets import Settings, build_definitions
from rag_assets.errors import UsageError
from rag_assets.orchestration.automation.failure_notices import is_pipeline_run
from rag_assets.orchestration.io.column_lineage import lineage_metadata
from rag_assets.orchestration.partitions import run_projects
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.orchestration.scope import PipelineScope

PLAIN = {
    "assets": {
        *("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space", "corpus_map"),
        *("message_embeddings", "message_index", "live_messages"),
        *("memory_embeddings", "memory_index", "live_memories"),
    },
    "jobs": {"ingest", "embed_messages", "embed_memories", "checks", "maintenance"},
    "schedules": {
        *("nightly_refresh", "yesterdays_messages", "trailing_messages", "nightly_memories", "weekly_maintenance"),
    },
    "sensors": {
        *("project_partitions", "changed_sources", "own_schedules", "finished_batches"),
        *("follow_upstreams", "failed_runs"),
    },
    "resources": {"postgres", "embedder", "tables"},
    "partitions": {"projects"},
}


def names_by_type(defs: dg.Definitions) -> dict[str, set[str]]:
    specs = defs.resolve_all_asset_specs()
    return {
        "assets": {spec.key.to_user_string() for spec in specs},
        "jobs": {job.name for job in defs.jobs or []},
        "schedules": {schedule.name for schedule in defs.schedules or []},
        "sensors": {sensor.name for sensor in defs.sensors or []},
        "resources": set(defs.resources or {}),
        "partitions": {
            str(spec.partitions_def.name)
            for spec in specs
            if isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition)
        },
    }


@dg.asset(group_name="search")
def catalogue() -> None: ...


@dg.asset_check(asset=catalogue)
def catalogue_is_whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


OURS = dg.Definitions(assets=[catalogue], asset_checks=[catalogue_is_whole], executor=dg.multiprocess_executor)


def test_names_without_a_prefix_are_plain() -> None:
    defs = build_definitions()
    assert names_by_type(defs) == PLAIN
    assert {spec.group_name for spec in defs.resolve_all_asset_specs()} == {"rag", "conversations", "pictures"}


def test_every_name_has_the_prefix() -> None:
    found = names_by_type(build_definitions(key_prefix="docs"))
    assert found == {
        what: {f"docs/{name}" if what == "assets" else f"docs_{name}" for name in plain}
        for what, plain in PLAIN.items()
    }


def test_several_pipelines_load_in_one_code_location() -> None:
    parts = [OURS, build_definitions(), *(build_definitions(key_prefix=prefix) for prefix in ("docs", ["a", "b"]))]
    defs = dg.Definitions.merge(*parts)
    dg.Definitions.validate_loadable(defs)
    found = names_by_type(defs)
    assert found["assets"] >= {"catalogue", "chunks", "docs/chunks", "a/b/chunks"}
    assert found["jobs"] >= {"ingest", "docs_ingest", "a_b_ingest"}
    steps = [node.name for node in defs.get_repository_def().get_job("__ASSET_JOB").nodes]
    assert len(steps) == len(set(steps)) == 2 + 3 * (12 + 9)


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ({"key_prefix": "docs", "group_name": "search"}, {"search"}),
        ({"key_prefix": ["docs", "de"]}, {"docs_de"}),
        ({"group_name": "search"}, {"search"}),
    ],
)
def test_assets_are_in_the_named_group_or_that_of_the_prefix(given: dict[str, Any], groups: set[str]) -> None:
    assert {spec.group_name for spec in build_definitions(**given).resolve_all_asset_specs()} == groups


def test_jobs_select_only_assets_of_their_pipeline() -> None:
    defs = dg.Definitions.merge(
        OURS,
        build_definitions(key_prefix="docs", group_name="search"),
        build_definitions(key_prefix="notes", group_name="search"),
    )
    ingested = defs.resolve_job_def("docs_ingest").asset_layer
    assert {key.to_user_string() for key in ingested.executable_asset_keys} == {
        f"docs/{name}" for name in ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
    }
    steps = {node.name for node in defs.resolve_job_def("docs_checks").nodes}
    assert len(steps) == 9
    assert all(step.startswith("docs_") for step in steps)


def test_assets_follow_only_upstreams_of_their_pipeline() -> None:
    defs = dg.Definitions.merge(OURS, *(build_definitions(key_prefix=prefix) for prefix in ("docs", "notes")))
    with dg.DagsterInstance.ephemeral() as instance:
        for prefix in ("docs", "notes"):
            instance.add_dynamic_partitions(f"{prefix}_projects", ["handbook"])

        def tick(cursor: Any = None) -> Any:
            selection = dg.AssetSelection.all()
            return dg.evaluate_automation_conditions(defs, instance, asset_selection=selection, cursor=cursor)

        first = tick()
        instance.report_runless_asset_event(dg.AssetMaterialization(["docs", "raw_documents"], partition="handbook"))
        second = tick(first.cursor)
        requested = {
            key.to_user_string() for key in defs.resolve_all_asset_keys() if second.get_requested_partitions(key)
        }
    assert requested == {"docs/chunks", "docs/embeddings"}


def test_each_pipeline_uses_its_own_settings() -> None:
    settings = Settings(
        time_zone="Europe/Berlin",
        refresh_cron="30 4 * * 1-5",
        maintenance_cron="0 5 * * 6",
        stale_after_hours=12,
        messages_since=date(2026, 1, 1),
        owners=("team:search",),
        automation=True,
        chunk_tokens=100,
    )
    docs, plain = build_definitions(key_prefix="docs", settings=settings), build_definitions()
    schedules: dict[str, Any] = {schedule.name: schedule for schedule in docs.schedules or []}
    nightly = schedules["docs_nightly_refresh"]
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 4 * * 1-5", "Europe/Berlin")
    assert schedules["docs_weekly_maintenance"].cron_schedule == "0 5 * * 6"
    assert {schedule.default_status.value for schedule in docs.schedules or []} == {"RUNNING"}
    assert {sensor.default_status.value for sensor in docs.sensors or []} == {"RUNNING"}
    ours = {spec.key.path[-1]: spec for spec in docs.resolve_all_asset_specs()}
    theirs = {spec.key.path[-1]: spec for spec in plain.resolve_all_asset_specs()}
    assert ours["raw_documents"].freshness_policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=12))
    assert theirs["raw_documents"].freshness_policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
    assert {tuple(spec.owners) for spec in ours.values()} == {("team:search",)}
    days = ours["message_embeddings"].partitions_def
    assert isinstance(days, dg.DailyPartitionsDefinition)
    assert days.start.date() == date(2026, 1, 1)
    assert {name for name in ours if ours[name].code_version != theirs[name].code_version} == {"chunks"}


def test_settings_of_the_environment_are_read_on_use(monkeypatch: pytest.MonkeyPatch) -> None:
    followed, given = PipelineScope(), PipelineScope(("docs",), own_settings=Settings(chunk_tokens=50))
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "99")
    assert (followed.settings.chunk_tokens, given.settings.chunk_tokens) == (99, 50)


def test_a_mapping_of_settings_is_completed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_REFRESH_CRON", "0 7 * * *")
    defs = build_definitions(key_prefix="docs", settings={"time_zone": "Asia/Tokyo"})
    nightly: Any
    [nightly] = [schedule for schedule in defs.schedules or [] if schedule.name == "docs_nightly_refresh"]
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("0 7 * * *", "Asia/Tokyo")


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`:DeprecationWarning")
def test_passwords_are_not_serialized_by_dagster() -> None:
    defs = build_definitions(
        key_prefix="docs",
        settings={"database_url": "postgresql://u:s3cret@h/d", "notify": "https://hooks.example.com/s3cret"},
    )
    serialized = serialize_value(RepositorySnap.from_def(defs.get_repository_def()))
    assert "docs_postgres" in serialized
    assert "s3cret" not in serialized + repr(defs.resources)


def test_column_lineage_and_source_links_have_the_prefix() -> None:
    for spec in build_definitions(key_prefix=["a", "b"]).resolve_all_asset_specs():
        [link] = spec.metadata["dagster/code_references"].code_references
        assert "/rag_assets/orchestration/assets/" in str(link), spec.key
    lineage = lineage_metadata(dg.AssetKey(["a", "b", "chunks"]))["dagster/column_lineage"]
    sources = {source.asset_key for of in lineage.deps_by_column.values() for source in of}
    assert sources == {dg.AssetKey(["a", "b", "raw_documents"])}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key_prefix": "my docs"}, "key_prefix 'my docs' is not a name; .* letters, digits and underscores"),
        ({"key_prefix": "docs/de"}, "key_prefix 'docs/de' is not a name; .* a list of them"),
        ({"key_prefix": ""}, "key_prefix '' is not a name"),
        ({"key_prefix": ["docs", 3]}, "key_prefix 3 is not a name"),
        ({"key_prefix": 3}, "key_prefix 3 is not a name"),
        ({"group_name": "my docs"}, "group_name 'my docs' is not a name"),
        ({"settings": "state"}, "settings is a str; make it a rag_assets.Settings, or a mapping"),
        (
            {"settings": {"databse_url": "x"}},
            "settings: there is no setting 'databse_url'; did you mean 'database_url'",
        ),
        ({"settings": {"chunk_tokens": "many"}}, "settings: chunk_tokens 'many': .*; correct it."),
        ({"settings": {"time_zone": "Mars"}}, "time_zone 'Mars': not a time zone, like Europe/Berlin"),
        ({"settings": {"RAG_ASSETS_CHUNK_TOKENS": 99}}, "did you mean 'chunk_tokens'"),
        ({"settings": {"owners": "team:search,x y"}}, "owners .*: 'x y' is neither a team, .* nor an address"),
        ({"resources": {"embeder": Embedder()}}, "there is no resource 'embeder'; did you mean 'embedder'"),
        ({"resources": {"embedder": "bge"}}, "embedder is a str; give an instance of Embedder, or of a subclass"),
        ({"resources": {"tables": 5}}, "tables is a int; give an instance of IOManager"),
        ({"resources": [Embedder()]}, "resources is a list; make it a mapping with postgres, embedder, tables"),
    ],
)
def test_invalid_arguments_are_refused_with_a_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_definitions(**given)


def test_the_error_for_a_duplicate_prefix_names_it() -> None:
    twice = [build_definitions(key_prefix="docs", settings={"chunk_tokens": tokens}) for tokens in (100, 200)]
    with pytest.raises(dg.DagsterInvariantViolationError, match="same key 'docs_postgres'"):
        dg.Definitions.merge(*twice)


def test_an_invalid_secret_is_not_shown() -> None:
    with pytest.raises(UsageError, match="settings: database_url: ") as raised:
        build_definitions(settings={"database_url": ["postgresql://u:s3cret@h/d"]})
    assert "s3cret" not in str(raised.value)


@pytest.fixture
def runs() -> dict[str, dg.DagsterRun]:
    def run(job: str, *keys: list[str], checks: bool = False) -> dg.DagsterRun:
        selected = frozenset(dg.AssetKey(key) for key in keys)
        return dg.DagsterRun(
            job_name=job,
            asset_selection=None if checks else selected or None,
            asset_check_selection=frozenset(dg.AssetCheckKey(key, "one") for key in selected) if checks else None,
        )

    return {
        "job": run("docs_ingest"),
        "maintenance": run("docs_maintenance"),
        "assets": run("__ASSET_JOB", ["catalogue"], ["docs", "chunks"]),
        "checks": run("__ASSET_JOB", ["docs", "chunks"], checks=True),
        "other job": run("notes_ingest"),
        "plain job": run("ingest"),
        "other assets": run("__ASSET_JOB", ["catalogue"], ["notes", "chunks"], ["chunks"]),
        "other checks": run("__ASSET_JOB", ["notes", "chunks"], checks=True),
    }


def test_runs_of_other_pipelines_are_not_ours(runs: dict[str, dg.DagsterRun]) -> None:
    docs = PipelineScope(("docs",))
    with dg.DagsterInstance.ephemeral() as instance:
        ours = {name for name, run in runs.items() if is_pipeline_run(run, instance, docs)}
    assert ours == {"job", "maintenance", "assets", "checks"}


def test_partitions_of_other_pipelines_are_not_projects() -> None:
    pipeline = PipelineScope(("docs",))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("docs_projects", ["handbook"])
        instance.add_dynamic_partitions("projects", ["other"])

        def keys(partition: str) -> list[str] | None:
            run = dg.DagsterRun(job_name="daily", tags={"dagster/partition": partition})
            return run_projects(run, instance, pipeline.projects)

        assert keys("handbook") == ["handbook"]
        assert keys("other") is None
        assert keys("2026-03-04") is None
