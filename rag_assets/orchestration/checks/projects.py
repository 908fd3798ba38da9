"""Checks of the projects: every stage succeeded for each of them, and their sources were read recently."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from rag_assets.orchestration.checks.results import repeat_when_connections_break, run_checks
from rag_assets.orchestration.partitions import run_projects
from rag_assets.orchestration.scope import PipelineScope

# {check: (asset, what to do)}
_STAGE_CHECKS = {
    "every_project_read": ("raw_documents", "fix the source or the settings that the reason names"),
    "every_project_chunked": ("chunks", "fix what the reason names (often a setting of the project)"),
    "every_project_embedded": ("embeddings", "fix what the reason names (often the model)"),
}


def project_checks(scope: PipelineScope) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=scope.name("project_checks"),
        specs=[
            *(
                dg.AssetCheckSpec(
                    name,
                    asset=scope.key(asset),
                    description=f"The last run of {asset} succeeded for every project; a project that fails does not "
                    f"stop the others of a run. When it fails: {remedy}, then materialize the partitions of the "
                    "projects named.",
                )
                for name, (asset, remedy) in _STAGE_CHECKS.items()
            ),
            dg.AssetCheckSpec(
                "every_project_fresh",
                asset=scope.key("raw_documents"),
                description="The source of every project was read within RAG_ASSETS_STALE_AFTER_HOURS, or within the "
                "project's own `stale_after_hours`. When it warns: materialize the projects named, and see whether the "
                "daemon and the schedules run.",
            ),
        ],
        required_resource_keys={scope.postgres_key},
        can_subset=True,
    )
    @repeat_when_connections_break
    def project_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import projects as audit
        from rag_assets.projects.failures import list_failures

        postgres = scope.postgres(context)
        engine, stale_after_hours = postgres.engine, postgres.settings.stale_after_hours
        projects = run_projects(context.run, context.instance, scope.projects)

        yield from run_checks(
            context,
            {
                **{
                    name: partial(audit.stage_succeeded_for_projects, engine, stage, projects)
                    for name, (stage, _) in _STAGE_CHECKS.items()
                },
                "every_project_fresh": partial(audit.every_project_fresh, engine, stale_after_hours, projects),
            },
            severity={"every_project_fresh": dg.AssetCheckSeverity.WARN},
        )
        with engine.connect() as connection:
            failed = list_failures(connection, run_id=context.run.run_id)
        if failed:
            # Fail the run, after the other projects were materialized. In a run that succeeds, Dagster shows the
            # failed partitions as if nobody had requested them; in one that fails, it shows exactly them as failed.
            # No other step waits for this one.
            reasons = (f"{failure.stage} failed for project {failure.key}: {failure.error}" for failure in failed)
            raise dg.Failure("; ".join(reasons), allow_retries=False)

    return project_checks
