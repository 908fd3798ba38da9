"""Checks of the projects: none was left behind by a run over several, or forgotten for long."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from rag_assets.orchestration.checks.results import evaluate
from rag_assets.orchestration.partitions import run_keys
from rag_assets.orchestration.scope import Pipeline

_DONE = {
    "every_project_read": ("raw_documents", "mend the source or the settings that the reason names"),
    "every_project_chunked": ("chunks", "mend what the reason names (often a setting of the project)"),
    "every_project_embedded": ("embeddings", "mend what the reason names (often the model)"),
}


def project_checks(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=pipeline.name("project_checks"),
        specs=[
            *(
                dg.AssetCheckSpec(
                    name,
                    asset=pipeline.key(asset),
                    description=f"The last run of {asset} went well for every project: one that fails does not stop "
                    f"the others of a run. When it fails: {remedy}, then materialize the partitions of the projects "
                    "named.",
                )
                for name, (asset, remedy) in _DONE.items()
            ),
            dg.AssetCheckSpec(
                "every_project_fresh",
                asset=pipeline.key("raw_documents"),
                description="The source of every project was read in the last RAG_ASSETS_STALE_AFTER_HOURS, or in its "
                "own `stale_after_hours`. When it warns: materialize the projects named, and see that daemon and "
                "schedules run.",
            ),
        ],
        required_resource_keys={pipeline.postgres_key},
        can_subset=True,
    )
    def project_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import projects
        from rag_assets.projects.failures import list_failures

        postgres = pipeline.postgres(context)
        engine, settings = postgres.engine, postgres.settings
        keys = run_keys(context.run, context.instance, pipeline.projects)

        yield from evaluate(
            context,
            {
                **{
                    name: partial(projects.every_project_done, engine, stage, keys)
                    for name, (stage, _) in _DONE.items()
                },
                "every_project_fresh": lambda: projects.every_project_fresh(engine, settings.stale_after_hours, keys),
            },
            severity={"every_project_fresh": dg.AssetCheckSeverity.WARN},
        )
        with engine.connect() as connection:
            failed = list_failures(connection, run_id=context.run.run_id)
        if failed:
            # The others are materialized by now. A run that ends well would show these partitions as if nobody had
            # asked for them; in one that fails Dagster shows exactly them as failed. No other step waits for this one.
            told = "; ".join(
                f"{failure.stage} failed for project {failure.project}: {failure.error}" for failure in failed
            )
            raise dg.Failure(told, allow_retries=False)

    return project_checks
