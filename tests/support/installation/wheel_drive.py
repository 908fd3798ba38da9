"""A script that ingests and checks in a project with the installed wheel.

Run it in the project's folder with the module of the definitions and `PREFIX=PROJECT` for each pipeline. `--check` runs
all checks once more at the end; `--job NAME` runs that job instead of PREFIX_ingest. It prints one JSON object, keyed
by prefix.
"""

import importlib
import json
import sys
from typing import Any

import dagster as dg

import rag_assets

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main(module: str, *arguments: str) -> None:
    pipelines = [argument.partition("=") for argument in arguments if "=" in argument]
    job = arguments[arguments.index("--job") + 1] if "--job" in arguments else None
    found = importlib.import_module(module).defs
    # In a `dg` project it is a function that loads them.
    defs: dg.Definitions = found if isinstance(found, dg.Definitions) else found()
    instance = dg.DagsterInstance.get()
    report: dict[str, Any] = {"file": rag_assets.__file__}
    for prefix, _, project in pipelines:
        reconcile(defs, instance, prefix)
        report[prefix] = ingest(defs, instance, prefix, project, job)
    for prefix, _, _ in pipelines if "--check" in arguments else ():
        report[prefix]["checks"] = checks(defs, instance, prefix)
    sys.stdout.write(json.dumps(report))


def reconcile(defs: dg.Definitions, instance: dg.DagsterInstance, prefix: str) -> None:
    """Evaluate the sensor that adds declared projects as partitions."""
    repository = defs.get_repository_def()
    resources = {f"{prefix}_postgres": (defs.resources or {})[f"{prefix}_postgres"]}
    with dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context:
        found = repository.get_sensor_def(f"{prefix}_project_partitions").evaluate_tick(context)
    for request in found.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))


def ingest(
    defs: dg.Definitions, instance: dg.DagsterInstance, prefix: str, project: str, name: str | None = None
) -> dict[str, Any]:
    job = defs.resolve_job_def(name or f"{prefix}_ingest")
    result = job.execute_in_process(instance=instance, partition_key=project, raise_on_error=False, run_config=QUIET)
    return {
        "success": result.success,
        "partitions": list(instance.get_dynamic_partitions(f"{prefix}_projects")),
        "materialized": sorted(
            event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key
        ),
        "failed_checks": sorted(found.check_name for found in result.get_asset_check_evaluations() if not found.passed),
    }


def checks(defs: dg.Definitions, instance: dg.DagsterInstance, prefix: str) -> dict[str, bool]:
    result = defs.resolve_job_def(f"{prefix}_checks").execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )
    return {
        f"{found.asset_key.to_user_string()}:{found.check_name}": found.passed
        for found in result.get_asset_check_evaluations()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
