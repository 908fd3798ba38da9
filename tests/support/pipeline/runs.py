"""Run the real jobs in this process, with the real IO manager, database and tokenizer and a fake model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import JobFailureData
from dagster._core.execution.plan.objects import StepFailureData
from sqlalchemy import Engine, text

from rag_assets.definitions import defs
from rag_assets.orchestration.partitions import projects
from rag_assets.orchestration.storage.dead_runs import close_dead_runs
from rag_assets.projects.store import save_project
from tests.support.fakes import ENCODERS, FakeEmbedder, HashEncoder

fake_defs = dg.Definitions.merge(
    dg.Definitions(
        assets=defs.assets,
        asset_checks=defs.asset_checks,
        jobs=defs.jobs,
        resources={**(defs.resources or {}), "embedder": FakeEmbedder()},
    )
)

SCHEDULES = {
    schedule.name: schedule for schedule in defs.schedules or [] if isinstance(schedule, dg.ScheduleDefinition)
}
SENSORS = {sensor.name: sensor for sensor in defs.sensors or [] if isinstance(sensor, dg.SensorDefinition)}

# All test processes share one server, so that queries of its catalogs must be limited to this database.
THIS_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
COUNT_ADVISORY_LOCKS = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = {THIS_DATABASE}"

STAGES = ("raw_documents", "chunks", "embeddings", "hnsw_index")


def run(
    job: str = "ingest",
    *,
    key: str | None = None,
    keys: Sequence[str] = (),
    config: dict[str, Any] | None = None,
    only: Sequence[str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job in the instance of DAGSTER_HOME, for one project or a range. Errors are in the result.

    `only` names the assets to materialize, with their checks. The check of the index takes seconds.
    """
    tags = {}
    if keys:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    return fake_defs.resolve_job_def(job).execute_in_process(
        instance=dg.DagsterInstance.get(),
        partition_key=key,
        tags=tags,
        asset_selection=None if only is None else [dg.AssetKey(name) for name in only],
        raise_on_error=False,
        run_config={
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            **({"ops": {"raw_documents": {"config": config}}} if config else {}),
        },
    )


def open_command_instance() -> dg.DagsterInstance:
    """Open the instance as commands do: runs that were killed are closed and free their slots in pools."""
    instance = dg.DagsterInstance.get()
    close_dead_runs(instance)
    return instance


def add_project(engine: Engine, name: str, source: Path | str, **settings: Any) -> str:
    with engine.begin() as connection:
        save_project(connection, name, str(source), settings)
    dg.DagsterInstance.get().add_dynamic_partitions(str(projects.name), [name])
    return name


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The failed checks of a run by name, with their metadata as plain values."""
    return {
        found.check_name: {key: value.value for key, value in found.metadata.items()}
        for found in result.get_asset_check_evaluations()
        if not found.passed
    }


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The metadata of an asset's last materialization in the run, as plain values."""
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    return {key: value.value for key, value in events[-1].materialization.metadata.items()}


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def encoder(space: int = 1) -> HashEncoder:
    return ENCODERS[space]


def errors(result: dg.ExecuteInProcessResult) -> list[str]:
    """The messages of the root causes of the failed steps."""
    found = []
    for event in result.all_events:
        if event.is_step_failure or event.event_type_value == "PIPELINE_FAILURE":
            assert isinstance(event.event_specific_data, StepFailureData | JobFailureData)
            error = event.event_specific_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            found.append(error.message.strip() if error else "unknown")
    return found
